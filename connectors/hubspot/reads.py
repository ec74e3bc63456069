"""Reading records again by id: the guard before a write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.hubspot.fields import Catalogues
from connectors.hubspot.session import Session
from connectors.hubspot.wire import RowReader, append, asked_of, rows_of
from crm_sync.domain.records import Life, RecordBatch
from crm_sync.errors import GoneError, TransientError

BATCH = 100


def read(
    session: Session, catalogues: Catalogues, object: str, ids: Sequence[str], fields: Sequence[str]
) -> RecordBatch:
    """These records as they are now, in the order of `ids`: 100 a call, and one call for each that isn't found.

    batch/read doesn't tell deleted from merged, and finds neither. A single read by the old id answers with the
    survivor. Source: HubSpot CRM objects guide, batch/read; merge behaviour as recorded by peers.
    """
    if not ids:
        return RecordBatch(object=object)
    catalogues.require(object, fields)
    properties = asked_of(object, fields)
    wanted = list(dict.fromkeys(ids))
    rows: dict[str, Mapping[str, Any]] = {}
    at: datetime = session.now()
    for chunk in _chunks(wanted):
        body = {"properties": list(properties), "propertiesWithHistory": [], "inputs": [{"id": id} for id in chunk]}
        told, answer = session.ask(session.batches.read, object, body, archived=False, check=rows_of)
        at = answer.clock or at
        rows.update((str(row["id"]), row) for row in rows_of(told))
    for id in wanted:
        if id not in rows:
            survivor = _single(session, object, id, properties)
            if survivor is not None:
                rows[id] = survivor
    absent = [name for name in fields if rows and name not in next(iter(rows.values())).get("properties", {})]
    if absent:
        catalogues.explain_absence(object, absent)
    return _in_order(RowReader(object, fields, catalogues.of(object)), ids, rows, at)


def _in_order(
    reader: RowReader, ids: Sequence[str], rows: Mapping[str, Mapping[str, Any]], at: datetime
) -> RecordBatch:
    batch = RecordBatch(object=reader.object)
    for id in ids:
        row = rows.get(id)
        if row is None:
            append(batch, id, stamp=at, created=at, life=Life.DELETED)
        elif str(row.get("id")) != id:
            append(batch, id, stamp=at, created=at, life=Life.MERGED, successor=str(row["id"]))
        else:
            reader.add(batch, row)
    return batch


def _single(session: Session, object: str, id: str, properties: Sequence[str]) -> Mapping[str, Any] | None:
    if not id.isdecimal():
        return None  # a single read would take other keys, too; we only know records by their ids
    try:
        row, _ = session.ask(session.objects.get_by_id, object, id, properties=list(properties), archived=False)
    except GoneError:
        return None
    if not row.get("id"):
        raise TransientError("HubSpot's answer can't be read: a record without an id.", code="garbage")
    return None if row.get("archived") else row


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[n : n + BATCH] for n in range(0, len(ids), BATCH))
