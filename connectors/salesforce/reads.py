"""Reading records again by id: the guard before a write (law 13)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connectors.salesforce.feeds import shape_of
from connectors.salesforce.rows import Rows
from connectors.salesforce.wire import batch_of, fill_parents, id_key
from crm_sync.domain.records import Life, RecordBatch

_NO_MORE = (Life.DELETED, Life.MERGED)


def read(rows: Rows, object: str, ids: Sequence[str], fields: Sequence[str], now: datetime) -> RecordBatch:
    """These records in the order of `ids`; what is gone has no fields, what was purged carries `now` as stamp."""
    batch = RecordBatch(object=object)
    if not ids:
        return batch
    unique = list({id_key(id): id for id in ids}.values())
    found = batch_of(object, shape_of(object), rows.by_id(object, fields, unique))
    fill_parents(found, fields)
    places = {id_key(id): n for n, id in enumerate(found.ids)}
    for id in ids:
        _append(batch, id, found, places.get(id_key(id)), now)
    return batch


def _append(batch: RecordBatch, id: str, found: RecordBatch, place: int | None, now: datetime) -> None:
    batch.ids.append(id)
    if place is None:
        batch.stamps.append(now)
        batch.created.append(now)
        batch.fields.append({})
        batch.lives.append(Life.DELETED)
        batch.successors.append("")
        batch.ties.append(())
        return
    life = found.lives[place]
    batch.stamps.append(found.stamps[place])
    batch.created.append(found.created[place])
    batch.fields.append({} if life in _NO_MORE else found.fields[place])
    batch.lives.append(life)
    batch.successors.append(found.successors[place])
    batch.ties.append(found.ties[place])
