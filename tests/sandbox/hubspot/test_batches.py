"""Batches: what is written, what is refused as a whole, and what is refused by record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from crm_sync.sandbox.hubspot import PRIVATE_APP_KEY
from tests.sandbox.hubspot.portals import World

CONTACTS = "/crm/v3/objects/contacts"
OLD = {"batch_update_trace_207": False}


def _traced(id: str, **properties: Any) -> dict[str, Any]:
    return {"id": id, "properties": properties, "objectWriteTraceId": f"w-{id}"}


def _plain(id: str, **properties: Any) -> dict[str, Any]:
    return {"id": id, "properties": properties}


def test_a_batch_update_writes_all_rows_with_one_stamp(hubspot: World) -> None:
    ids = hubspot.contacts(100)

    answer = hubspot.update([_plain(id, city="Ulm") for id in ids])

    assert answer["status"] == "COMPLETE"
    assert {r["id"] for r in answer["results"]} == set(ids)
    assert [r["id"] for r in answer["results"]] != ids
    assert {r["properties"]["lastmodifieddate"] for r in answer["results"]} == {"2026-11-22T10:00:00.250Z"}
    assert set(answer["results"][0]["properties"]) == {"city", "createdate", "lastmodifieddate", "hs_object_id"}
    assert "errors" not in answer


def test_given_one_bad_value_when_updated_then_nothing_is_written_and_no_record_is_named(hubspot: World) -> None:
    good, bad = hubspot.contacts(2)
    hubspot.act("set_property", object="contacts", name="ls_bucket", type="enumeration", options=["hot", "cold"])

    refused = hubspot.update([_plain(good, ls_bucket="hot"), _plain(bad, ls_bucket="lukewarm")], 400)

    message = "lukewarm was not one of the allowed options: [hot, cold]"
    assert refused["category"] == "VALIDATION_ERROR"
    assert refused["message"].startswith("Property values were not valid: [{")
    assert '"name":"ls_bucket"' in refused["message"]
    assert refused["errors"] == [
        {"message": message, "code": "INVALID_OPTION", "context": {"propertyName": ["ls_bucket"]}}
    ]
    assert bad not in str(refused)
    assert hubspot.stored(good, "ls_bucket") is None
    assert hubspot.journal.writes == []


def test_given_trace_ids_when_one_value_is_bad_then_it_alone_is_refused(hubspot: World) -> None:
    good, bad = hubspot.contacts(2)

    answer = hubspot.update([_traced(good, hs_lead_status="NEW"), _traced(bad, hs_lead_status="OLD")], 207)

    assert [(r["id"], r["objectWriteTraceId"]) for r in answer["results"]] == [(good, f"w-{good}")]
    assert answer["numErrors"] == 1
    assert answer["errors"][0]["category"] == "VALIDATION_ERROR"
    assert answer["errors"][0]["context"] == {"objectWriteTraceId": [f"w-{bad}"]}
    assert hubspot.stored(good, "hs_lead_status") == "NEW"


@pytest.mark.parametrize("hubspot", [OLD], indirect=True)
def test_given_the_older_behaviour_when_one_value_is_bad_then_trace_ids_do_not_help(hubspot: World) -> None:
    good, bad = hubspot.contacts(2)

    hubspot.update([_traced(good, hs_lead_status="NEW"), _traced(bad, hs_lead_status="OLD")], 400)

    assert hubspot.stored(good, "hs_lead_status") is None


@pytest.mark.parametrize(
    ("form", "has_errors", "has_name"), [("message_only", False, True), ("nameless", False, False)]
)
def test_refusals_may_be_barer(hubspot: World, form: str, has_errors: bool, has_name: bool) -> None:
    hubspot.act("set_behaviour", validation_errors=form)

    refused = hubspot.update([_plain(hubspot.contact(), shoe_size="43")], 400)

    assert ("errors" in refused) is has_errors
    assert ('"name":"shoe_size"' in refused["message"]) is has_name
    assert "PROPERTY_DOESNT_EXIST" in refused["message"]


def test_unknown_archived_and_merged_ids_are_named_together_and_the_rest_is_written(hubspot: World) -> None:
    good, archived, first, second = hubspot.contacts(4)
    hubspot.act("archive", object="contacts", id=archived)
    hubspot.act("merge", object="contacts", primary=first, secondary=second)

    answer = hubspot.update([_plain(id, city="Ulm") for id in (good, archived, first, "50999")], 207)

    assert [r["id"] for r in answer["results"]] == [good]
    assert answer["numErrors"] == 1
    assert answer["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert answer["errors"][0]["context"]["ids"] == [archived, first, "50999"]
    assert answer["errors"][0]["message"].startswith("Could not get some CONTACT objects")


def test_addresses_and_ids_of_other_types_are_passed_over_without_a_word(hubspot: World) -> None:
    hubspot.contact(email="ana@example.com")
    company = hubspot.portal.seed("companies", [{"properties": {"name": "Acme"}}])[0]

    answer = hubspot.update([_plain("ana@example.com", city="Ulm"), _plain(company, city="Ulm")])

    assert answer["results"] == []
    assert "errors" not in answer
    assert hubspot.stored(company, "city", "companies") is None


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        pytest.param([_traced("1"), _traced("1")], "Duplicate IDs found in batch input: [1]", id="twice"),
        pytest.param([_plain(str(n)) for n in range(101)], "Maximum batch size", id="a-hundred-and-one"),
        pytest.param([], "no inputs", id="empty"),
        pytest.param([{"properties": {}}], "inputs[0].id", id="no-id"),
        pytest.param([{"id": "1"}], "properties", id="no-properties"),
        pytest.param([{"id": "1", "properties": ["city"]}], "Invalid input JSON", id="not-a-mapping"),
        pytest.param([{**_plain("a@b.c"), "idProperty": "email"}], "non-unique 0-1 property email", id="by-address"),
        pytest.param(
            [{**_plain("1"), "idProperty": "hs_object_id"}], "non-unique 0-1 property hs_object_id", id="by-id-property"
        ),
    ],
)
def test_what_refuses_a_whole_update(hubspot: World, inputs: list[dict[str, Any]], words: str) -> None:
    assert words in hubspot.update(inputs, 400)["message"]


def test_a_body_that_is_no_json_has_no_category(hubspot: World) -> None:
    answer = hubspot.call(
        "POST", f"{CONTACTS}/batch/update", data=b'{"inputs": [', headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Invalid input JSON")
    assert "category" not in answer.json()


def test_a_batch_read_answers_what_it_finds_and_names_the_rest(hubspot: World) -> None:
    ids = hubspot.contacts(2, city="Ulm")
    body = {"properties": ["city"], "propertiesWithHistory": [], "inputs": [{"id": i} for i in (*ids, *ids, "77")]}

    answer = hubspot.post(f"{CONTACTS}/batch/read?archived=False", body, 207)

    assert sorted(r["id"] for r in answer["results"]) == sorted(ids)
    assert answer["errors"][0]["context"]["ids"] == ["77"]
    assert answer["results"][0]["properties"]["city"] == "Ulm"


def test_a_batch_read_by_address_of_archived_records_and_with_history(hubspot: World) -> None:
    ids = hubspot.contacts(51)
    ana = hubspot.contact(email="ana@example.com")
    hubspot.act("archive", object="contacts", id=ids[0])

    by_email = hubspot.post(f"{CONTACTS}/batch/read", {"idProperty": "email", "inputs": [{"id": "ANA@example.com"}]})
    archived = hubspot.post(f"{CONTACTS}/batch/read?archived=true", {"inputs": [{"id": ids[0]}]})
    many = {"propertiesWithHistory": ["email"], "inputs": [{"id": id} for id in ids]}
    refused = hubspot.post(f"{CONTACTS}/batch/read", many, 400)

    assert [r["id"] for r in by_email["results"]] == [ana]
    assert [r["archived"] for r in archived["results"]] == [True]
    assert "history" in refused["message"]


def test_a_batch_create_conflicts_as_a_whole_or_by_record(hubspot: World) -> None:
    hubspot.contact(email="ana@example.com")
    inputs = [{"properties": {"email": e}, "objectWriteTraceId": e} for e in ("ana@example.com", "bo@example.com")]

    whole = hubspot.post(f"{CONTACTS}/batch/create", {"inputs": [{"properties": i["properties"]} for i in inputs]}, 409)
    traced = hubspot.post(f"{CONTACTS}/batch/create", {"inputs": inputs}, 207)

    assert "Existing ID" in whole["message"]
    assert [r["properties"]["email"] for r in traced["results"]] == ["bo@example.com"]
    assert traced["errors"][0]["context"]["objectWriteTraceId"] == ["ana@example.com"]


def test_a_batch_create_without_faults_is_201(hubspot: World) -> None:
    made = hubspot.post(f"{CONTACTS}/batch/create", {"inputs": [{"properties": {"city": "Ulm"}}] * 3}, 201)

    assert len({r["id"] for r in made["results"]}) == 3


def test_an_upsert_says_which_records_are_new(hubspot: World) -> None:
    known = hubspot.contact(email="ana@example.com")
    inputs = [{"id": e, "idProperty": "email", "properties": {"city": "Ulm"}} for e in ("ana@example.com", "bo@b.com")]

    answer = hubspot.post(f"{CONTACTS}/batch/upsert", {"inputs": inputs})
    refused = hubspot.post(f"{CONTACTS}/batch/upsert", {"inputs": [{**inputs[0], "idProperty": "city"}]}, 400)

    assert {r["id"] == known: r["new"] for r in answer["results"]} == {True: False, False: True}
    assert hubspot.stored(known, "city") == "Ulm"
    assert "non-unique" in refused["message"]


def test_a_batch_archive_passes_over_what_is_not_there(hubspot: World) -> None:
    id = hubspot.contact()

    hubspot.post(f"{CONTACTS}/batch/archive", {"inputs": [{"id": id}, {"id": "77"}]}, 204)

    assert hubspot.call("GET", f"{CONTACTS}/{id}").status_code == 404


def test_a_success_may_drift_to_201(hubspot: World) -> None:
    hubspot.act("set_behaviour", batch_update_status=201)

    assert hubspot.update([_plain(hubspot.contact(), city="Ulm")], 201)["results"]


@pytest.mark.parametrize(
    ("kind", "category", "trace"),
    [
        ("option", "VALIDATION_ERROR", True),
        ("rule", "VALIDATION_ERROR", True),
        ("locked", "LOCKED", True),
        ("conflict", "CONFLICT", True),
        ("not_found", "OBJECT_NOT_FOUND", False),
    ],
)
def test_a_planned_fault_refuses_one_row_as_often_as_planned(
    hubspot: World, kind: str, category: str, trace: bool
) -> None:
    good, bad = hubspot.contacts(2)
    hubspot.act("plan_row_fault", object="contacts", id=bad, kind=kind, times=1)

    answer = hubspot.update([_traced(good, city="Ulm"), _traced(bad, city="Ulm")], 207)

    assert [r["id"] for r in answer["results"]] == [good]
    assert [e["category"] for e in answer["errors"]] == [category]
    assert (f"w-{bad}" in str(answer["errors"])) is trace
    hubspot.update([_traced(bad, city="Ulm")])
    assert hubspot.stored(bad, "city") == "Ulm"


def test_a_silent_fault_leaves_a_row_out_of_a_success(hubspot: World) -> None:
    good, bad = hubspot.contacts(2)
    hubspot.act("plan_row_fault", object="contacts", id=bad, kind="silent")

    answer = hubspot.update([_plain(good, city="Ulm"), _plain(bad, city="Ulm")])

    assert [r["id"] for r in answer["results"]] == [good]
    assert hubspot.stored(bad, "city") is None


def test_faults_by_number_and_share_are_the_same_with_the_same_seed(hubspot: World) -> None:
    ids = hubspot.contacts(100)
    hubspot.act("plan_row_fault", object="contacts", every_nth=10, kind="locked")
    tenth = hubspot.update([_traced(id, city="Ulm") for id in ids], 207)
    hubspot.act("clear_row_faults")
    hubspot.act("plan_row_fault", object="contacts", share=0.05, kind="locked")
    some = hubspot.update([_traced(id, city="Ulm") for id in ids], 207)

    assert tenth["numErrors"] == 10
    assert 0 < some["numErrors"] < 20


def test_a_single_write_of_a_locked_row_is_a_423(hubspot: World) -> None:
    id = hubspot.contact()
    hubspot.act("plan_row_fault", object="contacts", id=id, kind="locked", times=1)

    assert hubspot.call("PATCH", f"{CONTACTS}/{id}", {"properties": {"city": "Ulm"}}).status_code == 423
    assert hubspot.call("PATCH", f"{CONTACTS}/{id}", {"properties": {"city": "Ulm"}}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/crm/v3/objects/contacts/search", {"properties": "city"}, id="properties-as-text"),
        pytest.param("/crm/v3/objects/contacts/search", {"filterGroups": [{"filters": 1}]}, id="filters-as-number"),
        pytest.param("/crm/v3/objects/contacts/search", ["city"], id="a-list-as-body"),
        pytest.param(
            "/crm/v3/objects/contacts/batch/read", {"propertiesWithHistory": 1, "inputs": [{"id": "1"}]}, id="history"
        ),
        pytest.param("/crm/v3/objects/contacts", {"properties": {}, "associations": {"to": 1}}, id="associations"),
        pytest.param("/crm/v4/associations/contacts/companies/batch/read", {"inputs": "1"}, id="inputs-as-text"),
    ],
)
def test_json_of_another_shape_is_a_400(hubspot: World, path: str, body: Any) -> None:
    assert "Invalid input JSON" in hubspot.post(path, body, 400)["message"]


def test_writes_from_several_threads_and_people_meanwhile_all_arrive(hubspot: World) -> None:
    ids = hubspot.contacts(40)

    def write(id: str) -> int:
        return requests.patch(
            f"{hubspot.url}{CONTACTS}/{id}",
            json={"properties": {"city": id}},
            headers={"Authorization": f"Bearer {PRIVATE_APP_KEY}"},
            timeout=10,
        ).status_code

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(write, ids)
        for id in ids:
            hubspot.act("edit", object="contacts", id=id, properties={"zip": "89073"})
        assert set(answers) == {200}

    assert {hubspot.stored(id, "city") == id and hubspot.stored(id, "zip") == "89073" for id in ids} == {True}
    assert sorted(w.number for w in hubspot.journal.writes) == list(range(1, 81))
