"""Loading rows in bulk."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from simple_salesforce import Salesforce

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import Refusal, SalesforceOrg
from tests.sandbox.salesforce.people import ids


def test_what_a_row_does_not_say_is_derived(org: SalesforceOrg, journal: Journal):
    [lead] = org.seed("Lead", [{"LastName": "A", "Company": "C", "CreatedDate": datetime(2025, 3, 1, 8, tzinfo=UTC)}])

    row = org.get("Lead", lead)
    assert row is not None
    assert row["CreatedDate"] == row["LastModifiedDate"] == row["SystemModstamp"] == "2025-03-01T08:00:00.000+0000"
    assert (row["OwnerId"], row["Status"], row["IsConverted"]) == (org.admin_id, "Open - Not Contacted", False)
    assert journal.writes == []
    assert list(org.rows("LeadHistory")) == []


def test_rows_bring_their_own_ids_stamps_and_read_only_values(sf: Salesforce, org: SalesforceOrg):
    org.seed(
        "Lead",
        [
            {
                "Id": "00QPL0000000001AAA",
                "LastName": "A",
                "Company": "C",
                "IsConverted": True,
                "ConvertedDate": datetime(2026, 2, 3, tzinfo=UTC).date(),
                "CreatedDate": "2026-01-01T00:00:00Z",
                "LastModifiedDate": "2026-02-03T01:00:00+01:00",
                "SystemModstamp": "2026-02-04T00:00:00.000+0000",
            },
            {"Id": "00QPL0000000002AAA", "LastName": "B", "Company": "C", "IsDeleted": True},
        ],
    )

    [row] = sf.query("SELECT Id, ConvertedDate, LastModifiedDate, SystemModstamp FROM Lead")["records"]
    assert row["Id"] == "00QPL0000000001AAA"
    assert row["ConvertedDate"] == "2026-02-03"
    assert row["LastModifiedDate"] == "2026-02-03T00:00:00.000+0000"
    assert row["SystemModstamp"] == "2026-02-04T00:00:00.000+0000"
    assert len(ids(sf.query_all("SELECT Id FROM Lead", include_deleted=True))) == 2


def test_rows_with_a_known_key_take_the_place_of_the_orgs_own(sf: Salesforce, org: SalesforceOrg):
    org.seed("LeadStatus", [{"MasterLabel": "Qualified", "SortOrder": 2}])
    org.seed("Organization", [{"Name": "Globex", "IsSandbox": False}])

    values = next(f for f in sf.Lead.describe()["fields"] if f["name"] == "Status")["picklistValues"]
    assert "Qualified" in [value["value"] for value in values]
    [organization] = sf.query("SELECT Id, Name, IsSandbox FROM Organization")["records"]
    assert (organization["Id"], organization["Name"], organization["IsSandbox"]) == (org.org_id, "Globex", False)


def test_an_unknown_field_or_object_is_refused(org: SalesforceOrg):
    with pytest.raises(Refusal, match="No such column 'Nope'"):
        org.seed("Lead", [{"Nope": 1}])
    with pytest.raises(Refusal, match="'Nope' is not supported"):
        org.seed("Nope", [])


def test_the_same_history_gives_the_same_ids():
    def build() -> tuple[list[str], str]:
        org = SalesforceOrg(clock=SandboxClock(), journal=Journal(), seed=7)
        return org.seed("Lead", [{"LastName": "A", "Company": "C"}]), org.sessions.issue(org.integration_id)

    assert build() == build()


def test_ids_differ_by_case_alone_and_their_check_characters_tell(org: SalesforceOrg):
    found = org.seed("Lead", [{"LastName": "A", "Company": "C"}] * 62)

    upper, lower = found[9], found[35]
    assert (upper[14], lower[14]) == ("A", "a")
    assert upper[:14] == lower[:14]
    assert upper[15:] != lower[15:]


@pytest.mark.slow
def test_100_000_leads_load_in_seconds(org: SalesforceOrg):
    rows = ({"LastName": f"L{n}", "Company": "C", "CreatedDate": "2026-01-01T00:00:00Z"} for n in range(100_000))

    assert len(set(org.seed("Lead", rows))) == 100_000
