"""Property definitions: what the portal has, and what an app may make, change and take away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.hubspot.portals import World

PATH = "/crm/v3/properties/contacts"


def _definition(**changes: Any) -> dict[str, Any]:
    made = {"name": "ls_score", "label": "Lead score", "groupName": "lead_scoring", "type": "number"}
    return {**made, "fieldType": "number", **changes}


@pytest.fixture
def grouped(hubspot: World) -> World:
    hubspot.post(f"{PATH}/groups", {"name": "lead_scoring", "label": "Lead scoring"}, 201)
    return hubspot


def test_the_standard_definitions_tell_types_options_and_what_is_read_only(hubspot: World) -> None:
    found = {p["name"]: p for p in hubspot.get(PATH)["results"]}

    assert len(found) > 100
    assert found["hubspot_owner_id"]["options"] == []
    assert found["hubspot_owner_id"]["externalOptions"] is True
    assert found["hubspot_owner_id"]["referencedObjectType"] == "OWNER"
    assert found["hs_object_id"]["type"] == "number"
    assert found["num_conversion_events"]["calculated"] is True
    assert found["num_conversion_events"]["modificationMetadata"]["readOnlyValue"] is True
    assert found["lastmodifieddate"]["fieldType"] == "date"
    assert found["lastmodifieddate"]["type"] == "datetime"
    assert "Legitimate interest – prospect/lead" in [o["value"] for o in found["hs_legal_basis"]["options"]]
    assert found["email"]["hasUniqueValue"] is True


@pytest.mark.parametrize("type", ["companies", "deals", "leads", "emails", "calls", "meetings", "notes", "tasks"])
def test_every_type_has_its_cursor_property(hubspot: World, type: str) -> None:
    assert hubspot.get(f"/crm/properties/2026-09/{type}/hs_lastmodifieddate")["type"] == "datetime"


def test_a_property_is_made_changed_and_archived(grouped: World) -> None:
    made = grouped.post(PATH, _definition(), 201)
    changed = grouped.call("PATCH", f"{PATH}/ls_score", {"label": "Score"})
    gone = grouped.call("DELETE", f"{PATH}/ls_score")

    assert made["modificationMetadata"] == {
        "archivable": True,
        "readOnlyDefinition": False,
        "readOnlyOptions": False,
        "readOnlyValue": False,
    }
    assert (made["createdAt"], made["hubspotDefined"]) == ("2026-11-22T10:00:00.250Z", False)
    assert changed.json()["label"] == "Score"
    assert gone.status_code == 204
    assert grouped.call("GET", f"{PATH}/ls_score").status_code == 404
    assert [p["name"] for p in grouped.get(PATH, archived="true")["results"]] == ["ls_score"]


@pytest.mark.parametrize(
    ("changes", "status", "category"),
    [
        pytest.param({"name": "email"}, 409, "OBJECT_ALREADY_EXISTS", id="name-in-use"),
        pytest.param({"name": "Lead Score!"}, 400, "VALIDATION_ERROR", id="name"),
        pytest.param({"groupName": "nowhere"}, 400, "VALIDATION_ERROR", id="group"),
        pytest.param({"fieldType": "text"}, 400, "VALIDATION_ERROR", id="field-type-of-another-type"),
        pytest.param({"type": "enumeration", "fieldType": "select"}, 400, "VALIDATION_ERROR", id="no-options"),
        pytest.param({"label": ""}, 400, "VALIDATION_ERROR", id="no-label"),
    ],
)
def test_definitions_that_are_refused(grouped: World, changes: dict[str, str], status: int, category: str) -> None:
    assert grouped.post(PATH, _definition(**changes), status)["category"] == category


def test_a_batch_makes_what_it_can(grouped: World) -> None:
    inputs = [_definition(), _definition(name="email")]

    first = grouped.post(f"{PATH}/batch/create", {"inputs": inputs}, 207)
    second = grouped.post(f"{PATH}/batch/create", {"inputs": [_definition(name="ls_two")]}, 201)
    read = grouped.post(f"{PATH}/batch/read", {"archived": False, "inputs": [{"name": "ls_score"}, {"name": "x"}]}, 207)
    grouped.post(f"{PATH}/batch/archive", {"inputs": [{"name": "ls_score"}, {"name": "x"}]}, 204)

    assert [p["name"] for p in first["results"]] == ["ls_score"]
    assert first["errors"][0]["category"] == "OBJECT_ALREADY_EXISTS"
    assert [p["name"] for p in second["results"]] == ["ls_two"]
    assert [p["name"] for p in read["results"]] == ["ls_score"]
    assert grouped.call("GET", f"{PATH}/ls_score").status_code == 404


def test_options_can_be_added(grouped: World) -> None:
    hot = {"label": "Hot", "value": "A", "displayOrder": 0, "hidden": False}
    grouped.post(PATH, _definition(name="ls_bucket", type="enumeration", fieldType="select", options=[hot]), 201)

    answer = grouped.call("PATCH", f"{PATH}/ls_bucket", {"options": [hot, {**hot, "label": "Warm", "value": "B"}]})

    assert [o["value"] for o in answer.json()["options"]] == ["A", "B"]


def test_what_hubspot_defined_stays(hubspot: World) -> None:
    assert hubspot.call("PATCH", f"{PATH}/email", {"label": "E-mail"}).status_code == 400
    assert hubspot.call("DELETE", f"{PATH}/email").status_code == 400


def test_groups(grouped: World) -> None:
    again = grouped.post(f"{PATH}/groups", {"name": "lead_scoring", "label": "Lead scoring"}, 409)
    grouped.post(PATH, _definition(), 201)
    in_use = grouped.call("DELETE", f"{PATH}/groups/lead_scoring")
    grouped.call("DELETE", f"{PATH}/ls_score")
    empty = grouped.call("DELETE", f"{PATH}/groups/lead_scoring")

    assert again["category"] == "OBJECT_ALREADY_EXISTS"
    assert (in_use.status_code, empty.status_code) == (400, 204)
    assert "contactinformation" in [g["name"] for g in grouped.get(f"{PATH}/groups")["results"]]
