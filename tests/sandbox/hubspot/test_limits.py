"""Allowances: what the headers say, when calls are refused, and how the refusals look."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from tests.sandbox.hubspot.portals import World
from tests.sandbox.hubspot.test_sign_in import _token

CONTACTS = "/crm/v3/objects/contacts"
DAILY = ("X-HubSpot-RateLimit-Daily", "X-HubSpot-RateLimit-Daily-Remaining")


def _list(hubspot: World) -> requests.Response:
    return hubspot.call("GET", CONTACTS)


def _search(hubspot: World) -> requests.Response:
    return hubspot.call("POST", f"{CONTACTS}/search", {})


def test_every_answer_but_a_search_tells_what_is_left(hubspot: World) -> None:
    hubspot.act("set_limits", used=1000)

    listed, searched = _list(hubspot), _search(hubspot)

    assert [listed.headers[name] for name in DAILY] == ["650000", "648999"]
    assert listed.headers["X-HubSpot-RateLimit-Max"] == "190"
    assert listed.headers["X-HubSpot-RateLimit-Remaining"] == "189"
    assert listed.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert listed.headers["X-HubSpot-RateLimit-Secondly"] == "19"
    assert not [name for name in searched.headers if "ratelimit" in name.lower()]
    assert _list(hubspot).headers[DAILY[1]] == "648997"


def test_an_oauth_app_has_no_daily_allowance(hubspot: World) -> None:
    token = _token(hubspot).json()["access_token"]

    answer = requests.get(hubspot.url + CONTACTS, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    assert DAILY[0] not in answer.headers
    assert answer.headers["X-HubSpot-RateLimit-Remaining"] == "189"


def test_without_enforcement_nothing_is_refused(hubspot: World) -> None:
    hubspot.act("set_limits", burst=1, daily=1, search_per_second=1)

    assert {_list(hubspot).status_code for _ in range(3)} == {200}
    assert {_search(hubspot).status_code for _ in range(3)} == {200}


def test_the_burst_is_refused_until_ten_seconds_have_rolled_by(hubspot: World) -> None:
    hubspot.act("set_limits", burst=2, enforce=True)

    first = _list(hubspot).status_code
    hubspot.clock.advance(timedelta(seconds=6))
    second, refused = _list(hubspot).status_code, _list(hubspot)
    hubspot.clock.advance(timedelta(seconds=4))
    third, again = _list(hubspot).status_code, _list(hubspot).status_code

    assert (first, second, refused.status_code, third, again) == (200, 200, 429, 200, 429)
    body = refused.json()
    assert body["message"] == "You have reached your ten_secondly_rolling limit."
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert "category" not in body
    assert "Retry-After" not in refused.headers
    assert refused.headers["X-HubSpot-RateLimit-Remaining"] == "0"


def test_searches_have_five_a_second_of_their_own(hubspot: World) -> None:
    hubspot.act("set_limits", enforce=True, burst=1)

    answers = [_search(hubspot) for _ in range(6)]
    hubspot.clock.advance(timedelta(seconds=1))

    assert [a.status_code for a in answers] == [200] * 5 + [429]
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert not [name for name in answers[-1].headers if "ratelimit" in name.lower()]
    assert _search(hubspot).status_code == 200
    assert _list(hubspot).status_code == 200


@pytest.mark.parametrize(
    ("hubspot", "hours"),
    [({"time_zone": "Europe/Berlin"}, 13), ({"time_zone": "US/Pacific"}, 22)],
    indirect=["hubspot"],
)
def test_the_day_ends_at_midnight_where_the_account_is(hubspot: World, hours: int) -> None:
    hubspot.act("set_limits", daily=100, used=99, enforce=True, retry_after=True)

    assert _search(hubspot).status_code == 200
    refused = _list(hubspot)
    hubspot.clock.advance(timedelta(hours=hours) - timedelta(seconds=1))
    still = _list(hubspot).status_code
    hubspot.clock.advance(timedelta(seconds=1))

    assert (refused.status_code, refused.json()["policyName"], still) == (429, "DAILY", 429)
    assert int(refused.headers["Retry-After"]) == hours * 3600 - 1
    assert _list(hubspot).status_code == 200


def test_refusals_may_have_the_other_body_and_a_wait(hubspot: World) -> None:
    hubspot.act("set_limits", burst=0, enforce=True, retry_after=True, body_style="category")

    refused = _list(hubspot)

    assert refused.json()["category"] == "RATE_LIMITS"
    assert "errorType" not in refused.json()
    assert refused.headers["Retry-After"] == "10"
    assert hubspot.journal.calls[-1].counted == 0


def test_the_days_use_can_be_asked_for(hubspot: World) -> None:
    hubspot.act("set_limits", used=500)

    usage = hubspot.get("/account-info/v3/api-usage/daily/private-apps")["results"][0]

    assert (usage["usageLimit"], usage["currentUsage"]) == (650_000, 501)
    assert usage["resetsAt"] == "2026-11-22T23:00:00.000Z"
