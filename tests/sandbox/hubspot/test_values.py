"""What may be written into a property, how it is kept, and what the refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.hubspot.portals import World

DEFINED: dict[str, dict[str, Any]] = {
    "t_text": {"type": "string"},
    "t_number": {"type": "number"},
    "t_bool": {"type": "bool"},
    "t_date": {"type": "date"},
    "t_time": {"type": "datetime"},
    "t_select": {"type": "enumeration", "options": ["A", "b c"]},
    "t_check": {"type": "enumeration", "fieldType": "checkbox", "options": ["A", "B", "C"]},
    "t_yes": {"type": "enumeration", "fieldType": "booleancheckbox"},
}


@pytest.fixture
def typed(hubspot: World) -> World:
    for name, definition in DEFINED.items():
        hubspot.act("set_property", object="contacts", name=name, **definition)
    hubspot.portal.seed("owners", [{"id": "96001"}, {"id": "96002", "archived": True}])
    return hubspot


@pytest.mark.parametrize(
    ("name", "written", "kept"),
    [
        pytest.param("t_text", "  a\r\nb ", "  a\nb ", id="text-keeps-blanks-and-has-bare-line-breaks"),
        pytest.param("t_text", 7, "7", id="text-from-a-number"),
        pytest.param("t_number", "87.50", "87.50", id="number-as-given"),
        pytest.param("t_number", 87, "87", id="json-number"),
        pytest.param("t_number", "1.5e3", "1.5e3", id="exponent"),
        pytest.param("t_bool", True, "true", id="json-boolean"),
        pytest.param("t_bool", "false", "false", id="boolean-text"),
        pytest.param("t_date", "2026-11-20", "2026-11-20", id="date"),
        pytest.param("t_date", "1763596800000", "2025-11-20", id="date-as-midnight"),
        pytest.param("t_time", "2026-11-20T18:03:44.101+01:00", "2026-11-20T17:03:44.101Z", id="time-with-a-zone"),
        pytest.param("t_time", "2026-11-20T17:03:44Z", "2026-11-20T17:03:44.000Z", id="time-without-a-fraction"),
        pytest.param("t_time", 1763658224101, "2025-11-20T17:03:44.101Z", id="time-in-milliseconds"),
        pytest.param("t_select", "b c", "b c", id="option"),
        pytest.param("t_check", "C;A", "C;A", id="several-options"),
        pytest.param("t_yes", "TRUE", "true", id="single-checkbox"),
        pytest.param("hubspot_owner_id", "96001", "96001", id="owner"),
        pytest.param("email", " Ana@Example.COM ", "ana@example.com", id="address-in-lower-case"),
        pytest.param("t_text", None, None, id="null-clears"),
        pytest.param("t_number", "", None, id="empty-clears"),
    ],
)
def test_what_is_kept(typed: World, name: str, written: Any, kept: str | None) -> None:
    id = typed.contact()

    typed.update([{"id": id, "properties": {name: written}}])

    assert typed.stored(id, name) == kept


@pytest.mark.parametrize(
    ("name", "written", "code", "words"),
    [
        pytest.param("shoe_size", "43", "PROPERTY_DOESNT_EXIST", 'Property "shoe_size" does not exist', id="unknown"),
        pytest.param("t_number", "1,5", "INVALID_NUMERIC", "1,5 was not a valid number.", id="comma"),
        pytest.param("t_number", True, "INVALID_NUMERIC", "true was not a valid number.", id="boolean-for-number"),
        pytest.param("t_bool", "yes", "INVALID_BOOLEAN", "yes", id="yes"),
        pytest.param("t_date", "tomorrow", "INVALID_LONG", "tomorrow was not a valid long.", id="no-date"),
        pytest.param("t_date", "1763658224101", "INVALID_DATE", "not midnight", id="not-midnight"),
        pytest.param("t_time", "tomorrow", "INVALID_LONG", "tomorrow was not a valid long.", id="no-time"),
        pytest.param("t_time", "2026-11-20T17:03:44", "INVALID_LONG", "not a valid long", id="time-without-zone"),
        pytest.param("t_time", "9" * 20, "INVALID_LONG", "not a valid long", id="beyond-time"),
        pytest.param("t_select", "a", "INVALID_OPTION", "a was not one of the allowed options: [A, b c]", id="case"),
        pytest.param("t_check", "A;X", "INVALID_OPTION", "X was not one of the allowed", id="one-of-several"),
        pytest.param("t_text", "x" * 65_537, "PROPERTY_VALUE_TOO_LONG", "too long", id="long"),
        pytest.param("email", "nobody", "INVALID_EMAIL", "Email address nobody is invalid", id="address"),
        pytest.param("num_notes", "4", "READ_ONLY_VALUE", '"num_notes" is a read only property', id="read-only"),
        pytest.param("lastmodifieddate", "1", "READ_ONLY_VALUE", "read only", id="stamp"),
        pytest.param("hs_email_domain", "x.com", "READ_ONLY_VALUE", "read only", id="calculated"),
        pytest.param("hubspot_owner_id", "96002", "INVALID_OPTION", "96002 was not one of", id="owner-who-left"),
        pytest.param("hubspot_owner_id", "771201", "INVALID_OPTION", "[96001]", id="user-id-is-no-owner"),
    ],
)
def test_what_is_refused(typed: World, name: str, written: Any, code: str, words: str) -> None:
    id = typed.contact()

    refused = typed.update([{"id": id, "properties": {name: written}}], 400)

    assert [e["code"] for e in refused["errors"]] == [code]
    assert words in refused["errors"][0]["message"]
    assert refused["errors"][0]["context"]["propertyName"] == [name]


def test_a_leading_semicolon_appends_to_checkboxes(typed: World) -> None:
    id = typed.contact(t_check="A;B")

    typed.update([{"id": id, "properties": {"t_check": ";C;A"}}])

    assert typed.stored(id, "t_check") == "A;B;C"


@pytest.mark.parametrize(("way", "status"), [("ignore", 200), ("refuse", 400)])
def test_an_app_moves_the_lifecycle_stage_forward_only(hubspot: World, way: str, status: int) -> None:
    id = hubspot.contact(lifecyclestage="customer")
    hubspot.act("set_behaviour", lifecycle_backwards=way)

    hubspot.update([{"id": id, "properties": {"lifecyclestage": "lead"}}], status)
    assert hubspot.stored(id, "lifecyclestage") == "customer"

    hubspot.update([{"id": id, "properties": {"lifecyclestage": ""}}])
    hubspot.update([{"id": id, "properties": {"lifecyclestage": "lead"}}])
    assert hubspot.stored(id, "lifecyclestage") == "lead"


def test_a_person_may_move_the_lifecycle_stage_back(hubspot: World) -> None:
    id = hubspot.contact(lifecyclestage="customer")

    hubspot.act("edit", object="contacts", id=id, properties={"lifecyclestage": "lead"})

    assert hubspot.stored(id, "lifecyclestage") == "lead"


def test_a_deal_stage_must_belong_to_the_pipeline_and_tells_whether_the_deal_is_closed(hubspot: World) -> None:
    hubspot.act("set_pipeline", object="deals", id="77", label="Partners", stages=[{"id": "771", "label": "Talk"}])
    id = hubspot.portal.seed("deals", [{"properties": {"dealname": "A", "pipeline": "default"}}])[0]

    refused = hubspot.update([{"id": id, "properties": {"dealstage": "771"}}], 400, "deals")
    hubspot.update([{"id": id, "properties": {"dealstage": "closedwon"}}], object="deals")

    assert refused["errors"][0]["message"].startswith("771 is not a valid pipeline stage ID. Valid options are: app")
    assert hubspot.stored(id, "hs_is_closed_won", "deals") == "true"
    assert hubspot.stored(id, "hs_deal_stage_probability", "deals") == "1.0"


@pytest.mark.parametrize(
    ("rule", "limit", "value"),
    [("MAX_NUMBER", 50, "51"), ("MIN_NUMBER", 1, "0"), ("DECIMAL", 1, "1.25"), ("MAX_LENGTH", 2, "123")],
)
def test_an_admin_can_add_a_rule_that_refuses_values(hubspot: World, rule: str, limit: int, value: str) -> None:
    id = hubspot.contact()
    hubspot.act("set_property", object="contacts", name="ls_score", type="number", rules={rule: limit})

    refused = hubspot.update([{"id": id, "properties": {"ls_score": value}}], 400)
    listed = hubspot.get("/crm/v3/property-validations/0-1")["results"]

    assert refused["errors"][0]["code"] == rule
    assert listed[0]["propertyName"] == "ls_score"


def test_an_option_that_an_admin_removed_is_refused_from_then_on(hubspot: World) -> None:
    id = hubspot.contact()
    hubspot.act("set_property", object="contacts", name="ls_bucket", type="enumeration", options=["A", "B"])
    hubspot.update([{"id": id, "properties": {"ls_bucket": "B"}}])

    hubspot.act("set_property", object="contacts", name="ls_bucket", options=["A"])

    hubspot.update([{"id": id, "properties": {"ls_bucket": "B"}}], 400)
    assert hubspot.get(f"/crm/v3/objects/contacts/{id}", properties="ls_bucket")["properties"]["ls_bucket"] == "B"


def test_two_records_cannot_hold_one_unique_value(hubspot: World) -> None:
    first, second = hubspot.contacts(2)
    hubspot.act("set_property", object="contacts", name="badge", type="string", hasUniqueValue=True)
    hubspot.update([{"id": first, "properties": {"badge": "7"}}])

    refused = hubspot.update([{"id": second, "properties": {"badge": "7"}}], 409)

    assert f"Existing ID: {first}" in refused["message"]
    assert hubspot.get("/crm/v3/objects/contacts/7", idProperty="badge")["id"] == first
