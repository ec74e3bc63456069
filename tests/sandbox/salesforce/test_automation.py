"""What admins set up to happen on a save, and faults planned for rows."""

from __future__ import annotations

from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceMalformedRequest

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.people import SCORE, a_lead, add_field, leads, update_all


def codes(answer: list[dict[str, Any]]) -> list[str]:
    return [result["errors"][0]["statusCode"] if result["errors"] else "" for result in answer]


def test_a_validation_rule_speaks_soql_about_the_row_as_it_would_be(sf: Salesforce, org: SalesforceOrg):
    add_field(org, "Score__c", SCORE)
    first, second = leads(org, 2)
    org.act(
        {
            "do": "define_validation_rule",
            "object": "Lead",
            "fails_when": "Score__c > 100 OR (Score__c > 50 AND Email = null)",
            "message": "Score must be 0-100",
            "field": "Score__c",
        }
    )

    answer = update_all(sf, [{"id": first, "Score__c": 101}, {"id": second, "Score__c": 87}])

    assert codes(answer) == ["FIELD_CUSTOM_VALIDATION_EXCEPTION", ""]
    assert answer[0]["errors"][0] == {
        "statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "message": "Score must be 0-100",
        "fields": ["Score__c"],
    }
    org.act({"do": "drop_validation_rule"})
    assert codes(update_all(sf, [{"id": first, "Score__c": 101}])) == [""]


def test_a_trigger_writes_in_the_same_save_as_the_same_user(sf: Salesforce, org: SalesforceOrg, journal: Journal):
    add_field(org, "Score__c", SCORE)
    lead = a_lead(org)
    org.act({"do": "define_trigger", "name": "copy", "object": "Lead", "when": ["Score__c"], "set": {"Rating": "Hot"}})

    sf.Lead.update(lead, {"Title": "CEO"})
    assert (org.get("Lead", lead) or {})["Rating"] is None
    sf.Lead.update(lead, {"Score__c": 87})

    row = org.get("Lead", lead)
    assert row is not None
    assert (row["Rating"], row["LastModifiedById"]) == ("Hot", org.integration_id)
    by_trigger = [write for write in journal.writes if write.field == "Rating"]
    assert [(write.actor, write.call, write.after) for write in by_trigger] == [("trigger copy", 0, "Hot")]


@pytest.mark.parametrize(("blocks", "allowed"), [(False, True), (True, False)])
def test_a_duplicate_alert_gives_way_to_the_header_and_a_block_does_not(
    sf: Salesforce, org: SalesforceOrg, blocks: bool, allowed: bool
):
    a_lead(org, Email="ana@example.com")
    other = a_lead(org)
    org.act({"do": "define_duplicate_rule", "object": "Lead", "field": "Email", "blocks": blocks})

    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.Lead.update(other, {"Email": "ana@example.com"})
    assert refused.value.content[0]["errorCode"] == "DUPLICATES_DETECTED"

    sf.session.headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true; runAsCurrentUser=true"
    if allowed:
        assert sf.Lead.update(other, {"Email": "ana@example.com"}) == 204
    else:
        with pytest.raises(SalesforceMalformedRequest):
            sf.Lead.update(other, {"Email": "ana@example.com"})


def test_a_fault_planned_for_one_row_strikes_so_many_times(sf: Salesforce, org: SalesforceOrg):
    first, second = leads(org, 2)
    org.act({"do": "plan_row_fault", "object": "Lead", "id": second, "code": "UNABLE_TO_LOCK_ROW", "times": 1})
    records = [{"id": one, "Title": "x"} for one in (first, second)]

    assert codes(update_all(sf, records)) == ["", "UNABLE_TO_LOCK_ROW"]
    assert codes(update_all(sf, records)) == ["", ""]


def test_a_fault_strikes_every_nth_row_and_no_person(sf: Salesforce, org: SalesforceOrg):
    found = leads(org, 6)
    org.act({"do": "plan_row_fault", "object": "Lead", "every_nth": 3, "code": "UNABLE_TO_LOCK_ROW", "message": "busy"})

    org.act({"do": "edit", "object": "Lead", "ids": found, "fields": {"Title": "by hand"}})

    assert codes(update_all(sf, [{"id": one, "Title": "x"} for one in found])) == [
        "", "", "UNABLE_TO_LOCK_ROW", "", "", "UNABLE_TO_LOCK_ROW",
    ]  # fmt: skip
    assert org.act({"do": "clear_row_faults"}) == {"fired": 2}
    assert codes(update_all(sf, [{"id": one, "Title": "x"} for one in found])) == [""] * 6


def test_a_share_of_rows_is_drawn_from_the_seed():
    def struck(seed: int) -> list[bool]:
        org = SalesforceOrg(clock=SandboxClock(), journal=Journal(), seed=seed)
        found = leads(org, 200)
        org.act({"do": "plan_row_fault", "object": "Lead", "share": 0.1, "code": "UNABLE_TO_LOCK_ROW"})
        [fault] = org.automation.faults
        return [fault.strikes(one, org.automation.draw) for one in found]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 5 <= sum(struck(1)) <= 40


def test_an_unknown_action_names_the_known_ones(org: SalesforceOrg):
    with pytest.raises(ValueError, match="unknown action 'dance'; known: add_field"):
        org.act({"do": "dance"})
