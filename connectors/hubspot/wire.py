"""HubSpot's JSON to CRM records, and our values to HubSpot's text. Pure: no calls.

All property values travel as text; the declared type of a property says what the text means, and now and then the
text breaks its promise. What can't be read becomes nothing, never an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from crm_sync.domain.fields import Catalogue, FieldType
from crm_sync.domain.records import Life, RecordBatch, Tie, Value
from crm_sync.errors import TransientError

MERGED_IDS = "hs_merged_object_ids"
COMPANY_OF_CONTACT = "associatedcompanyid"

_EPOCH_MS = re.compile(r"-?\d{9,}(?:\.\d+)?(?:[eE]\+?\d+)?|-?\d\.\d+[eE]\+?\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

Reader = Callable[[str], Value]

_MERGING = frozenset({"contacts", "companies", "deals", "tickets"})


def asked_of(object: str, fields: Iterable[str]) -> list[str]:
    """The properties to ask for: `fields`, and what a record's ties and life are read from."""
    company = [COMPANY_OF_CONTACT] if object == "contacts" else []
    merged = [MERGED_IDS] if object in _MERGING else []
    return list(dict.fromkeys([*fields, *company, *merged]))


def rows_of(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a list, search or batch; a body without them is garbage, not an empty answer."""
    rows = told.get("results")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("id") for row in rows):
        raise TransientError("HubSpot's answer can't be read: it lists no results.", code="garbage")
    return rows


def stamp_property(object: str) -> str:
    """The property by which changes of `object` are followed.

    Contacts have an `hs_lastmodifieddate` too, hidden and mostly empty: following it finds nothing, without an error.
    Source: HubSpot CRM search guide; airbyte source-hubspot 6.13.2.
    """
    return "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"


def moment(text: object) -> datetime | None:
    """A time as HubSpot writes it, ISO 8601 or milliseconds since 1970; None where it is neither."""
    if not isinstance(text, str) or not text:
        return None
    try:
        if text[4:5] != "-" and _EPOCH_MS.fullmatch(text):
            return datetime.fromtimestamp(float(text) / 1000, UTC)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    if found.tzinfo is UTC:
        return found
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def milliseconds(at: datetime) -> int:
    """A moment as search filters take it; a millisecond is HubSpot's resolution."""
    return round(at.timestamp() * 1000)


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RowReader:
    """Turns rows of one object, as list, search and batch read give them, into a RecordBatch with `fields`."""

    def __init__(self, object: str, fields: Sequence[str], catalogue: Catalogue) -> None:
        self.object = object
        self._fields = list(dict.fromkeys(fields))
        self._stamp = stamp_property(object)
        typed = {name: _READERS.get(catalogue[name].type) for name in self._fields if name in catalogue}
        self._readers = [(name, reader) for name, reader in typed.items() if reader is not None]

    def batch(self, rows: Iterable[Mapping[str, Any]]) -> RecordBatch:
        """The rows in their order; each survivor of a merge is followed by one entry for every record it absorbed.

        Merged records vanish from lists and searches without showing up as archived: the survivor's list of old ids
        is the only word about them. Their entries have no fields and the survivor's stamp.
        """
        batch = RecordBatch(object=self.object)
        for row in rows:
            self.add(batch, row)
            survivor, stamp, created = batch.ids[-1], batch.stamps[-1], batch.created[-1]
            for old in old_ids(row["properties"]):
                if old != survivor:
                    append(batch, old, stamp=stamp, created=created, life=Life.MERGED, successor=survivor)
        return batch

    def add(self, batch: RecordBatch, row: Mapping[str, Any]) -> None:
        """One row, without the records that it absorbed."""
        try:
            id, properties = row["id"], row["properties"]
            stamp = moment(properties.get(self._stamp)) or moment(row.get("updatedAt"))
            created = moment(row.get("createdAt")) or moment(properties.get("createdate")) or stamp
        except (KeyError, TypeError, AttributeError) as cause:
            raise TransientError("HubSpot's answer can't be read: a row lacks its id.", code="garbage") from cause
        if stamp is None or created is None or not isinstance(id, str):
            raise TransientError("HubSpot's answer can't be read: a row lacks its stamp.", code="garbage")
        append(batch, id, stamp=stamp, created=created, fields=self.values(properties), ties=self._ties(properties))

    def values(self, properties: Mapping[str, Any]) -> dict[str, Value]:
        """The fields asked for, by type. HubSpot's two spellings of empty, null and "", both become None."""
        found: dict[str, Value] = {name: properties[name] or None for name in self._fields if name in properties}
        for name, reader in self._readers:
            text = found.get(name)
            if text is not None:
                found[name] = reader(str(text))
        return found

    def _ties(self, properties: Mapping[str, Any]) -> tuple[Tie, ...]:
        if self.object != "contacts":
            return ()
        company = properties.get(COMPANY_OF_CONTACT)
        return (Tie(object="companies", id=str(company)),) if company else ()


def append(
    batch: RecordBatch,
    id: str,
    *,
    stamp: datetime,
    created: datetime,
    fields: dict[str, Value] | None = None,
    life: Life = Life.OPEN,
    successor: str = "",
    ties: tuple[Tie, ...] = (),
) -> None:
    """One more entry in each of the batch's columns."""
    batch.ids.append(id)
    batch.stamps.append(stamp)
    batch.created.append(created)
    batch.fields.append(fields if fields is not None else {})
    batch.lives.append(life)
    batch.successors.append(successor)
    batch.ties.append(ties)


def old_ids(properties: Mapping[str, Any]) -> list[str]:
    """The records that were merged into this one."""
    text = properties.get(MERGED_IDS)
    return [old for part in str(text).split(";") if (old := part.strip())] if text else []


def value_text(value: Value) -> str:
    """One value as HubSpot takes it: all are text, and the empty text clears.

    Numbers without an exponent; source: HubSpot properties guide, one `.` and no group separators.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return str(value)


def _number(text: str) -> Value:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _boolean(text: str) -> Value:
    return {"true": True, "false": False}.get(text.casefold())


def _datetime(text: str) -> Value:
    """One spelling for one moment: HubSpot writes a fraction of no or three digits as it pleases."""
    if not (text.endswith("Z") and text[10:11] == "T"):
        at = moment(text)
        if at is None:
            return None
        text = iso(at)
    return text[:-5] + "Z" if text.endswith(".000Z") else text


def _date(text: str) -> Value:
    if _DATE.fullmatch(text):
        return text
    at = moment(text)
    return at.date().isoformat() if at else None


_READERS: Mapping[FieldType, Reader] = {
    FieldType.NUMBER: _number,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATETIME: _datetime,
    FieldType.DATE: _date,
}
