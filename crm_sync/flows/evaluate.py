"""Evaluate: people who wait into evaluations and outbox entries; read, decide in memory, write in one commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Protocol

import polars as pl
from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.batches import ACTIVITY_SCHEMA, PREVIOUS_SCHEMA, Batch
from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.desired_states import desired_fields, worth_pushing
from crm_sync.domain.evaluations import evaluate as decide
from crm_sync.domain.mappings import MappingVersion, translate, translate_activities
from crm_sync.domain.outbox import Kind
from crm_sync.domain.policies import PolicyVersion
from crm_sync.domain.records import Life, Value
from crm_sync.domain.scores import Scorer
from crm_sync.domain.writes import same_value
from crm_sync.store import assignments, audit, evaluations, histories, inbox, outbox
from crm_sync.store.engine import Transaction, committed

BATCH = 200

LARGE_BATCH = 1_000
"""For those whom nobody waits for (law 6): a batch has fixed costs, and no more memory than a page of changes."""

UNDECIDED = timedelta(minutes=5)
"""When a lead is looked at again that nobody could get: the CRM's users are not read yet, or the fallback is gone."""


class Rules(Protocol):
    """What evaluations go by: the published mappings and policy, and the champion model."""

    def mappings(self, session: Session) -> Mapping[ConnectionId, MappingVersion]: ...
    def policy(self, session: Session) -> PolicyVersion: ...
    def scorer(self) -> Scorer | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """How many people one batch held, how many evaluations it kept, and how many outbox entries it made.

    `urgent` asks to push at once; what a first pull or time made may wait until it fills a call.
    """

    people: int = 0
    kept: int = 0
    entries: int = 0
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The rows of one batch, as they came from the database."""

    records: Sequence[Any]
    companions: Sequence[Any]
    activities: Sequence[Any]
    last: Mapping[int, Any]


def evaluate(
    transaction: Transaction, rules: Rules, now: datetime, *, span: timedelta, most: int = BATCH, large: int = 0
) -> Evaluated:
    """Evaluate up to `most` people who wait, the most urgent first; up to `large` where nobody urgent waits.

    Repeating is harmless: an evaluation that says the same as the last one is not kept again, and a state that the CRM
    holds or is about to get is not put into the outbox again. Two at once are harmless: each claims its own people.
    """
    with transaction() as session:
        claim = inbox.claim(session, now, most=most, span=span, large=large)
        if not claim:
            return Evaluated()
        mappings, policy = rules.mappings(session), rules.policy(session)
    with inbox.freed_on_failure(transaction, claim):
        return _evaluate(transaction, rules, claim, mappings, policy, now)


MOST_FORESEEN = 20_000
"""So many take some ten seconds; more would say the same to a reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a scorer would say of people now: `scores` has score, last_bucket and records (those that show the score).

    `people` is how many were looked at, of `everybody`: a sample where there are many.
    """

    scores: pl.DataFrame
    people: int
    everybody: int


def foresee(
    transaction: Transaction, rules: Rules, scorer: Scorer | None, now: datetime, *, most: int = MOST_FORESEEN
) -> Foreseen:
    """Evaluate up to `most` people as if `scorer` (None: the rules) were in use. Nothing is claimed, nothing kept."""
    with transaction() as session:
        mappings, policy = rules.mappings(session), rules.policy(session)
        people, everybody = histories.people(session, list(mappings), most=most)
    scores = [pl.DataFrame(schema={"score": pl.Int32, "last_bucket": pl.String, "records": pl.Int64})]
    for start in range(0, len(people), LARGE_BATCH):
        read = _read(transaction, people[start : start + LARGE_BATCH])
        shown = Counter(
            row.person_id
            for row in read.records
            if row.life == Life.OPEN
            and (mapping := mappings.get(ConnectionId(row.connection_id)))
            and _is_written(mapping, row.object)
        )
        evaluated = decide(frames(read, mappings), policy=policy, scorer=scorer, now=now)
        records = pl.Series("records", [shown[person] for person in evaluated["person_id"]], dtype=pl.Int64)
        scores.append(evaluated.select("score", "last_bucket", records).filter(pl.col("score").is_not_null()))
    return Foreseen(scores=pl.concat(scores), people=len(people), everybody=everybody)


def _read(transaction: Transaction, people: Sequence[int]) -> Read:
    with transaction() as session:
        return Read(
            records=evaluations.records_of(session, people),
            companions=evaluations.companions_of(session, people),
            activities=evaluations.activities_of(session, people),
            last={row.person_id: row for row in evaluations.last_of(session, people)},
        )


def _evaluate(
    transaction: Transaction,
    rules: Rules,
    claim: inbox.Claim,
    mappings: Mapping[ConnectionId, MappingVersion],
    policy: PolicyVersion,
    now: datetime,
) -> Evaluated:
    read = _read(transaction, sorted(claim.numbers))
    evaluated = decide(frames(read, mappings), policy=policy, scorer=rules.scorer(), now=now)
    decided = list(_decided(evaluated, read, claim, mappings, policy))
    again = dict(zip(evaluated["person_id"], evaluated["evaluate_again_at"], strict=True))

    def route(session: Session, kept: Mapping[int, int]) -> assignments.Assigned:
        owned = [row for row in read.records if _has_owner(mappings.get(ConnectionId(row.connection_id)), row.object)]
        return assignments.assign(session, policy, evaluated, owned, _basis(kept, read, claim), now)

    try:
        return _keep(transaction, decided, again, read, mappings, claim, route, now)
    except inbox.ClaimLapsedError:
        return Evaluated()


def _keep(
    transaction: Transaction,
    decided: Sequence[evaluations.Decided],
    again: Mapping[int, datetime | None],
    read: Read,
    mappings: Mapping[ConnectionId, MappingVersion],
    claim: inbox.Claim,
    route: Callable[[Session, Mapping[int, int]], assignments.Assigned],
    now: datetime,
) -> Evaluated:
    """Evaluations, outbox, owners, audit and the emptied inbox in one commit, or nothing at all."""
    people = sorted(claim.numbers)
    fresh = [each for each in decided if _says_something_new(each, read.last.get(each.person_id))]

    def keep(session: Session) -> Evaluated:
        kept = evaluations.store(session, fresh, now)
        entries = list(_entries(decided, kept, read, mappings, claim))
        outbox.put(session, entries, now)
        routed = route(session, kept)
        audit.append(session, [_told(each, read.last.get(each.person_id)) for each in fresh], now)
        soon = dict.fromkeys(routed.undecided, now + UNDECIDED)
        evaluations.schedule(session, {person: soon.get(person, again.get(person)) for person in people}, now)
        inbox.settle(session, claim)
        made = len(entries) + routed.entries
        return Evaluated(people=len(people), kept=len(kept), entries=made, urgent=claim.urgent)

    return committed(transaction, keep)


def frames(read: Read, mappings: Mapping[ConnectionId, MappingVersion]) -> Batch:
    """The rows of a batch as the frames that the core decides on."""
    records = [
        *_translated(read.records, mappings, lambda row: row.id, lambda row: row.stamp),
        *_translated(read.companions, mappings, lambda row: row.record_id, lambda _: None),
    ]
    return Batch(
        records=pl.concat(records, how="diagonal_relaxed") if records else pl.DataFrame(schema={"person_id": pl.Int64}),
        activities=_activities(read.activities, mappings),
        previous=_previous(read.last),
    )


def _by_object(rows: Sequence[Any]) -> Iterator[tuple[ConnectionId, str, list[Any]]]:
    """Rows of one object of one connection together, the order within kept."""
    for (connection, object), found in groupby(
        sorted(rows, key=lambda row: (row.connection_id, row.object)), key=lambda row: (row.connection_id, row.object)
    ):
        yield ConnectionId(connection), object, list(found)


def _translated(
    rows: Sequence[Any], mappings: Mapping[ConnectionId, MappingVersion], id_of: Any, stamp_of: Any
) -> Iterator[pl.DataFrame]:
    for connection, object, found in _by_object(rows):
        mapping = mappings.get(connection)
        if mapping is None or object not in mapping.roles:
            continue
        frame = translate(mapping, object, [id_of(row) for row in found], [row.fields or {} for row in found])
        yield frame.with_columns(
            pl.Series("person_id", [row.person_id for row in found], dtype=pl.Int64),
            pl.lit(connection, pl.Int64).alias("connection_id"),
            pl.Series("modified_at", [stamp_of(row) for row in found], dtype=pl.Datetime("us", "UTC")),
            pl.Series("life", [row.life for row in found], dtype=pl.String),
        )


def _activities(rows: Sequence[Any], mappings: Mapping[ConnectionId, MappingVersion]) -> pl.DataFrame:
    made = [pl.DataFrame(schema=ACTIVITY_SCHEMA)]
    for connection, object, found in _by_object(rows):
        mapping = mappings.get(connection)
        if mapping is None or object not in mapping.activities:
            continue
        frame = translate_activities(
            mapping,
            object,
            list(range(len(found))),
            [row.fields for row in found],
            [row.known_from for row in found],
        )
        people = pl.Series("person_id", [row.person_id for row in found], dtype=pl.Int64)
        made.append(frame.with_columns(people.gather(frame["activity_id"])).select(list(ACTIVITY_SCHEMA)))
    return pl.concat(made, how="vertical_relaxed")


def _previous(last: Mapping[int, Any]) -> pl.DataFrame:
    """What each person's records were last meant to hold."""
    return pl.DataFrame(
        {
            "person_id": list(last),
            "last_bucket": [row.desired.get("bucket") for row in last.values()],
            "last_score": [row.desired.get("score") for row in last.values()],
            "last_state": [row.desired.get("state") for row in last.values()],
            "last_top_reason": [row.desired_reason for row in last.values()],
            "last_scored_at": [
                datetime.fromisoformat(at) if (at := row.desired.get("scored_at")) else None for row in last.values()
            ],
        },
        schema=PREVIOUS_SCHEMA,
    )


