"""Reading records again by id: the guard before a write (law 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.salesforce.feeds import shape_of
from connectors.salesforce.rows import Rows
from connectors.salesforce.wire import batch_of, fill_parents, id_key
from crm_sync.domain.records import Life, RecordBatch, Wanted

_NO_MORE = (Life.DELETED, Life.MERGED)


def read_all(rows: Rows, wanted: Sequence[Wanted], now: datetime) -> list[RecordBatch]:
    """Each in the order of its ids; what is gone has no fields, what was purged carries `now` as stamp."""
    unique = [replace(each, ids=list({id_key(id): id for id in each.ids}.values())) for each in wanted]
    return [_batch(each, found, now) for each, found in zip(wanted, rows.by_id(unique), strict=True)]


def _batch(wanted: Wanted, rows: list[dict[str, Any]], now: datetime) -> RecordBatch:
    batch = RecordBatch(object=wanted.object)
    found = batch_of(wanted.object, shape_of(wanted.object), rows)
    fill_parents(found, wanted.fields)
    places = {id_key(id): n for n, id in enumerate(found.ids)}
    for id in wanted.ids:
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
