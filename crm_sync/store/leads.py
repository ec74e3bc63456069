"""Leads as routing sees them: who owns them, what lets them be routed, whose accounts they are of; and requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from sqlmodel import Session

from crm_sync.domain.policies import PolicyVersion, ToQueue
from crm_sync.domain.routing import Lead, OwnerNow, Taken, Why, matching_rules
from crm_sync.domain.states import CONSENT_STATES
from crm_sync.store import pools
from crm_sync.store.engine import rows, run


def standing(session: Session, policy: PolicyVersion, records: Sequence[int]) -> Sequence[Any]:
    """Who owns these records, of connections that are routed, and what is known about that."""
    unassigned = policy.owners.unassigned
    return rows(
        session,
        """
        SELECT record.id, record.connection_id, record.created_at, record.owner, record.owner_accepted,
               connection.name AS connection, connection.kind, connection.time_zone,
               coalesce(record.owner = ANY(CAST(:ids AS text[])) OR left(record.owner, 15) = ANY(CAST(:ids AS text[]))
                        OR lower(shown.name) = ANY(CAST(:names AS text[])), false) AS unassigned,
               record.owner IS NOT NULL AND shown.active IS NOT TRUE AND users.known AS owner_left,
               last.state AS last, last.why AS last_why, last.owner AS last_owner,
               last.owner IS NOT NULL AND last_shown.active IS NOT TRUE AND users.known AS last_owner_left,
               asked.record_id IS NOT NULL AS asked, NOT users.complete AS waits
        FROM record JOIN connection ON connection.id = record.connection_id
             AND connection.name = ANY(CAST(:connections AS text[]))
             LEFT JOIN crm_user AS shown ON shown.connection_id = record.connection_id AND shown.crm_id = record.owner
             LEFT JOIN LATERAL (
                SELECT state, why, owner FROM assignment WHERE record_id = record.id ORDER BY id DESC LIMIT 1
             ) AS last ON true
             LEFT JOIN crm_user AS last_shown
                  ON last_shown.connection_id = record.connection_id AND last_shown.crm_id = last.owner
             LEFT JOIN reroute AS asked ON asked.record_id = record.id
             CROSS JOIN LATERAL (
                SELECT EXISTS (SELECT FROM crm_user WHERE connection_id = record.connection_id) AS known,
                       NOT EXISTS (SELECT FROM feed WHERE connection_id = record.connection_id
                                   AND name = ANY(CAST(:feeds AS text[])) AND watermark IS NULL) AS complete
             ) AS users
        WHERE record.id = ANY(CAST(:records AS bigint[])) AND record.life = 'open'
        ORDER BY record.id
        """,
        records=list(records),
        connections=list(policy.routing.connections),
        ids=list(unassigned),
        names=[who.lower() for who in unassigned],
        feeds=list(pools.OWNER_FEEDS),
    )


def owner_now(row: Any) -> OwnerNow:
    """A row of `standing` as the rules see it."""
    return OwnerNow(
        owner=row.owner,
        accepted=row.owner_accepted,
        unassigned=row.unassigned,
        owner_left=row.owner_left,
        last=Taken(row.last) if row.last else None,
        last_why=Why(row.last_why) if row.last_why else None,
        last_owner_left=row.last_owner_left,
        asked=row.asked,
    )


def places_of(found: Sequence[Any], now: datetime) -> list[pools.Place]:
    """The connections of rows of `standing`, each once."""
    unique = {row.connection_id: (row.connection, row.time_zone) for row in found}
    return [pools.place(connection, *known, now) for connection, known in sorted(unique.items())]


def account_owners(session: Session, records: Sequence[int]) -> dict[int, frozenset[str]]:
    """Who owns the accounts that each record is tied to, else those of the person's other records beside it."""
    found = rows(
        session,
        """
        SELECT mine.id, record.id = mine.id AS direct, account.owner
        FROM record AS mine
             JOIN link ON link.record_id = mine.id AND link.to_at IS NULL
             JOIN link AS beside ON beside.person_id = link.person_id AND beside.to_at IS NULL
             JOIN record ON record.id = beside.record_id AND record.connection_id = mine.connection_id
                  AND record.life = 'open'
             JOIN tie ON tie.connection_id = record.connection_id AND tie.object = record.object
                  AND tie.crm_id = record.crm_id
             JOIN record AS account ON account.connection_id = tie.connection_id AND account.object = tie.to_object
                  AND account.crm_id = tie.to_id AND account.role = 'account' AND account.life = 'open'
        WHERE mine.id = ANY(CAST(:records AS bigint[])) AND account.owner IS NOT NULL
        """,
        records=list(records),
    )
    direct = {row.id for row in found if row.direct}
    owners: dict[int, set[str]] = {}
    for row in found:
        if row.direct or row.id not in direct:
            owners.setdefault(row.id, set()).add(row.owner)
    return {record: frozenset(whos) for record, whos in owners.items()}