def _decided(
    evaluated: pl.DataFrame,
    read: Read,
    claim: inbox.Claim,
    mappings: Mapping[ConnectionId, MappingVersion],
    policy: PolicyVersion,
) -> Iterator[evaluations.Decided]:
    """Each evaluated row as it is stored; where it is not worth a write, the state that was desired before stays."""
    worth = evaluated.select(worth_pushing(policy)).to_series().to_list()
    wanted = desired_fields(evaluated, policy)
    used, until = _sources_of(read)
    for row, is_worth, desired in zip(evaluated.iter_rows(named=True), worth, wanted, strict=True):
        person = row["person_id"]
        last = read.last.get(person)
        keeps = last is not None and not is_worth
        yield evaluations.Decided(
            person_id=person,
            number=claim.numbers[person],
            why=claim.why[person],
            state=row["state"],
            findings=row["findings"],
            probability=row["probability"],
            score=row["score"],
            bucket=row["bucket"],
            fit=row["fit"],
            engagement=row["engagement"],
            reasons=row["reasons"],
            model_version=row["model_version"],
            mapping_versions={
                str(connection): mappings[connection].content_hash
                for connection in used[person]
                if connection in mappings
            },
            policy_version=policy.content_hash,
            inputs_hash=row["inputs_hash"],
            desired=last.desired if last is not None and keeps else desired,
            desired_reason=last.desired_reason if last is not None and keeps else row["top_reason"],
            data_until=until[person],
        )


