"""Assignments: who got which lead by which rule, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
import polars as pl
from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.outbox import Kind
from crm_sync.domain.policies import PolicyVersion, Routing
from crm_sync.domain.records import Life
from crm_sync.domain.routing import (
    GAVE_WAY,
    ROUTABLE_STATES,
    Assignment,
    Owners,
    Taken,
    Undecided,
    Why,
    route,
    why_routed,
)
from crm_sync.store import audit, leads, outbox, pools
from crm_sync.store.engine import rows, run
from crm_sync.store.inbox import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The evaluation that a routing decision stands on: its row where there is one, and the number drawn."""

    evaluation_id: int | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """How many outbox entries routing made, and the people whose leads nobody could get yet."""

    entries: int = 0
    undecided: frozenset[int] = frozenset()


def assign(
    session: Session,
    policy: PolicyVersion,
    evaluated: pl.DataFrame,
    records: Sequence[Any],
    basis: Mapping[int, Basis],
    now: datetime,
) -> Assigned:
    """Route the leads among `records` that may be routed now: turns, assignments, outbox and audit, in this commit.

    `evaluated` are the evaluated people, `records` the rows of `evaluations.records_of` whose owner is mapped,
    `basis` is by person. Most batches route nobody, at the cost of one statement.
    """
    people = _routable(policy.routing, evaluated, records)
    if not people:
        return Assigned()
    due = _due(session, policy, list(people), now)
    if not due:
        return Assigned()
    # What was read may be old by now. The order of locks is record, outbox, pool.
    run(
        session,
        "SELECT FROM record WHERE id = ANY(CAST(:records AS bigint[])) ORDER BY id FOR UPDATE",
        records=[row.id for row, _ in due],
    )
    due = _due(session, policy, [row.id for row, _ in due], now)
    waits = {people[row.id] for row, _ in due if row.waits}
    due = [(row, why) for row, why in due if not row.waits]
    if not due:
        return Assigned(undecided=frozenset(waits))
    places = leads.places_of([row for row, _ in due], now)
    accounts = leads.account_owners(session, [row.id for row, _ in due])
    found = pools.owners(session, places, leads.words_of(policy, accounts))
    ids = pools.lock(session, policy.routing, places)
    seats = pools.seats(session, policy.routing, places, ids, found, now)
    decided = route(leads.leads_of(policy, evaluated, due, people, accounts), policy.routing, found, seats)
    pools.take(session, policy.routing, places, ids, seats)
    given = [each for each in decided if isinstance(each, Assignment)]
    entries = _keep(session, policy, given, {row.id: row for row, _ in due}, people, basis, found, ids, places, now)
    undecided = {people[each.lead.record_id] for each in decided if isinstance(each, Undecided)}
    return Assigned(entries=entries, undecided=frozenset(undecided | waits))


def _routable(routing: Routing, evaluated: pl.DataFrame, records: Sequence[Any]) -> dict[int, int]:
    """Record to person of every open lead whose state lets it be routed."""
    if not routing.connections:
        return {}
    fit = evaluated.filter(pl.col("state").is_in([state.value for state in ROUTABLE_STATES]))
    routable = set(fit["person_id"])
    return {
        row.id: row.person_id
        for row in records
        if row.life == Life.OPEN and row.object in routing.objects and row.person_id in routable
    }


def _due(session: Session, policy: PolicyVersion, records: Sequence[int], now: datetime) -> list[tuple[Any, Why]]:
    """The leads that may be routed now, and why. A request that came too late is told and forgotten."""
    found = leads.standing(session, policy, records)
    late = [row for row in found if row.asked and not row.waits and not leads.owner_now(row).may_be_routed]
    if late:
        leads.forget_requests(session, [row.id for row in late])
        audit.append(session, [_left_alone(row) for row in late], now)
    due = []
    for row in found:
        since = policy.routing.connections[row.connection].since
        # Before its users are read nobody can tell whether an owner counts as nobody.
        lead = replace(leads.owner_now(row), unassigned=row.unassigned or row.waits)
        if why := why_routed(lead, created_at=row.created_at, since=since):
            due.append((row, why))
    return due


