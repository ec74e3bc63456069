"""The walk over a portal, as exact conversations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from crm_sync.domain.changes import Cursor, Feed, Role, Walk
from crm_sync.domain.records import Life, Tie
from crm_sync.errors import ConfigError
from tests.connectors.hubspot.scripted import NOW, Asked, ScriptedPortal, date

CONTACTS = Feed(object="contacts", role=Role.PERSON)
SWEEP = Feed(object="contacts", role=Role.PERSON, walk=Walk.SWEEP)
ARCHIVE = Feed(object="contacts", role=Role.PERSON, walk=Walk.ARCHIVED)
CALLS = Feed(object="calls", role=Role.ACTIVITY)
OWNERS = Feed(object="owners", role=Role.OWNER, walk=Walk.FULL)

NAMES = ["lastname", "hs_call_title", "associatedcompanyid", "hs_merged_object_ids"]
CATALOGUE = {"results": [{"name": n, "label": n, "type": "string", "fieldType": "text"} for n in NAMES]}
STAMP = "2026-11-22T11:59:58.123Z"


def a_row(id: int, **properties: Any) -> dict[str, Any]:
    stamped = {"lastname": "x", "hs_call_title": "x", "lastmodifieddate": STAMP, "hs_lastmodifieddate": STAMP}
    return {"id": str(id), "properties": stamped | properties, "createdAt": STAMP, "updatedAt": STAMP}


def a_page(*rows: dict[str, Any], total: int | None = None, after: str | None = None) -> dict[str, Any]:
    page: dict[str, Any] = {"results": list(rows), "total": len(rows) if total is None else total}
    return page | ({"paging": {"next": {"after": after}}} if after else {})


def answering(*pages: Any) -> Any:
    """The catalogue by itself; everything else in this order, on the CRM's clock of NOW."""
    left = list(pages)

    def script(asked: Asked) -> Any:
        if asked.path.startswith("/crm/v3/properties"):
            return 200, CATALOGUE
        return 200, left.pop(0), date(NOW)

    return script


def bounds(asked: Asked) -> dict[tuple[str, str], str]:
    return {(f["propertyName"], f["operator"]): f["value"] for f in asked.json["filterGroups"][0]["filters"]}


def milliseconds(at: Any) -> str:
    return str(int(at.timestamp() * 1000))


def test_given_more_than_a_page_when_polled_then_the_window_closes_and_is_walked_by_id_and_never_by_offset() -> None:
    start = NOW - timedelta(minutes=1)
    full = [
        a_page(a_row(7), a_row(900), total=7, after="2"),
        *(a_page(a_row(n), total=7, after="2") for n in range(901, 905)),
    ]
    with ScriptedPortal(answering(*full, a_page(a_row(1001)))) as portal:
        connector = portal.connect()

        first = connector.changes_since(CONTACTS, connector.sweep_from(CONTACTS, start), ["lastname"])
        second = connector.changes_since(CONTACTS, first.next_cursor, ["lastname"])

        searches = [a for a in portal.asked if a.path.endswith("/search")]
        assert bounds(searches[0]) == {
            ("lastmodifieddate", "GTE"): milliseconds(start),
            ("hs_object_id", "GT"): "0",
        }
        told = bounds(searches[1])
        end = int(told.pop(("lastmodifieddate", "LTE")))
        assert told == {("lastmodifieddate", "GTE"): milliseconds(start), ("hs_object_id", "GT"): "900"}
        assert bounds(searches[5])["hs_object_id", "GT"] == "904"
        assert end == int(milliseconds(NOW)) + 999
        assert all("after" not in a.json and a.json["limit"] == 200 for a in searches)
        assert (first.more, first.complete_until) == (True, None)
        assert (second.more, second.records.ids) == (False, ["1001"])
        assert second.complete_until == NOW


