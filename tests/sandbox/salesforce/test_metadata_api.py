"""Custom fields by way of sf.mdapi, which speaks SOAP through a session of its own."""

from __future__ import annotations

import pytest
from simple_salesforce import Salesforce

from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door


def with_metadata(sf: Salesforce, door: Door) -> Salesforce:
    # zeep doesn't use the adapter, so it has to be told the address before it is first touched.
    sf.metadata_url = f"{door.url}/services/Soap/m/62.0/"
    return sf


@pytest.fixture
def admin(door: Door, org: SalesforceOrg) -> Salesforce:
    return with_metadata(door.as_user(org.admin_id), door)


def test_fields_are_created_read_changed_and_deleted(admin: Salesforce, org: SalesforceOrg, journal: Journal):
    kind = admin.mdapi.CustomField
    values = [admin.mdapi.CustomValue(fullName=name, default=False, label=name) for name in "AB"]
    score = kind(fullName="Lead.Score__c", label="Score", type=admin.mdapi.FieldType("Number"), precision=3, scale=0)
    bucket = kind(
        fullName="Lead.Bucket__c",
        label="Bucket",
        type=admin.mdapi.FieldType("Picklist"),
        valueSet=admin.mdapi.ValueSet(
            restricted=True, valueSetDefinition=admin.mdapi.ValueSetValuesDefinition(sorted=False, value=values)
        ),
    )

    kind.create([score, bucket])

    lead = org.store.schema.object("Lead")
    assert (lead.field("Score__c").precision, lead.field("Score__c").granted) == (3, False)
    assert (lead.field("Bucket__c").values, lead.field("Bucket__c").restricted) == (("A", "B"), True)
    assert kind.read("Lead.Score__c").precision == 3
    assert kind.read("Lead.Bucket__c").valueSet.valueSetDefinition.value[1].fullName == "B"

    score.precision = 5
    kind.update([score])
    assert lead.field("Score__c").precision == 5
    with pytest.raises(Exception, match="DUPLICATE_DEVELOPER_NAME"):
        kind.create([score])

    kind.delete(["Lead.Score__c"])

    assert lead.find("Score__c") is None
    with pytest.raises(Exception, match="no CustomField named"):
        kind.delete(["Lead.Score__c"])
    words = [call.operation for call in journal.calls]
    assert words == [f"metadata.{verb}" for verb in ("create", "read", "read", "update", "create", "delete", "delete")]


def test_a_user_who_may_not_customize_gets_a_fault(door: Door, org: SalesforceOrg):
    limited = with_metadata(door.as_user(org.limited_id), door)

    with pytest.raises(Exception, match="INSUFFICIENT_ACCESS"):
        limited.mdapi.CustomField.delete(["Lead.Score__c"])
