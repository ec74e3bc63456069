"""Which writes move a stamp, what history and journal say of them, and what other properties follow."""

from __future__ import annotations

from datetime import timedelta

from tests.sandbox.hubspot.portals import World

BEFORE, NOW = "2026-10-23T10:00:00.250Z", "2026-11-22T10:00:00.250Z"
CONTACTS = "/crm/v3/objects/contacts"


def _history(hubspot: World, id: str, name: str) -> list[dict[str, object]]:
    shown = hubspot.get(f"{CONTACTS}/{id}", propertiesWithHistory=name)
    return list(shown["propertiesWithHistory"][name])


def test_our_own_write_moves_the_stamp_even_where_nothing_changes(hubspot: World) -> None:
    id = hubspot.contact(city="Ulm")

    hubspot.update([{"id": id, "properties": {"city": "Ulm"}}])

    assert hubspot.stamp(id) == NOW
    assert [(w.field, w.before, w.after, w.no_op) for w in hubspot.journal.writes] == [("city", "Ulm", "Ulm", True)]
    assert len(_history(hubspot, id, "city")) == 1


def test_a_calculation_changes_a_value_without_moving_the_stamp(hubspot: World) -> None:
    id = hubspot.contact()

    hubspot.act("recalculate", object="contacts", id=id, property="num_conversion_events", value=4)

    assert hubspot.stored(id, "num_conversion_events") == "4"
    assert hubspot.stamp(id) == BEFORE
    assert _history(hubspot, id, "num_conversion_events")[0]["sourceType"] == "CALCULATED"


def test_history_tells_apps_people_and_workflows_apart_newest_first(hubspot: World) -> None:
    id = hubspot.contact(city="Ulm")
    edit = {"object": "contacts", "id": id}

    hubspot.update([{"id": id, "properties": {"city": "Bonn"}}])
    hubspot.clock.advance(timedelta(seconds=1))
    hubspot.act("edit", **edit, properties={"city": "Köln"}, **{"as": "userId:771201"})
    hubspot.act("edit", **edit, properties={"city": ""}, **{"as": "workflow:31"})

    assert [(v["value"], v["sourceType"], v["sourceId"]) for v in _history(hubspot, id, "city")] == [
        ("", "AUTOMATION_PLATFORM", "31"),
        ("Köln", "CRM_UI", "userId:771201"),
        ("Bonn", "INTEGRATION", "1834410"),
        ("Ulm", "IMPORT", "1"),
    ]
    assert [v.get("updatedByUserId") for v in _history(hubspot, id, "city")] == [None, 771201, None, None]
    assert [w.actor for w in hubspot.journal.writes] == ["app:1834410", "userId:771201", "workflow:31"]
    assert [w.call > 0 for w in hubspot.journal.writes] == [True, False, False]


def test_at_most_twenty_versions_are_shown(hubspot: World) -> None:
    id = hubspot.contact()

    for n in range(25):
        hubspot.act("edit", object="contacts", id=id, properties={"city": f"Town {n}"})

    assert [v["value"] for v in _history(hubspot, id, "city")] == [f"Town {n}" for n in range(24, 4, -1)]


def test_assigning_an_owner_stamps_the_date_the_team_and_all_owners(hubspot: World) -> None:
    hubspot.portal.seed("owners", [{"id": "96001", "teams": [{"id": "368", "name": "EMEA", "primary": True}]}])
    id = hubspot.contact()

    hubspot.update([{"id": id, "properties": {"hubspot_owner_id": "96001"}}])

    assert hubspot.stored(id, "hubspot_owner_assigneddate") == NOW
    assert hubspot.stored(id, "hubspot_team_id") == "368"
    assert hubspot.stored(id, "hs_all_owner_ids") == "96001"
    derived = [w for w in hubspot.journal.writes if w.actor == "portal"]
    assert {w.call for w in derived} == {0}


def test_a_new_stage_leaves_the_date_it_was_entered_and_a_time_that_grows_whenever_it_is_read(hubspot: World) -> None:
    id = hubspot.contact()
    hubspot.update([{"id": id, "properties": {"lifecyclestage": "lead"}}])

    hubspot.clock.advance(timedelta(seconds=5))

    shown = hubspot.get(f"{CONTACTS}/{id}", properties="hs_time_in_lead,hs_lifecyclestage_lead_date")["properties"]
    assert shown["hs_lifecyclestage_lead_date"] == NOW
    assert shown["hs_time_in_lead"] == "5000"


def test_logging_an_activity_moves_the_contact(hubspot: World) -> None:
    id = hubspot.contact(num_notes=2)
    tie = {"to": {"id": id}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 194}]}
    properties = {"hs_timestamp": "2026-11-21T09:00:00Z", "hs_call_title": "Hello"}

    hubspot.post("/crm/v3/objects/calls", {"properties": properties, "associations": [tie]}, 201)

    assert hubspot.stamp(id) == NOW
    assert hubspot.stored(id, "num_notes") == "3"
    assert hubspot.stored(id, "notes_last_updated") == "2026-11-21T09:00:00.000Z"
    assert hubspot.stored(id, "notes_last_contacted") == "2026-11-21T09:00:00.000Z"


def test_a_mass_stamp_gives_many_rows_one_millisecond_and_changes_no_value(hubspot: World) -> None:
    ids = hubspot.contacts(3)

    answer = hubspot.act("restamp", object="contacts", ids="all", at="2026-11-01T00:00:00.007Z")

    assert answer == {"rows": 3, "modified": "2026-11-01T00:00:00.007Z"}
    assert {hubspot.stamp(id) for id in ids} == {"2026-11-01T00:00:00.007Z"}
    assert hubspot.journal.writes == []


def test_an_archived_property_is_left_out_and_comes_back_with_its_values(hubspot: World) -> None:
    group = {"name": "crm_sync", "label": "Scores"}
    definition = {
        "name": "ls_score",
        "label": "Score",
        "groupName": "crm_sync",
        "type": "number",
        "fieldType": "number",
    }
    hubspot.post("/crm/v3/properties/contacts/groups", group, 201)
    hubspot.post("/crm/v3/properties/contacts", definition, 201)
    id = hubspot.contact()
    hubspot.update([{"id": id, "properties": {"ls_score": "87"}}])

    hubspot.act("drop_property", object="contacts", name="ls_score")
    without = hubspot.get(f"{CONTACTS}/{id}", properties="ls_score")["properties"]
    hubspot.update([{"id": id, "properties": {"ls_score": "1"}}], 400)
    hubspot.post("/crm/v3/properties/contacts", definition, 201)

    assert "ls_score" not in without
    assert hubspot.get(f"{CONTACTS}/{id}", properties="ls_score")["properties"]["ls_score"] == "87"
    assert hubspot.get("/crm/v3/properties/contacts", archived="true")["results"] == []
