"""Train: everything that was known about people into a candidate, a model version that nobody is scored by yet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.policies import PolicyVersion
from crm_sync.errors import ConfigError
from crm_sync.scoring import artifacts, training
from crm_sync.scoring.artifacts import Manifest
from crm_sync.scoring.conversions import AGES
from crm_sync.scoring.dataset import Dataset, build
from crm_sync.scoring.past import Rows
from crm_sync.store import audit, connections, histories, model_versions
from crm_sync.store.engine import Transaction

MOST_PEOPLE = 50_000
"""More are sampled: their history would fill the memory and teach the trees nothing new."""


class Rules(Protocol):
    """What is published: the mappings and the policy in force."""

    def mappings(self, session: Session) -> Mapping[ConnectionId, MappingVersion]: ...
    def policy(self, session: Session) -> PolicyVersion: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How to train. `until` is the moment after which nothing is looked at (None: now), `ages` are how long after
    people became known they are looked back at, `keep` names fields that the leak check may not leave out."""

    seed: int = 0
    until: datetime | None = None
    ages: tuple[timedelta, ...] = AGES
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What came of a training. `is_new` is false where the very same version was there already."""

    version: str
    manifest: Manifest
    is_new: bool


def train(
    transaction: Transaction,
    rules: Rules,
    folder: Path,
    now: datetime,
    *,
    wanted: Wanted | None = None,
    author: str = "train",
) -> Candidate:
    """Train a candidate and keep it below `folder`. Raises ConfigError where there is too little to learn from.

    Nobody's score changes: promoting does that. Repeating is harmless: the same data, `until` and seed give the same
    version. It takes seconds to minutes of two cores, in a process that does nothing else.
    """
    wanted = wanted or Wanted()
    with transaction() as session:
        histories.freeze(session)
        policy = rules.policy(session)
        named, mappings = _sources(session, rules)
        people, everybody = histories.people(session, list(mappings), most=MOST_PEOPLE)
        rows = _read(session, people, mappings)

    data = build(rows, mappings, policy, until=min(wanted.until or now, now), ages=wanted.ages)
    del rows
    trained = training.train(
        data,
        policy,
        seed=wanted.seed,
        keep=wanted.keep,
        sampled_from=everybody,
        mappings=named,
        threads=os.cpu_count() or 1,
    )
    version = artifacts.save(folder, trained.trees, trained.manifest)

    with transaction() as session:
        is_new = model_versions.add(session, version, trained.manifest.text(), author=author, now=now)
        if is_new:
            audit.append(session, [_told(version, trained.manifest, data, author)], now)
    return Candidate(version=version, manifest=trained.manifest, is_new=is_new)


def _sources(session: Session, rules: Rules) -> tuple[dict[str, str], dict[ConnectionId, MappingVersion]]:
    """The connections to learn from: those of production where there are any, for a test org's people are made up."""
    mappings = rules.mappings(session)
    mapped = [each for each in connections.listed(session) if each.id in mappings]
    chosen = [each for each in mapped if not each.is_test] or mapped
    if not any(mappings[each.id].conversion for each in chosen):
        raise ConfigError(
            "no mapping in force declares a conversion, so there is nothing to predict; add `conversion` to a mapping "
            "(docs/mapping.md) and publish it"
        )
    return (
        {each.name: mappings[each.id].content_hash for each in chosen},
        {each.id: mappings[each.id] for each in chosen},
    )


def _read(session: Session, people: Sequence[int], mappings: Mapping[ConnectionId, MappingVersion]) -> Rows:
    ids = list(mappings)
    held = histories.held(session, people, ids)
    # Salesforce names the history object of X XHistory (Object Reference).
    objects = sorted({f"{object}History" for mapping in mappings.values() for object in mapping.people})
    return Rows(
        held=held,
        versions=histories.versions(session, sorted({row.record_id for row in held})),
        changes=histories.changes(session, people, ids, objects),
        activities=histories.activities(session, people, ids),
    )


def _told(version: str, manifest: Manifest, data: Dataset, author: str) -> AuditEntry:
    report = manifest.report
    return AuditEntry(
        actor=f"user:{author}",
        kind="model_trained",
        subject=f"model:{version}",
        payload={
            "people": report.people,
            "snapshots": len(data.labels),
            "positives": report.positives,
            "horizon_days": report.horizon_days,
            "auc": report.measures["model"].auc,
            "provisional": report.provisional,
        },
    )
