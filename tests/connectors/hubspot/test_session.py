"""Signing in to a portal, staying in, and what every call tells the budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.hubspot.connector import open_connector
from crm_sync.domain.writes import Answer, Write
from crm_sync.errors import AuthError, ConfigError, RateLimitedError, TransientError
from tests.connectors.hubspot.scripted import NOW, OAUTH, PRIVATE, Asked, ScriptedPortal

ACCOUNT = {"portalId": 4411220, "accountType": "STANDARD", "timeZone": "US/Eastern"}
EXPIRED = (401, {"category": "EXPIRED_AUTHENTICATION", "message": "expired"})


def renewing(*accepted: str) -> Any:
    """A token endpoint that gives token-1, token-2 … and lets in only those `accepted`."""
    given: list[str] = []

    def script(asked: Asked) -> tuple[int, Any]:
        if asked.path.endswith("/token"):
            given.append(f"token-{len(given) + 1}")
            return 200, {"access_token": given[-1], "refresh_token": f"next-{len(given)}", "expires_in": 1800}
        return (200, ACCOUNT) if asked.token in accepted else EXPIRED

    return script


def test_given_a_rotated_refresh_token_when_renewing_then_it_is_stored_before_the_new_token_is_used() -> None:
    with ScriptedPortal(renewing("token-1")) as portal:
        portal.connect(OAUTH).server_time()

        assert portal.events == ["/oauth/v1/token", "stored token-1", "/account-info/v3/details token-1"]
        assert portal.stored[0]["refresh_token"] == "next-1"
        assert portal.stored[0]["client_id"] == "id"


def test_given_a_token_that_expires_early_when_calling_then_it_is_renewed_once_with_the_newest_refresh_token() -> None:
    with ScriptedPortal(renewing("token-2")) as portal:
        portal.connect(OAUTH).server_time()

        renewals = [parse_qs(a.text)["refresh_token"] for a in portal.asked if a.path.endswith("/token")]
        assert renewals == [["first"], ["next-1"]]
        assert portal.asked[-1].token == "token-2"


def test_given_a_portal_that_never_lets_in_when_calling_then_it_ends_after_one_renewal() -> None:
    with ScriptedPortal(renewing()) as portal:
        connector = portal.connect(OAUTH)

        with pytest.raises(AuthError):
            connector.server_time()

        assert sum(a.path.endswith("/token") for a in portal.asked) == 2


def test_given_stored_tokens_that_last_when_opening_then_nothing_is_renewed() -> None:
    lasting = {"access_token": "token-7", "expires_at": (NOW + timedelta(minutes=20)).isoformat()}
    with ScriptedPortal(renewing("token-7")) as portal:
        portal.connect(OAUTH | lasting).server_time()

        assert portal.events == ["/account-info/v3/details token-7"]


def test_given_another_worker_that_renewed_when_renewing_then_its_token_is_used() -> None:
    stored = OAUTH | {"access_token": "theirs", "expires_at": (NOW + timedelta(minutes=29)).isoformat()}

    @contextmanager
    def hold() -> Iterator[Mapping[str, str]]:
        yield stored

    with ScriptedPortal(renewing("theirs")) as portal:
        portal.connect(OAUTH, hold_credentials=hold).server_time()

        assert portal.events == ["/account-info/v3/details theirs"]


def test_given_a_refused_renewal_when_writing_then_nothing_is_sent_and_an_admin_is_asked() -> None:
    with ScriptedPortal(lambda a: (400, {"status": "BAD_REFRESH_TOKEN", "message": "no"})) as portal:
        outcomes = portal.connect(OAUTH).write([Write(key="k", object="contacts", record_id="1", fields={"a": 1})])

        assert (outcomes[0].answer, outcomes[0].code) == (Answer.NOT_SENT, "BAD_REFRESH_TOKEN")
        assert "connect the portal again" in outcomes[0].message


def test_given_another_token_endpoint_then_it_is_used() -> None:
    with ScriptedPortal(renewing("token-1")) as portal:
        portal.connect(OAUTH | {"token_path": "/oauth/v3/token"}).server_time()

        assert portal.asked[0].path == "/oauth/v3/token"


def test_given_a_token_that_is_no_word_of_ours_when_refused_then_a_private_app_is_not_renewed() -> None:
    with ScriptedPortal(lambda a: EXPIRED) as portal:
        connector = portal.connect()

        with pytest.raises(AuthError, match="access token"):
            connector.server_time()

        assert len(portal.asked) == 1


@pytest.mark.parametrize(
    ("base_url", "credentials", "names"),
    [
        pytest.param("http://crm.example.com", PRIVATE, "base_url", id="plain-http-to-another-machine"),
        pytest.param("ftp://localhost", PRIVATE, "base_url", id="no-http"),
        pytest.param("http://localhost", {"method": "password"}, "method", id="unknown-method"),
        pytest.param("http://localhost", {"method": "private_app"}, "access_token", id="no-token"),
        pytest.param("http://localhost", {"method": "oauth", "client_id": "x"}, "client_secret", id="half-of-oauth"),
    ],
)
def test_credentials_and_address_are_checked_before_any_call(base_url: str, credentials: Any, names: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_connector(base_url=base_url, credentials=credentials, meter=None, save_credentials=None, now=None)  # type: ignore[arg-type]

    assert refused.value.field == names


def test_given_leave_for_plain_http_then_another_machine_may_be_named() -> None:
    credentials = PRIVATE | {"allow_http": "yes"}

    open_connector(
        base_url="http://crm.example.com",
        credentials=credentials,
        meter=None,
        save_credentials=None,
        now=None,  # type: ignore[arg-type]
    ).close()


def test_every_call_is_taken_from_its_own_window_and_headers_are_told_on() -> None:
    headers = {
        "X-HubSpot-RateLimit-Daily": "650000",
        "X-HubSpot-RateLimit-Daily-Remaining": "649873",
        "X-HubSpot-RateLimit-Max": "190",
        "X-HubSpot-RateLimit-Remaining": "188",
        "X-HubSpot-RateLimit-Secondly": "19",
    }

    def script(asked: Asked) -> Any:
        if asked.path.endswith("/token"):
            return 200, {"access_token": "t", "expires_in": 1800}
        return 200, ACCOUNT | {"results": [], "total": 0}, headers

    with ScriptedPortal(script) as portal:
        connector = portal.connect(OAUTH)
        connector.server_time()
        feed = connector.feeds()[0]
        connector.changes_since(feed, connector.sweep_from(feed, NOW), [])

        assert portal.reserved == ["sign_in", "burst", "search"]
        day = next(u for u in portal.usages if u.window == "day")
        assert (day.used, day.limit) == (127, 650_000)
        assert {(u.window, u.used) for u in portal.usages} == {("day", 127), ("burst", 2)}
        told = [u.resets_at for u in portal.usages if u.window == "day"]
        assert told[-1] == datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def test_given_a_spent_day_when_limited_then_the_wait_ends_at_the_midnight_of_a_known_account() -> None:
    def script(asked: Asked) -> Any:
        if asked.path.startswith("/account-info"):
            return 200, ACCOUNT
        if asked.path.endswith("access-token-info"):
            return 200, {"appId": 1}
        return 429, {"message": "You have reached your daily limit.", "category": "RATE_LIMITS"}

    with ScriptedPortal(script) as portal:
        strange, known = portal.connect(), portal.connect()
        known.identity()
        asked = len(portal.asked)

        for connector, retry_at in (
            (known, datetime(2026, 11, 23, 5, 0, tzinfo=UTC)),
            (strange, NOW + timedelta(hours=1)),
        ):
            with pytest.raises(RateLimitedError) as limited:
                connector.catalogue("contacts")
            assert limited.value.retry_at == retry_at

        assert len(portal.asked) == asked + 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((200, b"<html>maintenance</html>"), id="web-page"),
        pytest.param((200, b""), id="empty"),
        pytest.param((200, b'{"results": [{"id": "1", "prop'), id="cut-short"),
        pytest.param((200, b"[]"), id="no-object"),
        pytest.param((200, {"total": 0}), id="no-results"),
        pytest.param((200, {"results": []}), id="no-total"),
        pytest.param((200, {"results": [], "total": 12}), id="total-without-rows"),
        pytest.param((200, {"results": [{"id": None}], "total": 1}), id="row-without-id"),
        pytest.param((502, b"<html>Bad gateway</html>"), id="bad-gateway"),
    ],
)
def test_given_garbage_when_asked_for_changes_then_it_is_tried_again_and_fails_loudly(answer: Any) -> None:
    with ScriptedPortal(lambda a: answer) as portal:
        connector = portal.connect()
        feed = connector.feeds()[0]

        with pytest.raises(TransientError):
            connector.changes_since(feed, connector.sweep_from(feed, NOW), [])

        assert len(portal.asked) == 3


def test_given_a_stumble_when_reading_then_the_next_try_counts() -> None:
    answers = [(503, b"later"), (200, ACCOUNT)]

    with ScriptedPortal(lambda a: answers.pop(0)) as portal:
        assert portal.connect().server_time()


def test_given_a_base_url_that_points_elsewhere_then_no_token_follows() -> None:
    with ScriptedPortal(lambda a: (301, {}, {"Location": "/elsewhere"})) as portal:
        with pytest.raises(ConfigError, match="base URL"):
            portal.connect().server_time()

        assert len(portal.asked) == 1


def test_who_answers_is_told_with_the_app_whose_writes_are_ours() -> None:
    def script(asked: Asked) -> Any:
        if asked.path.endswith("access-token-info"):
            return 200, {"userId": 771200, "hubId": 4411220, "appId": 1834410, "scopes": ["crm.objects.contacts.read"]}
        return 200, ACCOUNT | {"accountType": "SANDBOX"}

    with ScriptedPortal(script) as portal:
        who = portal.connect().identity()

        assert (who.org_id, who.is_test, who.time_zone, who.user_id) == ("4411220", True, "US/Eastern", "771200")
        assert who.details["app_id"] == "1834410"


def test_given_a_service_key_of_which_hubspot_tells_nothing_then_permissions_are_tried() -> None:
    def script(asked: Asked) -> Any:
        if asked.path.endswith("access-token-info"):
            return 404, {"category": "OBJECT_NOT_FOUND", "message": "No access token found"}
        if "/deals" in asked.path:
            context = {"requiredGranularScopes": ["crm.objects.deals.read"]}
            return 403, {"category": "MISSING_SCOPES", "errors": [{"message": "", "context": context}]}
        return 200, {"results": []}

    with ScriptedPortal(script) as portal:
        checks = {check.name: check for check in portal.connect().permissions()}

        assert checks["contacts"].passed
        assert not checks["deals"].passed
        assert "crm.objects.deals.read" in checks["deals"].advice
