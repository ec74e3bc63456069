"""The training set: snapshots of people at past moments, each with its features and whether a conversion followed.

People who may not be profiled are left out before anything else is looked at (law 8). A snapshot is taken only while
somebody had neither converted nor was lost, and only so early that its whole horizon has been seen: younger ones are
neither positive nor negative. Its features come from `domain.features`, as in serving (law 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
import numpy.typing as npt
import polars as pl

from crm_sync.domain.batches import ACTIVITY_SCHEMA
from crm_sync.domain.changes import Role
from crm_sync.domain.columns import EXTRA_PREFIX, PERSON_COLUMNS, UTC_TIME, WEB_PREFIX
from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.evaluations import judged, people_of
from crm_sync.domain.features import features_of, field_of, visible
from crm_sync.domain.mappings import MappingVersion, translate_activities
from crm_sync.domain.policies import PolicyVersion
from crm_sync.domain.rules import rule_scores
from crm_sync.domain.states import STATE_WORDS, State
from crm_sync.errors import ConfigError
from crm_sync.scoring.conversions import AGES, conversions, horizon, losses, ripe_delays
from crm_sync.scoring.groups import groups
from crm_sync.scoring.past import Past, Rows, as_of, read_past, today, unknown_shares

MOSTLY = 0.1
"""A column of which more than this share isn't known as it stood at the time is no training feature."""

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]

