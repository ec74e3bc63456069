"""Saves that are seen late, stamps that system jobs move, and the resources that tell what is complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceMalformedRequest

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.people import a_lead, ids, leads, update_all


def titles(sf: Salesforce) -> list[tuple[str | None, str]]:
    found = sf.query("SELECT Title, SystemModstamp FROM Lead ORDER BY Id")["records"]
    return [(record["Title"], record["SystemModstamp"][11:19]) for record in found]


def test_given_a_late_commit_when_it_becomes_visible_then_its_stamp_is_that_of_the_save(
    sf: Salesforce, org: SalesforceOrg, clock: SandboxClock
):
    lead, other = leads(org, 2)
    clock.advance(timedelta(seconds=10))

    org.act(
        {"do": "late_commit", "object": "Lead", "id": lead, "fields": {"Title": "Late"}, "visible_after_seconds": 5}
    )
    clock.advance(timedelta(seconds=3))
    org.act({"do": "edit", "object": "Lead", "id": other, "fields": {"Title": "Prompt"}})

    assert titles(sf) == [(None, "12:00:00"), ("Prompt", "12:00:13")]
    clock.advance(timedelta(seconds=2))
    assert titles(sf) == [("Late", "12:00:10"), ("Prompt", "12:00:13")]


def test_a_lead_created_in_an_open_transaction_is_not_there_yet(
    sf: Salesforce, org: SalesforceOrg, clock: SandboxClock
):
    new = {"LastName": "New", "Company": "C"}
    org.act({"do": "late_commit", "object": "Lead", "fields": new, "visible_after_seconds": 60})

    assert ids(sf.query("SELECT Id FROM Lead")) == []
    clock.advance(timedelta(seconds=60))
    [record] = sf.query("SELECT CreatedDate FROM Lead")["records"]
    assert record["CreatedDate"] == "2026-11-22T12:00:00.000+0000"


def test_a_row_in_an_open_transaction_is_locked(sf: Salesforce, org: SalesforceOrg, clock: SandboxClock):
    lead = a_lead(org)
    org.act({"do": "late_commit", "object": "Lead", "id": lead, "fields": {"Title": "L"}, "visible_after_seconds": 60})

    [locked] = update_all(sf, [{"id": lead, "Title": "Ours"}])
    clock.advance(timedelta(seconds=60))
    [free] = update_all(sf, [{"id": lead, "Title": "Ours"}])

    assert locked["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert free["success"]


def test_updated_is_complete_up_to_the_oldest_open_transaction(sf: Salesforce, org: SalesforceOrg, clock: SandboxClock):
    first, second = leads(org, 2)
    clock.advance(timedelta(minutes=5))
    org.act(
        {"do": "late_commit", "object": "Lead", "id": first, "fields": {"Title": "L"}, "visible_after_seconds": 300}
    )
    clock.advance(timedelta(minutes=2))
    org.act({"do": "edit", "object": "Lead", "id": second, "fields": {"Title": "P"}})
    clock.advance(timedelta(minutes=1))

    def updated() -> Any:
        return sf.Lead.updated(datetime(2026, 11, 22, 12, 4, 30, tzinfo=UTC), clock.now())

    assert updated() == {"ids": [second], "latestDateCovered": "2026-11-22T12:05:00.000+0000"}
    clock.advance(timedelta(minutes=2))
    assert updated() == {"ids": [first, second], "latestDateCovered": "2026-11-22T12:10:00.000+0000"}


@pytest.mark.parametrize(
    ("start", "length"),
    [
        pytest.param(timedelta(seconds=30), timedelta(seconds=20), id="under-a-minute"),
        pytest.param(timedelta(days=31), timedelta(days=1), id="over-30-days-ago"),
    ],
)
def test_spans_that_replication_refuses(sf: Salesforce, clock: SandboxClock, start: timedelta, length: timedelta):
    begin = clock.now() - start

    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.Lead.updated(begin, begin + length)

    assert refused.value.content[0]["errorCode"] == "INVALID_REPLICATION_DATE"


def test_deleted_tells_how_far_back_it_reaches(sf: Salesforce, org: SalesforceOrg, clock: SandboxClock):
    lead, back = leads(org, 2)
    org.act({"do": "delete", "object": "Lead", "ids": [lead, back]})
    org.act({"do": "undelete", "object": "Lead", "id": back})
    clock.advance(timedelta(minutes=5))

    answer = sf.Lead.deleted(clock.now() - timedelta(hours=1), clock.now())

    assert answer == {
        "deletedRecords": [{"id": lead, "deletedDate": "2026-11-22T12:00:00.000+0000"}],
        "earliestDateAvailable": "2026-11-07T12:05:00.000+0000",
        "latestDateCovered": "2026-11-22T12:05:00.000+0000",
    }


def test_a_system_job_moves_the_system_stamp_alone(sf: Salesforce, org: SalesforceOrg, clock: SandboxClock):
    some, others = leads(org, 3, Industry="Banking"), leads(org, 2)
    clock.advance(timedelta(hours=1))

    touched = org.act({"do": "restamp", "object": "Lead", "where": "Industry = 'Banking'"})

    assert touched == {"count": 3}
    soql = "SELECT Id FROM Lead WHERE SystemModstamp = 2026-11-22T13:00:00Z AND LastModifiedDate < 2026-11-22T13:00:00Z"
    assert sorted(ids(sf.query(soql))) == sorted(some)
    assert not set(others) & set(some)


def test_an_edit_can_be_stamped_by_a_slow_clock(sf: Salesforce, org: SalesforceOrg):
    lead = a_lead(org)

    org.act({"do": "edit", "object": "Lead", "id": lead, "fields": {"Title": "x"}, "at": "2026-11-22T11:58:00Z"})

    assert titles(sf) == [("x", "11:58:00")]


def test_answers_carry_the_time_of_the_orgs_own_clock(sf: Salesforce, clock: SandboxClock):
    answer = sf.session.get(f"https://{sf.sf_instance}/services/data/")

    assert parsedate_to_datetime(answer.headers["Date"]) == clock.now()