def _sources_of(read: Read) -> tuple[dict[int, list[ConnectionId]], dict[int, datetime]]:
    """Which connections each person's data came from, and the newest stamp in it."""
    used: dict[int, list[ConnectionId]] = {}
    until: dict[int, datetime] = {}
    for row in read.records:
        connections = used.setdefault(row.person_id, [])
        if row.connection_id not in connections:
            connections.append(ConnectionId(row.connection_id))
        until[row.person_id] = max(row.stamp, until.get(row.person_id, row.stamp))
    for row in read.activities:
        until[row.person_id] = max(row.known_from, until.get(row.person_id, row.known_from))
    return used, until


def _says_something_new(decided: evaluations.Decided, last: Any) -> bool:
    """Whether an evaluation differs from the last one that was kept; time alone moves the rest within the dead band."""
    return last is None or (
        decided.state,
        decided.score,
        decided.bucket,
        decided.inputs_hash,
        decided.model_version,
        decided.policy_version,
        decided.mapping_versions,
        decided.desired,
    ) != (
        last.state,
        last.score,
        last.bucket,
        last.inputs_hash,
        last.model_version,
        last.policy_version,
        last.mapping_versions,
        last.desired,
    )


def _entries(
    decided: Sequence[evaluations.Decided],
    kept: Mapping[int, int],
    read: Read,
    mappings: Mapping[ConnectionId, MappingVersion],
    claim: inbox.Claim,
) -> Iterator[outbox.Desired]:
    """One entry for each open record that neither holds the desired state nor is about to (law 7: all open records)."""
    by_person = {each.person_id: each for each in decided}
    for row in read.records:
        each = by_person.get(row.person_id)
        mapping = mappings.get(ConnectionId(row.connection_id))
        if each is None or mapping is None or row.life != Life.OPEN or not _is_written(mapping, row.object):
            continue
        if not _differs(each.desired, row.own_accepted if row.pending is None else row.pending):
            continue
        last = read.last.get(row.person_id)
        stands_on = (
            (kept[row.person_id], each.number) if row.person_id in kept or last is None else (last.id, last.number)
        )
        yield outbox.Desired(
            record_id=row.id,
            connection_id=row.connection_id,
            kind=Kind.FIELDS,
            evaluation_id=stands_on[0],
            number=stands_on[1],
            values=each.desired,
            priority=_priority(claim.why[row.person_id]),
            why=claim.why[row.person_id],
        )