_COLUMNS_OF = {
    "job_title": ("title",),
    "company_size": ("employees",),
    "phone": ("phone", "mobile"),
}
"""Columns that a business field is made from, where they are named otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that training doesn't use: what, how many (0 where it can't be counted), and why."""

    what: str
    count: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Snapshots in the order of time; all columns run in step.

    `keys`: person_id, account, as_of. `features` are those that may be learned from. `rules` is the score by rules of
    the same snapshots. `people` counts who is in it, `assumed` and `tracked` name columns that are taken to be static
    and that history rows tell of.
    """

    keys: pl.DataFrame
    features: pl.DataFrame
    labels: Truths
    rules: Floats
    horizon: timedelta
    until: datetime
    ages: tuple[timedelta, ...]
    seen_by_horizon: float
    assumed: tuple[str, ...]
    tracked: tuple[str, ...]
    people_left_out: tuple[LeftOut, ...]
    fields_left_out: tuple[LeftOut, ...]


def build(
    rows: Rows,
    mappings: Mapping[ConnectionId, MappingVersion],
    policy: PolicyVersion,
    *,
    until: datetime,
    ages: Sequence[timedelta] = AGES,
) -> Dataset:
    """The training set from everything known up to `until`. Raises ConfigError where nobody can be learned from."""
    past = read_past(rows, mappings)
    if not len(past.held):
        raise ConfigError(
            "there is nobody to learn from yet; wait until the first pull is complete (`crm-sync status`)"
        )
    now = judged(people_of(today(past), policy, until), policy)
    candidates, people_left_out = _candidates(past, now, rows, mappings, until)
    span = horizon(ripe_delays(candidates, until))
    moments = _moments(candidates, ages, until, span)
    people_left_out += _without_a_moment(candidates, moments, ages)
    if not len(moments):
        raise ConfigError(
            f"nobody has been known for {span.days} days yet, the time in which most conversions come; train later"
        )
    found = as_of(past, moments.select("person_id", "as_of"))
    unknown = {name: share for name, share in unknown_shares(found, mappings).items() if share > MOSTLY}
    allowed = now.select("person_id", "may_tracking")
    people = people_of(found, policy).drop("may_tracking").join(allowed, on="person_id", maintain_order="left")
    people = people.join(moments, on=["person_id", "as_of"], how="left", maintain_order="left").sort(
        "as_of", "person_id"
    )
    seen = visible(people, activities(rows, mappings))
    features = features_of(people, seen)
    rules = rule_scores(policy, features.with_columns(people["country_code"]), seen).scored.probability
    usable, fields_left_out = _usable(features, unknown)
    delays = ripe_delays(candidates, until)
    return Dataset(
        keys=people.join(groups(past.held, now), on="person_id", how="left", maintain_order="left").select(
            "person_id", "account", "as_of"
        ),
        features=features.select(usable),
        labels=people["converts"].to_numpy(),
        rules=rules,
        horizon=span,
        until=until,
        ages=tuple(ages),
        seen_by_horizon=int((delays <= span).sum()) / max(1, len(delays)),
        assumed=_named(past.assumed, usable),
        tracked=_named(past.tracked, usable),
        people_left_out=tuple(people_left_out),
        fields_left_out=tuple(fields_left_out),
    )


def activities(rows: Rows, mappings: Mapping[ConnectionId, MappingVersion]) -> pl.DataFrame:
    """The activities of everybody, as features want them."""
    made = [pl.DataFrame(schema=ACTIVITY_SCHEMA)]
    ordered = sorted(rows.activities, key=lambda row: (row.connection_id, row.object))
    for (connection, object), rest in groupby(ordered, key=lambda row: (row.connection_id, row.object)):
        found, mapping = list(rest), mappings[ConnectionId(connection)]
        if object not in mapping.activities:
            continue
        frame = translate_activities(
            mapping, object, range(len(found)), [row.fields for row in found], [row.known_from for row in found]
        )
        people = pl.Series("person_id", [row.person_id for row in found], dtype=pl.Int64)
        made.append(frame.with_columns(people.gather(frame["activity_id"])).select(list(ACTIVITY_SCHEMA)))
    return pl.concat(made, how="vertical_relaxed")


def _candidates(
    past: Past, now: pl.DataFrame, rows: Rows, mappings: Mapping[ConnectionId, MappingVersion], until: datetime
) -> tuple[pl.DataFrame, list[LeftOut]]:
    """Whom training may look at: person_id, born, converted_at, lost_at; and who is left out, by reason."""
    left: list[LeftOut] = []
    for state, count in sorted(now["state"].value_counts().iter_rows()):
        if state != State.SCORED:
            left.append(LeftOut(what=state, count=count, why=STATE_WORDS[State(state)]))
    able = now.filter(pl.col("state") == State.SCORED).select("person_id")
    born = _born(past, mappings).filter(pl.col("born") <= until)
    known = able.join(born, on="person_id", how="inner")
    if missing := len(able) - len(known):
        why = "No record of an object for which the mapping declares a conversion."
        left.append(LeftOut(what="no milestone", count=missing, why=why))
    reached = conversions(rows, mappings)
    undated = known.join(reached.filter(pl.col("converted_at").is_null()), on="person_id", how="semi")
    if len(undated):
        why = "Converted, but neither a field, history nor a version says when."
        left.append(LeftOut(what="undated conversion", count=len(undated), why=why))
    found = known.join(undated, on="person_id", how="anti").join(reached, on="person_id", how="left")
    return found.join(losses(rows, mappings), on="person_id", how="left"), left


def _born(past: Past, mappings: Mapping[ConnectionId, MappingVersion]) -> pl.DataFrame:
    """When each person who can reach a milestone became known: by the first record that can reach it."""
    able = [
        (connection, object)
        for connection, mapping in mappings.items()
        for object in mapping.people
        if any(c.object == object or c.object in mapping.deals for c in mapping.conversion)
    ]
    objects = pl.DataFrame(able, schema={"connection_id": pl.Int64(), "object": pl.String()}, orient="row")
    return (
        past.held.filter(pl.col("role") == Role.PERSON.value)
        .join(objects, on=["connection_id", "object"], how="semi")
        .group_by("person_id")
        .agg(pl.col("born").min())
    )


def _moments(people: pl.DataFrame, ages: Sequence[timedelta], until: datetime, span: timedelta) -> pl.DataFrame:
    """person_id, as_of and `converts`: each moment before the end whose horizon lies within what was seen."""
    taken = people.join(pl.DataFrame({"age": list(ages)}, schema={"age": pl.Duration("us")}), how="cross")
    as_of = (pl.col("born") + pl.col("age")).cast(UTC_TIME)
    later, lost = pl.col("converted_at"), pl.col("lost_at")
    return (
        taken.with_columns(as_of=as_of)
        .filter(
            pl.col("as_of") + span <= until,
            later.is_null() | (later > pl.col("as_of")),
            lost.is_null() | (lost > pl.col("as_of")),
        )
        .select(
            "person_id",
            "as_of",
            ((later <= pl.col("as_of") + span) & (later <= until)).fill_null(False).alias("converts"),
        )
    )


def _without_a_moment(people: pl.DataFrame, moments: pl.DataFrame, ages: Sequence[timedelta]) -> list[LeftOut]:
    missing = people.join(moments, on="person_id", how="anti")
    first = pl.col("born") + min(ages)
    early = missing.filter(pl.col("converted_at") <= first)
    lost = missing.join(early, on="person_id", how="anti").filter(pl.col("lost_at") <= first)
    found = [
        (
            "too young",
            len(missing) - len(early) - len(lost),
            "Known for less than the horizon: what becomes of them isn't clear yet.",
        ),
        ("converted at once", len(early), "Had converted before they are first looked back at."),
        ("lost at once", len(lost), "Were lost before they are first looked back at."),
    ]
    return [LeftOut(what=what, count=count, why=why) for what, count, why in found if count]


def _usable(features: pl.DataFrame, unknown: Mapping[str, float]) -> tuple[list[str], list[LeftOut]]:
    """The features that may be learned from, and the fields that may not."""
    left: dict[str, LeftOut] = {}
    usable = []
    for name in features.columns:
        if name in ("person_id", "as_of"):
            continue
        field = field_of(name)
        columns = _COLUMNS_OF.get(field, (field,))
        lost = [column for column in columns if column in unknown]
        if lost and (field in PERSON_COLUMNS or field in _COLUMNS_OF or field.startswith(EXTRA_PREFIX)):
            kind = "a counter as it stands today: " if field.startswith(WEB_PREFIX) else ""
            why = f"{kind}what stood there at the time is in no version, history or dated event"
            left[field] = LeftOut(what=field, count=0, why=why)
        elif features[name].n_unique() > 1:
            usable.append(name)
    return usable, list(left.values())


def _named(columns: Mapping[tuple[ConnectionId, str], frozenset[str]], usable: Sequence[str]) -> tuple[str, ...]:
    """Columns of any object that a usable feature is made from."""
    used = {column for name in usable for column in _COLUMNS_OF.get(field_of(name), (field_of(name),))}
    return tuple(sorted({column for found in columns.values() for column in found} & used))
