"""Up to 200 records a call, each with an answer of its own."""

from __future__ import annotations

from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceMalformedRequest

from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.people import SCORE, add_field, leads, update_all


@pytest.fixture
def scored(org: SalesforceOrg) -> list[str]:
    add_field(org, "Score__c", SCORE)
    return leads(org, 6)


def scores(org: SalesforceOrg, found: list[str]) -> list[Any]:
    return [(org.get("Lead", one) or {})["Score__c"] for one in found]


def test_one_bad_record_does_not_hold_back_the_others(
    sf: Salesforce, org: SalesforceOrg, scored: list[str], journal: Journal
):
    answer = update_all(sf, [{"id": one, "Score__c": 1000 if n == 2 else n} for n, one in enumerate(scored)])

    assert [result["success"] for result in answer] == [True, True, False, True, True, True]
    assert answer[0] == {"id": scored[0], "success": True, "errors": []}
    assert answer[2]["errors"][0]["statusCode"] == "NUMBER_OUTSIDE_VALID_RANGE"
    assert answer[2]["errors"][0]["fields"] == ["Score__c"]
    assert scores(org, scored) == [0.0, 1.0, None, 3.0, 4.0, 5.0]
    [call] = journal.calls
    assert (call.operation, call.object, call.records, call.counted) == ("collections.update", "Lead", 6, 1)


def test_all_or_none_rolls_the_innocent_back(sf: Salesforce, org: SalesforceOrg, scored: list[str], journal: Journal):
    records = [{"id": scored[0], "Score__c": 1}, {"id": scored[1], "Score__c": 1000}]

    answer = update_all(sf, records, all_or_none=True)

    codes = [result["errors"][0]["statusCode"] for result in answer]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "NUMBER_OUTSIDE_VALID_RANGE"]
    assert scores(org, scored[:2]) == [None, None]
    assert journal.writes == []


def test_a_field_that_is_hidden_refuses_the_whole_call(
    sf: Salesforce, org: SalesforceOrg, scored: list[str], journal: Journal
):
    org.act({"do": "set_field_security", "object": "Lead", "field": "Title", "user": org.integration_id, "read": False})

    with pytest.raises(SalesforceMalformedRequest) as refused:
        update_all(sf, [{"id": scored[0], "Score__c": 1}, {"id": scored[1], "Title": "x"}])

    assert refused.value.content[0]["errorCode"] == "INVALID_FIELD"
    assert scores(org, scored[:1]) == [None]
    assert journal.writes == []


def test_a_field_that_may_only_be_read_refuses_its_record(sf: Salesforce, org: SalesforceOrg, scored: list[str]):
    org.act({"do": "set_field_security", "object": "Lead", "field": "Title", "read": True, "edit": False})

    answer = update_all(sf, [{"id": scored[0], "Title": "x"}, {"id": scored[1], "Score__c": 1}])

    assert [result["success"] for result in answer] == [False, True]
    assert answer[0]["errors"][0]["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_gone_records_say_what_became_of_them(sf: Salesforce, org: SalesforceOrg, scored: list[str]):
    org.act({"do": "delete", "object": "Lead", "id": scored[0]})
    org.act({"do": "merge", "winner": scored[2], "losers": [scored[1]]})
    org.act({"do": "convert", "lead": scored[3]})
    org.act({"do": "purge", "object": "Lead", "id": scored[4]})

    answer = update_all(sf, [{"id": one, "Score__c": 1} for one in scored])

    codes = [result["errors"][0]["statusCode"] if result["errors"] else "" for result in answer]
    assert codes == [
        "ENTITY_IS_DELETED",
        "ENTITY_IS_DELETED",
        "",
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "INVALID_CROSS_REFERENCE_KEY",
        "",
    ]


@pytest.mark.parametrize(
    ("count", "code"), [pytest.param(200, None, id="200"), pytest.param(201, "EXCEEDED_ID_LIMIT", id="201")]
)
def test_200_records_are_the_limit(sf: Salesforce, org: SalesforceOrg, count: int, code: str | None):
    records = [{"id": one, "Title": "x"} for one in leads(org, count)]

    if code is None:
        assert all(result["success"] for result in update_all(sf, records))
    else:
        with pytest.raises(SalesforceMalformedRequest) as refused:
            update_all(sf, records)
        assert refused.value.content[0]["errorCode"] == code


def test_the_second_mention_of_a_record_is_refused(sf: Salesforce, scored: list[str], org: SalesforceOrg):
    answer = update_all(sf, [{"id": scored[0], "Score__c": 1}, {"id": scored[0][:15], "Score__c": 2}])

    assert [result["success"] for result in answer] == [True, False]
    assert scores(org, scored[:1]) == [1.0]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"records": []}, id="no-records"),
        pytest.param({"records": [{"id": "00QSB00000000012AA"}]}, id="no-type"),
        pytest.param([1], id="no-object"),
    ],
)
def test_a_malformed_body_is_refused_as_a_whole(sf: Salesforce, body: Any):
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.restful("composite/sobjects", method="PATCH", json=body)

    assert refused.value.content[0]["errorCode"] == "JSON_PARSER_ERROR"


def test_create_retrieve_upsert_and_delete(sf: Salesforce, org: SalesforceOrg):
    add_field(org, "Key__c", {"type": "Text", "length": 64, "externalId": True})
    new = [{"attributes": {"type": "Lead"}, "LastName": name, "Company": "C", "Key__c": name} for name in "ab"]

    created = sf.restful("composite/sobjects", method="POST", json={"records": new})
    made = [result["id"] for result in created]
    upserted = sf.restful(
        "composite/sobjects/Lead/Key__c",
        method="PATCH",
        json={"records": [{**new[0], "Title": "CEO"}, {**new[1], "Key__c": "c"}]},
    )
    found = sf.restful("composite/sobjects/Lead", params={"ids": ",".join([made[1], made[0]]), "fields": "Id,Title"})
    deleted = sf.restful("composite/sobjects", method="DELETE", params={"ids": made[0], "allOrNone": "false"})
    after = sf.restful("composite/sobjects/Lead", method="POST", json={"ids": made, "fields": ["LastName"]})

    assert [result["created"] for result in upserted] == [False, True]
    assert [(row["Id"], row["Title"]) for row in found] == [(made[1], None), (made[0], "CEO")]
    assert deleted == [{"id": made[0], "success": True, "errors": []}]
    assert after[0] is None
    assert after[1]["LastName"] == "b"
