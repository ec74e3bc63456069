"""What a walk asks Salesforce, to the letter."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from connectors.salesforce.changes import OVERLAP, PAGE
from connectors.salesforce.feeds import FEEDS, KEY_PREFIXES, SHAPES
from crm_sync.domain.changes import Cursor, Feed, Role, Walk
from crm_sync.errors import ConfigError
from tests.connectors.salesforce.conversations import (
    DATA,
    HEADERS,
    NOW,
    a_composite,
    a_connector,
    a_lead,
    a_page,
    lead_id,
)

LEADS = f"{DATA}/queryAll/"
LEAD = FEEDS[0]
LACKS_INDIVIDUAL = [
    {
        "message": "\nSELECT Id, IndividualId FROM Lead\n ^\nERROR at Row:1:Column:99\n"
        "No such column 'IndividualId' on entity 'Lead'. If you are attempting to use a custom field …",
        "errorCode": "INVALID_FIELD",
    }
]


@pytest.fixture
def org():
    with responses.RequestsMock() as mock:
        yield mock


def question(call: responses.Call) -> str:
    return parse_qs(urlsplit(call.request.url).query)["q"][0]


def condition(call: responses.Call) -> str:
    return question(call).partition(" FROM ")[2]


def test_given_no_cursor_when_pulled_then_the_walk_begins_at_the_beginning(org):
    org.get(LEADS, json=a_page(a_lead(1), a_lead(2)), headers=HEADERS)

    batch = a_connector().changes_since(LEAD, None, ["Email"])

    assert condition(org.calls[0]) == f"Lead ORDER BY SystemModstamp, Id LIMIT {PAGE}"
    assert batch.complete_until == NOW
    assert batch.next_cursor == {"since": (NOW - OVERLAP).strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert not batch.more


def test_given_a_short_page_that_is_not_the_last_when_pulled_then_the_walk_goes_on_behind_its_last_row(org):
    org.get(LEADS, json=a_page(a_lead(1), a_lead(2), done=False), headers=HEADERS)
    org.get(LEADS, json=a_page(), headers=HEADERS)
    connector = a_connector()

    first = connector.changes_since(LEAD, None, ["Email"])
    second = connector.changes_since(LEAD, Cursor(json.loads(json.dumps(first.next_cursor))), ["Email"])

    assert (first.more, first.complete_until) == (True, None)
    assert condition(org.calls[1]) == (
        f"Lead WHERE ((SystemModstamp = 2026-11-22T09:15:03Z AND Id > '{lead_id(2)}')"
        f" OR SystemModstamp > 2026-11-22T09:15:03Z) ORDER BY SystemModstamp, Id LIMIT {PAGE}"
    )
    assert (second.more, second.complete_until) == (False, NOW)


def test_a_full_page_may_have_a_next(org):
    org.get(LEADS, json=a_page(*(a_lead(n) for n in range(PAGE))), headers=HEADERS)

    assert a_connector().changes_since(LEAD, None, []).more


def test_a_long_query_is_complete_only_until_it_began(org):
    org.get(LEADS, json=a_page(), headers=HEADERS)
    connector = a_connector()
    connector._session._listener._note_time(HEADERS["Date"], timedelta(seconds=42.7))

    assert connector._session.server_time == NOW - timedelta(seconds=42)
    connector.changes_since(LEAD, None, [])


def test_a_sweep_begins_an_hour_ago_and_so_does_the_next(org):
    org.get(f"{DATA}/", json={"sobjects": "/services/data/v62.0/sobjects"}, headers=HEADERS)
    org.get(LEADS, json=a_page(), headers=HEADERS)
    sweep = Feed(object="Lead", role=Role.PERSON, walk=Walk.SWEEP)

    batch = a_connector().changes_since(sweep, None, [])

    assert "SystemModstamp >= 2026-11-22T08:20:00Z" in condition(org.calls[1])
    assert batch.next_cursor == {"since": "2026-11-22T08:20:00Z"}


def test_users_are_read_whole_by_id_and_without_the_deleted(org):
    row = {"Id": "005SB0000000001AAA", "SystemModstamp": "2026-11-22T09:15:03.000+0000"}
    org.get(f"{DATA}/query/", json=a_page(row | {"CreatedDate": row["SystemModstamp"]}, done=False), headers=HEADERS)
    org.get(f"{DATA}/query/", json=a_page(), headers=HEADERS)
    users = next(feed for feed in FEEDS if feed.object == "User")
    connector = a_connector()

    first = connector.changes_since(users, None, ["Name", "IsActive"])
    second = connector.changes_since(users, first.next_cursor, ["Name", "IsActive"])

    assert [condition(call) for call in org.calls] == [
        f"User ORDER BY Id LIMIT {PAGE}",
        f"User WHERE Id > '005SB0000000001AAA' ORDER BY Id LIMIT {PAGE}",
    ]
    assert "IsDeleted" not in question(org.calls[0])
    assert second.next_cursor == {}


def test_a_column_that_nobody_asked_for_is_given_up_once(org):
    org.get(LEADS, status=400, json=LACKS_INDIVIDUAL, headers=HEADERS)
    org.get(LEADS, json=a_page(a_lead(1)), headers=HEADERS)
    org.get(LEADS, json=a_page(), headers=HEADERS)
    connector = a_connector()

    connector.changes_since(LEAD, None, ["Email"])
    connector.changes_since(LEAD, None, ["Email"])

    assert ["IndividualId" in question(call) for call in org.calls] == [True, False, False]


def test_a_column_that_was_asked_for_is_a_mapping_to_mend(org):
    org.get(LEADS, status=400, json=LACKS_INDIVIDUAL, headers=HEADERS)

    with pytest.raises(ConfigError, match="IndividualId") as error:
        a_connector().changes_since(LEAD, None, ["IndividualId"])

    assert error.value.field == "IndividualId"


def test_an_object_that_the_org_lacks_is_named(org):
    words = {"message": "sObject type 'Individual' is not supported.", "errorCode": "INVALID_TYPE"}
    org.get(LEADS, status=400, json=[words], headers=HEADERS)
    individuals = next(feed for feed in FEEDS if feed.object == "Individual")

    with pytest.raises(ConfigError, match=r"INVALID_TYPE: Individual"):
        a_connector().changes_since(individuals, None, [])


@pytest.mark.parametrize("walk", [Walk.CHANGES, Walk.SWEEP])
def test_given_an_org_that_tracks_no_field_when_its_history_is_pulled_then_there_is_none(org, walk):
    words = {"message": "sObject type 'LeadHistory' is not supported.", "errorCode": "INVALID_TYPE"}
    org.get(LEADS, status=400, json=[words], headers=HEADERS)
    history = next(feed for feed in FEEDS if feed.object == "LeadHistory" and feed.walk is walk)

    before = Cursor({"since": "2026-11-22T09:00:00Z"})

    batch = a_connector().changes_since(history, before, [])

    assert (len(batch.records), batch.more, batch.complete_until) == (0, False, NOW)
    assert batch.next_cursor == before  # what an admin lets us see tomorrow is read from there


@pytest.mark.parametrize("name", ["Email FROM User", "Email,Phone", "", "a b", "Owner..Name"])
def test_a_field_name_that_is_none_is_never_sent(name):
    with pytest.raises(ConfigError, match="not the name of a Salesforce field"):
        a_connector().changes_since(LEAD, None, [name])


def test_a_question_too_long_for_a_url_travels_in_a_body(org):
    fields = [f"A_Rather_Long_Custom_Field_Name_{n}__c" for n in range(300)]
    org.post(f"{DATA}/composite", json=a_composite(a_page(a_lead(1)), name="r"), headers=HEADERS)

    batch = a_connector().changes_since(LEAD, None, fields)

    [request] = json.loads(org.calls[0].request.body)["compositeRequest"]
    assert request["url"].startswith("/services/data/v62.0/queryAll?q=SELECT%20Id")
    assert len(org.calls[0].request.url) < 100
    assert len(batch.records) == 1


def test_a_refusal_inside_a_body_is_the_same_refusal(org):
    fields = [f"A_Rather_Long_Custom_Field_Name_{n}__c" for n in range(300)]
    words = {"message": f"No such column '{fields[7]}' on entity 'Lead'", "errorCode": "INVALID_FIELD"}
    org.post(f"{DATA}/composite", json=a_composite([words], name="r", status=400), headers=HEADERS)

    with pytest.raises(ConfigError, match=fields[7]):
        a_connector().changes_since(LEAD, None, fields)


def test_people_come_first_and_each_feed_has_a_name_of_its_own():
    feeds = a_connector().feeds()

    assert [feed.role for feed in feeds[:2]] == [Role.PERSON, Role.PERSON]
    assert len({feed.name for feed in feeds}) == len(feeds)
    assert {feed.object for feed in feeds} <= set(SHAPES)
    assert set(KEY_PREFIXES.values()) >= {"Lead", "Contact", "Account", "Opportunity"}


def test_a_cursor_made_for_a_sweep_starts_there(org):
    org.get(LEADS, json=a_page(), headers=HEADERS)
    connector = a_connector()

    connector.changes_since(LEAD, connector.sweep_from(LEAD, datetime.fromisoformat("2026-11-01T00:00:00+01:00")), [])

    assert "SystemModstamp >= 2026-10-31T23:00:00Z" in condition(org.calls[0])
