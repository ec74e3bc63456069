"""The org's own list of what was deleted, in recorded conversations."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from connectors.salesforce.feeds import FEEDS
from crm_sync.domain.changes import Cursor
from crm_sync.domain.records import Life
from crm_sync.errors import TransientError
from tests.connectors.salesforce.conversations import (
    DATA,
    HEADERS,
    a_composite,
    a_connector,
    a_lead,
    a_page,
    lead_id,
)

DELETED = f"{DATA}/sobjects/Lead/deleted/"
REMOVED_LEADS = next(feed for feed in FEEDS if feed.name == "Lead:archived")


@pytest.fixture
def org():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{DATA}/", json={"sobjects": "/services/data/v62.0/sobjects"}, headers=HEADERS)
        yield mock


def a_list(*ids: str, covered: str = "2026-11-22T09:14:00.000+0000") -> dict[str, object]:
    entries = [{"id": id, "deletedDate": "2026-11-22T08:41:10.000+0000"} for id in ids]
    return {
        "deletedRecords": entries,
        "earliestDateAvailable": "2026-11-07T15:57:00.000+0000",
        "latestDateCovered": covered,
    }


def span(call: responses.Call) -> tuple[str, str]:
    query = parse_qs(urlsplit(call.request.url).query)
    return query["start"][0], query["end"][0]


def test_what_was_purged_merged_and_undeleted_is_told_apart(org: responses.RequestsMock):
    org.get(DELETED, json=a_list(lead_id(1), lead_id(2), lead_id(3)), headers=HEADERS)
    merged = a_lead(2, IsDeleted=True, MasterRecordId=lead_id(9))
    org.post(f"{DATA}/composite", json=a_composite(a_page(merged, a_lead(3)), name="r"), headers=HEADERS)

    batch = a_connector().changes_since(REMOVED_LEADS, Cursor({"since": "2026-11-22T08:00:00Z"}), ["Email"])

    assert batch.records.ids == [lead_id(1), lead_id(2), lead_id(3)]
    assert batch.records.lives == [Life.DELETED, Life.MERGED, Life.OPEN]
    assert batch.records.successors == ["", lead_id(9), ""]


def test_the_next_list_begins_where_open_transactions_held_this_one_back(org: responses.RequestsMock):
    org.get(DELETED, json=a_list(), headers=HEADERS)

    batch = a_connector().changes_since(REMOVED_LEADS, Cursor({"since": "2026-11-22T08:00:00Z"}), [])

    assert span(org.calls[1]) == ("2026-11-22T08:00:00+00:00", "2026-11-22T09:20:00+00:00")
    assert batch.next_cursor == {"since": "2026-11-22T09:14:00Z"}
    assert batch.complete_until.isoformat() == "2026-11-22T09:14:00+00:00"


@pytest.mark.parametrize(
    ("since", "start"),
    [
        pytest.param(None, "2026-11-07T09:25:00+00:00", id="from-the-beginning"),
        pytest.param("2026-01-01T00:00:00Z", "2026-11-07T09:25:00+00:00", id="longer-than-the-list-goes-back"),
        pytest.param("2026-11-22T09:19:50Z", "2026-11-22T09:19:00+00:00", id="shorter-than-a-minute"),
    ],
)
def test_a_list_is_never_asked_for_that_salesforce_would_refuse(org, since: str | None, start: str):
    org.get(DELETED, json=a_list(), headers=HEADERS)

    a_connector().changes_since(REMOVED_LEADS, Cursor({"since": since}) if since else None, [])

    assert span(org.calls[1])[0] == start


def test_a_long_list_is_walked_in_pages_of_one_window(org: responses.RequestsMock):
    ids = [lead_id(n) for n in range(1500)]
    org.get(DELETED, json=a_list(*ids), headers=HEADERS)
    org.post(f"{DATA}/composite", json=a_composite(*[a_page()] * 2, name="r"), headers=HEADERS)
    org.post(f"{DATA}/composite", json=a_composite(*[a_page()] * 1, name="r"), headers=HEADERS)
    connector = a_connector()

    first = connector.changes_since(REMOVED_LEADS, Cursor({"since": "2026-11-22T08:00:00Z"}), [])
    second = connector.changes_since(REMOVED_LEADS, first.next_cursor, [])

    assert first.records.ids + second.records.ids == ids
    assert (first.more, second.more) == (True, False)


@pytest.mark.parametrize("body", [{}, {"deletedRecords": None}, {"deletedRecords": []}], ids=str)
def test_a_list_without_its_end_is_no_list(org: responses.RequestsMock, body: dict[str, object]):
    org.get(DELETED, json=body, headers=HEADERS)

    with pytest.raises(TransientError):
        a_connector().changes_since(REMOVED_LEADS, None, [])
