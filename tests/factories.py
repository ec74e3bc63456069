"""Builds what tests need: valid by default, so that a test states only what matters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from crm_sync.domain.batches import ACTIVITY_SCHEMA, PREVIOUS_SCHEMA, Batch
from crm_sync.domain.columns import DIRECTION_OF, DTYPES, PERSON_COLUMNS, UTC_TIME, Kind
from crm_sync.domain.evaluations import evaluate
from crm_sync.domain.policies import PolicyVersion, parse_policy
from crm_sync.domain.scores import Floats, Scored, Scorer
from crm_sync.examples import example_policy

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SHIPPED = parse_policy(example_policy())
POLICY = PolicyVersion.model_validate(SHIPPED.model_dump() | {"buckets": {"A": 60, "B": 40, "C": 25, "hysteresis": 3}})
"""The shipped policy with edges of its own, so that other edges can be shipped without a change to the tests."""

RECORD_SCHEMA: dict[str, pl.DataType] = {
    "person_id": pl.Int64(),
    "record_id": pl.Int64(),
    "connection_id": pl.Int64(),
    "modified_at": UTC_TIME,
    "life": pl.String(),
    "role": pl.String(),
    **{name: DTYPES[shape] for name, shape in PERSON_COLUMNS.items()},
    "unreadable": pl.List(pl.String()),
}

_ids = itertools.count(1)


def ago(days: float = 0, *, hours: float = 0) -> datetime:
    return NOW - timedelta(days=days, hours=hours)


def a_policy(**sections: Any) -> PolicyVersion:
    """The shipped policy with some of its sections replaced."""
    return PolicyVersion.model_validate(POLICY.model_dump() | sections)


def a_record(**columns: Any) -> dict[str, Any]:
    """One CRM record of a person who may be scored: open, in the United States, with a work address."""
    number = next(_ids)
    return {
        "person_id": number,
        "record_id": number,
        "connection_id": 1,
        "modified_at": ago(days=1),
        "life": "open",
        "role": "person",
        "email": f"jane.doe{number}@acme.com",
        "phone": "+1 415 555 2671",
        "first_name": "Jane",
        "last_name": "Doe",
        "title": "Head of Purchasing",
        "company": "Acme Corp",
        "employees": 300.0,
        "industry": "Manufacturing",
        "country": "United States",
        "lead_source": "Web",
        "created_at": ago(days=100),
        "unreadable": [],
    } | columns


def an_activity(kind: str = "form", **columns: Any) -> dict[str, Any]:
    """Something that the person of the batch did yesterday and that was known at once."""
    occurred_at = columns.get("occurred_at", ago(days=1))
    direction = DIRECTION_OF.get(Kind(kind))
    return {
        "person_id": None,
        "kind": kind,
        "direction": direction.value if direction else None,
        "occurred_at": occurred_at,
        "known_from": occurred_at if kind != "meeting" else min(occurred_at, NOW),
        "outcome": None,
    } | columns


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody's records, activities and what was last pushed about them."""

    records: Sequence[Mapping[str, Any]]
    activities: Sequence[Mapping[str, Any]] = ()
    previous: Mapping[str, Any] = field(default_factory=dict)


def a_person(
    *,
    records: Sequence[Mapping[str, Any]] = (),
    activities: Iterable[Mapping[str, Any]] = (),
    previous: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Person:
    """Somebody with one record (its columns by keyword) or with the given `records`."""
    rows = list(records) or [a_record(**columns)]
    person_id = columns.get("person_id") or rows[0]["person_id"]
    rows = [{**row, "person_id": person_id} for row in rows]
    done = [{**activity, "person_id": person_id} for activity in activities]
    return Person(rows, done, {"person_id": person_id, **previous} if previous else {})


def a_batch(*people: Person) -> Batch:
    people = people or (a_person(),)
    records = [dict(row) for person in people for row in person.records]
    extras = sorted({name for row in records for name in row} - set(RECORD_SCHEMA))
    typed = {name: _type_of(name, records) for name in extras}
    return Batch(
        records=pl.DataFrame(records, schema=RECORD_SCHEMA | typed),
        activities=pl.DataFrame([dict(a) for person in people for a in person.activities], schema=ACTIVITY_SCHEMA),
        previous=pl.DataFrame([dict(p.previous) for p in people if p.previous], schema=PREVIOUS_SCHEMA),
    )


def a_mixed_batch() -> Batch:
    """Four people unlike each other: in three CRM records, hot, silent about consent, and without an address."""
    done = [
        an_activity(kind, occurred_at=ago(days=at))
        for kind in ("form", "email_in", "call", "meeting", "visit")
        for at in (0.1, 0.3, 2.7, 11.3, 45.1)
    ]
    return a_batch(
        a_person(person_id=501, records=[a_record(connection_id=n, title=f"Head of {n}") for n in (1, 2, 3)]),
        a_person(person_id=502, activities=done, previous={"last_bucket": "B", "last_score": 55}),
        a_person(person_id=503, country="Germany"),
        a_person(person_id=504, activities=done[::3], email=None, title="VP Sales"),
    )


def _type_of(name: str, records: Sequence[Mapping[str, Any]]) -> pl.DataType:
    words = any(isinstance(row.get(name), str) for row in records)
    return pl.String() if words else pl.Float64()


def refused(purpose: str) -> dict[str, Any]:
    """The columns of somebody who refused a purpose."""
    column = {"score": "do_not_profile", "processing": "do_not_process", "tracking": "tracking_opt_out"}
    return {column.get(purpose, f"{purpose}_opt_out"): True}


@dataclass(slots=True)
class AlwaysScorer:
    """Gives everybody the same probability, for the same reasons, and remembers whom it was shown."""

    probability: float
    contributions: Mapping[str, float]
    version: str = "always-1"
    shown: list[int] = field(default_factory=list)

    def score(self, features: pl.DataFrame) -> Scored:
        self.shown += features["person_id"].to_list()
        return Scored(
            probability=np.full(len(features), self.probability),
            contributions={name: np.full(len(features), weight) for name, weight in self.contributions.items()},
        )


def always(probability: float, **contributions: float) -> AlwaysScorer:
    return AlwaysScorer(probability, contributions or {"title_rank": 1.0})


def decide(
    *people: Person, policy: PolicyVersion = POLICY, scorer: Scorer | None = None, now: datetime = NOW
) -> pl.DataFrame:
    return evaluate(a_batch(*people), policy=policy, scorer=scorer, now=now)


def states(evaluated: pl.DataFrame) -> list[str]:
    return evaluated["state"].to_list()


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)
