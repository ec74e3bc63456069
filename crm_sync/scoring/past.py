"""People as they were known at moments in the past: the records of a snapshot, from versions and history rows (law 5).

A value counts as known at a moment when we had recorded it by then, when a history row of the CRM tells what stood
there, or when the mapping declares its column `static`: set with the record and not changed since. What is none of
these is empty in a snapshot, never today's value; a column that is mostly so is no training feature.

Source for history rows: Salesforce Object Reference, LeadHistory (Field, OldValue, NewValue, CreatedDate).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from crm_sync.domain.changes import Role
from crm_sync.domain.columns import CONSENT_COLUMNS, EXTRA_PREFIX, PERSON_COLUMNS, UTC_TIME
from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.mappings import MappingVersion, translate
from crm_sync.domain.records import Life

AT_ONCE = timedelta(hours=1)
"""A record pulled within this time of its creation is taken to have looked so from the beginning."""

INPUTS = tuple(
    name
    for name in PERSON_COLUMNS
    if name not in (*CONSENT_COLUMNS, "status", "owner_id", "created_at", "crm_link", "is_converted")
)
"""Columns that features are made from, beside the extra ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What training reads, as rows of the database (store/histories.py says which)."""

    held: Sequence[Any]
    versions: Sequence[Any]
    changes: Sequence[Any]
    activities: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Everything that is known about some people, ready to be asked as of any moment.

    `held`: person_id, record_id, created_at, life, role and connection_id of each record that says something about a
    person. `states`: record_id, since, recorded and the canonical columns; from `since` on a record was known to look
    so. `newest`: the last state of each record. `tracked` and `assumed`: by (connection, object), columns that history
    rows tell of, and those that are only taken to be static.
    """

    held: pl.DataFrame
    states: pl.DataFrame
    newest: pl.DataFrame
    tracked: Mapping[tuple[ConnectionId, str], frozenset[str]]
    assumed: Mapping[tuple[ConnectionId, str], frozenset[str]]


@dataclass(slots=True)
class _State:
    """Fields of a record as they stood from `since` on; `recorded` where we pulled them so."""

    record_id: int
    since: datetime
    recorded: bool
    fields: Mapping[str, Any]


def read_past(rows: Rows, mappings: Mapping[ConnectionId, MappingVersion]) -> Past:
    """The past from rows. Records that are merged away or deleted say nothing more and are left out."""
    speaking = [
        row
        for row in rows.versions
        if row.life in (Life.OPEN, Life.CONVERTED)
        and (mapping := mappings.get(ConnectionId(row.connection_id))) is not None
        and mapping.roles.get(row.object) in (Role.PERSON, Role.ACCOUNT, Role.CONSENT)
    ]
    frames: list[pl.DataFrame] = []
    tracked: dict[tuple[ConnectionId, str], frozenset[str]] = {}
    assumed: dict[tuple[ConnectionId, str], frozenset[str]] = {}
    ordered = sorted(speaking, key=lambda row: (row.connection_id, row.object, row.record_id))
    for (connection, object), found in groupby(ordered, key=lambda row: (row.connection_id, row.object)):
        key = (ConnectionId(connection), object)
        mapping = mappings[key[0]]
        changed = [row for row in rows.changes if (row.connection_id, row.object) == key]
        tracked[key] = _tracked(mapping, object, {row.fields.get("Field") for row in changed})
        mapped = set(mapping.sources_of(object)) & {*INPUTS, *mapping.extras}
        assumed[key] = frozenset(mapped & set(mapping.static)) - tracked[key]
        frames.append(_translated(mapping, object, list(_states(found, changed)), tracked[key] | assumed[key]))
    states = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame(schema=_EMPTY)
    states = states.sort("record_id", "since", maintain_order=True)
    return Past(
        held=_held(rows, speaking),
        states=states,
        newest=states.group_by("record_id", maintain_order=True).last(),
        tracked=tracked,
        assumed=assumed,
    )


_EMPTY: dict[str, pl.DataType] = {
    "record_id": pl.Int64(),
    "role": pl.String(),
    "since": UTC_TIME,
    "recorded": pl.Boolean(),
    "unknown": pl.List(pl.String()),
}


def _held(rows: Rows, speaking: Sequence[Any]) -> pl.DataFrame:
    records = {row.record_id: row for row in speaking}
    mine = [row for row in rows.held if row.record_id in records]
    of = [records[row.record_id] for row in mine]
    return pl.DataFrame(
        {
            "person_id": [row.person_id for row in mine],
            "record_id": [row.record_id for row in mine],
            "connection_id": [row.connection_id for row in of],
            "object": [row.object for row in of],
            "role": [row.role for row in of],
            "life": [row.life for row in of],
            "born": [row.created_at for row in of],
        },
        schema={
            "person_id": pl.Int64(),
            "record_id": pl.Int64(),
            "connection_id": pl.Int64(),
            "object": pl.String(),
            "role": pl.String(),
            "life": pl.String(),
            "born": UTC_TIME,
        },
    )


