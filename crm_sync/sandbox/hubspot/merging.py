"""Records that become one, and people who are erased.

A merge makes a new record; both originals vanish without ever showing as archived, and their ids lead to the
survivor in single reads and writes only. Source: HubSpot merge and GDPR guides; changelog on merge ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.authors import MERGER, PORTAL, Author
from crm_sync.sandbox.hubspot.records import Record, Table
from crm_sync.sandbox.hubspot.stamps import iso
from crm_sync.sandbox.hubspot.writing import follow_primary

if TYPE_CHECKING:
    from crm_sync.sandbox.hubspot.portal import HubSpotPortal

MOST_MERGED = 250
_CONTENTS = ("_text", "_html", "_body", "_subject", "_title", "_headers", "_from_email", "_to_email", "_number")


def merge(portal: HubSpotPortal, table: Table, primary: Record, secondary: Record, at: int) -> Record:
    """Make one record of two: the primary's values win, the secondary fills its gaps. Raises Refusal."""
    if primary.id == secondary.id:
        raise refusals.invalid("A record can't be merged with itself.")
    merged_ids = _merged_ids(primary) + _merged_ids(secondary)
    if len(merged_ids) > MOST_MERGED:
        raise refusals.invalid(f"Too many merges: a record can stand for at most {MOST_MERGED} others.")
    survivor = _joined(primary, secondary, portal.numbers.next(), at)
    survivor.properties["hs_merged_object_ids"] = ";".join(map(str, merged_ids))
    if table.type.name == "contacts":
        stamps = [primary.properties.get("hs_calculated_merged_vids"), f"{primary.id}:{at}", f"{secondary.id}:{at}"]
        survivor.properties["hs_calculated_merged_vids"] = ";".join(filter(None, stamps))
    table.index.about_to_change(survivor, new=True)
    for original in (primary, secondary):
        table.remove(original)
        portal.associations.move(table.type.name, original.id, survivor.id)
    table.add(survivor)
    _point_to(table, merged_ids, survivor.id)
    _note(portal, table, primary, survivor)
    table.index.changed(survivor, at)
    _follow_companies(portal, table, survivor, at)
    return survivor


def erase(portal: HubSpotPortal, contact: Record, at: int) -> None:
    """Delete a person for good: record, history, ties, and what their activities said. The address is block-listed."""
    table = portal.tables["contacts"]
    email = contact.properties.get("email")
    if email:
        portal.blocked_emails.add(email.lower())
    for partner, id in list(portal.associations.all_of("contacts", contact.id)):
        other = portal.tables[partner].rows.get(id)
        if other is not None and portal.tables[partner].type.is_engagement:
            _empty(portal, portal.tables[partner], other, at)
    portal.associations.forget("contacts", contact.id)
    for old in [old for old, new in table.aliases.items() if new == contact.id]:
        del table.aliases[old]
    table.remove(contact)


def _merged_ids(record: Record) -> list[int]:
    earlier = record.properties.get("hs_merged_object_ids", "")
    return [*(int(id) for id in earlier.split(";") if id), record.id]


def _joined(primary: Record, secondary: Record, id: int, at: int) -> Record:
    created = min(primary.created, secondary.created)
    survivor = Record(id, {**secondary.properties, **primary.properties}, created, at)
    survivor.history = _joined_history(primary, secondary, at)
    return survivor


def _joined_history(primary: Record, secondary: Record, at: int) -> dict[str, list[dict[str, Any]]]:
    """The primary's histories, and a version for what the secondary brought along."""
    histories = {name: list(versions) for name, versions in (primary.history or {}).items()}
    for name, value in secondary.properties.items():
        if name not in primary.properties:
            brought = {"value": value, "timestamp": iso(at), "sourceType": MERGER, "sourceId": str(secondary.id)}
            histories[name] = [brought, *(secondary.history or {}).get(name, ())]
    return histories


def _point_to(table: Table, old_ids: list[int], survivor: int) -> None:
    for old in old_ids:
        table.aliases[old] = survivor


def _note(portal: HubSpotPortal, table: Table, primary: Record, survivor: Record) -> None:
    by = Author(source_type=MERGER, source_id=str(primary.id), actor="portal")
    for name, value in survivor.properties.items():
        before = primary.properties.get(name)
        if before != value:
            portal.note_write(table, survivor, name, before, value, by)


def _follow_companies(portal: HubSpotPortal, table: Table, survivor: Record, at: int) -> None:
    name = table.type.name
    if name == "contacts":
        follow_primary(portal, ("contacts", "companies"), survivor.id, 0, at)
    if name == "companies":
        for contact in list(portal.associations.of(("companies", "contacts"), survivor.id)):
            follow_primary(portal, ("contacts", "companies"), contact, survivor.id, at)


def _empty(portal: HubSpotPortal, table: Table, engagement: Record, at: int) -> None:
    table.index.about_to_change(engagement)
    for name in [n for n in engagement.properties if n.endswith(_CONTENTS)]:
        portal.note_write(table, engagement, name, engagement.properties[name], None, PORTAL)
        del engagement.properties[name]
        (engagement.history or {}).pop(name, None)
    engagement.modified = at
    table.index.changed(engagement, at)