def _basis(kept: Mapping[int, int], read: Read, claim: inbox.Claim) -> dict[int, assignments.Basis]:
    """The evaluation that each person's routing stands on; its number is the one drawn now, kept or not."""
    last = {person: row.id for person, row in read.last.items()}
    return {
        person: assignments.Basis(evaluation_id=kept.get(person, last.get(person)), number=number)
        for person, number in claim.numbers.items()
    }


def _has_owner(mapping: MappingVersion | None, object: str) -> bool:
    return mapping is not None and object in mapping.people and "owner_id" in mapping.people[object].fields


def _is_written(mapping: MappingVersion, object: str) -> bool:
    return object in mapping.people and bool(mapping.people[object].own_fields)


def _differs(desired: Mapping[str, Value], standing: Mapping[str, Value]) -> bool:
    return any(not same_value(standing.get(name), value) for name, value in desired.items())


_PRIORITIES = {
    "time": inbox.Priority.AGEING,
    **dict.fromkeys(("mapping", "policy", "model"), inbox.Priority.PUBLISHED),
}


def _priority(why: str) -> int:
    """What a publication or promotion changes waits behind what people changed (law 17)."""
    return int(_PRIORITIES.get(why, inbox.Priority.CHANGE))


def _told(decided: evaluations.Decided, last: Any) -> AuditEntry:
    return AuditEntry(
        actor="evaluate",
        kind="evaluation",
        subject=f"person:{decided.person_id}",
        payload={
            "number": decided.number,
            "why": decided.why,
            "state": decided.state,
            "score": decided.score,
            "bucket": decided.bucket,
            "before": None if last is None else {"state": last.state, "score": last.score, "bucket": last.bucket},
            "model": decided.model_version,
            "mappings": decided.mapping_versions,
            "policy": decided.policy_version,
            "inputs": decided.inputs_hash,
        },
    )
