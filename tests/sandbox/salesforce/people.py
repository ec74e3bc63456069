"""Rows that are valid by default, so that a test says only what matters to it."""

from __future__ import annotations

from typing import Any

from simple_salesforce import Salesforce

from crm_sync.sandbox.salesforce import SalesforceOrg

SCORE = {"type": "Number", "label": "Score", "precision": 3, "scale": 0}
BUCKET = {
    "type": "Picklist",
    "label": "Bucket",
    "valueSet": {
        "restricted": True,
        "valueSetDefinition": {"sorted": False, "value": [{"fullName": name} for name in "ABCD"]},
    },
}
LONG = {"type": "LongTextArea", "label": "Long", "length": 32768, "visibleLines": 4}


def a_lead(org: SalesforceOrg, **fields: Any) -> str:
    return leads(org, 1, **fields)[0]


def leads(org: SalesforceOrg, count: int, **fields: Any) -> list[str]:
    start = sum(1 for _ in org.rows("Lead"))
    return org.seed(
        "Lead",
        [
            {"LastName": f"Lead {n}", "Company": f"Company {n}", "Email": f"lead{n}@example.com", **fields}
            for n in range(start, start + count)
        ],
    )


def add_field(org: SalesforceOrg, name: str, metadata: dict[str, Any], object: str = "Lead") -> None:
    org.act({"do": "add_field", "object": object, "name": name, "metadata": metadata})


def ids(answer: Any) -> list[str]:
    return [record["Id"] for record in answer["records"]]


def update_all(sf: Salesforce, records: list[dict[str, Any]], *, all_or_none: bool = False, type: str = "Lead") -> Any:
    """One collections call."""
    body = {"allOrNone": all_or_none, "records": [{"attributes": {"type": type}, **record} for record in records]}
    return sf.restful("composite/sobjects", method="PATCH", json=body)