def _keep(
    session: Session,
    policy: PolicyVersion,
    given: Sequence[Assignment],
    shown: Mapping[int, Any],
    people: Mapping[int, int],
    basis: Mapping[int, Basis],
    found: Owners,
    ids: Mapping[str, int],
    places: Sequence[pools.Place],
    now: datetime,
) -> int:
    """Assignments, and an owner entry for each that changes the owner; the requests are met."""
    if not given:
        return 0
    days = {place.name: place.day for place in places}
    stands_on = {each.lead.record_id: basis[people[each.lead.record_id]] for each in given}
    stored = _store(session, policy, given, shown, stands_on, ids, days, now)
    leads.forget_requests(session, list(stored))
    entries = [
        outbox.Desired(
            record_id=each.lead.record_id,
            connection_id=shown[each.lead.record_id].connection_id,
            kind=Kind.OWNER,
            evaluation_id=stands_on[each.lead.record_id].evaluation_id,
            number=stands_on[each.lead.record_id].number,
            values={
                "owner": each.owner,
                "unassigned": " ".join(found.ids(each.lead.connection, policy.owners.unassigned)),
                "assignment": stored[each.lead.record_id],
                "consented": each.lead.consented,
            },
            priority=int(Priority.FRESH if each.lead.why is Why.FIRST else Priority.CHANGE),
            why=each.lead.why.value,
        )
        for each in given
        if each.owner != each.lead.owner
    ]
    outbox.put(session, entries, now)
    audit.append(session, [_told(policy, each, stored[each.lead.record_id]) for each in given], now)
    return len(entries)


def _store(
    session: Session,
    policy: PolicyVersion,
    given: Sequence[Assignment],
    shown: Mapping[int, Any],
    basis: Mapping[int, Basis],
    ids: Mapping[str, int],
    days: Mapping[str, Any],
    now: datetime,
) -> dict[int, int]:
    """The ids of the stored assignments by record. Whoever has the lead already keeps it, and nothing is written."""

    def text(value: Any) -> str:
        return orjson.dumps(value).decode()

    found = rows(
        session,
        """
        INSERT INTO assignment (record_id, connection_id, evaluation_id, number, at, why, rule, policy_version, pool_id,
                                member, day, owner_before, owner, skipped, turns_before, turns_after, state, settled_at)
        SELECT record_id, connection_id, evaluation_id, number, :now, why, rule, :policy, pool_id, member, day,
               owner_before, owner, skipped, turns_before, turns_after,
               CASE WHEN owner IS NOT DISTINCT FROM owner_before THEN 'accepted' ELSE 'taken' END,
               CASE WHEN owner IS NOT DISTINCT FROM owner_before THEN CAST(:now AS timestamptz) END
        FROM unnest(CAST(:records AS bigint[]), CAST(:connections AS bigint[]), CAST(:evaluations AS bigint[]),
                    CAST(:numbers AS bigint[]), CAST(:why AS text[]), CAST(:rules AS text[]), CAST(:pools AS bigint[]),
                    CAST(:members AS text[]), CAST(:days AS date[]), CAST(:before AS text[]), CAST(:owners AS text[]),
                    CAST(:skipped AS jsonb[]), CAST(:turns_before AS jsonb[]), CAST(:turns_after AS jsonb[]))
             AS given (record_id, connection_id, evaluation_id, number, why, rule, pool_id, member, day, owner_before,
                       owner, skipped, turns_before, turns_after)
        RETURNING id, record_id
        """,
        now=now,
        policy=policy.content_hash,
        records=[each.lead.record_id for each in given],
        connections=[shown[each.lead.record_id].connection_id for each in given],
        evaluations=[basis[each.lead.record_id].evaluation_id for each in given],
        numbers=[basis[each.lead.record_id].number for each in given],
        why=[each.lead.why.value for each in given],
        rules=[each.rule for each in given],
        pools=[ids.get(each.pool) for each in given],
        members=[each.member for each in given],
        days=[days[each.lead.connection].isoformat() for each in given],
        before=[each.lead.owner for each in given],
        owners=[each.owner for each in given],
        skipped=[text([{"who": skip.who, "why": skip.why} for skip in each.skipped]) for each in given],
        turns_before=[text(dict(each.turns_before)) for each in given],
        turns_after=[text(dict(each.turns_after)) for each in given],
    )
    return {row.record_id: row.id for row in found}