def test_given_a_walk_that_ended_when_polled_again_then_it_starts_a_little_before_its_end() -> None:
    with ScriptedPortal(answering(a_page(), a_page())) as portal:
        connector = portal.connect()

        first = connector.changes_since(CONTACTS, connector.sweep_from(CONTACTS, NOW - timedelta(hours=1)), [])
        connector.changes_since(CONTACTS, Cursor(orjson.loads(orjson.dumps(first.next_cursor))), [])

        assert first.complete_until == NOW
        assert int(bounds(portal.asked[1])["lastmodifieddate", "GTE"]) == int(milliseconds(NOW)) + 999 - 15_000
        assert len(portal.asked) == 2


def test_given_a_clock_that_goes_back_when_polled_then_the_window_does_not() -> None:
    start = NOW + timedelta(minutes=5)
    with ScriptedPortal(answering(a_page())) as portal:
        connector = portal.connect()

        batch = connector.changes_since(CONTACTS, connector.sweep_from(CONTACTS, start), [])

        assert batch.next_cursor["start"] == "2026-11-22T12:05:00.000Z"


def test_given_no_cursor_when_swept_then_the_last_hour_of_the_crm_is_read() -> None:
    with ScriptedPortal(answering({"portalId": 1}, a_page(), a_page())) as portal:
        connector = portal.connect()

        first = connector.changes_since(SWEEP, None, [])
        connector.changes_since(SWEEP, first.next_cursor, [])

        starts = [int(bounds(a)["lastmodifieddate", "GTE"]) / 1000 for a in portal.asked if a.method == "POST"]
        assert starts == pytest.approx([(NOW - timedelta(hours=1)).timestamp()] * 2, abs=2)


def test_given_no_cursor_when_pulled_then_the_list_is_read_and_the_search_goes_on_from_its_beginning() -> None:
    full = [a_page(a_row(n), after=str(n + 1)) for n in range(1, 6)]
    with ScriptedPortal(answering(*full, a_page(a_row(6)), a_page())) as portal:
        connector = portal.connect()

        first = connector.changes_since(CONTACTS, None, ["lastname"])
        second = connector.changes_since(CONTACTS, first.next_cursor, ["lastname"])
        connector.changes_since(CONTACTS, second.next_cursor, ["lastname"])

        listed = [a for a in portal.asked if a.path == "/crm/v3/objects/contacts"]
        assert [a.query.get("after") for a in listed] == [None, "2", "3", "4", "5", "6"]
        assert listed[0].query["limit"] == "100"
        assert first.more
        assert not second.more
        started = int(bounds(portal.asked[-1])["lastmodifieddate", "GTE"]) / 1000
        assert NOW.timestamp() - 18 < started <= NOW.timestamp() - 15


def test_given_a_list_of_properties_too_long_for_an_address_when_first_pulled_then_search_takes_it() -> None:
    many = [f"a_property_with_a_rather_long_name_{n}" for n in range(200)]
    catalogue = {"results": [{"name": n, "label": n, "type": "string", "fieldType": "text"} for n in many]}

    def script(asked: Asked) -> Any:
        if asked.path.startswith("/crm/v3/properties"):
            return 200, catalogue
        return 200, a_page(a_row(5, **dict.fromkeys(many, "x")))

    with ScriptedPortal(script) as portal:
        batch = portal.connect().changes_since(CONTACTS, None, many)

        assert batch.records.ids == ["5"]
        assert portal.asked[0].path.endswith("/search")
        assert set(many) <= set(portal.asked[0].json["properties"])


def test_given_a_property_that_is_not_there_when_pulled_then_it_is_named() -> None:
    with ScriptedPortal(answering(a_page(a_row(1)))) as portal:
        with pytest.raises(ConfigError, match="shoe_size") as refused:
            portal.connect().changes_since(CONTACTS, None, ["lastname", "shoe_size"])

        assert refused.value.field == "shoe_size"


