"""A batch of people to evaluate, and its records folded into one row a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import polars as pl

from crm_sync.domain.changes import Role
from crm_sync.domain.columns import (
    CONSENT_COLUMNS,
    DTYPES,
    EXTRA_PREFIX,
    PERSON_COLUMNS,
    UTC_TIME,
    Shape,
)
from crm_sync.domain.records import Life

ACTIVITY_SCHEMA: dict[str, pl.DataType] = {
    "person_id": pl.Int64(),
    "kind": pl.String(),
    "direction": pl.String(),
    "occurred_at": UTC_TIME,
    "known_from": UTC_TIME,
    "outcome": pl.String(),
}
PREVIOUS_SCHEMA: dict[str, pl.DataType] = {
    "person_id": pl.Int64(),
    "last_bucket": pl.String(),
    "last_score": pl.Int32(),
    "last_state": pl.String(),
    "last_top_reason": pl.String(),
    "last_scored_at": UTC_TIME,
}


def no_activities() -> pl.DataFrame:
    return pl.DataFrame(schema=ACTIVITY_SCHEMA)


def nothing_previous() -> pl.DataFrame:
    return pl.DataFrame(schema=PREVIOUS_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is known about some people, as three frames; the order of their rows doesn't matter.

    `records`: one row a CRM record: person_id, record_id, connection_id (i64), modified_at, life, and the columns of
    `mappings.translate`. Accounts and consents that belong to a person are rows of that person, told apart by `role`.
    `activities`: person_id and the columns of `mappings.translate_activities`; each activity once a person.
    `previous`: what was last pushed: person_id, last_bucket, last_score, last_state, last_top_reason,
    last_scored_at; a person without a row was never pushed.

    Columns that are missing count as null.
    """

    records: pl.DataFrame
    activities: pl.DataFrame = field(default_factory=no_activities)
    previous: pl.DataFrame = field(default_factory=nothing_previous)


def completed(frame: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """`frame` with every column of `schema` in its type; missing ones are null, further ones stay."""
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    wrong = [pl.col(name).cast(dtype) for name, dtype in schema.items() if frame.schema.get(name, dtype) != dtype]
    return frame.with_columns(*missing, *wrong) if missing or wrong else frame


@cache
def _record_schema() -> dict[str, pl.DataType]:
    keys: dict[str, pl.DataType] = {
        "person_id": pl.Int64(),
        "record_id": pl.Int64(),
        "connection_id": pl.Int64(),
        "modified_at": UTC_TIME,
        "life": pl.String(),
        "role": pl.String(),
    }
    columns = {name: DTYPES[shape] for name, shape in PERSON_COLUMNS.items()}
    return keys | columns | {"is_lost": pl.Boolean(), "unreadable": pl.List(pl.String())}


SUMS = ("open_records", "twins")
"""Columns that a folded row has beside the canonical ones: open records of a person, and the most in one connection."""


def one_row_a_person(records: pl.DataFrame) -> pl.DataFrame:
    """Records folded into one row a person, ordered by person_id; with a column `as_of`, one a person and moment.

    Consent: the strictest known answer over all records binds, closed ones included (law 7). Everything else: the
    newest open record with a value wins, then lost and converted records, then the account; what was merged away or
    deleted says nothing more. `created_at` is the earliest.
    """
    records = completed(records, _record_schema())
    keys = [name for name in ("person_id", "as_of") if name in records.columns]
    extras = sorted(name for name in records.columns if name.startswith(EXTRA_PREFIX))
    is_open = (pl.col("life") == Life.OPEN) & ~pl.col("is_lost").fill_null(False)
    is_person = pl.col("role").fill_null(Role.PERSON.value) == Role.PERSON
    ordered = records.with_columns(
        is_open=is_open & is_person,
        speaks=pl.col("life").is_in([Life.OPEN.value, Life.CONVERTED.value]),
        rank=(~is_person).cast(pl.Int8) * 2 + (~is_open).cast(pl.Int8),
    ).sort(
        *keys,
        "rank",
        "modified_at",
        "connection_id",
        "record_id",
        descending=[*(False for _ in keys), False, True, False, True],
        nulls_last=True,
    )
    return ordered.group_by(keys, maintain_order=True).agg(*_folds(tuple(extras)))


@cache
def _folds(extras: tuple[str, ...]) -> list[pl.Expr]:
    speaking = pl.col("speaks")
    kept = [name for name in PERSON_COLUMNS if name not in (*CONSENT_COLUMNS, "created_at", "is_converted")]
    a_connection = pl.col("connection_id").filter(pl.col("is_open"))
    return [
        *(pl.col(name).filter(speaking).first(ignore_nulls=True) for name in (*kept, *extras)),
        pl.col("created_at").filter(speaking).min(),
        pl.col("is_converted").filter(speaking).max(),
        *(_strictest(name, shape) for name, shape in CONSENT_COLUMNS.items()),
        pl.col("unreadable").filter(speaking).explode().drop_nulls().unique().sort(),
        pl.col("is_open").sum().cast(pl.Int32).alias("open_records"),
        (a_connection.len() - a_connection.n_unique() + 1).cast(pl.Int32).alias("twins"),
    ]


def _strictest(name: str, shape: Shape) -> pl.Expr:
    column = pl.col(name)
    if name == "profiling_consent":
        return column.min()
    if shape is Shape.TRUTH:
        return column.max()
    if shape is Shape.TIME:
        return column.min()
    return column.drop_nulls().unique().sort().str.join(";")
