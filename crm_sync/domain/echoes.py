"""Sorting what a CRM shows us into evaluate, repair and nothing (law 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from crm_sync.domain.records import Life, RecordBatch, Value
from crm_sync.domain.writes import same_value

VOLATILE = frozenset(
    "SystemModstamp LastModifiedDate LastModifiedById LastViewedDate LastReferencedDate "
    "lastmodifieddate hs_lastmodifieddate hs_updated_by_user_id attributes".split()
)
"""Fields that say when and by whom a record was touched, which is no change of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A page split into what is ours and what is not, columnar like the batch it was made from.

    `fields` are the CRM's fields without ours as JSON text; `inputs_hashes` are over these, without the owner.
    `own` are our own fields by neutral name, as the CRM shows them. `content_hashes` are over everything.
    """

    batch: RecordBatch
    fields: list[str]
    inputs_hashes: list[bytes]
    content_hashes: list[bytes]
    own: list[dict[str, Value]]
    owners: list[str | None]


def prepare(batch: RecordBatch, *, own_names: Mapping[str, str], owner_field: str) -> Prepared:
    """Split each record of `batch` and hash both halves.

    `own_names` tells how this CRM spells our fields (neutral name to API name). The owner is an input that we may
    also have written, so it is compared apart from the other inputs.
    """
    fields: list[str] = []
    inputs: list[bytes] = []
    contents: list[bytes] = []
    own: list[dict[str, Value]] = []
    owners: list[str | None] = []
    skip = VOLATILE.union(own_names.values())
    for position, values in enumerate(batch.fields):
        ours = {name: values[api] for name, api in own_names.items() if api in values}
        owner = values.get(owner_field)
        theirs = {name: value for name, value in values.items() if name not in skip}
        ties = [(tie.object, tie.id) for tie in batch.ties[position]] if batch.ties else []
        text = orjson.dumps(theirs, option=orjson.OPT_SORT_KEYS)
        theirs.pop(owner_field, None)
        life = f"{batch.lives[position]}{batch.successors[position]}{ties}".encode()
        inputs.append(_digest(orjson.dumps(theirs, option=orjson.OPT_SORT_KEYS), life))
        contents.append(_digest(text, life, orjson.dumps(ours, option=orjson.OPT_SORT_KEYS)))
        fields.append(text.decode().replace("\\u0000", ""))
        own.append(ours)
        owners.append(str(owner) if owner else None)
    return Prepared(batch=batch, fields=fields, inputs_hashes=inputs, content_hashes=contents, own=own, owners=owners)


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\x00".join(parts), digest_size=16).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we hold about a record that a page shows again.

    `own_under_way` are states of our own fields that the CRM may hold already without having told us: a write whose
    answer is awaited, or was lost.
    """

    record_id: int
    stamp: datetime
    content_hash: bytes
    inputs_hash: bytes
    life: Life
    owner: str | None
    owner_accepted: str | None
    own_accepted: Mapping[str, Value]
    own_under_way: Sequence[Mapping[str, Value]] = ()


@dataclass(slots=True, kw_only=True)
class Sorted:
    """Positions in the page by what has to happen. A position may ask for an evaluation and a repair.

    `changed` are the rows to store, `versioned` those of them that begin a new version, `evaluate` those whose
    person is evaluated, `repair` maps a position to the own fields that somebody else wrote over.
    """

    changed: list[int] = field(default_factory=list)
    versioned: list[int] = field(default_factory=list)
    evaluate: list[int] = field(default_factory=list)
    repair: dict[int, list[str]] = field(default_factory=dict)


def sort(prepared: Prepared, known: Mapping[str, Known]) -> Sorted:
    """Sort a page. `known` holds the rows seen before, by CRM id.

    A row that is older than what we hold is left out: a slow reader never undoes a quick one. The last of several
    rows with one id counts.
    """
    result = Sorted()
    batch = prepared.batch
    last = {crm_id: position for position, crm_id in enumerate(batch.ids)}
    for crm_id, position in last.items():
        before = known.get(crm_id)
        if before is None:
            result.changed.append(position)
            result.versioned.append(position)
            result.evaluate.append(position)
            continue
        gone = batch.lives[position] in (Life.MERGED, Life.DELETED)
        if batch.stamps[position] < before.stamp and not (gone and before.life is not batch.lives[position]):
            continue
        if prepared.content_hashes[position] == before.content_hash:
            continue
        result.changed.append(position)
        if gone and not batch.fields[position]:
            if before.life is not batch.lives[position]:
                result.evaluate.append(position)
            continue
        inputs_changed = prepared.inputs_hashes[position] != before.inputs_hash
        # What was met as gone without its fields kept their hash, so that it came back shows here alone.
        revived = before.life is not batch.lives[position]
        if inputs_changed or revived or _owner_is_news(prepared.owners[position], before):
            result.versioned.append(position)
            result.evaluate.append(position)
        if batch.lives[position] is Life.OPEN and (
            strangers := overwritten(prepared.own[position], before.own_accepted, before.own_under_way)
        ):
            result.repair[position] = strangers
    return result


def _owner_is_news(owner: str | None, before: Known) -> bool:
    """Ours while equal to our last accepted value, else a human's (law 2)."""
    return owner != before.owner and owner != before.owner_accepted


def overwritten(
    shown: Mapping[str, Value], accepted: Mapping[str, Value], under_way: Sequence[Mapping[str, Value]] = ()
) -> list[str]:
    """Our own fields in which the CRM shows something else than what it last accepted from us, or may have by now."""
    return [
        name
        for name, value in accepted.items()
        if name in shown
        and not same_value(shown[name], value)
        and not any(name in state and same_value(shown[name], state[name]) for state in under_way)
    ]
