"""Ways in, and the ends of sessions."""

from __future__ import annotations

import base64
from datetime import timedelta

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce, SalesforceAuthenticationFailed, SalesforceExpiredSession

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    """A private and a public RSA key, PEM."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


def user_of(sf: Salesforce) -> str:
    answer = sf.session.get(f"https://{sf.sf_instance}/services/oauth2/userinfo", headers=sf.headers)
    return str(answer.json()["user_id"])


def test_client_credentials_run_as_the_integration_user(door: Door, org: SalesforceOrg, journal: Journal):
    sf = door.client_credentials()

    assert user_of(sf) == org.integration_id
    assert (journal.calls[0].operation, journal.calls[0].counted) == ("sign_in", 0)


def test_client_credentials_are_refused_away_from_the_orgs_own_host(door: Door, org: SalesforceOrg):
    known = org.credentials
    basic = base64.b64encode(f"{known.consumer_key}:{known.consumer_secret}".encode()).decode()

    answer = door.session().post(
        "https://login.salesforce.com/services/oauth2/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {basic}"},
    )

    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_grant", "error_description": "request not supported on this domain"}


def test_a_wrong_consumer_secret_is_an_invalid_client(door: Door):
    with pytest.raises(SalesforceAuthenticationFailed) as refused:
        door.client_credentials(secret="wrong")

    assert refused.value.code == "invalid_client"


def test_password_with_consumer_key(door: Door, org: SalesforceOrg):
    admin = org.credentials.admin

    sf = Salesforce(
        username=admin.username,
        password=admin.password + admin.token,
        consumer_key=org.credentials.consumer_key,
        consumer_secret=org.credentials.consumer_secret,
        domain="acme.my",
        session=door.session(),
    )

    assert user_of(sf) == org.admin_id


@pytest.mark.parametrize(
    ("version", "token", "code"),
    [
        pytest.param("62.0", "ADMTOKEN", None, id="up-to-64"),
        pytest.param("65.0", "ADMTOKEN", "UNSUPPORTED_API_VERSION", id="from-65"),
        pytest.param("62.0", "", "LOGIN_MUST_USE_SECURITY_TOKEN", id="no-token"),
        pytest.param("62.0", "OTHER", "INVALID_LOGIN", id="wrong-token"),
    ],
)
def test_soap_login(door: Door, org: SalesforceOrg, version: str, token: str, code: str | None):
    admin = org.credentials.admin

    def sign_in() -> Salesforce:
        return Salesforce(
            username=admin.username,
            password=admin.password,
            security_token=token,
            domain="acme.my",
            version=version,
            session=door.session(),
        )

    if code is None:
        assert user_of(sign_in()) == org.admin_id
    else:
        with pytest.raises(SalesforceAuthenticationFailed) as refused:
            sign_in()
        assert refused.value.code == code


def test_jwt_bearer_with_the_registered_key(door: Door, org: SalesforceOrg, key: tuple[str, str], clock: SandboxClock):
    private, public = key
    clock.thaw()
    clock.offset = timedelta(0)
    org.act({"do": "register_key", "public_key": public})

    sf = Salesforce(
        username=org.credentials.limited.username,
        consumer_key=org.credentials.consumer_key,
        privatekey=private,
        domain="login",
        session=door.session(),
    )

    assert user_of(sf) == org.limited_id


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        pytest.param({}, None, id="right"),
        pytest.param({"iss": "someone-else"}, "invalid_client_id", id="wrong-issuer"),
        pytest.param({"aud": "https://elsewhere.example"}, "invalid_grant", id="wrong-audience"),
        pytest.param({"sub": "nobody@acme.example"}, "invalid_grant", id="unknown-user"),
        pytest.param({"seconds": -1}, "invalid_grant", id="expired"),
        pytest.param({"seconds": 3600}, "invalid_grant", id="too-far-ahead"),
    ],
)
def test_claims_are_checked_by_the_orgs_clock(
    door: Door, org: SalesforceOrg, key: tuple[str, str], clock: SandboxClock, claims: dict[str, str], error: str | None
):
    private, public = key
    org.act({"do": "register_key", "public_key": public})
    claims = dict(claims)
    expires = clock.now() + timedelta(seconds=int(claims.pop("seconds", 180)))
    right = {
        "iss": org.credentials.consumer_key,
        "sub": org.credentials.integration.username,
        "aud": "https://login.salesforce.com",
        "exp": f"{expires.timestamp():.0f}",
    }

    answer = token_for(door, jwt.encode({**right, **claims}, private, algorithm="RS256"))

    assert answer.json().get("error") == error


def test_an_assertion_signed_by_another_key_is_refused(door: Door, org: SalesforceOrg, key: tuple[str, str]):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    org.act({"do": "register_key", "public_key": key[1]})
    claims = {"iss": org.credentials.consumer_key, "sub": org.credentials.admin.username, "aud": "x", "exp": "1"}

    answer = token_for(door, jwt.encode(claims, other, algorithm="RS256"))

    assert answer.status_code == 400
    assert answer.json()["error_description"] == "invalid assertion"


def token_for(door: Door, assertion: str) -> requests.Response:
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return door.session().post(f"{door.url}/services/oauth2/token", data=form)


def test_given_a_user_who_left_when_signing_in_then_the_user_is_inactive(door: Door, org: SalesforceOrg):
    org.act({"do": "set_user", "id": org.integration_id, "active": False})

    with pytest.raises(SalesforceAuthenticationFailed) as refused:
        door.client_credentials()

    assert refused.value.code == "inactive_user"


def test_a_session_ends_by_age(door: Door, org: SalesforceOrg, clock: SandboxClock):
    sf = door.as_user(org.integration_id)
    org.act({"do": "expire_sessions", "after_seconds": 900})
    sf.limits()

    clock.advance(timedelta(seconds=900))

    with pytest.raises(SalesforceExpiredSession) as refused:
        sf.limits()
    assert refused.value.content == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_given_all_sessions_ended_when_the_client_has_credentials_then_it_signs_in_again(
    door: Door, org: SalesforceOrg, journal: Journal
):
    sf = door.client_credentials()
    org.act({"do": "expire_sessions", "now": True})

    sf.limits()

    assert [call.operation for call in journal.calls] == ["sign_in", "refused", "sign_in", "limits"]


def test_a_session_that_is_not_for_rest_stays_refused(door: Door, org: SalesforceOrg):
    sf = door.as_user(org.integration_id)
    org.act({"do": "expire_sessions", "not_for_rest": True})

    with pytest.raises(SalesforceExpiredSession) as refused:
        sf.limits()

    assert refused.value.content[0]["message"] == "This session is not valid for use with the REST API"