def _tracked(mapping: MappingVersion, object: str, fields: set[str | None]) -> frozenset[str]:
    """Columns all of whose fields have history rows somewhere: Salesforce tracks a field for the whole org."""
    sources = mapping.sources_of(object)
    return frozenset(column for column, names in sources.items() if column in INPUTS and set(names) <= fields)


def _states(versions: Iterable[Any], changes: Sequence[Any]) -> Iterator[_State]:
    """Every state of every record, oldest first: back to its creation by its history, then version by version."""
    by_record: dict[int, list[Any]] = {}
    for row in changes:
        by_record.setdefault(row.record_id, []).append(row)
    for record, found in groupby(versions, key=lambda row: row.record_id):
        known = list(found)
        first = known[0]
        if first.known_from - first.created_at > AT_ONCE:
            yield from _before(first, by_record.get(record, []))
            yield _State(record, first.known_from, True, first.fields)
        else:
            yield _State(record, first.created_at, True, first.fields)
        for row in known[1:]:
            yield _State(record, row.known_from, True, row.fields)


def _before(first: Any, changes: Sequence[Any]) -> Iterator[_State]:
    """What a record looked like before we first pulled it: its first version, with each change taken back."""
    fields = dict(first.fields)
    states = []
    for change in reversed([row for row in changes if first.created_at < row.at <= first.known_from]):
        name = change.fields.get("Field")
        if name in fields:
            states.append(_State(first.record_id, change.at, False, dict(fields)))
            fields[name] = change.fields.get("OldValue")
    states.append(_State(first.record_id, first.created_at, False, fields))
    yield from reversed(states)


def _translated(mapping: MappingVersion, object: str, states: Sequence[_State], kept: frozenset[str]) -> pl.DataFrame:
    """The canonical columns of some states. Of what wasn't recorded only the `kept` columns stay."""
    frame = translate(mapping, object, range(len(states)), [state.fields for state in states])
    recorded = pl.Series("recorded", [state.recorded for state in states], dtype=pl.Boolean)
    mapped = [name for name in mapping.sources_of(object) if name in INPUTS or name.startswith(EXTRA_PREFIX)]
    lost = [name for name in mapped if name not in kept]
    return frame.drop("record_id").with_columns(
        pl.Series("record_id", [state.record_id for state in states], dtype=pl.Int64),
        pl.Series("since", [state.since for state in states], dtype=UTC_TIME),
        recorded,
        *(pl.when(recorded).then(pl.col(name)).alias(name) for name in lost),
        pl.when(~recorded).then(pl.lit(lost, dtype=pl.List(pl.String))).alias("unknown"),
    )


def as_of(past: Past, moments: pl.DataFrame) -> pl.DataFrame:
    """The records of each (person_id, as_of) of `moments` as they were known then: what `people_of` wants.

    A record that didn't exist yet isn't there. Nobody had converted or was lost at that moment (the caller asks for no
    other), so every record of a person is open. Consent is not of the past: see `dataset`.
    """
    asked = moments.join(past.held, on="person_id", how="inner")
    found = asked.sort("as_of").join_asof(
        past.states.drop("role").sort("since"),
        left_on="as_of",
        right_on="since",
        by="record_id",
        strategy="backward",
        check_sortedness=False,
    )
    # The first state of a record begins with the record.
    return found.filter(pl.col("since").is_not_null()).with_columns(
        pl.col("since").alias("modified_at"),
        pl.lit(Life.OPEN.value).alias("life"),
        pl.lit(False).alias("is_converted"),
        pl.lit(False).alias("is_lost"),
        pl.lit([], dtype=pl.List(pl.String)).alias("unreadable"),
    )


def today(past: Past) -> pl.DataFrame:
    """The records as they are known now, as if nobody had converted or was lost: whom would we score?"""
    return past.held.join(past.newest.drop("role"), on="record_id", how="inner").with_columns(
        pl.col("since").alias("modified_at"),
        pl.lit(Life.OPEN.value).alias("life"),
        pl.lit(False).alias("is_converted"),
        pl.lit(False).alias("is_lost"),
    )


def unknown_shares(found: pl.DataFrame, mappings: Mapping[ConnectionId, MappingVersion]) -> dict[str, float]:
    """By column: of the records (from `as_of`) that map it, the share that can't tell what stood there at the time."""
    lost = found.select(pl.col("unknown").explode().drop_nulls().value_counts()).unnest("unknown")
    mapped: dict[str, int] = {}
    for connection, object, count in found.group_by("connection_id", "object").len().iter_rows():
        for column in mappings[ConnectionId(connection)].sources_of(object):
            mapped[column] = mapped.get(column, 0) + count
    return {name: count / mapped[name] for name, count in lost.iter_rows()}