def words_of(policy: PolicyVersion, accounts: Mapping[int, frozenset[str]]) -> list[str]:
    """Every user and queue that routing may ask for: those that the policy names, and the owners of accounts."""
    routing = policy.routing
    return [
        *policy.owners.unassigned,
        *(connection.fallback for connection in routing.connections.values()),
        *(member.who for pool in routing.pools.values() for member in pool.members),
        *(rule.to.queue for rule in routing.rules if isinstance(rule.to, ToQueue)),
        *(who for whos in accounts.values() for who in whos),
    ]


def leads_of(
    policy: PolicyVersion,
    facts: pl.DataFrame,
    due: Sequence[tuple[Any, Why]],
    people: Mapping[int, int],
    accounts: Mapping[int, frozenset[str]],
) -> list[Lead]:
    """Rows of `standing` as leads to route, with the rules that they match; `facts` are the evaluated people."""
    asked = pl.DataFrame(
        {"person_id": [people[row.id] for row, _ in due], "connection_kind": [row.kind for row, _ in due]},
        schema={"person_id": pl.Int64, "connection_kind": pl.String},
    ).join(facts, on="person_id", how="left", maintain_order="left")
    contact = asked.select(pl.any_horizontal("may_email", "may_phone").fill_null(False)).to_series()
    consents = ~asked["state"].is_in([state.value for state in CONSENT_STATES])
    return [
        Lead(
            record_id=row.id,
            connection=row.connection,
            owner=row.owner,
            account_owners=accounts.get(row.id, frozenset()),
            may_contact=may_contact,
            consented=consented,
            why=why,
            rules=matched,
        )
        for (row, why), matched, may_contact, consented in zip(
            due, matching_rules(policy, asked), contact, consents, strict=True
        )
    ]


def left_behind(session: Session, connection: int, owners: Sequence[str]) -> list[int]:
    """People with an open record that we gave to one of these owners: it is theirs still, or the CRM refused them."""
    if not owners:
        return []
    found = rows(
        session,
        """
        SELECT link.person_id FROM record JOIN link ON link.record_id = record.id AND link.to_at IS NULL
        WHERE record.connection_id = :connection AND record.owner = ANY(CAST(:owners AS text[]))
          AND record.owner_accepted = record.owner AND record.life = 'open'
        UNION
        SELECT link.person_id FROM assignment JOIN link ON link.record_id = assignment.record_id AND link.to_at IS NULL
        WHERE assignment.connection_id = :connection AND assignment.owner = ANY(CAST(:owners AS text[]))
          AND assignment.state = 'refused'
        """,
        connection=connection,
        owners=list(owners),
    )
    return [row.person_id for row in found]


def page(session: Session, policy: PolicyVersion, *, after: int, most: int) -> list[int]:
    """People with an open lead in a connection that is routed, by id, those after `after`."""
    found = rows(
        session,
        """
        SELECT DISTINCT link.person_id FROM link JOIN record ON record.id = link.record_id
             JOIN connection ON connection.id = record.connection_id
        WHERE link.person_id > :after AND link.to_at IS NULL AND record.life = 'open'
          AND record.object = ANY(CAST(:objects AS text[])) AND connection.name = ANY(CAST(:connections AS text[]))
        ORDER BY link.person_id LIMIT :most
        """,
        after=after,
        most=most,
        objects=list(policy.routing.objects),
        connections=list(policy.routing.connections),
    )
    return [row.person_id for row in found]


def request(session: Session, records: Sequence[int], *, actor: str, reason: str, now: datetime) -> list[int]:
    """Ask that these leads be routed again when they are evaluated next. Returns the people that they are of."""
    if not records:
        return []
    run(
        session,
        """
        INSERT INTO reroute (record_id, at, actor, reason)
        SELECT id, :now, :actor, :reason FROM unnest(CAST(:records AS bigint[])) AS asked (id)
        ON CONFLICT (record_id) DO UPDATE SET at = excluded.at, actor = excluded.actor, reason = excluded.reason
        """,
        records=sorted(set(records)),
        actor=actor,
        reason=reason,
        now=now,
    )
    found = rows(
        session,
        "SELECT DISTINCT person_id FROM link WHERE record_id = ANY(CAST(:records AS bigint[])) AND to_at IS NULL",
        records=list(records),
    )
    return [row.person_id for row in found]


def forget_requests(session: Session, records: Sequence[int]) -> None:
    """These were met, or came too late."""
    run(session, "DELETE FROM reroute WHERE record_id = ANY(CAST(:records AS bigint[]))", records=list(records))
