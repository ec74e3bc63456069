"""Reroute: what routing rules would do with the leads that are there, and asking that some are routed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Protocol

import polars as pl
from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.budgets import calls_to_push, time_for
from crm_sync.domain.connections import Connection, ConnectionId
from crm_sync.domain.evaluations import judged, people_of
from crm_sync.domain.mappings import MappingVersion, translate
from crm_sync.domain.policies import PolicyVersion, ToQueue
from crm_sync.domain.records import CrmKind, Life
from crm_sync.domain.routing import ROUTABLE_STATES, Assignment, NotFound, Owners, Seats, Why, route, why_routed
from crm_sync.store import audit, connections, evaluations, inbox, leads, pools
from crm_sync.store.engine import Transaction

BATCH = 1_000


class Rules(Protocol):
    """What routing goes by beside the policy."""

    def mappings(self, session: Session) -> Mapping[ConnectionId, MappingVersion]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What would become of one lead, if it were routed now.

    `due` says that it is routed without anybody asking. Where `may` is false somebody else set its owner, and it stays
    with them; `left` says that this owner has left. `owner` is empty where nobody can get it.
    """

    record_id: int
    person_id: int
    connection: str
    may: bool
    due: bool
    left: bool
    changes: bool = False
    rule: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What rerouting comes to in one connection, if every owner that would change is written."""

    connection: str
    owners: int
    calls: int
    time: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What the rules would do with every open lead, each as it stands now."""

    leads: tuple[Outlook, ...]
    loads: tuple[Load, ...]


def problems(transaction: Transaction, rules: Rules, policy: PolicyVersion, now: datetime) -> list[str]:
    """What stands between routing rules and the CRMs as they were last read, one sentence each."""
    with transaction() as session:
        known = {connection.name: connection for connection in connections.listed(session)}
        mappings = rules.mappings(session)
        places = [
            pools.place(known[name].id, name, known[name].time_zone, now)
            for name in policy.routing.connections
            if name in known
        ]
        unread = pools.unread(session, places)
        found = pools.owners(session, places, leads.words_of(policy, {}))
    told = []
    for name in policy.routing.connections:
        if name not in known:
            told.append(f"routing.connections.{name}: there is no such connection; `crm-sync status` lists them.")
            continue
        told += _mapping_problems(policy, known[name], mappings.get(known[name].id))
        if name in unread:
            told.append(f"{name}: its users and queues are not read yet; run `crm-sync up` or `crm-sync poll {name}`.")
        else:
            told += _owner_problems(policy, name, found)
    return told


def _mapping_problems(policy: PolicyVersion, connection: Connection, mapping: MappingVersion | None) -> list[str]:
    if mapping is None:
        return [f"{connection.name}: no mapping is published; run `crm-sync mapping publish`."]
    held = [object for object in policy.routing.objects if object in mapping.people]
    if not held:
        return [f"{connection.name}: its mapping has none of {', '.join(policy.routing.objects)} under people."]
    found = [
        f"{connection.name}: the mapping of {object} has no owner_id, so its owners can't be written."
        for object in held
        if "owner_id" not in mapping.people[object].fields
    ]
    if connection.kind is CrmKind.SALESFORCE and not policy.owners.unassigned:
        found.append(
            f"owners.unassigned is empty, but in Salesforce every lead has an owner: no lead of {connection.name} "
            "would ever be routed; name the users or queues that count as nobody."
        )
    return found


def _owner_problems(policy: PolicyVersion, connection: str, found: Owners) -> list[str]:
    routing = policy.routing
    named = {f"routing.connections.{connection}.fallback": [routing.connections[connection].fallback]}
    for name, pool in routing.pools.items():
        if pool.connection == connection:
            named[f"routing.pools.{name}"] = [member.who for member in pool.members]
    for rule in routing.rules:
        if isinstance(rule.to, ToQueue) and rule.to.connection == connection:
            named[f"routing.rules.{rule.name}.to.queue"] = [rule.to.queue]
    return [
        f"{place}: {who} {owner.words} ({connection})."
        for place, whos in named.items()
        for who in whos
        if isinstance(owner := found.find(connection, who), NotFound)
    ]


def preview(transaction: Transaction, rules: Rules, policy: PolicyVersion, now: datetime) -> Preview:
    """What would become of every open lead, batch by batch; nothing is written and no turn is taken.

    Turns and limits go on from where they stand, so the owners are those that rerouting everybody would give.
    """
    with transaction() as session:
        known = {connection.name: connection for connection in connections.listed(session)}
        mappings = rules.mappings(session)
        places = [
            pools.place(known[name].id, name, known[name].time_zone, now)
            for name in policy.routing.connections
            if name in known
        ]
        found = pools.owners(session, places, leads.words_of(policy, {}))
        ids = pools.known(session, policy.routing, places)
        seats = pools.seats(session, policy.routing, places, ids, found, now)
    seen: list[Outlook] = []
    after = 0
    while True:
        with transaction() as session:
            people = leads.page(session, policy, after=after, most=BATCH)
            if not people:
                break
            seen += _outlooks(session, policy, mappings, places, seats, people, now)
        after = people[-1]
    return Preview(leads=tuple(seen), loads=tuple(_loads(seen, known)))


