"""Search: what is found, in which order, up to which limits, and how far the index lags behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox.hubspot.portals import NOW, PAST, World, ms, where

BY_ID = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
PEOPLE: list[dict[str, Any]] = [
    {
        "id": 1,
        "email": "ana@acme.com",
        "city": "Ulm",
        "num_notes": 2,
        "lifecyclestage": "lead",
        "hs_buying_role": "A;B",
    },
    {"id": 2, "email": "bo@acme.com", "city": "ulm", "num_notes": 10, "lifecyclestage": "customer"},
    {"id": 3, "email": "cy@other.org", "city": "Neu-Ulm", "closedate": "2026-11-20T00:00:00Z"},
]


@pytest.fixture
def people(hubspot: World) -> World:
    hubspot.portal.seed("contacts", [{"id": str(p["id"]), "properties": _without_id(p)} for p in PEOPLE])
    return hubspot


def _without_id(person: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in person.items() if name != "id"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(where("email", "EQ", "ANA@acme.com"), "1", id="text-equals-in-any-case"),
        pytest.param(where("city", "EQ", "Ulm"), "12", id="text-equals-both-cases"),
        pytest.param(where("lifecyclestage", "EQ", "Lead"), "", id="options-mind-the-case"),
        pytest.param(where("lifecyclestage", "EQ", "lead"), "1", id="options"),
        pytest.param(where("lifecyclestage", "NEQ", "lead"), "2", id="not-equal-drops-those-without-a-value"),
        pytest.param(where("lifecyclestage", "NOT_IN", values=["lead"]), "2", id="not-in-drops-them-too"),
        pytest.param(where("lifecyclestage", "HAS_PROPERTY"), "12", id="has"),
        pytest.param(where("lifecyclestage", "NOT_HAS_PROPERTY"), "3", id="has-not"),
        pytest.param(where("num_notes", "GT", "2"), "2", id="numbers-compare-as-numbers"),
        pytest.param(where("num_notes", "BETWEEN", 2, highValue=10), "12", id="between"),
        pytest.param(where("city", "IN", values=["ulm"]), "12", id="in-lower-case"),
        pytest.param(where("city", "IN", values=["Ulm"]), "", id="in-upper-case-finds-nothing"),
        pytest.param(where("email", "CONTAINS_TOKEN", "*@acme.com"), "12", id="token-with-a-star"),
        pytest.param(where("city", "CONTAINS_TOKEN", "ulm"), "123", id="token"),
        pytest.param(where("city", "NOT_CONTAINS_TOKEN", "neu"), "12", id="no-token"),
        pytest.param(where("closedate", "GTE", "2026-11-20"), "3", id="a-date"),
        pytest.param(where("closedate", "LT", "1763596800000"), "", id="milliseconds"),
        pytest.param(where("hs_buying_role", "EQ", "B"), "1", id="one-of-several-choices"),
        pytest.param(where("hs_object_id", "IN", values=["3", "1", "99"]), "13", id="ids"),
        pytest.param(where("hs_object_id", "GTE", "2"), "23", id="ids-from"),
        pytest.param(where("hs_object_id", "GT", "2"), "3", id="ids-above"),
        pytest.param(where("hs_object_id", "LT", "2"), "1", id="ids-below"),
    ],
)
def test_filters(people: World, given: dict[str, Any], found: str) -> None:
    assert people.found(given, sorts=BY_ID) == list(found)


def test_groups_are_ored_and_filters_within_anded(people: World) -> None:
    groups = [
        {"filters": [where("city", "EQ", "ulm"), where("num_notes", "LT", "5")]},
        {"filters": [where("email", "EQ", "cy@other.org")]},
    ]

    answer = people.post("/crm/v3/objects/contacts/search", {"filterGroups": groups, "sorts": BY_ID})
    shorthand = people.post("/crm/v3/objects/contacts/search", {"filters": [where("city", "EQ", "ulm")]})

    assert [r["id"] for r in answer["results"]] == ["1", "3"]
    assert shorthand["total"] == 2


def test_words_are_looked_for_in_names_and_addresses(people: World) -> None:
    assert people.search("contacts", query="acme")["total"] == 2


def test_order_and_offset(people: World) -> None:
    downwards = [{"propertyName": "num_notes", "direction": "DESCENDING"}]

    first = people.search("contacts", where("num_notes", "GT", 0), sorts=downwards, limit=1)
    second = people.search("contacts", where("num_notes", "GT", 0), sorts=downwards, limit=1, after="1")

    assert (first["total"], first["results"][0]["id"], first["paging"]) == (2, "2", {"next": {"after": "1"}})
    assert (second["results"][0]["id"], "paging" in second) == ("1", False)


@pytest.mark.parametrize(
    ("filters", "body"),
    [
        pytest.param([], {"limit": 201}, id="page-over-200"),
        pytest.param([], {"limit": 200, "after": "9900"}, id="past-ten-thousand"),
        pytest.param([], {"after": "MjA"}, id="offset-that-is-no-number"),
        pytest.param([where("shoe_size", "EQ", "43")], {}, id="unknown-property"),
        pytest.param([where("city", "LIKE", "x")], {}, id="unknown-operator"),
        pytest.param([where("city", "EQ", "x")] * 7, {}, id="seven-filters-in-a-group"),
        pytest.param([], {"filterGroups": [{"filters": [where("city", "EQ", "x")]}] * 6}, id="six-groups"),
        pytest.param([], {"filterGroups": [{"filters": [where("city", "EQ", "x")] * 5}] * 4}, id="twenty-filters"),
        pytest.param([], {"sorts": BY_ID * 2}, id="two-sorts"),
        pytest.param([where("lastmodifieddate", "GTE", "yesterday")], {}, id="no-time"),
        pytest.param([], {"query": "x" * 3001}, id="long-query"),
    ],
)
def test_what_search_refuses(people: World, filters: list[dict[str, Any]], body: dict[str, Any]) -> None:
    refused = people.search("contacts", *filters, status=400, **body)

    assert refused["category"] == "VALIDATION_ERROR"


def test_unknown_properties_are_left_out_and_rows_have_no_associations(people: World) -> None:
    row = people.search("contacts", properties=["city", "shoe_size"], limit=1)["results"][0]

    assert set(row["properties"]) == {"city", "createdate", "lastmodifieddate", "hs_object_id"}
    assert "associations" not in row


def test_associated_records_can_be_filtered_by(people: World) -> None:
    company = people.portal.seed("companies", [{"properties": {"name": "Acme"}}])[0]
    people.portal.associate("contacts", "companies", [("2", company)])

    assert people.found(where("associations.company", "EQ", company)) == ["2"]
    people.portal.associate("contacts", "companies", [("3", company)])
    assert people.found(where("associations.companies", "IN", values=[company]), sorts=BY_ID) == ["2", "3"]


def test_given_more_ties_than_search_can_reach_when_walked_by_id_then_each_row_comes_once(hubspot: World) -> None:
    ids = hubspot.portal.seed("contacts", [{"properties": {}, "modified": NOW} for _ in range(12_345)])
    window = [where("lastmodifieddate", "GTE", ms(NOW)), where("lastmodifieddate", "LTE", ms(NOW))]

    met: list[str] = []
    last, totals = "0", []
    while True:
        page = hubspot.search("contacts", *window, where("hs_object_id", "GT", last), sorts=BY_ID, limit=200)
        totals.append(page["total"])
        if not page["results"]:
            break
        met += [r["id"] for r in page["results"]]
        last = met[-1]

    assert met == sorted(ids, key=int)
    assert totals[:2] == [12_345, 12_145]
    assert len(totals) == 63


def test_given_a_walk_when_rows_change_meanwhile_then_its_later_pages_know(hubspot: World) -> None:
    ids = sorted(hubspot.contacts(6), key=int)
    window = [where("lastmodifieddate", "LTE", ms(PAST))]

    def after(id: str) -> list[str]:
        return hubspot.found(*window, where("hs_object_id", "GT", id), sorts=BY_ID, limit=2)

    assert after("0") == ids[:2]
    hubspot.update([{"id": ids[2], "properties": {"city": "Ulm"}}])
    hubspot.act("archive", object="contacts", id=ids[3])
    hubspot.act("restamp", object="contacts", ids=[ids[5]], at=NOW.isoformat())
    assert after(ids[1]) == [ids[4]]


def test_contacts_move_lastmodifieddate_and_everything_else_hs_lastmodifieddate(hubspot: World) -> None:
    contact = hubspot.contact()
    company = hubspot.portal.seed("companies", [{"properties": {"name": "Acme"}, "created": PAST}])[0]
    hubspot.update([{"id": contact, "properties": {"city": "Ulm"}}])
    hubspot.update([{"id": company, "properties": {"city": "Ulm"}}], object="companies")

    assert hubspot.found(where("lastmodifieddate", "GTE", ms(NOW))) == [contact]
    assert hubspot.found(where("hs_lastmodifieddate", "GTE", "1")) == []
    assert hubspot.found(where("hs_lastmodifieddate", "GTE", ms(NOW)), object="companies") == [company]


def test_given_a_lagging_index_when_a_row_changes_then_search_sorts_by_the_old_state_and_shows_the_new(
    hubspot: World,
) -> None:
    id = hubspot.contact(city="Ulm")
    hubspot.act("set_index_lag", seconds=60)

    hubspot.update([{"id": id, "properties": {"city": "Bonn"}}])

    found = hubspot.search("contacts", where("city", "EQ", "ulm"), properties=["city"])["results"]
    assert [(r["id"], r["properties"]["city"]) for r in found] == [(id, "Bonn")]
    assert hubspot.found(where("lastmodifieddate", "GTE", ms(NOW))) == []
    hubspot.clock.advance(timedelta(seconds=60))
    assert hubspot.found(where("city", "EQ", "ulm")) == []
    assert hubspot.found(where("lastmodifieddate", "GTE", ms(NOW))) == [id]


def test_given_a_lagging_index_when_a_record_is_new_then_it_is_found_later_with_its_earlier_stamp(
    hubspot: World,
) -> None:
    hubspot.act("set_index_lag", seconds=60)
    id = hubspot.post("/crm/v3/objects/contacts", {"properties": {"city": "Ulm"}}, 201)["id"]

    hubspot.clock.advance(timedelta(seconds=59))
    assert hubspot.found() == []
    hubspot.update([{"id": id, "properties": {"city": "Bonn"}}])
    hubspot.clock.advance(timedelta(seconds=1))

    assert hubspot.found(where("city", "EQ", "ulm")) == [id]
    assert hubspot.found(where("lastmodifieddate", "LTE", ms(NOW))) == [id]


def test_given_a_lagging_index_when_a_record_is_restored_then_it_is_found_later(hubspot: World) -> None:
    id = hubspot.contact()
    hubspot.act("set_index_lag", seconds=60)
    hubspot.update([{"id": id, "properties": {"city": "Ulm"}}])
    hubspot.act("archive", object="contacts", id=id)

    hubspot.act("restore", object="contacts", id=id)

    assert hubspot.found() == []
    hubspot.clock.advance(timedelta(seconds=60))
    assert hubspot.found() == [id]


def test_given_hidden_rows_when_time_passes_then_they_appear(hubspot: World) -> None:
    shown, hidden = hubspot.contacts(2)
    hubspot.act("hide_from_index", ids=[hidden], seconds=600)
    hubspot.act("edit", object="contacts", id=hidden, properties={"city": "Ulm"})

    assert hubspot.found() == [shown]
    assert hubspot.found(where("lastmodifieddate", "GTE", ms(NOW))) == []
    hubspot.clock.advance(timedelta(seconds=600))
    assert hubspot.found(where("lastmodifieddate", "GTE", ms(NOW))) == [hidden]


def test_archived_merged_and_erased_records_leave_search_at_once_even_when_it_lags(hubspot: World) -> None:
    ids = hubspot.contacts(5)
    hubspot.act("set_index_lag", seconds=60)

    hubspot.act("archive", object="contacts", id=ids[0])
    hubspot.act("gdpr_delete", id=ids[1])
    hubspot.act("merge", object="contacts", primary=ids[2], secondary=ids[3])

    assert hubspot.found() == [ids[4]]


def test_a_poll_and_each_page_of_a_walk_cost_what_they_find_however_many_rows_there_are(hubspot: World) -> None:
    ids = hubspot.contacts(5_000)
    hubspot.act("restamp", object="contacts", ids=ids[:1_000], at=NOW.isoformat())
    index = hubspot.portal.tables["contacts"].index
    window = [where("lastmodifieddate", "GTE", ms(NOW))]

    def page(after: str) -> str:
        found = hubspot.found(*window, where("hs_object_id", "GT", after), sorts=BY_ID)
        return found[-1]

    first = page("0")
    assert index.looked_at == 1_000
    for _ in range(3):
        hubspot.update([{"id": ids[0], "properties": {"city": "Ulm"}}])
        first = page(first)
    assert index.looked_at == 1_003
