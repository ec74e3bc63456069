"""Tokens, scopes, and what each refusal looks like."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests

from crm_sync.sandbox.hubspot import CLIENT_ID, CLIENT_KEY, PRIVATE_APP_KEY, REFRESH_KEY
from tests.sandbox.hubspot.portals import World

CONTACTS = "/crm/v3/objects/contacts"


def _token(hubspot: World, **changes: str) -> requests.Response:
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_KEY,
        "refresh_token": REFRESH_KEY,
        **changes,
    }
    return requests.post(f"{hubspot.url}/oauth/v1/token", data=form, timeout=10)


def _as(hubspot: World, token: str | None, path: str = CONTACTS) -> requests.Response:
    return requests.get(hubspot.url + path, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=10)


@pytest.mark.parametrize("token", [None, "pat-na1-unknown"])
def test_an_unknown_token_is_told_that_credentials_are_missing(hubspot: World, token: str | None) -> None:
    answer = _as(hubspot, token)

    assert answer.status_code == 401
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"
    assert "X-HubSpot-RateLimit-Max" not in answer.headers
    assert hubspot.journal.calls[-1].counted == 0


def test_garbage_is_told_to_have_expired_long_ago(hubspot: World) -> None:
    body = _as(hubspot, "garbage").json()

    assert body["category"] == "EXPIRED_AUTHENTICATION"
    assert body["context"] == {"expire time": ["1970-01-01T00:00:00.000Z"]}


def test_an_oauth_token_lives_for_half_an_hour(hubspot: World) -> None:
    granted = _token(hubspot).json()

    hubspot.clock.advance(timedelta(seconds=1799))
    assert _as(hubspot, granted["access_token"]).status_code == 200
    hubspot.clock.advance(timedelta(seconds=31))
    expired = _as(hubspot, granted["access_token"])

    assert (granted["expires_in"], granted["hub_id"], granted["token_type"]) == (1800, 4411220, "bearer")
    assert granted["refresh_token"] == REFRESH_KEY
    assert expired.status_code == 401
    assert expired.json()["message"] == "The OAuth token used to make this call expired 30 second(s) ago."
    assert expired.json()["context"] == {"expire time": ["2026-11-22T10:30:00.250Z"]}


@pytest.mark.parametrize("hubspot", [{"rotate_refresh_tokens": True}], indirect=True)
def test_given_rotation_when_a_refresh_token_was_used_then_only_the_new_one_works(hubspot: World) -> None:
    first = _token(hubspot).json()["refresh_token"]

    again = _token(hubspot)

    assert first != REFRESH_KEY
    assert again.status_code == 400
    assert again.json()["status"] == "BAD_REFRESH_TOKEN"
    assert again.json()["error"] == "invalid_grant"
    assert _token(hubspot, refresh_token=first).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_secret": "wrong"}, "BAD_CLIENT_SECRET"),
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
        ({"grant_type": "authorization_code", "code": "wrong"}, "BAD_AUTH_CODE"),
    ],
)
def test_what_the_token_endpoint_refuses(hubspot: World, changes: dict[str, str], status: str) -> None:
    answer = _token(hubspot, **changes)

    assert answer.status_code == 400
    assert answer.json()["status"] == status


def test_an_authorization_code_works_once(hubspot: World) -> None:
    code = {"grant_type": "authorization_code", "code": "sandbox-authorization-code"}

    granted = _token(hubspot, **code)

    assert granted.status_code == 200
    assert _token(hubspot, **code).status_code == 400
    assert _token(hubspot, refresh_token=granted.json()["refresh_token"]).status_code == 200


def test_an_admin_can_end_tokens(hubspot: World) -> None:
    granted = _token(hubspot).json()["access_token"]

    hubspot.act("expire_token")
    assert _as(hubspot, granted).json()["category"] == "EXPIRED_AUTHENTICATION"
    assert _as(hubspot, PRIVATE_APP_KEY).status_code == 200
    hubspot.act("expire_token", token=PRIVATE_APP_KEY)
    assert _as(hubspot, PRIVATE_APP_KEY).json()["category"] == "INVALID_AUTHENTICATION"
    hubspot.act("revoke_refresh_token")
    assert _token(hubspot).json()["status"] == "BAD_REFRESH_TOKEN"


def test_tokens_tell_which_app_and_portal_they_belong_to(hubspot: World) -> None:
    granted = _token(hubspot).json()["access_token"]

    oauth = hubspot.get(f"/oauth/v1/access-tokens/{granted}")
    private = hubspot.post("/oauth/v2/private-apps/get/access-token-info", {"tokenKey": PRIVATE_APP_KEY})

    assert (oauth["app_id"], oauth["hub_id"], oauth["expires_in"]) == (2207316, 4411220, 1800)
    assert (private["appId"], private["hubId"], private["userId"]) == (1834410, 4411220, 771200)
    assert "crm.objects.contacts.write" in private["scopes"]
    assert hubspot.call("GET", "/oauth/v1/access-tokens/unknown").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", CONTACTS, "crm.objects.contacts.read"),
        ("POST", f"{CONTACTS}/search", "crm.objects.contacts.read"),
        ("PATCH", f"{CONTACTS}/1", "crm.objects.contacts.write"),
        ("POST", "/crm/v3/objects/deals/batch/update", "crm.objects.deals.write"),
        ("GET", "/crm/v3/objects/calls", "crm.objects.contacts.read"),
        ("GET", "/crm/v3/objects/leads", "crm.objects.leads.read"),
        ("GET", "/crm/v3/owners/", "crm.objects.owners.read"),
        ("POST", "/crm/v3/properties/contacts", "crm.schemas.contacts.write"),
        ("POST", "/crm/v4/associations/companies/contacts/batch/read", "crm.objects.companies.read"),
    ],
)
def test_a_missing_scope_is_named(hubspot: World, method: str, path: str, scope: str) -> None:
    hubspot.act("set_scopes", token=PRIVATE_APP_KEY, scopes=["oauth"])

    answer = hubspot.call(method, path, {} if method != "GET" else None)

    body = answer.json()
    assert (answer.status_code, body["category"]) == (403, "MISSING_SCOPES")
    assert scope in body["errors"][0]["context"]["requiredGranularScopes"]
    assert body["links"] == {"scopes": "https://developers.hubspot.com/scopes"}


def test_without_the_email_scope_what_mails_say_is_empty(hubspot: World) -> None:
    mail: dict[str, Any] = {"hs_timestamp": "2026-11-01T00:00:00Z", "hs_email_text": "Dear", "hs_email_status": "SENT"}
    hubspot.portal.seed("emails", [{"properties": mail}])
    hubspot.act("set_scopes", token=PRIVATE_APP_KEY, scopes=["crm.objects.contacts.read"])

    shown = hubspot.get("/crm/v3/objects/emails", properties="hs_email_text,hs_email_status")["results"][0]

    assert (shown["properties"]["hs_email_text"], shown["properties"]["hs_email_status"]) == (None, "SENT")


def test_a_second_app_writes_under_its_own_name(hubspot: World) -> None:
    id = hubspot.contact()
    hubspot.act("add_private_app", token="pat-na1-other", app_id=99)

    requests.patch(
        f"{hubspot.url}{CONTACTS}/{id}",
        json={"properties": {"city": "Ulm"}},
        headers={"Authorization": "Bearer pat-na1-other"},
        timeout=10,
    )

    assert hubspot.journal.writes[-1].actor == "app:99"