def _outlooks(
    session: Session,
    policy: PolicyVersion,
    mappings: Mapping[ConnectionId, MappingVersion],
    places: Sequence[pools.Place],
    seats: Seats,
    people: Sequence[int],
    now: datetime,
) -> Iterator[Outlook]:
    records = evaluations.records_of(session, people)
    facts = _facts(session, policy, mappings, records, people, now)
    routable = set(facts.filter(pl.col("state").is_in([state.value for state in ROUTABLE_STATES]))["person_id"])
    of = {
        row.id: row.person_id
        for row in records
        if row.life == Life.OPEN
        and row.object in policy.routing.objects
        and row.person_id in routable
        and _has_owner(mappings.get(ConnectionId(row.connection_id)), row.object)
    }
    standing = leads.standing(session, policy, list(of))
    asked = [row for row in standing if leads.owner_now(row).may_be_routed]
    accounts = leads.account_owners(session, [row.id for row in asked])
    owners = pools.owners(session, places, leads.words_of(policy, accounts))
    wanted = leads.leads_of(policy, facts, [(row, Why.REROUTE) for row in asked], of, accounts)
    decided = {each.lead.record_id: each for each in route(wanted, policy.routing, owners, seats)}
    for row in standing:
        now_owned = leads.owner_now(row)
        since = policy.routing.connections[row.connection].since
        outlook = Outlook(
            record_id=row.id,
            person_id=of[row.id],
            connection=row.connection,
            may=now_owned.may_be_routed,
            due=why_routed(replace(now_owned, asked=False), created_at=row.created_at, since=since) is not None,
            left=row.owner_left,
        )
        match decided.get(row.id):
            case Assignment() as each:
                yield replace(outlook, rule=each.rule, owner=each.owner, changes=each.owner != row.owner)
            case _:
                yield outlook


def _has_owner(mapping: MappingVersion | None, object: str) -> bool:
    return mapping is not None and object in mapping.people and "owner_id" in mapping.people[object].fields


def _facts(
    session: Session,
    policy: PolicyVersion,
    mappings: Mapping[ConnectionId, MappingVersion],
    records: Sequence[Any],
    people: Sequence[int],
    now: datetime,
) -> pl.DataFrame:
    """What rules look at, one row a person: their records as they stand, and the score of their last evaluation."""
    beside = evaluations.companions_of(session, people)
    frames = [*_translated(records, mappings, "id"), *_translated(beside, mappings, "record_id")]
    if not frames:
        return pl.DataFrame(schema={"person_id": pl.Int64, "state": pl.String})
    folded = judged(people_of(pl.concat(frames, how="diagonal_relaxed"), policy, now), policy)
    last = pl.DataFrame(
        [(row.person_id, row.score, row.bucket) for row in evaluations.last_of(session, people)],
        schema={"person_id": pl.Int64, "score": pl.Int32, "bucket": pl.String},
        orient="row",
    )
    return folded.join(last, on="person_id", how="left", maintain_order="left")


def _translated(
    rows: Sequence[Any], mappings: Mapping[ConnectionId, MappingVersion], id: str
) -> Iterator[pl.DataFrame]:
    def place(row: Any) -> tuple[int, str]:
        return row.connection_id, row.object

    for (connection, object), group in groupby(sorted(rows, key=place), key=place):
        mapping, found = mappings.get(ConnectionId(connection)), list(group)
        if mapping is None or object not in mapping.roles:
            continue
        frame = translate(mapping, object, [getattr(row, id) for row in found], [row.fields or {} for row in found])
        yield frame.with_columns(
            pl.Series("person_id", [row.person_id for row in found], dtype=pl.Int64),
            pl.lit(connection, pl.Int64).alias("connection_id"),
            pl.Series("modified_at", [getattr(row, "stamp", None) for row in found], dtype=pl.Datetime("us", "UTC")),
            pl.Series("life", [row.life for row in found], dtype=pl.String),
        )


def _loads(seen: Sequence[Outlook], known: Mapping[str, Connection]) -> Iterator[Load]:
    for name in sorted({each.connection for each in seen}):
        yield load(known[name], sum(each.changes for each in seen if each.connection == name))


def load(connection: Connection, owners: int) -> Load:
    """What writing this many owners takes, at our share."""
    calls = calls_to_push(connection.kind, owners)
    return Load(connection=connection.name, owners=owners, calls=calls, time=time_for(connection.kind, calls))


def reroute(transaction: Transaction, chosen: Sequence[Outlook], *, actor: str, reason: str, now: datetime) -> int:
    """Ask that these leads be routed again when they are evaluated, which they are at low priority. Returns how many.

    One commit. Repeating is harmless: a request that stands is renewed, one that was met is made anew. Law 9 is looked
    at again then, and once more just before the write: who is somebody's by then stays theirs.
    """
    asked = [each for each in chosen if each.may]
    with transaction() as session:
        people = leads.request(session, [each.record_id for each in asked], actor=actor, reason=reason, now=now)
        inbox.add(session, dict.fromkeys(people, inbox.Priority.PUBLISHED), why="reroute", now=now)
        told = [
            AuditEntry(
                actor=actor,
                kind="reroute_asked",
                subject=f"record:{each.record_id}",
                payload={"connection": each.connection, "reason": reason, "rule": each.rule},
            )
            for each in asked
        ]
        audit.append(session, told, now)
    return len(asked)
