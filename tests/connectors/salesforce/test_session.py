"""Signing in and staying signed in, in recorded conversations."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import pytest
import requests
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.salesforce.transport import Listener
from crm_sync.errors import AuthError, ConfigError, RateLimitedError, TransientError
from crm_sync.ports import Usage
from tests.connectors.salesforce.conversations import (
    A_SESSION,
    AN_APP,
    DATA,
    EXPIRED,
    HEADERS,
    ORG,
    TOKEN,
    a_connector,
    a_lead,
    a_page,
)
from tests.connectors.world import CountingMeter

LOGIN_ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com">
 <soapenv:Body><loginResponse><result>
  <serverUrl>https://acme.my.salesforce.com/services/Soap/u/62.0/00DSB0000000001</serverUrl>
  <sessionId>00DSB!TOKEN1</sessionId><userId>005SB0000000001AAA</userId>
 </result></loginResponse></soapenv:Body></soapenv:Envelope>"""

LOGIN_FAULT = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:sf="urn:fault.partner.soap.sforce.com"><soapenv:Body><soapenv:Fault>
 <faultcode>sf:INVALID_LOGIN</faultcode><detail><sf:LoginFault>
 <sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>
 <sf:exceptionMessage>Invalid username, password, security token; or user locked out.</sf:exceptionMessage>
 </sf:LoginFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"""

REMEMBERED = AN_APP | {"session_id": "OLD", "instance_url": ORG, "signed_in_to": ORG}
LEADS = f"{DATA}/queryAll/"


@pytest.fixture
def org():
    with responses.RequestsMock() as mock:
        yield mock


def pull(connector):
    return connector.changes_since(connector.feeds()[0], None, ["Email"])


def test_client_credentials_are_sent_to_the_orgs_own_host(org: responses.RequestsMock):
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.get(LEADS, json=a_page(a_lead(1)), headers=HEADERS)

    batch = pull(a_connector(AN_APP))

    sign_in, query = (call.request for call in org.calls)
    assert sign_in.body == "grant_type=client_credentials"
    assert sign_in.headers["Authorization"] == "Basic " + base64.b64encode(b"K:S").decode()
    assert query.headers["Authorization"] == "Bearer 00DSB!TOKEN1"
    assert len(batch.records) == 1


def test_a_jwt_is_signed_for_the_login_host_and_sent_to_the_org(org: responses.RequestsMock):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.get(LEADS, json=a_page(), headers=HEADERS)

    pull(a_connector({"method": "jwt", "consumer_key": "K", "username": "u@acme.example", "private_key": pem}))

    assertion = parse_qs(org.calls[0].request.body)["assertion"][0]
    claims = jwt.decode(
        assertion,
        key.public_key(),
        algorithms=["RS256"],
        audience="https://login.salesforce.com",
        options={"verify_exp": False},
    )
    assert (claims["iss"], claims["sub"]) == ("K", "u@acme.example")


def test_a_broken_private_key_is_said_in_one_sentence():
    connector = a_connector({"method": "jwt", "consumer_key": "K", "username": "u", "private_key": "no key"})

    with pytest.raises(AuthError, match=r"^The private key can't be read"):
        pull(connector)


def test_a_password_with_its_token_signs_in_by_soap(org: responses.RequestsMock):
    org.post(f"{ORG}/services/Soap/u/62.0", body=LOGIN_ANSWER)
    org.get(LEADS, json=a_page(), headers=HEADERS)

    pull(a_connector({"method": "password", "username": "u", "password": "p", "security_token": "t"}))

    assert "<n1:password>pt</n1:password>" in org.calls[0].request.body


def test_a_password_with_an_app_signs_in_by_oauth(org: responses.RequestsMock):
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.get(LEADS, json=a_page(), headers=HEADERS)
    app = {"consumer_key": "K", "consumer_secret": "S"}

    pull(a_connector({"method": "password", "username": "u", "password": "p", "security_token": "t", **app}))

    assert parse_qs(org.calls[0].request.body)["password"] == ["pt"]


@pytest.mark.parametrize(
    ("path", "answer", "credentials"),
    [
        pytest.param(
            "services/oauth2/token",
            {"status": 400, "json": {"error": "invalid_grant", "error_description": "authentication failure"}},
            AN_APP,
            id="oauth",
        ),
        pytest.param(
            "services/Soap/u/62.0",
            {"status": 500, "body": LOGIN_FAULT},
            {"method": "password", "username": "u", "password": "p", "security_token": "t"},
            id="soap",
        ),
    ],
)
def test_wrong_credentials_are_said_in_one_sentence(org, path, answer, credentials):
    org.post(f"{ORG}/{path}", **answer)

    with pytest.raises(AuthError) as refused:
        pull(a_connector(credentials))

    assert str(refused.value).startswith("Salesforce doesn't let the connection in (")
    assert len(org.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"body": "<html>Maintenance</html>", "status": 503}, id="503-page"),
        pytest.param({"body": "<html>Welcome</html>", "status": 200}, id="200-page"),
        pytest.param({"json": {"access_token": "x"}, "status": 200}, id="no-instance"),
        pytest.param({"body": "", "status": 200}, id="empty"),
        pytest.param({"json": {"message": "Bad gateway"}, "status": 502}, id="foreign-json"),
    ],
)
def test_a_sign_in_page_that_is_no_answer_is_transient(org, answer):
    org.post(f"{ORG}/services/oauth2/token", **answer)

    with pytest.raises(TransientError):
        pull(a_connector(AN_APP))


@pytest.mark.parametrize("refused", [{"status": 403, "body": "Missing_OAuth_Token"}, {"status": 404, "body": "<html>"}])
def test_given_an_app_that_may_only_use_the_api_when_asked_who_we_are_then_the_resources_tell(org, refused):
    row = {"Id": "00DSB0000000001AAA", "Name": "Acme", "IsSandbox": True}
    org.get(f"{DATA}/query/", json=a_page(row))
    org.get(f"{ORG}/services/oauth2/userinfo", **refused)
    org.get(f"{DATA}/", json={"identity": TOKEN["id"], "query": "/services/data/v62.0/query"})

    assert a_connector().identity().user_id == "005SB0000000001AAA"


@pytest.mark.parametrize(
    ("path", "answer", "credentials"),
    [
        pytest.param("services/oauth2/token", {"json": TOKEN}, AN_APP, id="oauth"),
        pytest.param(
            "services/Soap/u/62.0",
            {"body": LOGIN_ANSWER},
            {"method": "password", "username": "u", "password": "p", "security_token": "t"},
            id="soap",
        ),
    ],
)
def test_given_an_app_that_may_only_use_the_api_when_it_signed_in_then_the_token_tells_who_we_are(
    org, path, answer, credentials
):
    org.post(f"{ORG}/{path}", **answer)
    org.get(f"{DATA}/query/", json=a_page({"Id": "00DSB0000000001AAA", "Name": "Acme", "IsSandbox": True}))
    org.get(f"{ORG}/services/oauth2/userinfo", status=403, body="Missing_OAuth_Token")

    assert a_connector(credentials).identity().user_id == "005SB0000000001AAA"


def test_an_ended_session_is_renewed_once_and_saved_before_use(org: responses.RequestsMock):
    saved: list[dict[str, str]] = []
    org.get(LEADS, status=401, json=EXPIRED, headers=HEADERS)
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.get(LEADS, json=a_page(a_lead(1)), headers=HEADERS)

    batch = pull(a_connector(REMEMBERED, save_credentials=lambda c: saved.append(dict(c))))

    assert len(batch.records) == 1
    assert [call.request.headers.get("Authorization", "")[:6] for call in org.calls] == ["Bearer", "Basic ", "Bearer"]
    assert saved == [REMEMBERED | {"session_id": "00DSB!TOKEN1", "user_id": "005SB0000000001AAA"}]


def test_a_token_for_another_address_is_forgotten(org: responses.RequestsMock):
    org.post("https://other.my.salesforce.com/services/oauth2/token", json=TOKEN)
    org.get(LEADS, json=a_page(), headers=HEADERS)

    pull(a_connector(REMEMBERED, base_url="https://other.my.salesforce.com"))

    assert len(org.calls) == 2


def test_constant_headers_survive_a_renewal(org: responses.RequestsMock):
    org.get(LEADS, status=401, json=EXPIRED, headers=HEADERS)
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.get(LEADS, json=a_page(), headers=HEADERS)

    pull(a_connector(REMEMBERED))

    assert org.calls[-1].request.headers["Sforce-Auto-Assign"] == "FALSE"
    assert org.calls[-1].request.headers["Sforce-Call-Options"] == "client=crm-sync"


def test_a_session_that_is_refused_again_is_not_renewed_again(org: responses.RequestsMock):
    org.get(LEADS, status=401, json=EXPIRED, headers=HEADERS)
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.get(LEADS, status=401, json=EXPIRED, headers=HEADERS)

    with pytest.raises(AuthError):
        pull(a_connector(REMEMBERED))

    assert len(org.calls) == 3


def test_a_session_not_meant_for_rest_is_not_renewed(org: responses.RequestsMock):
    words = "This session is not valid for use with the REST API"
    org.get(LEADS, status=401, json=[{"message": words, "errorCode": "INVALID_SESSION_ID"}], headers=HEADERS)

    with pytest.raises(AuthError, match="REST API"):
        pull(a_connector(REMEMBERED))

    assert len(org.calls) == 1


def test_a_ready_session_that_ended_asks_for_another(org: responses.RequestsMock):
    org.get(LEADS, status=401, json=EXPIRED, headers=HEADERS)

    with pytest.raises(AuthError, match="sign in again"):
        pull(a_connector())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("<html>Edge is setting things up</html>", id="page"),
        pytest.param('{"totalSize": 2, "records": [{"Id"', id="truncated"),
        pytest.param("", id="empty"),
        pytest.param("[]", id="empty-list"),
        pytest.param("{}", id="empty-object"),
        pytest.param('{"records": null, "done": true}', id="no-records"),
        pytest.param('{"records": [], "totalSize": 0}', id="done-unsaid"),
    ],
)
def test_garbage_is_never_no_records(org: responses.RequestsMock, body: str):
    org.get(LEADS, body=body, headers=HEADERS)

    with pytest.raises(TransientError):
        pull(a_connector())

    assert len(org.calls) == 3


def test_reads_are_repeated_within_one_call(org: responses.RequestsMock):
    org.get(LEADS, body=requests.exceptions.ConnectionError("reset"))
    org.get(LEADS, status=503, body="<html></html>")
    org.get(LEADS, json=a_page(a_lead(1)), headers=HEADERS)
    meter = CountingMeter()

    batch = pull(a_connector(meter=meter))

    assert len(batch.records) == 1
    assert meter.reserved == ["burst"] * 3


def test_an_exhausted_day_is_not_hammered(org: responses.RequestsMock):
    words = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    org.get(LEADS, status=403, json=words, headers={"Sforce-Limit-Info": "api-usage=5000/5000"})
    meter = CountingMeter()

    with pytest.raises(RateLimitedError):
        pull(a_connector(meter=meter))

    assert len(org.calls) == 1
    assert meter.usages == [Usage(window="day", used=5000, limit=5000)]


@pytest.mark.parametrize(
    ("info", "usage"),
    [
        pytest.param("api-usage=18/5000", (18, 5000), id="plain"),
        pytest.param("api-usage=10018/100000; api-bursts=1/750", (10018, 100000), id="bursts"),
        pytest.param("api-usage=25/5000; per-app-api-usage=17/250(appName=x)", (25, 5000), id="per-app"),
        pytest.param("per-app-api-usage=17/250(appName=x); api-usage=25/5000", (25, 5000), id="per-app-first"),
        pytest.param("per-app-api-usage=17/250(appName=x)", None, id="per-app-alone"),
        pytest.param("", None, id="absent"),
    ],
)
def test_every_form_of_the_limit_header_is_read(org, info: str, usage: tuple[int, int] | None):
    org.get(LEADS, json=a_page(), headers=HEADERS | {"Sforce-Limit-Info": info})
    meter = CountingMeter()

    pull(a_connector(meter=meter))

    assert [(u.used, u.limit) for u in meter.usages] == ([usage] if usage else [])


def test_the_budget_can_refuse_before_anything_is_sent(org: responses.RequestsMock):
    class Spent(CountingMeter):
        def reserve(self, window: str, calls: int = 1) -> None:
            from tests.connectors.salesforce.conversations import NOW

            raise RateLimitedError("spent", retry_at=NOW)

    with pytest.raises(RateLimitedError):
        pull(a_connector(meter=Spent()))

    assert len(org.calls) == 0


@pytest.mark.parametrize(
    ("credentials", "base_url", "words"),
    [
        pytest.param({}, ORG, "method", id="no-method"),
        pytest.param({"method": "jwt", "username": "u"}, ORG, "consumer_key and private_key", id="two-missing"),
        pytest.param(A_SESSION | {"instance_url": "http://acme.example"}, ORG, "plain http", id="plain-http"),
        pytest.param(AN_APP, "acme", None, id="bare-host-is-https"),
        pytest.param(AN_APP, "ftp://acme.example", "not a web address", id="ftp"),
        pytest.param(AN_APP | {"ca_file": "/nowhere.pem"}, ORG, "certificate", id="no-ca-file"),
        pytest.param(AN_APP, "http://127.0.0.1:1", None, id="this-machine"),
        pytest.param(AN_APP | {"allow_http": "yes"}, "http://crm.test", None, id="allowed"),
    ],
)
def test_credentials_and_address_are_looked_at_before_any_call(credentials, base_url, words):
    if words is None:
        a_connector(credentials, base_url=base_url).close()
        return
    with pytest.raises(ConfigError, match=words):
        a_connector(credentials, base_url=base_url)


def test_the_host_that_people_see_is_turned_into_the_one_that_serves_the_api(org: responses.RequestsMock):
    org.get(LEADS, json=a_page(), headers=HEADERS)

    pull(a_connector(A_SESSION | {"instance_url": "https://acme.lightning.force.com"}))

    assert org.calls[0].request.url.startswith(DATA)


def test_client_credentials_on_a_login_host_are_a_setting_to_mend():
    with pytest.raises(ConfigError, match="My Domain"):
        pull(a_connector(AN_APP, base_url="https://login.salesforce.com"))


def test_a_redirect_is_not_followed(org: responses.RequestsMock):
    org.get(LEADS, status=302, headers={"Location": "https://elsewhere.example/"})

    with pytest.raises(ConfigError, match="redirect"):
        pull(a_connector())


def test_a_host_that_is_not_there_is_said_in_one_sentence():
    connector = a_connector(A_SESSION | {"instance_url": "http://127.0.0.1:1"})

    with pytest.raises(TransientError, match=r"^127\.0\.0\.1:1 can't be reached") as unreachable:
        pull(connector)

    assert unreachable.value.sent is False


def test_a_date_that_is_none_leaves_the_clock_alone(tmp_path: Path):
    listener = Listener(CountingMeter())
    answer = requests.Response()
    answer.headers["Date"] = "soon"

    listener(answer)

    assert listener.server_time is None
