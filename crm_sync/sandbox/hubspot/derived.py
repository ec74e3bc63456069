"""Properties that the portal works out from others when these are written.

They change in the same moment as what they follow from; none of them moves a stamp by itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from crm_sync.sandbox.hubspot.stamps import iso, parse_ms
from crm_sync.sandbox.hubspot.values import number

if TYPE_CHECKING:
    from crm_sync.sandbox.hubspot.portal import HubSpotPortal
    from crm_sync.sandbox.hubspot.records import Record, Table

Values = dict[str, str | None]


def derived_values(
    portal: HubSpotPortal, table: Table, record: Record, changed: Collection[str], at: int, *, loading: bool = False
) -> Values:
    """What follows from `changed` properties.

    While loading, what a row says itself isn't overruled, and no moment is made up.
    """
    found: Values = {}
    if "hubspot_owner_id" in changed:
        found |= _owner(portal, record, at)
    if "email" in changed and table.type.name == "contacts":
        found["hs_email_domain"] = record.properties.get("email", "").partition("@")[2].lower() or None
    if "lifecyclestage" in changed and table.type.name == "contacts":
        found |= _stage_date(record, at)
    if changed and table.type.name == "deals":
        found |= _deal(portal, record, changed, at)
    if loading:
        return {n: value for n, value in found.items() if n not in record.properties and "date" not in n}
    known = portal.schema.properties[table.type.name]
    return {name: v for name, v in found.items() if name in known and record.properties.get(name) != v}


def read_time_value(table: Table, record: Record, name: str, now: int) -> str | None:
    """A value that is calculated whenever it is read: how long a contact has been in a stage, in milliseconds."""
    entered = record.properties.get(f"hs_lifecyclestage_{name.removeprefix('hs_time_in_')}_date")
    since = parse_ms(entered) if entered else None
    return None if since is None or table.type.name != "contacts" else str(max(0, now - since))


def activity_values(record: Record, engagement: Record, kind: str) -> Values:
    """What logging an engagement changes on the record that it belongs to."""
    at = parse_ms(engagement.properties.get("hs_timestamp") or engagement.created) or engagement.created
    found = {
        "notes_last_updated": _latest(record, "notes_last_updated", at),
        "num_notes": _one_more(record, "num_notes"),
    }
    if kind in ("emails", "calls", "meetings", "communications"):
        found["notes_last_contacted"] = _latest(record, "notes_last_contacted", at)
        found["num_contacted_notes"] = _one_more(record, "num_contacted_notes")
    return dict(found)


def _owner(portal: HubSpotPortal, record: Record, at: int) -> Values:
    owner = record.properties.get("hubspot_owner_id")
    return {
        "hubspot_owner_assigneddate": iso(at) if owner else None,
        "hs_all_owner_ids": owner,
        "hubspot_team_id": portal.owners.primary_team(owner) if owner else None,
    }


def _stage_date(record: Record, at: int) -> Values:
    stage = record.properties.get("lifecyclestage")
    if not stage:
        return {}
    names = (f"hs_lifecyclestage_{stage}_date", f"hs_v2_date_entered_{stage}")
    return {name: iso(at) for name in names if name not in record.properties}


def _deal(portal: HubSpotPortal, record: Record, changed: Collection[str], at: int) -> Values:
    found: Values = {}
    if "dealstage" in changed:
        stage = portal.pipelines.stage("deals", record.properties.get("dealstage", ""))
        probability = stage["metadata"].get("probability", "0.0") if stage else None
        closed = stage is not None and stage["metadata"].get("isClosed") == "true"
        found |= {
            "hs_is_closed": str(closed).lower(),
            "hs_is_closed_won": str(closed and probability == "1.0").lower(),
            "hs_deal_stage_probability": probability,
        }
        if stage and f"hs_v2_date_entered_{stage['id']}" not in record.properties:
            found[f"hs_v2_date_entered_{stage['id']}"] = iso(at)
    if "amount" in changed:
        found["amount_in_home_currency"] = record.properties.get("amount")
    return found


def _latest(record: Record, name: str, at: int) -> str:
    before = record.properties.get(name)
    return iso(max(at, parse_ms(before) or at if before else at))


def _one_more(record: Record, name: str) -> str:
    return str(int(number(record.properties.get(name)) or 0) + 1)