def settle(session: Session, records: Iterable[int], now: datetime) -> None:
    """Note what became of the assignments of these records, by their outbox entries, and give back turns.

    The caller holds the records' locks. Repeating is harmless: what stands as its entry does is left. A replay takes
    its turn after all.
    """
    wanted = sorted(set(records))
    if not wanted:
        return
    found = rows(
        session,
        """
        WITH told AS (
            SELECT assignment.id, assignment.state AS before, CASE entry.state
                       WHEN 'delivered' THEN 'accepted' WHEN 'dead' THEN 'refused' WHEN 'superseded' THEN 'dropped'
                       WHEN 'closed' THEN CASE WHEN entry.words = :gave_way THEN 'gave_way' ELSE 'dropped' END
                       ELSE 'taken' END AS state
            FROM assignment CROSS JOIN LATERAL (
                SELECT outbox.state, words FROM outbox
                WHERE outbox.record_id = assignment.record_id AND kind = 'owner'
                  AND CAST(desired ->> 'assignment' AS bigint) = assignment.id
                ORDER BY outbox.id DESC LIMIT 1
            ) AS entry
            WHERE assignment.record_id = ANY(CAST(:records AS bigint[]))
        )
        UPDATE assignment SET state = told.state,
               settled_at = CASE WHEN told.state = 'taken' THEN NULL ELSE CAST(:now AS timestamptz) END
        FROM told WHERE assignment.id = told.id AND told.state <> told.before
        RETURNING assignment.id, assignment.pool_id, assignment.member, assignment.day, assignment.turns_before,
                  assignment.turns_after, told.before, told.state
        """,
        records=wanted,
        gave_way=GAVE_WAY,
        now=now,
    )
    pools.give_back(session, [_return(row) for row in found if row.pool_id and _holds(row.before) != _holds(row.state)])


def _holds(state: str) -> bool:
    return state in (Taken.TAKEN, Taken.ACCEPTED)


def _return(row: Any) -> pools.Return:
    return pools.Return(
        pool_id=row.pool_id,
        member=row.member,
        day=row.day,
        given=1 if _holds(row.state) else -1,
        before=row.turns_before,
        after=row.turns_after,
    )


def _told(policy: PolicyVersion, each: Assignment, id: int) -> AuditEntry:
    return AuditEntry(
        actor="evaluate",
        kind="assignment",
        subject=f"record:{each.lead.record_id}",
        payload={
            "assignment": id,
            "why": each.lead.why,
            "rule": each.rule,
            "policy": policy.content_hash,
            "connection": each.lead.connection,
            "before": each.lead.owner,
            "after": each.owner,
            "pool": each.pool,
            "skipped": [{"who": skip.who, "why": skip.why} for skip in each.skipped],
            "turns_before": dict(each.turns_before),
            "turns_after": dict(each.turns_after),
        },
    )


def _left_alone(row: Any) -> AuditEntry:
    payload = {"connection": row.connection, "owner": row.owner, "why": "somebody has set the owner meanwhile"}
    return AuditEntry(actor="evaluate", kind="owner_left_alone", subject=f"record:{row.id}", payload=payload)
