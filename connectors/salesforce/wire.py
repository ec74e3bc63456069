"""Salesforce JSON to record batches, and writes to Salesforce JSON. Pure: no call is made here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.salesforce.feeds import KEY_PREFIXES, Shape
from crm_sync.domain.records import Life, RecordBatch, Tie, Value
from crm_sync.domain.writes import Write
from crm_sync.errors import TransientError

_ROLES = "OpportunityContactRoles"


def moment(text: str) -> datetime:
    """`2026-11-22T09:15:03.000+0000` or the same with `Z`, as aware UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def literal(at: datetime) -> str:
    """A time as SOQL wants it: never quoted, whole seconds (comparison ignores the rest)."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


A_TIME = len("2026-11-22T12:00:00.000+0000")


def quoted(text: str) -> str:
    """Text as a SOQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def id_key(id: str) -> str:
    """The 15 characters that tell records apart; ids come with 15 or 18, the rest repeats their case."""
    return id[:15]


def batch_of(object: str, shape: Shape, rows: Iterable[Mapping[str, Any]]) -> RecordBatch:
    """Rows of a query as a batch. A row without id or stamp is no row: TransientError."""
    batch = RecordBatch(object=object)
    try:
        for row in rows:
            life, successor = life_of(row)
            batch.ids.append(row["Id"])
            batch.stamps.append(moment(row[shape.stamp]))
            batch.created.append(moment(row["CreatedDate"]))
            batch.fields.append(flat(row))
            batch.lives.append(life)
            batch.successors.append(successor)
            batch.ties.append(ties_of(row, shape))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TransientError(
            f"A row of {object} came without id or stamp; it is read again.", code="garbage"
        ) from error
    return batch


def life_of(row: Mapping[str, Any]) -> tuple[Life, str]:
    """What became of the record, and the id that lives on.

    A merged record is deleted and names its master; a converted lead stays and names its contact
    (SOAP API guide, merge(); Object Reference, Lead).
    """
    if row.get("IsDeleted"):
        master = row.get("MasterRecordId") or ""
        return (Life.MERGED, master) if master else (Life.DELETED, "")
    if row.get("IsConverted"):
        return Life.CONVERTED, row.get("ConvertedContactId") or ""
    return Life.OPEN, ""


def ties_of(row: Mapping[str, Any], shape: Shape) -> tuple[Tie, ...]:
    found = []
    for field, object in shape.ties:
        if id := row.get(field):
            kind = object or KEY_PREFIXES.get(id[:3], "")
            if kind:
                found.append(Tie(object=kind, id=id))
    for role in (row.get(_ROLES) or {}).get("records", ()):
        if role.get("ContactId") and not role.get("IsDeleted"):
            found.append(Tie(object="Contact", id=role["ContactId"]))
    return tuple(found)


def flat(row: Mapping[str, Any]) -> dict[str, Value]:
    """The row's own values; fields of a parent under their dotted name, child rows left out."""
    fields: dict[str, Value] = {}
    for name, value in row.items():
        kind = type(value)
        if kind is str:
            fields[name] = iso(value) if len(value) == A_TIME else value
        elif kind is not dict:
            fields[name] = value
        elif name != "attributes" and "records" not in value:
            fields |= {f"{name}.{key}": inner for key, inner in flat(value).items()}
    fields.pop(_ROLES, None)
    return fields


def iso(text: str) -> str:
    """A time in ISO 8601 with `Z`; any other text as it is."""
    if len(text) == A_TIME and text.endswith("+0000") and text[10] == "T":
        return text[:19] + ("Z" if text[19:23] == ".000" else text[19:23] + "Z")
    return text


def fill_parents(batch: RecordBatch, asked: Sequence[str]) -> None:
    """A null parent hides the dotted fields that were asked of it: they are null, not absent."""
    dotted = [(name, name.partition(".")[0]) for name in asked if "." in name]
    if not dotted:
        return
    for fields in batch.fields:
        for name, parent in dotted:
            if parent in fields and fields[parent] is None:
                fields.setdefault(name, None)


def update_of(write: Write) -> dict[str, Any]:
    """One element of a collection update. `null` clears, an absent field stays (REST guide, sObject Collections)."""
    return {"attributes": {"type": write.object}, "id": write.record_id, **write.fields}
