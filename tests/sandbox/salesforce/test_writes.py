"""Single records: what is kept, what is refused, how it is stamped and what happens along with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceError

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door
from tests.sandbox.salesforce.people import BUCKET, SCORE, a_lead, add_field, leads

FIELDS: dict[str, dict[str, Any]] = {
    "Score__c": SCORE,
    "Share__c": {"type": "Percent", "precision": 5, "scale": 2},
    "Bucket__c": BUCKET,
    "State__c": {"type": "Text", "length": 40},
    "At__c": {"type": "DateTime"},
    "On__c": {"type": "Date"},
    "Flag__c": {"type": "Checkbox", "defaultValue": "false"},
}


@pytest.fixture
def lead(org: SalesforceOrg) -> str:
    for name, metadata in FIELDS.items():
        add_field(org, name, metadata)
    return a_lead(org)


def kept(org: SalesforceOrg, lead: str, field: str) -> Any:
    row = org.get("Lead", lead)
    assert row is not None
    return row[field]


def refusal(call: Any) -> dict[str, Any]:
    with pytest.raises(SalesforceError) as refused:
        call()
    [error] = refused.value.content
    return {**error, "status": refused.value.status}


@pytest.mark.parametrize(
    ("field", "sent", "shown"),
    [
        pytest.param("Score__c", 87, 87.0, id="number"),
        pytest.param("Score__c", 86.5, 87.0, id="number-is-rounded"),
        pytest.param("Score__c", "87", 87.0, id="number-as-text"),
        pytest.param("Share__c", 12.345, 12.35, id="percent"),
        pytest.param("Score__c", None, None, id="null-clears"),
        pytest.param("Bucket__c", "A", "A", id="picklist"),
        pytest.param("State__c", "", None, id="empty-text-is-null"),
        pytest.param("State__c", " a ", " a ", id="blanks-stay"),
        pytest.param("At__c", "2026-11-22T10:20:00+01:00", "2026-11-22T09:20:00.000+0000", id="datetime"),
        pytest.param("At__c", "2026-11-22T09:20:00.987Z", "2026-11-22T09:20:00.000+0000", id="whole-seconds"),
        pytest.param("On__c", "2026-11-22", "2026-11-22", id="date"),
        pytest.param("Flag__c", True, True, id="boolean"),
    ],
)
def test_values_are_kept_at_the_precision_of_the_field(sf: Salesforce, lead: str, field: str, sent: Any, shown: Any):
    assert sf.Lead.update(lead, {field: sent}) == 204

    assert sf.query(f"SELECT {field} FROM Lead")["records"][0][field] == shown


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        pytest.param("Score__c", 1000, "NUMBER_OUTSIDE_VALID_RANGE", id="number-too-large"),
        pytest.param("Score__c", "many", "JSON_PARSER_ERROR", id="no-number"),
        pytest.param("Bucket__c", "Z", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", id="picklist"),
        pytest.param("State__c", "x" * 41, "STRING_TOO_LONG", id="too-long"),
        pytest.param("State__c", 5, "JSON_PARSER_ERROR", id="number-for-text"),
        pytest.param("At__c", "yesterday", "JSON_PARSER_ERROR", id="no-time"),
        pytest.param("Flag__c", None, "INVALID_TYPE_ON_FIELD_IN_RECORD", id="null-boolean"),
        pytest.param("LastName", None, "REQUIRED_FIELD_MISSING", id="required"),
        pytest.param("Email", "nobody", "INVALID_EMAIL_ADDRESS", id="email"),
        pytest.param("OwnerId", "x", "MALFORMED_ID", id="bad-id"),
        pytest.param("OwnerId", "005SB0000000ZZZAAA", "INVALID_CROSS_REFERENCE_KEY", id="unknown-owner"),
        pytest.param("Name", "Ana", "INVALID_FIELD_FOR_INSERT_UPDATE", id="compound"),
        pytest.param("IsConverted", True, "INVALID_FIELD_FOR_INSERT_UPDATE", id="conversion-by-hand"),
        pytest.param("Days_Since_Created__c", 1, "INVALID_FIELD_FOR_INSERT_UPDATE", id="formula"),
        pytest.param("SystemModstamp", "2026-01-01T00:00:00Z", "INVALID_FIELD_FOR_INSERT_UPDATE", id="stamp"),
        pytest.param("Nope__c", 1, "INVALID_FIELD", id="no-such-field"),
    ],
)
def test_refusals_name_code_and_change_nothing(
    sf: Salesforce, org: SalesforceOrg, lead: str, field: str, value: Any, code: str
):
    before = org.get("Lead", lead)

    error = refusal(lambda: sf.Lead.update(lead, {"Title": "CEO", field: value}))

    assert (error["status"], error["errorCode"]) == (400, code)
    assert error.get("fields", [field]) == [field]
    assert org.get("Lead", lead) == before


def test_a_stamp_moves_on_every_write_even_of_the_same_value(
    sf: Salesforce, org: SalesforceOrg, lead: str, clock: SandboxClock, journal: Journal
):
    sf.Lead.update(lead, {"Score__c": 87})
    clock.advance(timedelta(seconds=5))

    sf.Lead.update(lead, {"Score__c": 87.0})

    row = org.get("Lead", lead)
    assert row is not None
    assert row["SystemModstamp"] == row["LastModifiedDate"] == "2026-11-22T12:00:05.000+0000"
    assert row["LastModifiedById"] == org.integration_id
    assert [(w.field, w.before, w.after, w.no_op) for w in journal.writes] == [
        ("Score__c", None, 87.0, False),
        ("Score__c", 87.0, 87.0, True),
    ]
    assert [w.call for w in journal.writes] == [c.number for c in journal.calls]


def test_create_fills_defaults_and_is_read_back(sf: Salesforce, org: SalesforceOrg):
    answer = sf.Lead.create({"LastName": "New", "Company": "Acme"})

    record = sf.Lead.get(answer["id"])
    assert answer["success"]
    assert (record["Status"], record["OwnerId"]) == ("Open - Not Contacted", org.integration_id)
    assert record["CreatedDate"] == "2026-11-22T12:00:00.000+0000"
    assert record["attributes"]["type"] == "Lead"


def test_create_names_all_that_is_missing(sf: Salesforce):
    error = refusal(lambda: sf.Lead.create({"FirstName": "Ana"}))

    assert (error["errorCode"], error["fields"]) == ("REQUIRED_FIELD_MISSING", ["LastName", "Company"])


def test_records_that_are_not_there(sf: Salesforce, org: SalesforceOrg):
    lead, merged = leads(org, 2)
    org.act({"do": "delete", "object": "Lead", "id": merged})

    unknown = refusal(lambda: sf.Lead.update("00QSB0000000ZZZAAA", {"Title": "x"}))
    deleted = refusal(lambda: sf.Lead.update(merged, {"Title": "x"}))
    no_object = refusal(lambda: sf.Nope.get(lead))

    assert (unknown["status"], unknown["errorCode"]) == (404, "NOT_FOUND")
    assert (deleted["status"], deleted["errorCode"]) == (404, "ENTITY_IS_DELETED")
    assert (no_object["status"], no_object["errorCode"]) == (404, "NOT_FOUND")


def test_fifteen_characters_of_an_id_are_enough(sf: Salesforce, org: SalesforceOrg, lead: str):
    sf.Lead.update(lead[:15], {"Title": "CEO"})

    assert kept(org, lead, "Title") == "CEO"


@pytest.mark.parametrize(
    ("headers", "owner"),
    [
        pytest.param({}, "admin", id="by-default"),
        pytest.param({"Sforce-Auto-Assign": "true"}, "admin", id="asked-for"),
        pytest.param({"Sforce-Auto-Assign": "FALSE"}, "rep", id="declined"),
        pytest.param({"Sforce-Auto-Assign": "false"}, "rep", id="declined-in-any-case"),
    ],
)
def test_an_update_hands_the_lead_to_the_rules_owner_unless_the_header_declines(
    door: Door, org: SalesforceOrg, journal: Journal, headers: dict[str, str], owner: str
):
    [rep] = org.seed("User", [{"Username": "rep@acme.example", "LastName": "Rep", "Email": "rep@acme.example"}])
    lead = a_lead(org, OwnerId=rep)
    sf = door.client_credentials()

    sf.Lead.update(lead, {"Title": "CEO"}, headers=headers)

    assert kept(org, lead, "OwnerId") == {"admin": org.admin_id, "rep": rep}[owner]
    by_the_org = [(w.actor, w.call) for w in journal.writes if w.field == "OwnerId"]
    assert by_the_org == ([("assignment rule", 0)] if owner == "admin" else [])


def test_people_who_edit_by_hand_are_not_reassigned(org: SalesforceOrg):
    [rep] = org.seed("User", [{"Username": "rep@acme.example", "LastName": "Rep", "Email": "rep@acme.example"}])
    lead = a_lead(org, OwnerId=rep)

    org.act({"do": "edit", "object": "Lead", "id": lead, "fields": {"Title": "CEO"}, "as": rep})

    row = org.get("Lead", lead)
    assert row is not None
    assert (row["OwnerId"], row["LastModifiedById"]) == (rep, rep)


def test_owners_are_active_users_or_queues_for_leads(sf: Salesforce, org: SalesforceOrg):
    lead = a_lead(org)
    [left, partner] = org.seed(
        "User",
        [
            {"Username": "left@acme.example", "LastName": "L", "Email": "l@acme.example", "IsActive": False},
            {"Username": "p@acme.example", "LastName": "P", "Email": "p@acme.example", "UserType": "CsnOnly"},
        ],
    )
    [queue, other] = org.seed("Group", [{"Name": "Inbound", "Type": "Queue"}, {"Name": "Cases", "Type": "Queue"}])
    org.seed("QueueSobject", [{"QueueId": queue, "SobjectType": "Lead"}])

    codes = [refusal(lambda o=one: sf.Lead.update(lead, {"OwnerId": o}))["errorCode"] for one in (left, partner, other)]
    sf.Lead.update(lead, {"OwnerId": queue})

    assert codes == ["INACTIVE_OWNER_OR_USER", "OP_WITH_INVALID_USER_TYPE_EXCEPTION", "INVALID_OPERATION"]
    assert sf.query("SELECT Owner.Name FROM Lead")["records"][0]["Owner"]["Name"] == "Inbound"


def test_tracked_fields_leave_history(sf: Salesforce, org: SalesforceOrg):
    lead = sf.Lead.create({"LastName": "New", "Company": "Acme"})["id"]

    sf.Lead.update(lead, {"Status": "Working - Contacted", "OwnerId": org.admin_id, "Title": "untracked"})

    rows = sf.query("SELECT Field, OldValue, NewValue FROM LeadHistory ORDER BY CreatedDate, Id")["records"]
    assert [(row["Field"], row["OldValue"], row["NewValue"]) for row in rows] == [
        ("created", None, None),
        ("Status", "Open - Not Contacted", "Working - Contacted"),
        ("Owner", "CRM Integration", "Ada Admin"),
        ("Owner", org.integration_id, org.admin_id),
    ]


def test_upsert_by_an_external_id(sf: Salesforce, org: SalesforceOrg, journal: Journal):
    add_field(org, "Key__c", {"type": "Text", "length": 64, "externalId": True, "unique": True})

    created = sf.Lead.upsert("Key__c/a 1", {"LastName": "N", "Company": "C"}, raw_response=True)
    updated = sf.Lead.upsert("Key__c/a 1", {"Title": "CEO"}, raw_response=True)

    assert (created.status_code, created.json()["created"]) == (201, True)
    assert (updated.status_code, updated.json()["created"]) == (200, False)
    assert sf.Lead.get("Key__c/a 1")["Title"] == "CEO"
    assert [call.operation for call in journal.calls] == ["upsert", "upsert", "retrieve"]


def test_a_unique_value_is_there_once(sf: Salesforce, org: SalesforceOrg):
    add_field(org, "Key__c", {"type": "Text", "length": 64, "externalId": True, "unique": True})
    first, second = leads(org, 2)
    sf.Lead.update(first, {"Key__c": "k"})

    error = refusal(lambda: sf.Lead.update(second, {"Key__c": "k"}))

    assert error["errorCode"] == "DUPLICATE_VALUE"
    assert first[:15] in error["message"]


def test_if_unmodified_since_compares_by_the_second(sf: Salesforce, org: SalesforceOrg, lead: str):
    sf.Lead.update(lead, {"Title": "A"}, headers={"If-Unmodified-Since": "Sun, 22 Nov 2026 12:00:00 GMT"})

    error = refusal(
        lambda: sf.Lead.update(lead, {"Title": "B"}, headers={"If-Unmodified-Since": "Sun, 22 Nov 2026 11:59:59 GMT"})
    )

    assert error["status"] == 412
    assert kept(org, lead, "Title") == "A"


def test_a_done_activity_touches_the_person_without_a_modification(
    sf: Salesforce, org: SalesforceOrg, clock: SandboxClock
):
    lead = a_lead(org)
    clock.advance(timedelta(minutes=1))

    sf.Task.create({"WhoId": lead, "Subject": "Call", "Status": "Completed", "ActivityDate": "2026-11-21"})

    row = org.get("Lead", lead)
    assert row is not None
    assert row["LastActivityDate"] == "2026-11-21"
    assert row["SystemModstamp"] == "2026-11-22T12:01:00.000+0000"
    assert row["LastModifiedDate"] == "2026-11-22T12:00:00.000+0000"


def test_values_that_the_org_keeps_in_step(sf: Salesforce, org: SalesforceOrg):
    task = sf.Task.create({"Subject": "Call", "Status": "Completed"})["id"]
    won = sf.Opportunity.create({"Name": "O", "StageName": "Closed Won", "CloseDate": "2026-11-01", "Amount": 10})["id"]
    campaign = sf.Campaign.create({"Name": "C"})["id"]
    member = sf.CampaignMember.create({"CampaignId": campaign, "LeadId": a_lead(org), "Status": "Responded"})["id"]

    assert [org.get("Task", task)[f] for f in ("IsClosed", "CompletedDateTime")] == [
        True,
        "2026-11-22T12:00:00.000+0000",
    ]  # type: ignore[index]
    assert [org.get("Opportunity", won)[f] for f in ("IsClosed", "IsWon", "Probability")] == [True, True, 100.0]  # type: ignore[index]
    assert [org.get("CampaignMember", member)[f] for f in ("HasResponded", "FirstRespondedDate", "Type")] == [  # type: ignore[index]
        True,
        "2026-11-22",
        "Lead",
    ]
