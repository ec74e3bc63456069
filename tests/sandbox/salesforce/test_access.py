"""Who sees and sets what, describe, and the installation of fields."""

from __future__ import annotations

from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceError

from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door
from tests.sandbox.salesforce.people import BUCKET, LONG, SCORE, a_lead, add_field


def described(sf: Salesforce, object: str = "Lead") -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in getattr(sf, object).describe()["fields"]}


def code(call: Any) -> str:
    with pytest.raises(SalesforceError) as refused:
        call()
    return str(refused.value.content[0]["errorCode"])


def create_field(sf: Salesforce, name: str, metadata: dict[str, Any]) -> str:
    body = {"FullName": f"Lead.{name}", "Metadata": metadata}
    return str(sf.toolingexecute("sobjects/CustomField", method="POST", data=body)["id"])


def test_describe_tells_what_a_mapping_must_know(sf: Salesforce, org: SalesforceOrg):
    add_field(org, "Score__c", SCORE)
    add_field(org, "Bucket__c", BUCKET)
    add_field(org, "Long__c", LONG)

    fields = described(sf)

    score, bucket, text = fields["Score__c"], fields["Bucket__c"], fields["Long__c"]
    assert (score["type"], score["precision"], score["scale"], score["length"]) == ("double", 3, 0, 0)
    assert (bucket["type"], bucket["restrictedPicklist"]) == ("picklist", True)
    assert [(v["value"], v["active"]) for v in bucket["picklistValues"]] == [(v, True) for v in "ABCD"]
    assert (text["type"], text["length"], text["filterable"], text["sortable"]) == ("textarea", 32768, False, False)
    formula = fields["Days_Since_Created__c"]
    assert (formula["calculated"], formula["updateable"]) == (True, False)
    assert fields["OwnerId"]["referenceTo"] == ["Group", "User"]
    assert fields["OwnerId"]["polymorphicForeignKey"]
    assert (fields["LastName"]["nillable"], fields["Title"]["length"]) == (False, 128)
    assert not fields["SystemModstamp"]["updateable"]


def test_describe_lists_objects_with_their_rights(door: Door, org: SalesforceOrg):
    org.act({"do": "set_feature", "object": "Individual", "on": False})

    full = {one["name"]: one for one in door.as_user(org.integration_id).describe()["sobjects"]}
    limited = {one["name"]: one for one in door.as_user(org.limited_id).describe()["sobjects"]}

    assert full["Lead"]["createable"]
    assert full["Lead"]["keyPrefix"] == "00Q"
    assert not full["LeadHistory"]["updateable"]
    assert "Individual" not in full
    assert "CustomField" not in full
    assert not limited["Lead"]["createable"]
    assert "Opportunity" not in limited


def test_a_feature_that_is_off_is_an_unknown_type(sf: Salesforce, org: SalesforceOrg):
    org.act({"do": "set_feature", "object": "Individual", "on": False})

    assert code(lambda: sf.query("SELECT Id FROM Individual")) == "INVALID_TYPE"


@pytest.mark.parametrize("whose", ["everybody", "one-user"])
def test_a_hidden_field_is_missing_everywhere(door: Door, org: SalesforceOrg, whose: str):
    lead = a_lead(org, Title="CEO")
    sf, other = door.as_user(org.integration_id), door.as_user(org.admin_id)
    user = None if whose == "everybody" else org.integration_id
    org.act({"do": "set_field_security", "object": "Lead", "field": "Title", "user": user, "read": False})

    assert "Title" not in described(sf)
    assert "Title" not in sf.Lead.get(lead)
    assert code(lambda: sf.query("SELECT Title FROM Lead")) == "INVALID_FIELD"
    assert code(lambda: sf.query("SELECT Id FROM Lead WHERE Title = 'CEO'")) == "INVALID_FIELD"
    assert code(lambda: sf.Lead.update(lead, {"Title": "x"})) == "INVALID_FIELD"
    assert ("Title" in described(other)) is (whose == "one-user")


