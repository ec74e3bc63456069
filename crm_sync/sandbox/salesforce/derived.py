"""Values that the org itself keeps in step with others when a row is saved; nobody can set them through the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row

Derivation = Callable[[Store, Row], Row]


def derived(store: Store, object: str, row: Row) -> Row:
    """The derived values of `row`, which may be without them still."""
    derivation = DERIVATIONS.get(object)
    return derivation(store, row) if derivation else {}


def _task(store: Store, row: Row) -> Row:
    closed = row.get("Status") == "Completed"
    completed = (row.get("CompletedDateTime") or row.get("LastModifiedDate") or store.now()) if closed else None
    return {
        "IsClosed": closed,
        "CompletedDateTime": completed,
        "IsHighPriority": row.get("Priority") == "High",
        "WhoCount": int(bool(row.get("WhoId"))),
        "WhatCount": int(bool(row.get("WhatId"))),
    }


def _event(_: Store, row: Row) -> Row:
    start = row.get("StartDateTime") or row.get("ActivityDateTime")
    return {
        "WhoCount": int(bool(row.get("WhoId"))),
        "WhatCount": int(bool(row.get("WhatId"))),
        "StartDateTime": start,
        "ActivityDateTime": start,
        "ActivityDate": row.get("ActivityDate") or (start[:10] if start else None),
    }


def _opportunity(store: Store, row: Row) -> Row:
    stages = store.table("OpportunityStage")
    stage = next((stages.rows[i] for i in stages.with_value("ApiName", row.get("StageName"))), None)
    if stage is None:
        return {}
    amount, probability = row.get("Amount"), row.get("Probability")
    if probability is None or stage.get("IsClosed"):
        probability = stage.get("DefaultProbability")
    return {
        "IsClosed": bool(stage.get("IsClosed")),
        "IsWon": bool(stage.get("IsWon")),
        "ForecastCategory": stage.get("ForecastCategory"),
        "Probability": probability,
        "ExpectedRevenue": None if amount is None else amount * (probability or 0.0) / 100,
    }


def _campaign_member(store: Store, row: Row) -> Row:
    person = row.get("ContactId") or row.get("LeadId")
    responded = _responded(store, row)
    first = row.get("FirstRespondedDate") or (store.now()[:10] if responded else None)
    found = store.find(person) if person else None
    name = " ".join(p for p in (found[1].get("FirstName"), found[1].get("LastName")) if p) if found else None
    return {
        "LeadOrContactId": person,
        "Type": "Contact" if row.get("ContactId") else "Lead",
        "Name": name,
        "HasResponded": responded,
        "FirstRespondedDate": first if responded else None,
    }


def _responded(store: Store, row: Row) -> bool:
    """What the campaign's own statuses say; without any, the two that every campaign starts with."""
    statuses = store.table("CampaignMemberStatus")
    of_campaign = [statuses.rows[i] for i in statuses.with_value("CampaignId", row.get("CampaignId"))]
    if not of_campaign:
        return row.get("Status") == "Responded"
    return any(s["Label"] == row.get("Status") and s.get("HasResponded") for s in of_campaign)


DERIVATIONS: dict[str, Derivation] = {
    "Task": _task,
    "Event": _event,
    "Opportunity": _opportunity,
    "CampaignMember": _campaign_member,
}


def label(store: Store, record_id: Any) -> Any:
    """How history shows an owner: by name."""
    found = store.find(record_id) if isinstance(record_id, str) else None
    if found is None:
        return record_id
    kind, row = found
    return store.read(kind.name, row, kind.field("Name")) if kind.find("Name") else record_id