def test_given_activities_when_polled_then_a_thousand_share_one_call_for_their_contacts() -> None:
    pages = [a_page(*(a_row(n) for n in range(p, p + 200)), total=9999, after="x") for p in range(1, 1001, 200)]
    ties = {
        "results": [
            {"from": {"id": "1"}, "to": [{"toObjectId": 51}], "paging": {"next": {"after": "MTI"}}},
            {"from": {"id": "2"}, "to": [{"toObjectId": 52}, {"toObjectId": 53}]},
        ],
        "numErrors": 998,
        "errors": [{"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND", "context": {"fromObjectId": ["3"]}}],
    }
    rest = {"results": [{"from": {"id": "1"}, "to": [{"toObjectId": 54}]}]}
    with ScriptedPortal(answering(*pages, ties, rest)) as portal:
        connector = portal.connect()

        batch = connector.changes_since(CALLS, connector.sweep_from(CALLS, NOW), ["hs_call_title"])

        asked = [a for a in portal.asked if "associations" in a.path]
        assert [len(a.json["inputs"]) for a in asked] == [1000, 1]
        assert asked[1].json["inputs"] == [{"id": "1", "after": "MTI"}]
        assert len(batch.records) == 1000
        assert batch.more
        assert batch.records.ties[:3] == [
            (Tie(object="contacts", id="51"), Tie(object="contacts", id="54")),
            (Tie(object="contacts", id="52"), Tie(object="contacts", id="53")),
            (),
        ]


def test_given_activities_when_first_pulled_then_their_contacts_come_with_the_list() -> None:
    tied = a_row(1) | {"associations": {"contacts": {"results": [{"id": "51"}, {"id": "51"}]}}}
    with ScriptedPortal(answering(a_page(tied, a_row(2)))) as portal:
        batch = portal.connect().changes_since(CALLS, None, ["hs_call_title"])

        assert batch.records.ties == [(Tie(object="contacts", id="51"),), ()]
        assert portal.asked[0].query["associations"] == "contacts"


def test_given_an_archive_that_was_scanned_when_scanned_again_then_only_news_is_told() -> None:
    def gone(id: int, at: str) -> dict[str, Any]:
        return a_row(id) | {"archived": True, "archivedAt": at}

    old, new = gone(1, "2026-11-20T00:00:00Z"), gone(2, "2026-11-22T11:59:00Z")
    with ScriptedPortal(answering(a_page(old, after="2"), a_page(new), a_page(old, new))) as portal:
        connector = portal.connect()

        first = connector.changes_since(ARCHIVE, None, [])
        second = connector.changes_since(ARCHIVE, first.next_cursor, [])
        third = connector.changes_since(ARCHIVE, second.next_cursor, [])

        assert [(b.records.ids, b.more) for b in (first, second, third)] == [
            (["1"], True),
            (["2"], False),
            (["2"], False),
        ]
        assert second.records.lives == [Life.DELETED]
        assert [a.query.get("after") for a in portal.asked] == [None, "2", None]


def test_owners_are_read_whole_those_who_left_included() -> None:
    def owner(id: str, **more: Any) -> dict[str, Any]:
        return {"id": id, "email": f"{id}@example.com", "createdAt": STAMP, "updatedAt": STAMP, "userId": 7} | more

    teams = [{"id": "368", "name": "EMEA"}]
    with ScriptedPortal(answering({"results": [owner("96", teams=teams)]}, {"results": [owner("97")]})) as portal:
        connector = portal.connect()

        first = connector.changes_since(OWNERS, None, ["email", "teams"])
        second = connector.changes_since(OWNERS, first.next_cursor, ["email", "teams"])

        assert (first.records.ids, first.records.lives, first.more) == (["96"], [Life.OPEN], True)
        assert first.records.fields == [{"email": "96@example.com", "teams": "368"}]
        assert (second.records.ids, second.records.lives, second.more) == (["97"], [Life.DELETED], False)
        assert [a.query["archived"].lower() for a in portal.asked] == ["false", "true"]


def test_given_a_cursor_of_somewhere_else_then_it_is_refused() -> None:
    with ScriptedPortal(answering()) as portal, pytest.raises(ConfigError, match="cursor"):
        portal.connect().changes_since(CONTACTS, Cursor({"stamp": "2026-11-22T12:00:00Z", "id": "00Q"}), [])
