"""The Recycle Bin, purge, merge and conversion."""

from __future__ import annotations

from datetime import timedelta

import pytest
from simple_salesforce import Salesforce, SalesforceMalformedRequest

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.salesforce import Refusal, SalesforceOrg
from tests.sandbox.salesforce.door import Door
from tests.sandbox.salesforce.people import a_lead, add_field, ids, leads


def seen(sf: Salesforce, soql: str) -> list[dict[str, object]]:
    answer = sf.query_all(soql, include_deleted=True)
    return [{key: value for key, value in record.items() if key != "attributes"} for record in answer["records"]]


def test_given_a_deleted_lead_when_undeleted_then_its_tasks_come_back_too(
    sf: Salesforce, org: SalesforceOrg, clock: SandboxClock
):
    lead = a_lead(org)
    task, binned = org.seed("Task", [{"WhoId": lead, "Subject": "Call"}, {"WhoId": lead, "Subject": "Old"}])
    org.act({"do": "delete", "object": "Task", "id": binned})
    clock.advance(timedelta(seconds=9))

    sf.Lead.delete(lead)

    assert seen(sf, "SELECT Id, IsDeleted, SystemModstamp FROM Lead") == [
        {"Id": lead, "IsDeleted": True, "SystemModstamp": "2026-11-22T12:00:09.000+0000"}
    ]
    assert ids(sf.query("SELECT Id FROM Task")) == []

    org.act({"do": "undelete", "object": "Lead", "id": lead})

    assert ids(sf.query("SELECT Id FROM Lead")) == [lead]
    assert ids(sf.query("SELECT Id FROM Task")) == [task]


def test_a_purged_lead_is_in_no_query_but_among_the_deleted(sf: Salesforce, org: SalesforceOrg, clock: SandboxClock):
    lead = a_lead(org)

    org.act({"do": "purge", "object": "Lead", "id": lead})

    assert seen(sf, "SELECT Id FROM Lead") == []
    start, end = clock.now() - timedelta(hours=1), clock.now() + timedelta(hours=1)
    deleted = sf.Lead.deleted(start, end)
    assert deleted["deletedRecords"] == [{"id": lead, "deletedDate": "2026-11-22T12:00:00.000+0000"}]


def test_merged_leads_point_at_the_winner_who_takes_over_what_was_theirs(
    sf: Salesforce, org: SalesforceOrg, clock: SandboxClock
):
    winner, loser = leads(org, 2)
    [task] = org.seed("Task", [{"WhoId": loser, "Subject": "Call"}])
    clock.advance(timedelta(seconds=30))

    org.act({"do": "merge", "winner": winner, "losers": [loser], "fields": {"Title": "CEO"}})

    assert ids(sf.query("SELECT Id FROM Lead")) == [winner]
    [gone] = seen(sf, "SELECT Id, IsDeleted, MasterRecordId, SystemModstamp FROM Lead WHERE IsDeleted = true")
    assert (gone["Id"], gone["MasterRecordId"]) == (loser, winner)
    moved = org.get("Task", task)
    assert moved is not None
    assert moved["WhoId"] == winner
    assert moved["SystemModstamp"] == "2026-11-22T12:00:30.000+0000"
    assert moved["LastModifiedDate"] == "2026-11-22T12:00:00.000+0000"
    assert (org.get("Lead", winner) or {})["SystemModstamp"] == "2026-11-22T12:00:30.000+0000"
    with pytest.raises(Refusal):
        org.act({"do": "undelete", "object": "Lead", "id": loser})


def test_conversion_makes_account_contact_and_opportunity(sf: Salesforce, org: SalesforceOrg):
    add_field(org, "Score__c", {"type": "Number", "precision": 3, "scale": 0})
    add_field(org, "Score__c", {"type": "Number", "precision": 3, "scale": 0}, object="Contact")
    org.act({"do": "set_conversion_mapping", "fields": {"Score__c": "Score__c"}})
    lead = a_lead(org, FirstName="Ana", Company="Acme", Country="DE", Score__c=87)
    campaign, [task] = org.seed("Campaign", [{"Name": "C"}])[0], org.seed("Task", [{"WhoId": lead, "Subject": "Call"}])
    [member] = org.seed("CampaignMember", [{"CampaignId": campaign, "LeadId": lead, "Status": "Sent"}])

    made = org.act({"do": "convert", "lead": lead})

    [row] = seen(sf, "SELECT IsConverted, ConvertedDate, Status, ConvertedContact.Name, ConvertedAccount.Name, "
                     "ConvertedOpportunityId FROM Lead")  # fmt: skip
    assert (row["IsConverted"], row["ConvertedDate"], row["Status"]) == (True, "2026-11-22", "Closed - Converted")
    assert row["ConvertedContact"]["Name"] == "Ana Lead 0"  # type: ignore[index]
    assert row["ConvertedAccount"]["Name"] == "Acme"  # type: ignore[index]
    assert row["ConvertedOpportunityId"] == made["opportunity"]
    contact = org.get("Contact", made["contact"])
    assert contact is not None
    assert (contact["MailingCountry"], contact["Score__c"], contact["AccountId"]) == ("DE", 87.0, made["account"])
    assert (org.get("Task", task) or {})["WhoId"] == made["contact"]
    kept = org.get("CampaignMember", member)
    assert kept is not None
    assert (kept["LeadId"], kept["ContactId"]) == (lead, made["contact"])
    history = [entry["Field"] for entry in seen(sf, "SELECT Field FROM LeadHistory ORDER BY Id")]
    assert history == ["Status", "leadConverted"]
    roles = sf.query("SELECT ContactId FROM OpportunityContactRole")["records"]
    assert [role["ContactId"] for role in roles] == [made["contact"]]


def test_conversion_into_what_is_there_already_without_an_opportunity(org: SalesforceOrg):
    lead = a_lead(org)
    [account] = org.seed("Account", [{"Name": "Acme"}])
    [contact] = org.seed("Contact", [{"LastName": "C", "AccountId": account}])

    made = org.act({"do": "convert", "lead": lead, "account": account, "contact": contact, "opportunity": None})

    assert made == {"lead": lead, "account": account, "contact": contact, "opportunity": None}
    assert len(list(org.rows("Contact"))) == 1
    assert list(org.rows("Opportunity")) == []


def test_a_converted_lead_is_closed_to_all_but_those_with_the_right(door: Door, org: SalesforceOrg):
    lead = a_lead(org)
    org.act({"do": "convert", "lead": lead})

    with pytest.raises(SalesforceMalformedRequest) as refused:
        door.as_user(org.integration_id).Lead.update(lead, {"Title": "x"})

    assert refused.value.content[0]["errorCode"] == "CANNOT_UPDATE_CONVERTED_LEAD"
    assert door.as_user(org.admin_id).Lead.update(lead, {"Title": "x"}) == 204


def test_deleting_an_account_takes_contacts_and_opportunities_along(sf: Salesforce, org: SalesforceOrg):
    [account] = org.seed("Account", [{"Name": "Acme"}])
    org.seed("Contact", [{"LastName": "C", "AccountId": account}])
    org.seed(
        "Opportunity", [{"Name": "O", "AccountId": account, "StageName": "Prospecting", "CloseDate": "2026-12-31"}]
    )

    sf.Account.delete(account)

    assert sf.query("SELECT COUNT() FROM Contact")["totalSize"] == 0
    assert sf.query("SELECT COUNT() FROM Opportunity")["totalSize"] == 0
