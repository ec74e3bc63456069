"""What queries find, show and refuse."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceMalformedRequest

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door
from tests.sandbox.salesforce.people import a_lead, add_field, ids, leads

COLOURS = {
    "type": "MultiselectPicklist",
    "label": "Colours",
    "valueSet": {"valueSetDefinition": {"value": [{"fullName": c} for c in ("red", "green", "blue")]}},
}


@pytest.fixture
def crowd(org: SalesforceOrg) -> dict[str, str]:
    """Six leads that differ in what conditions look at; their names to their ids."""
    add_field(org, "Colours__c", COLOURS)
    rows: list[dict[str, Any]] = [
        {"LastName": "Ant", "Email": "ANT@Example.com", "NumberOfEmployees": 5, "CreatedDate": "2026-11-22T08:00:00Z"},
        {"LastName": "Bee", "NumberOfEmployees": 50, "HasOptedOutOfEmail": True, "CreatedDate": "2026-11-21T08:00:00Z"},
        {"LastName": "Cat", "Title": "50% owner", "AnnualRevenue": 1e6, "CreatedDate": "2026-11-01T00:00:00Z"},
        {"LastName": "O'Dog", "Title": "a\\b", "Colours__c": "red;blue", "CreatedDate": "2026-10-01T00:00:00Z"},
        {"LastName": "Elk", "Industry": "Banking", "Colours__c": "green", "CreatedDate": "2025-11-22T00:00:00Z"},
        {"LastName": "Fox", "Industry": "Energy", "EmailBouncedDate": "2026-11-22T09:00:00Z",
         "CreatedDate": "2024-01-01T00:00:00Z"},
    ]  # fmt: skip
    found = org.seed("Lead", [{"Company": f"{row['LastName']} Inc", **row} for row in rows])
    return {row["LastName"]: one for row, one in zip(rows, found, strict=True)}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        pytest.param("LastName = 'ant'", "Ant", id="text-without-case"),
        pytest.param("Email = 'ant@example.com'", "Ant", id="email-without-case"),
        pytest.param("LastName = 'O\\'Dog'", "O'Dog", id="escaped-quote"),
        pytest.param("LastName LIKE '%o%'", "O'Dog Fox", id="like"),
        pytest.param("Title LIKE '50\\%%'", "Cat", id="like-escaped-wildcard"),
        pytest.param("LastName LIKE '_ee'", "Bee", id="like-one-character"),
        pytest.param("NumberOfEmployees > 5", "Bee", id="greater"),
        pytest.param("NumberOfEmployees >= 5 AND NumberOfEmployees < 50.0", "Ant", id="range"),
        pytest.param("NumberOfEmployees = null", "Cat O'Dog Elk Fox", id="null"),
        pytest.param("NumberOfEmployees != 5", "Bee Cat O'Dog Elk Fox", id="different-from-null-too"),
        pytest.param("HasOptedOutOfEmail = TRUE", "Bee", id="true"),
        pytest.param("HasOptedOutOfEmail = false AND Industry != null", "Elk Fox", id="false"),
        pytest.param("Industry IN ('Banking','Energy')", "Elk Fox", id="in"),
        pytest.param("Industry NOT IN ('Banking')", "Ant Bee Cat O'Dog Fox", id="not-in"),
        pytest.param("NOT (LastName = 'Ant' OR LastName = 'Bee')", "Cat O'Dog Elk Fox", id="not"),
        pytest.param("(LastName = 'Ant' OR LastName = 'Bee') AND NumberOfEmployees = 5", "Ant", id="parentheses"),
        pytest.param("Colours__c INCLUDES ('red;blue', 'green')", "O'Dog Elk", id="includes"),
        pytest.param("Colours__c EXCLUDES ('red')", "Ant Bee Cat Elk Fox", id="excludes"),
        pytest.param("CreatedDate = TODAY", "Ant", id="today"),
        pytest.param("CreatedDate = YESTERDAY", "Bee", id="yesterday"),
        pytest.param("CreatedDate = LAST_N_DAYS:21", "Ant Bee Cat", id="last-n-days"),
        pytest.param("CreatedDate < LAST_N_DAYS:21", "O'Dog Elk Fox", id="before-last-n-days"),
        pytest.param("CreatedDate = THIS_MONTH", "Ant Bee Cat", id="this-month"),
        pytest.param("CreatedDate = LAST_MONTH", "O'Dog", id="last-month"),
        pytest.param("CreatedDate < THIS_YEAR", "Elk Fox", id="before-this-year"),
        pytest.param("CALENDAR_YEAR(CreatedDate) = 2024", "Fox", id="year-of-a-date"),
        pytest.param("EmailBouncedDate = 2026-11-22T10:00:00+01:00", "Fox", id="offset"),
        pytest.param("EmailBouncedDate = 2026-11-22T09:00:00.987Z", "Fox", id="milliseconds-are-ignored"),
        pytest.param("Owner.Name = 'Ada Admin' AND LastName = 'Cat'", "Cat", id="parent"),
        pytest.param("Owner.Type = 'User' AND LastName = 'Cat'", "Cat", id="type-of-a-parent"),
        pytest.param("Lead.LastName = 'Cat'", "Cat", id="object-before-the-field"),
        pytest.param("Days_Since_Created__c = 1", "Bee", id="formula"),
    ],
)
def test_conditions(sf: Salesforce, crowd: dict[str, str], condition: str, found: str):
    answer = sf.query(f"SELECT Id, LastName FROM Lead WHERE {condition} ORDER BY CreatedDate DESC")

    assert " ".join(record["LastName"] for record in answer["records"]) == found


def test_days_begin_in_the_users_own_time_zone(sf: Salesforce, org: SalesforceOrg, crowd: dict[str, str]):
    org.act({"do": "set_user", "id": org.integration_id, "time_zone": "America/Los_Angeles"})

    answer = sf.query(
        "SELECT LastName FROM Lead WHERE CreatedDate = TODAY OR CreatedDate = YESTERDAY ORDER BY LastName"
    )

    # 08:00 UTC on the 22nd is midnight in Los Angeles; 08:00 UTC on the 21st begins the day before.
    assert [record["LastName"] for record in answer["records"]] == ["Ant", "Bee"]


def test_an_answer_has_the_shapes_of_the_rest_api(sf: Salesforce, org: SalesforceOrg):
    lead = a_lead(org, FirstName="Ana", AnnualRevenue=5, NumberOfEmployees=250, Country="DE", ConvertedDate=None)

    answer = sf.query(f"SELECT Id, Name, AnnualRevenue, NumberOfEmployees, IsConverted, Title, Address, CreatedDate, "
                      f"Owner.Name, Owner.Type, ConvertedContact.Id FROM Lead WHERE Id = '{lead[:15]}'")  # fmt: skip

    [record] = answer["records"]
    assert (answer["totalSize"], answer["done"], "nextRecordsUrl" in answer) == (1, True, False)
    assert record["attributes"] == {"type": "Lead", "url": f"/services/data/v62.0/sobjects/Lead/{lead}"}
    assert record["Name"] == "Ana Lead 0"
    assert repr(record["AnnualRevenue"]) == "5.0"
    assert repr(record["NumberOfEmployees"]) == "250"
    assert record["IsConverted"] is False
    assert record["Title"] is None
    assert record["Address"]["country"] == "DE"
    assert record["CreatedDate"] == "2026-11-22T12:00:00.000+0000"
    assert record["Owner"]["attributes"]["type"] == "Name"
    assert (record["Owner"]["Name"], record["Owner"]["Type"]) == ("Ada Admin", "User")
    assert record["ConvertedContact"] is None


def test_children_are_nested(sf: Salesforce, org: SalesforceOrg):
    lead, lonely = leads(org, 2)
    org.seed("Task", [{"WhoId": lead, "Subject": f"Call {n}", "Status": "Completed"} for n in range(3)])

    answer = sf.query("SELECT Id, (SELECT Subject FROM Tasks WHERE IsClosed = true ORDER BY Subject DESC LIMIT 2) "
                      "FROM Lead ORDER BY Id")  # fmt: skip

    [with_tasks, without] = answer["records"]
    assert [task["Subject"] for task in with_tasks["Tasks"]["records"]] == ["Call 2", "Call 1"]
    assert (with_tasks["Tasks"]["totalSize"], with_tasks["Tasks"]["done"]) == (2, True)
    assert without["Id"] == lonely
    assert without["Tasks"] is None


def test_polymorphic_parents_show_what_each_object_has(sf: Salesforce, org: SalesforceOrg):
    lead = a_lead(org, Company="Acme")
    [account] = org.seed("Account", [{"Name": "Big"}])
    [contact] = org.seed("Contact", [{"LastName": "C", "AccountId": account}])
    org.seed("Task", [{"WhoId": who, "Subject": s} for who, s in ((lead, "1"), (contact, "2"), (None, "3"))])

    answer = sf.query("SELECT Subject, Who.Type, TYPEOF Who WHEN Lead THEN Company WHEN Contact THEN Account.Name END "
                      "FROM Task ORDER BY Subject")  # fmt: skip

    shown = [record["Who"] for record in answer["records"]]
    assert shown[0]["Company"] == "Acme"
    assert shown[1]["Account"]["Name"] == "Big"
    assert shown[2] is None
    typed = sf.query("SELECT Subject FROM Task WHERE Who.Type = 'Lead'")
    assert [record["Subject"] for record in typed["records"]] == ["1"]


def test_semi_joins(sf: Salesforce, org: SalesforceOrg):
    [queue, team] = org.seed("Group", [{"Name": "Inbound", "Type": "Queue"}, {"Name": "Sales", "Type": "Regular"}])
    org.seed("QueueSobject", [{"QueueId": queue, "SobjectType": "Lead"}])

    answer = sf.query("SELECT Id, Name FROM Group WHERE Type='Queue' AND Id IN "
                      "(SELECT QueueId FROM QueueSobject WHERE SobjectType='Lead')")  # fmt: skip
    others = sf.query("SELECT Id FROM Group WHERE Id NOT IN (SELECT QueueId FROM QueueSobject)")

    assert ids(answer) == [queue]
    assert ids(others) == [team]


def test_aggregates(sf: Salesforce, org: SalesforceOrg):
    leads(org, 3, Industry="Banking", NumberOfEmployees=10)
    leads(org, 2, Industry="Energy", NumberOfEmployees=40)
    leads(org, 1)

    grouped = sf.query("SELECT Industry, COUNT(Id) n, SUM(NumberOfEmployees), MAX(CreatedDate) latest FROM Lead "
                       "GROUP BY Industry HAVING COUNT(Id) > 1 ORDER BY COUNT(Id) DESC")  # fmt: skip
    count = sf.query("SELECT COUNT() FROM Lead WHERE Industry = null")

    assert [{k: v for k, v in record.items() if k != "attributes"} for record in grouped["records"]] == [
        {"Industry": "Banking", "n": 3, "expr0": 30, "latest": "2026-11-22T12:00:00.000+0000"},
        {"Industry": "Energy", "n": 2, "expr0": 80, "latest": "2026-11-22T12:00:00.000+0000"},
    ]
    assert grouped["records"][0]["attributes"] == {"type": "AggregateResult"}
    assert (count["totalSize"], count["records"]) == (1, [])


@pytest.mark.parametrize(
    ("order", "names"),
    [
        pytest.param("NumberOfEmployees", "Cat O'Dog Elk Fox Ant Bee", id="nulls-first-by-default"),
        pytest.param("NumberOfEmployees DESC NULLS LAST", "Bee Ant Cat O'Dog Elk Fox", id="nulls-last"),
        pytest.param("HasOptedOutOfEmail DESC, LastName DESC", "Bee O'Dog Fox Elk Cat Ant", id="two-keys"),
        pytest.param("Industry NULLS LAST, LastName LIMIT 2", "Elk Fox", id="limit"),
        pytest.param("LastName LIMIT 2 OFFSET 4", "Fox O'Dog", id="offset"),
        pytest.param("SystemModstamp DESC LIMIT 1", "Ant", id="newest"),
    ],
)
def test_order(sf: Salesforce, crowd: dict[str, str], order: str, names: str):
    answer = sf.query(f"SELECT LastName FROM Lead ORDER BY {order}")

    assert " ".join(record["LastName"] for record in answer["records"]) == names


def test_query_hides_what_is_deleted_or_archived_and_query_all_shows_it(sf: Salesforce, org: SalesforceOrg):
    lead, gone = leads(org, 2)
    org.act({"do": "delete", "object": "Lead", "id": gone})
    [old] = org.seed("Task", [{"WhoId": lead, "Subject": "Old", "IsArchived": True}])

    assert ids(sf.query("SELECT Id FROM Lead")) == [lead]
    assert ids(sf.query_all("SELECT Id FROM Lead WHERE IsDeleted = true", include_deleted=True)) == [gone]
    assert ids(sf.query("SELECT Id FROM Task")) == []
    assert ids(sf.query_all("SELECT Id FROM Task", include_deleted=True)) == [old]


COLUMN, TYPE, SYNTAX = "INVALID_FIELD", "INVALID_TYPE", "MALFORMED_QUERY"
FILTER = "INVALID_QUERY_FILTER_OPERATOR"


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        pytest.param("SELECT Id FRM Lead", SYNTAX, "unexpected token", id="syntax"),
        pytest.param("SELECT Id FROM Lead WHERE A = 1 AND B = 2 OR C = 3", SYNTAX, "OR", id="mixed-and-or"),
        pytest.param("SELECT Nope FROM Lead", COLUMN, "No such column 'Nope' on entity 'Lead'", id="column"),
        pytest.param("SELECT Id FROM Nope", TYPE, "sObject type 'Nope' is not supported", id="type"),
        pytest.param("SELECT Boss.Name FROM Lead", COLUMN, "understand relationship 'Boss'", id="parent"),
        pytest.param("SELECT (SELECT Id FROM Pets) FROM Lead", TYPE, "relationship 'Pets'", id="children"),
        pytest.param("SELECT Id FROM Lead WHERE Description = 'x'", COLUMN, "not be filtered", id="long-text"),
        pytest.param("SELECT Id FROM Lead ORDER BY Description", COLUMN, "not be sorted", id="sort-long-text"),
        pytest.param("SELECT Id FROM LeadHistory WHERE NewValue = 'x'", COLUMN, "filtered", id="history-values"),
        pytest.param(
            "SELECT Id FROM Lead WHERE CreatedDate > '2026-01-01T00:00:00Z'",
            COLUMN,
            "must be of type dateTime and should not be enclosed in quotes",
            id="quoted-datetime",
        ),
        pytest.param("SELECT Id FROM Lead WHERE CreatedDate > 2026-01-01", COLUMN, "dateTime", id="date-for-time"),
        pytest.param("SELECT Id FROM Lead WHERE IsConverted = 'true'", COLUMN, "boolean", id="quoted-boolean"),
        pytest.param("SELECT Id FROM Lead WHERE Id = 'abc'", FILTER, "invalid ID", id="bad-id"),
        pytest.param(
            "SELECT Id FROM Lead WHERE CreatedDate LIKE '2%'", FILTER, "invalid operator", id="like-of-a-time"
        ),
        pytest.param("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000", id="offset"),
        pytest.param("SELECT Id, COUNT(Id) FROM Lead", SYNTAX, "grouped or aggregated", id="ungrouped"),
        pytest.param("SELECT Id FROM Lead WHERE CreatedDate = NEXT_FORTNIGHT", SYNTAX, "FORTNIGHT", id="no-such-day"),
        pytest.param("SELECT Id FROM CustomField", TYPE, "CustomField", id="tooling-object"),
    ],
)
def test_refusals(sf: Salesforce, soql: str, code: str, words: str):
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.query(soql)

    [error] = refused.value.content
    assert error["errorCode"] == code
    assert words in error["message"]


def test_an_error_points_into_the_query(sf: Salesforce):
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.query("SELECT Id, Nope FROM Lead")

    assert refused.value.content[0]["message"].startswith(
        "\nSELECT Id, Nope FROM Lead\n           ^\nERROR at Row:1:Column:12\nNo such column 'Nope'"
    )


def test_a_formula_drifts_without_a_stamp(door: Door, org: SalesforceOrg, clock: SandboxClock):
    a_lead(org)
    soql = "SELECT Days_Since_Created__c, SystemModstamp FROM Lead"
    [before] = door.as_user(org.integration_id).query(soql)["records"]

    clock.advance(timedelta(days=2))
    [after] = door.as_user(org.integration_id).query(soql)["records"]

    assert (before["Days_Since_Created__c"], after["Days_Since_Created__c"]) == (0.0, 2.0)
    assert before["SystemModstamp"] == after["SystemModstamp"]


def test_an_object_that_the_user_may_not_read_is_unknown(door: Door, org: SalesforceOrg):
    limited = door.as_user(org.limited_id)

    with pytest.raises(SalesforceMalformedRequest) as refused:
        limited.query("SELECT Id FROM Opportunity")

    assert refused.value.content[0]["errorCode"] == "INVALID_TYPE"