def test_a_field_made_through_the_api_is_seen_by_nobody_until_granted(door: Door, org: SalesforceOrg, journal: Journal):
    admin, sf = door.as_user(org.admin_id), door.as_user(org.integration_id)
    lead = a_lead(org)

    create_field(admin, "Score__c", SCORE)

    assert "Score__c" not in described(admin)
    assert code(lambda: sf.query("SELECT Score__c FROM Lead")) == "INVALID_FIELD"

    permissions = admin.PermissionSet.create({"Name": "scoring", "Label": "Scoring"})["id"]
    grant = {"ParentId": permissions, "SobjectType": "Lead", "Field": "Lead.Score__c"}
    granted = admin.FieldPermissions.create({**grant, "PermissionsRead": True, "PermissionsEdit": False})["id"]
    assert "Score__c" not in described(sf)

    admin.PermissionSetAssignment.create({"PermissionSetId": permissions, "AssigneeId": org.integration_id})
    assert not described(sf)["Score__c"]["updateable"]
    assert code(lambda: sf.Lead.update(lead, {"Score__c": 1})) == "INVALID_FIELD_FOR_INSERT_UPDATE"

    admin.FieldPermissions.update(granted, {"PermissionsEdit": True})
    assert sf.Lead.update(lead, {"Score__c": 1}) == 204
    assert "Score__c" not in described(admin)
    assert "tooling.create" in {call.operation for call in journal.calls}


def test_taking_the_permission_set_away_hides_the_field_again(door: Door, org: SalesforceOrg):
    admin, sf = door.as_user(org.admin_id), door.as_user(org.integration_id)
    create_field(admin, "Score__c", SCORE)
    permissions = admin.PermissionSet.create({"Name": "scoring", "Label": "Scoring"})["id"]
    admin.FieldPermissions.create(
        {"ParentId": permissions, "SobjectType": "Lead", "Field": "Lead.Score__c", "PermissionsRead": True}
    )
    held = {"PermissionSetId": permissions, "AssigneeId": org.integration_id}
    assignment = admin.PermissionSetAssignment.create(held)["id"]
    assert "Score__c" in described(sf)

    admin.PermissionSetAssignment.delete(assignment)

    assert "Score__c" not in described(sf)


def test_installing_twice_is_told(admin: Salesforce, org: SalesforceOrg):
    create_field(admin, "Score__c", SCORE)
    permissions = admin.PermissionSet.create({"Name": "scoring", "Label": "Scoring"})["id"]
    grant = {"ParentId": permissions, "SobjectType": "Lead", "Field": "Lead.Score__c", "PermissionsRead": True}
    admin.FieldPermissions.create(grant)
    held = {"PermissionSetId": permissions, "AssigneeId": org.integration_id}
    admin.PermissionSetAssignment.create(held)

    codes = [
        code(lambda: create_field(admin, "Score__c", SCORE)),
        code(lambda: admin.PermissionSet.create({"Name": "scoring", "Label": "Again"})),
        code(lambda: admin.FieldPermissions.create(grant)),
        code(lambda: admin.PermissionSetAssignment.create(held)),
    ]

    assert codes == ["DUPLICATE_DEVELOPER_NAME", "DUPLICATE_DEVELOPER_NAME", "DUPLICATE_VALUE", "DUPLICATE_VALUE"]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({"type": "Text"}, "FIELD_INTEGRITY_EXCEPTION", id="text-without-length"),
        pytest.param({"type": "Text", "length": 256}, "FIELD_INTEGRITY_EXCEPTION", id="text-too-long"),
        pytest.param({"type": "LongTextArea", "length": 32768}, "FIELD_INTEGRITY_EXCEPTION", id="no-visible-lines"),
        pytest.param({"type": "Picklist"}, "FIELD_INTEGRITY_EXCEPTION", id="no-values"),
        pytest.param({"type": "Number"}, "FIELD_INTEGRITY_EXCEPTION", id="no-precision"),
        pytest.param({"type": "Score"}, "FIELD_INTEGRITY_EXCEPTION", id="no-such-type"),
    ],
)
def test_metadata_that_does_not_fit(admin: Salesforce, metadata: dict[str, Any], expected: str):
    assert code(lambda: create_field(admin, "Score__c", metadata)) == expected


