"""Salesforce JSON and record batches."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.salesforce.feeds import shape_of
from connectors.salesforce.wire import batch_of, fill_parents, quoted, update_of
from crm_sync.domain.records import Life, Tie
from crm_sync.domain.writes import Write
from crm_sync.errors import TransientError
from tests.connectors.salesforce.conversations import a_lead


def test_times_become_z_and_other_texts_stay():
    row = a_lead(
        1,
        Title="at 2026-11-02T08:15:04.000+0000",
        Seen__c="2026-11-02T08:15:04.120+0000",
        Birthday__c="2026-11-02",
        Score__c=87.0,
        IsUnreadByOwner=False,
        Phone=None,
    )

    [fields] = batch_of("Lead", shape_of("Lead"), [row]).fields

    assert fields["CreatedDate"] == "2026-11-02T08:15:04Z"
    assert fields["Seen__c"] == "2026-11-02T08:15:04.120Z"
    assert fields["Birthday__c"] == "2026-11-02"
    assert fields["Title"] == "at 2026-11-02T08:15:04.000+0000"
    assert fields["Score__c"] == 87
    assert fields["IsUnreadByOwner"] is False
    assert fields["Phone"] is None
    assert "attributes" not in fields


def test_stamps_are_aware_utc():
    batch = batch_of("Lead", shape_of("Lead"), [a_lead(1)])

    assert batch.stamps == [datetime(2026, 11, 22, 9, 15, 3, tzinfo=UTC)]
    assert batch.created == [datetime(2026, 11, 2, 8, 15, 4, tzinfo=UTC)]


def test_a_parent_is_flattened_and_a_null_parent_is_null_under_each_name():
    rows = [a_lead(1, Owner={"attributes": {"type": "Name"}, "Name": "R. Diaz"}), a_lead(2, Owner=None)]

    batch = batch_of("Lead", shape_of("Lead"), rows)
    fill_parents(batch, ["Owner.Name"])

    assert [fields["Owner.Name"] for fields in batch.fields] == ["R. Diaz", None]


@pytest.mark.parametrize(
    ("row", "life", "successor"),
    [
        pytest.param({}, Life.OPEN, "", id="open"),
        pytest.param({"IsDeleted": True}, Life.DELETED, "", id="deleted"),
        pytest.param({"IsDeleted": True, "MasterRecordId": "00Qm"}, Life.MERGED, "00Qm", id="merged"),
        pytest.param({"IsConverted": True, "ConvertedContactId": "003c"}, Life.CONVERTED, "003c", id="converted"),
        pytest.param(
            {"IsConverted": True, "ConvertedContactId": "003c", "IsDeleted": True}, Life.DELETED, "", id="both"
        ),
    ],
)
def test_the_life_of_a_lead(row: dict[str, object], life: Life, successor: str):
    batch = batch_of("Lead", shape_of("Lead"), [a_lead(1, **row)])

    assert (batch.lives, batch.successors) == ([life], [successor])


def a_row(**fields: object) -> dict[str, object]:
    at = "2026-11-22T09:15:03.000+0000"
    return {"Id": "x", "SystemModstamp": at, "CreatedDate": at, "IsDeleted": False, **fields}


@pytest.mark.parametrize(
    ("object", "row", "ties"),
    [
        pytest.param(
            "Task",
            {"WhoId": "00QSB0000000001AAA", "WhatId": "006SB0000000001AAA"},
            [("Lead", "00QSB0000000001AAA"), ("Opportunity", "006SB0000000001AAA")],
            id="task-of-a-lead",
        ),
        pytest.param("Event", {"WhoId": "003SB0000000001AAA", "WhatId": None}, [("Contact", "003SB0000000001AAA")]),
        pytest.param("Task", {"WhoId": None, "WhatId": "500SB0000000001AAA"}, [], id="of-a-case"),
        pytest.param("LeadHistory", {"LeadId": "00Q1"}, [("Lead", "00Q1")]),
        pytest.param("CampaignMember", {"LeadId": "00Q1", "ContactId": None}, [("Lead", "00Q1")]),
        pytest.param(
            "Contact", {"AccountId": "001a", "IndividualId": "0PKi"}, [("Account", "001a"), ("Individual", "0PKi")]
        ),
        pytest.param(
            "Opportunity",
            {
                "AccountId": "001a",
                "OpportunityContactRoles": {
                    "totalSize": 2,
                    "done": True,
                    "records": [
                        {"attributes": {}, "ContactId": "003c", "IsDeleted": False},
                        {"attributes": {}, "ContactId": "003d", "IsDeleted": True},
                    ],
                },
            },
            [("Account", "001a"), ("Contact", "003c")],
            id="opportunity-with-roles",
        ),
        pytest.param("Opportunity", {"AccountId": None, "OpportunityContactRoles": None}, [], id="opportunity-alone"),
    ],
)
def test_ties(object: str, row: dict[str, object], ties: list[tuple[str, str]]):
    batch = batch_of(object, shape_of(object), [a_row(**row)])

    assert batch.ties == [tuple(Tie(object=o, id=i) for o, i in ties)]
    assert "OpportunityContactRoles" not in batch.fields[0]


@pytest.mark.parametrize("broken", [{"Id": "00Q1"}, {"SystemModstamp": "soon"}, None, "row"], ids=repr)
def test_a_row_without_id_or_stamp_is_no_row(broken: object):
    row = a_row() | broken if isinstance(broken, dict) and "Id" not in broken else broken

    with pytest.raises(TransientError):
        batch_of("Lead", shape_of("Lead"), [row])


def test_a_literal_cannot_end_early():
    assert quoted("O'Brien\\") == r"'O\'Brien\\'"


def test_none_clears_and_absent_stays():
    write = Write(key="1", object="Lead", record_id="00Q1", fields={"Score__c": None, "Bucket__c": "A"})

    assert update_of(write) == {
        "attributes": {"type": "Lead"},
        "id": "00Q1",
        "Score__c": None,
        "Bucket__c": "A",
    }
