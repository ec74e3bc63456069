"""Several requests in one body."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceMalformedRequest

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door
from tests.sandbox.salesforce.people import SCORE, a_lead, ids, leads

ROOT = "/services/data/v62.0"


def composite(sf: Salesforce, *subrequests: dict[str, Any], all_or_none: bool = False) -> list[dict[str, Any]]:
    body = {
        "allOrNone": all_or_none,
        "compositeRequest": [{"referenceId": f"r{n}", **one} for n, one in enumerate(subrequests)],
    }
    answer = sf.restful("composite", method="POST", json=body)
    found: list[dict[str, Any]] = answer["compositeResponse"]
    return found


def collection(found: list[str], **fields: Any) -> dict[str, Any]:
    records = [{"attributes": {"type": "Lead"}, "id": one, **fields} for one in found]
    return {
        "method": "PATCH",
        "url": f"{ROOT}/composite/sobjects",
        "httpHeaders": {"Sforce-Auto-Assign": "FALSE"},
        "body": {"allOrNone": False, "records": records},
    }


def query(soql: str) -> dict[str, Any]:
    return {"method": "GET", "url": f"{ROOT}/queryAll?q={soql.replace(' ', '+')}"}


def test_a_thousand_records_are_one_counted_call(sf: Salesforce, org: SalesforceOrg, journal: Journal):
    found = leads(org, 1_000)

    answer = composite(sf, *(collection(found[n : n + 200], Title="CEO") for n in range(0, 1_000, 200)))

    assert [entry["httpStatusCode"] for entry in answer] == [200] * 5
    assert [entry["referenceId"] for entry in answer] == ["r0", "r1", "r2", "r3", "r4"]
    assert all(result["success"] for entry in answer for result in entry["body"])
    [call] = journal.calls
    assert (call.operation, call.object, call.records, call.counted) == ("composite", "Lead", 1_000, 1)
    assert sf.limits()["DailyApiRequests"]["Remaining"] == 100_000 - 1


def test_subrequests_do_not_inherit_the_assignment_header(sf: Salesforce, org: SalesforceOrg):
    [rep] = org.seed("User", [{"Username": "rep@acme.example", "LastName": "Rep", "Email": "rep@acme.example"}])
    kept, taken = leads(org, 2, OwnerId=rep)
    bare = {key: value for key, value in collection([taken], Title="x").items() if key != "httpHeaders"}

    composite(sf, collection([kept], Title="x"), bare)

    assert (org.get("Lead", kept) or {})["OwnerId"] == rep
    assert (org.get("Lead", taken) or {})["OwnerId"] == org.admin_id


def test_a_failed_subrequest_leaves_the_others_alone(sf: Salesforce, org: SalesforceOrg):
    lead = a_lead(org)

    answer = composite(sf, query("SELECT Nope FROM Lead"), query("SELECT Id FROM Lead"))

    assert [entry["httpStatusCode"] for entry in answer] == [400, 200]
    assert answer[0]["body"][0]["errorCode"] == "INVALID_FIELD"
    assert answer[1]["body"]["records"][0]["Id"] == lead


def test_later_subrequests_use_earlier_answers(sf: Salesforce, org: SalesforceOrg):
    answer = composite(
        sf,
        {"method": "POST", "url": f"{ROOT}/sobjects/Account", "body": {"Name": "Acme"}},
        {"method": "POST", "url": f"{ROOT}/sobjects/Contact", "body": {"LastName": "C", "AccountId": "@{r0.id}"}},
        {"method": "GET", "url": f"{ROOT}/sobjects/Contact/@{{r1.id}}?fields=AccountId"},
        {"method": "GET", "url": f"{ROOT}/sobjects/Contact/@{{r2.Nope}}"},
    )

    assert [entry["httpStatusCode"] for entry in answer] == [201, 201, 200, 400]
    assert answer[2]["body"]["AccountId"] == answer[0]["body"]["id"]
    assert answer[3]["body"][0]["errorCode"] == "PROCESSING_HALTED"


def test_all_or_none_takes_everything_back(sf: Salesforce, org: SalesforceOrg):
    answer = composite(
        sf,
        {"method": "POST", "url": f"{ROOT}/sobjects/Account", "body": {"Name": "Acme"}},
        {"method": "POST", "url": f"{ROOT}/sobjects/Account", "body": {}},
        all_or_none=True,
    )

    assert [entry["body"][0]["errorCode"] for entry in answer] == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert list(org.rows("Account")) == []


def test_what_was_taken_back_is_neither_deleted_nor_granted(sf: Salesforce, org: SalesforceOrg, clock: SandboxClock):
    lead, field = a_lead(org), {"FullName": "Lead.Score__c", "Metadata": SCORE}
    sf.toolingexecute("sobjects/CustomField", method="POST", data=field)
    held = sf.query(f"SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = '{org.integration_id}'")
    grant = {
        "ParentId": held["records"][0]["PermissionSetId"],
        "SobjectType": "Lead",
        "Field": "Lead.Score__c",
        "PermissionsRead": True,
    }

    answer = composite(
        sf,
        {"method": "DELETE", "url": f"{ROOT}/sobjects/Lead/{lead}"},
        {"method": "POST", "url": f"{ROOT}/sobjects/FieldPermissions", "body": grant},
        query("SELECT Score__c FROM Lead"),
        {"method": "POST", "url": f"{ROOT}/sobjects/Account", "body": {}},
        all_or_none=True,
    )

    assert answer[3]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert ids(sf.query("SELECT Id FROM Lead")) == [lead]
    assert sf.Lead.deleted(clock.now() - timedelta(hours=1), clock.now() + timedelta(hours=1))["deletedRecords"] == []
    assert "Score__c" not in [one["name"] for one in sf.Lead.describe()["fields"]]


@pytest.mark.parametrize(
    "subrequests",
    [
        pytest.param([{"method": "GET", "url": f"{ROOT}/limits"}] * 26, id="26-subrequests"),
        pytest.param([query("SELECT Id FROM Lead")] * 6, id="6-queries"),
        pytest.param(
            [{"method": "GET", "url": f"{ROOT}/limits", "httpHeaders": {"Authorization": "x"}}], id="inherited-header"
        ),
        pytest.param([{"method": "GET", "url": "https://elsewhere.example/"}], id="foreign-address"),
    ],
)
def test_what_a_composite_body_may_not_hold(sf: Salesforce, subrequests: list[dict[str, Any]]):
    with pytest.raises(SalesforceMalformedRequest):
        composite(sf, *subrequests)


def test_each_request_of_a_batch_counts(sf: Salesforce, org: SalesforceOrg, journal: Journal):
    lead = a_lead(org)
    requests = [
        {"method": "PATCH", "url": f"v62.0/sobjects/Lead/{lead}", "richInput": {"Title": "CEO"}},
        {"method": "GET", "url": "v62.0/sobjects/Lead/00QSB0000000ZZZAAA"},
        {"method": "GET", "url": f"v62.0/sobjects/Lead/{lead}?fields=Title"},
    ]

    plain = sf.restful("composite/batch", method="POST", json={"batchRequests": requests})
    halted = sf.restful("composite/batch", method="POST", json={"batchRequests": requests, "haltOnError": True})

    assert plain["hasErrors"]
    assert [result["statusCode"] for result in plain["results"]] == [204, 404, 200]
    assert [result["statusCode"] for result in halted["results"]] == [204, 404, 412]
    assert [(call.operation, call.counted) for call in journal.calls] == [("composite.batch", 3)] * 2


def test_each_graph_stands_or_falls_as_a_whole(sf: Salesforce, org: SalesforceOrg):
    def graph(name: str, *bodies: dict[str, Any]) -> dict[str, Any]:
        nodes = [
            {"method": "POST", "url": f"{ROOT}/sobjects/Account", "referenceId": f"{name}{n}", "body": body}
            for n, body in enumerate(bodies)
        ]
        return {"graphId": name, "compositeRequest": nodes}

    body = {"graphs": [graph("good", {"Name": "A"}), graph("bad", {"Name": "B"}, {})]}
    answer = sf.restful("composite/graph", method="POST", json=body)

    assert [(one["graphId"], one["isSuccessful"]) for one in answer["graphs"]] == [("good", True), ("bad", False)]
    assert [row["Name"] for row in org.rows("Account")] == ["A"]


def test_a_query_too_long_for_an_address_fits_into_a_body(door: Door, org: SalesforceOrg):
    sf = door.as_user(org.integration_id)
    found = leads(org, 700)
    listed = ",".join(f"'{one}'" for one in found)

    [answer] = composite(sf, query(f"SELECT Id FROM Lead WHERE Id IN ({listed})"))

    assert answer["body"]["totalSize"] == 700
