"""Pages, locators and the walk by stamp and id."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from simple_salesforce import Salesforce, SalesforceMalformedRequest

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door
from tests.sandbox.salesforce.people import LONG, add_field, ids, leads


def test_pages_hold_2000_rows_and_the_total_is_told_on_each(sf: Salesforce, org: SalesforceOrg):
    leads(org, 4_123)

    first = sf.query("SELECT Id FROM Lead")
    second = sf.query_more(first["nextRecordsUrl"], True)
    third = sf.query_more(second["nextRecordsUrl"], True)

    assert [len(page["records"]) for page in (first, second, third)] == [2_000, 2_000, 123]
    assert [page["done"] for page in (first, second, third)] == [False, False, True]
    assert {page["totalSize"] for page in (first, second, third)} == {4_123}
    assert first["nextRecordsUrl"].startswith("/services/data/v62.0/query/0r8")
    assert len({*ids(first), *ids(second), *ids(third)}) == 4_123


@pytest.mark.parametrize(("hint", "size"), [("200", 200), ("500", 500), ("50", 200), ("5000", 2_000)])
def test_a_batch_size_is_kept_between_200_and_2000(sf: Salesforce, org: SalesforceOrg, hint: str, size: int):
    leads(org, 2_100)

    page = sf.query("SELECT Id FROM Lead", headers={"Sforce-Query-Options": f"batchSize={hint}"})

    assert len(page["records"]) == size


@pytest.mark.parametrize(("fields", "size"), [("Long1__c", 300), ("Long1__c, Long2__c", 200)])
def test_two_custom_long_texts_make_pages_of_200(sf: Salesforce, org: SalesforceOrg, fields: str, size: int):
    add_field(org, "Long1__c", LONG)
    add_field(org, "Long2__c", LONG)
    leads(org, 300)

    assert len(sf.query(f"SELECT Id, {fields} FROM Lead")["records"]) == size


def test_page_sizes_can_be_irregular(sf: Salesforce, org: SalesforceOrg):
    leads(org, 10)
    org.act({"do": "set_page_sizes", "sizes": [3, 1]})

    page = sf.query("SELECT Id FROM Lead")
    sizes = [len(page["records"])]
    while not page["done"]:
        page = sf.query_more(page["nextRecordsUrl"], True)
        sizes.append(len(page["records"]))

    assert sizes == [3, 1, 3, 1, 2]


def test_a_locator_dies_of_age_and_belongs_to_its_user(door: Door, org: SalesforceOrg, clock: SandboxClock):
    leads(org, 2_001)
    sf, other = door.as_user(org.integration_id), door.as_user(org.admin_id)
    url = sf.query("SELECT Id FROM Lead")["nextRecordsUrl"]
    assert sf.query_more(url, True)["done"]

    org.act({"do": "set_locator_lifetime", "seconds": 600})
    clock.advance(timedelta(seconds=601))

    for client, locator in ((sf, url), (other, url), (sf, url.replace("-2000", "-x"))):
        with pytest.raises(SalesforceMalformedRequest) as refused:
            client.query_more(locator, True)
        assert refused.value.content[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_rows_that_go_between_pages_are_missing_and_changed_ones_show_the_new_value(sf: Salesforce, org: SalesforceOrg):
    found = leads(org, 2_003)
    first = sf.query("SELECT Id, Title FROM Lead ORDER BY Id")

    org.act({"do": "purge", "object": "Lead", "id": found[2_000]})
    org.act({"do": "delete", "object": "Lead", "id": found[2_001]})
    org.act({"do": "edit", "object": "Lead", "id": found[2_002], "fields": {"Title": "Changed"}})
    second = sf.query_more(first["nextRecordsUrl"], True)

    assert [record["Title"] for record in second["records"]] == ["Changed"]
    assert second["totalSize"] == 2_003


def walk(sf: Salesforce, size: int) -> list[str]:
    """Every lead, by the order of stamp and id."""
    after, found = "", []
    while True:
        page: Any = sf.query(
            f"SELECT Id, SystemModstamp FROM Lead {after} ORDER BY SystemModstamp ASC, Id ASC LIMIT {size}"
        )
        found += ids(page)
        if len(page["records"]) < size:
            return found
        last = page["records"][-1]
        stamp = last["SystemModstamp"].replace("+0000", "Z")
        after = f"WHERE (SystemModstamp = {stamp} AND Id > '{last['Id']}') OR SystemModstamp > {stamp}"


def test_given_5000_rows_in_one_second_when_walked_then_each_is_met_once(sf: Salesforce, org: SalesforceOrg):
    before = leads(org, 30, SystemModstamp="2026-11-01T00:00:00Z")
    tied = leads(org, 5_000)
    org.act({"do": "tie", "object": "Lead", "ids": tied, "at": "2026-11-20T08:00:00Z"})

    found = walk(sf, 2_000)

    assert sorted(found) == sorted([*before, *tied])


class Counting(dict[str, Any]):
    """Rows that count how often one of them is looked at."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counting.looks += 1
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        Counting.looks += 1
        return super().__getitem__(key)


@pytest.mark.parametrize(
    ("where", "returned"),
    [
        pytest.param("(SystemModstamp = {t} AND Id > '{id}') OR SystemModstamp > {t}", 100, id="keyset"),
        pytest.param("SystemModstamp >= {t}", 100, id="from-a-stamp"),
        pytest.param("Id IN ('{id}')", 1, id="by-id"),
        pytest.param("SystemModstamp >= {t} AND SystemModstamp < {t}", 0, id="empty-window"),
    ],
)
def test_a_page_costs_what_it_returns_however_many_rows_there_are(
    sf: Salesforce, org: SalesforceOrg, where: str, returned: int
):
    leads(org, 20_000, SystemModstamp="2026-11-01T00:00:00Z")
    tied = leads(org, 10_000, SystemModstamp="2026-11-20T00:00:00Z")
    table = org.store.table("Lead")
    table.rows = Counting(table.rows)
    Counting.looks = 0

    condition = where.format(t="2026-11-20T00:00:00Z", id=tied[9_000])
    page = sf.query(f"SELECT Id FROM Lead WHERE {condition} ORDER BY SystemModstamp, Id LIMIT 100")

    assert len(page["records"]) == returned
    assert Counting.looks <= 3 * returned + 3