def test_fields_are_found_changed_and_deleted_through_the_tooling_api(door: Door, org: SalesforceOrg):
    admin = door.as_user(org.admin_id)
    made = create_field(admin, "State__c", {"type": "Text", "length": 40, "label": "State"})
    lead = a_lead(org)
    org.act({"do": "set_values", "object": "Lead", "id": lead, "fields": {"State__c": "scored"}})
    soql = "SELECT Id, DeveloperName FROM CustomField WHERE TableEnumOrId = 'Lead' AND DeveloperName IN ('State')"

    found = admin.toolingexecute("query", params={"q": soql})
    read = admin.toolingexecute(f"sobjects/CustomField/{made}")
    wider = {"Metadata": {"type": "Text", "length": 80, "label": "State"}}
    admin.toolingexecute(f"sobjects/CustomField/{made}", method="PATCH", data=wider)

    assert [(row["Id"], row["DeveloperName"]) for row in found["records"]] == [(made, "State")]
    assert read["FullName"] == "Lead.State__c"
    assert read["Metadata"]["length"] == 40
    assert org.store.schema.object("Lead").field("State__c").length == 80

    admin.toolingexecute(f"sobjects/CustomField/{made}", method="DELETE")

    assert admin.toolingexecute("query", params={"q": soql})["totalSize"] == 0
    add_field(org, "State__c", {"type": "Text", "length": 40})
    assert (org.get("Lead", lead) or {})["State__c"] is None


def test_only_those_who_customize_install_fields(door: Door, org: SalesforceOrg):
    limited = door.as_user(org.limited_id)
    org.act({"do": "set_rights", "user": org.integration_id, "customize": False})
    sf = door.as_user(org.integration_id)

    assert code(lambda: create_field(limited, "Score__c", SCORE)) == "INSUFFICIENT_ACCESS_OR_READONLY"
    assert code(lambda: create_field(sf, "Score__c", SCORE)) == "INSUFFICIENT_ACCESS_OR_READONLY"
    assert code(lambda: sf.PermissionSet.create({"Name": "x", "Label": "x"})) == "INSUFFICIENT_ACCESS_OR_READONLY"


def test_a_dropped_field_is_gone_from_queries_and_describe(sf: Salesforce, org: SalesforceOrg):
    add_field(org, "Score__c", SCORE)
    assert "Score__c" in described(sf)

    org.act({"do": "drop_field", "object": "Lead", "field": "Score__c"})

    assert "Score__c" not in described(sf)
    assert code(lambda: sf.query("SELECT Score__c FROM Lead")) == "INVALID_FIELD"


def test_a_picklist_that_changed_refuses_the_old_value(sf: Salesforce, org: SalesforceOrg):
    add_field(org, "Bucket__c", BUCKET)
    lead = a_lead(org)
    sf.Lead.update(lead, {"Bucket__c": "A"})

    org.act({"do": "set_picklist", "object": "Lead", "field": "Bucket__c", "values": ["Hot", "Cold"]})

    assert code(lambda: sf.Lead.update(lead, {"Bucket__c": "A"})) == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert (org.get("Lead", lead) or {})["Bucket__c"] == "A"
    assert [v["value"] for v in described(sf)["Bucket__c"]["picklistValues"]] == ["Hot", "Cold"]


def test_a_user_without_api_access_is_refused(door: Door, org: SalesforceOrg):
    org.act({"do": "set_rights", "user": org.integration_id, "api_enabled": False})

    assert code(lambda: door.as_user(org.integration_id).describe()) == "API_DISABLED_FOR_ORG"
