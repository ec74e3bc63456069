"""The outbox: one waiting and one in-flight entry at most for each record and kind (law 12)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlmodel import Session

from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.outbox import Claimed, Kind, OutboxState
from crm_sync.domain.writes import Outcome
from crm_sync.errors import Family
from crm_sync.store.engine import rows, run
from crm_sync.store.inbox import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The state that one record should hold, on its way into the outbox."""

    record_id: int
    connection_id: int
    kind: Kind
    evaluation_id: int | None
    number: int
    values: dict[str, Any]
    priority: int
    why: str
    replay_of: int | None = None


def put(session: Session, entries: Sequence[Desired], now: datetime) -> None:
    """Let desired states wait. An older entry of the record that waits or is held is superseded.

    Newer is the higher evaluation number (law 12), whoever commits first: an entry that is older than one which waits,
    is held, is on its way or arrived is noted as superseded and never sent. A repair carries the number of the
    evaluation that it repairs and gives way to whatever else waits. Two at once are harmless: records are locked first.
    """
    if not entries:
        return
    arrays = {
        "records": [entry.record_id for entry in entries],
        "kinds": [entry.kind.value for entry in entries],
        "numbers": [entry.number for entry in entries],
        "why": [entry.why for entry in entries],
    }
    # A statement of its own: the next ones then see what others committed while this one waited for its locks.
    run(
        session,
        "SELECT FROM record WHERE id = ANY(CAST(:records AS bigint[])) ORDER BY id FOR NO KEY UPDATE",
        records=arrays["records"],
    )
    run(
        session,
        """
        UPDATE outbox SET state = 'superseded', settled_at = :now, words = 'a newer evaluation took its place'
        FROM unnest(CAST(:records AS bigint[]), CAST(:kinds AS text[]), CAST(:numbers AS bigint[]),
                    CAST(:why AS text[])) AS newer (record_id, kind, number, why)
        WHERE outbox.record_id = newer.record_id AND outbox.kind = newer.kind AND outbox.state IN ('waiting', 'held')
          AND outbox.number <= newer.number AND (newer.why <> 'repair' OR outbox.why = 'repair')
        """,
        now=now,
        **arrays,
    )
    run(
        session,
        """
        INSERT INTO outbox (record_id, connection_id, kind, evaluation_id, number, desired, priority, why, replay_of,
                            state, next_try, created_at, settled_at, words)
        SELECT entry.record_id, entry.connection_id, entry.kind, entry.evaluation_id, entry.number, entry.desired,
               entry.priority, entry.why, entry.replay_of, CASE WHEN older THEN 'superseded' ELSE 'waiting' END,
               :now, :now, CASE WHEN older THEN CAST(:now AS timestamptz) END,
               CASE WHEN older THEN 'something newer stands there or is on its way' ELSE '' END
        FROM (
                SELECT *, row_number() OVER (PARTITION BY record_id, kind ORDER BY number DESC, nth DESC) AS place
                FROM unnest(CAST(:records AS bigint[]), CAST(:connections AS bigint[]), CAST(:kinds AS text[]),
                            CAST(:evaluations AS bigint[]), CAST(:numbers AS bigint[]), CAST(:desired AS jsonb[]),
                            CAST(:priorities AS smallint[]), CAST(:why AS text[]), CAST(:replays AS bigint[]))
                     WITH ORDINALITY AS given (record_id, connection_id, kind, evaluation_id, number, desired,
                                               priority, why, replay_of, nth)
             ) AS entry
             CROSS JOIN LATERAL (
                SELECT place > 1 OR EXISTS (SELECT FROM outbox WHERE outbox.record_id = entry.record_id
                    AND outbox.kind = entry.kind AND (outbox.state IN ('waiting', 'held')
                        OR outbox.state IN ('in_flight', 'delivered') AND outbox.number > entry.number)) AS older
             ) AS standing
        """,
        now=now,
        connections=[entry.connection_id for entry in entries],
        evaluations=[entry.evaluation_id for entry in entries],
        desired=[orjson.dumps(entry.values).decode() for entry in entries],
        priorities=[entry.priority for entry in entries],
        replays=[entry.replay_of for entry in entries],
        **arrays,
    )


def drop_waiting(session: Session, records: Sequence[int], reason: str, now: datetime) -> int:
    """Close what waits for records that may not be written any more."""
    return run(
        session,
        """
        UPDATE outbox SET state = 'closed', settled_at = :now, words = :reason
        WHERE record_id = ANY(CAST(:records AS bigint[])) AND state IN ('waiting', 'held')
        """,
        records=list(records),
        reason=reason,
        now=now,
    )


def due_connections(session: Session, now: datetime) -> list[ConnectionId]:
    """Active connections that have something to push, and that the CRM lets us ask."""
    found = rows(
        session,
        """
        SELECT id FROM connection WHERE state = 'active' AND (wait_until IS NULL OR wait_until <= :now) AND (
            EXISTS (SELECT FROM outbox WHERE connection_id = connection.id AND state = 'waiting' AND next_try <= :now)
            OR EXISTS (SELECT FROM outbox WHERE connection_id = connection.id AND state = 'in_flight'
                       AND claimed_until < :now))
        ORDER BY id
        """,
        now=now,
    )
    return [ConnectionId(row.id) for row in found]


def claim(
    session: Session, connection: ConnectionId, now: datetime, *, most: int, span: timedelta, most_attempts: int
) -> tuple[uuid.UUID, list[Claimed]]:
    """Take due entries of one connection, the most urgent first, and count the attempt before the CRM is called.

    A claim that lapsed is taken again; its outcome is unknown, and the guard reads back before anything is sent. Such
    entries come alone, and the fewer the more often they were tried, down to one on the last attempt: what kills its
    worker stands by itself then, and runs out of attempts without taking others along.
    A score, and an owner chosen by it, wait while a change of their person does: consent may be in it (law 8).
    With each entry comes the record's other one, beyond `most`: one reading guards both.
    Only one entry of a record and kind is ever in flight. A repair wants what the CRM last accepted by now, not by the
    time at which somebody wrote over it.
    """
    token = uuid.uuid4()
    found = rows(
        session,
        """
        WITH often AS (
            SELECT min(attempts) AS tries FROM outbox
            WHERE connection_id = :connection AND state = 'in_flight' AND claimed_until < :now
        ), lapsed AS (
            SELECT id, true AS repeated FROM outbox
            WHERE connection_id = :connection AND state = 'in_flight' AND claimed_until < :now
              AND attempts = (SELECT tries FROM often)
            ORDER BY id LIMIT (
                SELECT ceil(power(:most, greatest(:last - tries - 1, 0)::float8 / greatest(:last - 2, 1))) FROM often)
            FOR UPDATE SKIP LOCKED
        ), waiting AS (
            SELECT id, record_id, kind, false AS repeated FROM outbox AS entry
            WHERE connection_id = :connection AND state = 'waiting' AND next_try <= :now
              AND NOT EXISTS (SELECT FROM outbox AS other WHERE other.record_id = entry.record_id
                              AND other.kind = entry.kind AND other.state = 'in_flight')
              AND NOT EXISTS (SELECT FROM lapsed)
              AND (desired ->> 'score' IS NULL AND desired ->> 'consented' IS DISTINCT FROM 'true' OR NOT EXISTS (
                    SELECT FROM link JOIN inbox ON inbox.person_id = link.person_id
                    WHERE link.record_id = entry.record_id AND link.to_at IS NULL AND inbox.priority <= :change))
            ORDER BY priority, id LIMIT :most FOR UPDATE SKIP LOCKED
        ), beside AS (
            SELECT entry.id, false AS repeated FROM outbox AS entry
                 JOIN waiting ON waiting.record_id = entry.record_id AND waiting.kind <> entry.kind
            WHERE entry.state = 'waiting' AND next_try <= :now
              AND NOT EXISTS (SELECT FROM waiting AS taken WHERE taken.id = entry.id)
              AND NOT EXISTS (SELECT FROM outbox AS other WHERE other.record_id = entry.record_id
                              AND other.kind = entry.kind AND other.state = 'in_flight')
              AND (desired ->> 'score' IS NULL AND desired ->> 'consented' IS DISTINCT FROM 'true' OR NOT EXISTS (
                    SELECT FROM link JOIN inbox ON inbox.person_id = link.person_id
                    WHERE link.record_id = entry.record_id AND link.to_at IS NULL AND inbox.priority <= :change))
            FOR UPDATE OF entry SKIP LOCKED
        ), due AS (
            SELECT * FROM lapsed UNION ALL SELECT id, repeated FROM waiting UNION ALL SELECT * FROM beside
        ), taken AS (
            UPDATE outbox SET state = 'in_flight', token = :token, claimed_until = :until, attempts = attempts + 1
            FROM due WHERE outbox.id = due.id
            RETURNING outbox.*, due.repeated
        )
        SELECT taken.id, taken.record_id, record.object, record.crm_id, taken.kind, taken.why, taken.number,
               taken.attempts,
               CASE WHEN taken.why <> 'repair' THEN taken.desired ELSE (
                   SELECT coalesce(jsonb_object_agg(name, record.own_accepted -> name), '{}')
                   FROM jsonb_object_keys(taken.desired) AS name) END AS desired,
               record.own_accepted, record.owner_accepted, link.person_id, taken.repeated,
               coalesce(NOT chosen.active, false) AS owner_left
        FROM taken JOIN record ON record.id = taken.record_id
             LEFT JOIN link ON link.record_id = record.id AND link.to_at IS NULL
             LEFT JOIN crm_user AS chosen ON taken.kind = 'owner' AND chosen.connection_id = taken.connection_id
                  AND chosen.crm_id = taken.desired ->> 'owner'
        ORDER BY taken.priority, taken.id
        """,
        connection=connection,
        now=now,
        token=token,
        until=now + span,
        most=most,
        change=int(Priority.CHANGE),
        last=most_attempts,
    )
    return token, [
        Claimed(
            id=row.id,
            record_id=row.record_id,
            object=row.object,
            crm_id=row.crm_id,
            kind=Kind(row.kind),
            why=row.why,
            number=row.number,
            attempts=row.attempts,
            desired=row.desired,
            accepted=row.own_accepted,
            owner_accepted=row.owner_accepted,
            person_id=row.person_id,
            repeated=row.repeated,
            owner_left=row.owner_left,
        )
        for row in found
    ]


def let_lapse(session: Session, token: uuid.UUID, now: datetime) -> None:
    """End a claim whose worker met a bug of ours: what became of its entries is unknown, and somebody looks now."""
    run(
        session,
        "UPDATE outbox SET claimed_until = CAST(:now AS timestamptz) - interval '1 second' WHERE token = :token",
        token=token,
        now=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of one claimed entry. `sent` is what went over the wire, empty where nothing had to."""

    entry: Claimed
    state: OutboxState
    words: str
    sent: dict[str, Any]
    outcome: Outcome | None = None
    next_try: datetime | None = None
    costs: bool = True


def settle(session: Session, token: uuid.UUID, settlements: Sequence[Settlement], now: datetime) -> set[int]:
    """Note what became of claimed entries, by token. Returns the ids that were still ours.

    An entry that goes back to waiting while a newer one waits is superseded instead. What the CRM accepted becomes the
    record's last accepted state.
    """
    if not settlements:
        return set()
    ids = [settled.entry.id for settled in settlements]
    run(
        session,
        "SELECT FROM record WHERE id = ANY(CAST(:records AS bigint[])) ORDER BY id FOR UPDATE",
        records=[settled.entry.record_id for settled in settlements],
    )
    ours = rows(
        session,
        """
        UPDATE outbox SET
            state = CASE WHEN settled.state = 'waiting' AND EXISTS (
                        SELECT FROM outbox AS newer WHERE newer.record_id = outbox.record_id
                          AND newer.kind = outbox.kind AND newer.state = 'waiting')
                    THEN 'superseded' ELSE settled.state END,
            words = settled.words, family = settled.family, code = settled.code, field = settled.field,
            next_try = coalesce(settled.next_try, outbox.next_try),
            attempts = outbox.attempts - CASE WHEN settled.costs THEN 0 ELSE 1 END,
            settled_at = CASE WHEN settled.state IN ('waiting', 'held') THEN NULL ELSE CAST(:now AS timestamptz) END,
            token = NULL, claimed_until = NULL
        FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:words AS text[]), CAST(:families AS text[]),
                    CAST(:codes AS text[]), CAST(:fields AS text[]), CAST(:tries AS timestamptz[]),
                    CAST(:costs AS boolean[]))
             AS settled (id, state, words, family, code, field, next_try, costs)
        WHERE outbox.id = settled.id AND outbox.token = :token AND outbox.state = 'in_flight'
        RETURNING outbox.id
        """,
        token=token,
        now=now,
        ids=ids,
        states=[settled.state.value for settled in settlements],
        words=[settled.words for settled in settlements],
        families=[s.outcome.family.value if s.outcome and s.outcome.family else "" for s in settlements],
        codes=[s.outcome.code if s.outcome else "" for s in settlements],
        fields=[s.outcome.field if s.outcome else "" for s in settlements],
        tries=[settled.next_try for settled in settlements],
        costs=[settled.costs for settled in settlements],
    )
    held = {row.id for row in ours}
    _note_deliveries(session, [s for s in settlements if s.entry.id in held and s.outcome is not None], now)
    _note_accepted(
        session,
        [s for s in settlements if s.entry.id in held and s.state is OutboxState.DELIVERED],
    )
    return held


def _note_deliveries(session: Session, settlements: Sequence[Settlement], now: datetime) -> None:
    if not settlements:
        return
    run(
        session,
        """
        INSERT INTO delivery (outbox_id, attempt, at, call_id, sent, result)
        SELECT id, attempt, :now, call_id, sent, result
        FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS int[]), CAST(:calls AS text[]), CAST(:sent AS jsonb[]),
                    CAST(:results AS text[])) AS told (id, attempt, call_id, sent, result)
        """,
        now=now,
        ids=[s.entry.id for s in settlements],
        attempts=[s.entry.attempts for s in settlements],
        calls=[s.outcome.call_id if s.outcome else "" for s in settlements],
        sent=[orjson.dumps(s.sent).decode() for s in settlements],
        results=[s.outcome.answer.value if s.outcome else "" for s in settlements],
    )


def _note_accepted(session: Session, delivered: Sequence[Settlement]) -> None:
    if not delivered:
        return
    run(
        session,
        """
        UPDATE record SET
            own_accepted = record.own_accepted || coalesce(accepted.fields, '{}'),
            own_shown = record.own_shown || coalesce(accepted.fields, '{}'),
            owner_accepted = coalesce(accepted.owner, record.owner_accepted)
        FROM (
            -- One row a record: of several that meet it, an UPDATE applies only one.
            SELECT record_id, jsonb_agg(desired) FILTER (WHERE kind = 'fields') -> 0 AS fields,
                   max(desired ->> 'owner') FILTER (WHERE kind = 'owner') AS owner
            FROM unnest(CAST(:records AS bigint[]), CAST(:kinds AS text[]), CAST(:desired AS jsonb[]))
                 AS settled (record_id, kind, desired)
            GROUP BY record_id
        ) AS accepted
        WHERE record.id = accepted.record_id
        """,
        records=[s.entry.record_id for s in delivered],
        kinds=[s.entry.kind.value for s in delivered],
        desired=[orjson.dumps(dict(s.entry.desired)).decode() for s in delivered],
    )


def release_held(session: Session, connection: ConnectionId, now: datetime, *, family: Family | None = None) -> int:
    """Let entries wait again that were held until an admin acted (with `family`: held because of that).

    A newer one that waits already takes their place.
    """
    run(
        session,
        """
        UPDATE outbox SET state = 'superseded', settled_at = :now, words = 'a newer evaluation waits already'
        WHERE connection_id = :connection AND state = 'held' AND EXISTS (
            SELECT FROM outbox AS newer WHERE newer.record_id = outbox.record_id AND newer.kind = outbox.kind
              AND (newer.state = 'waiting' OR newer.state = 'held' AND newer.id > outbox.id))
        """,
        connection=connection,
        now=now,
    )
    return run(
        session,
        """
        UPDATE outbox SET state = 'waiting', next_try = :now
        WHERE connection_id = :connection AND state = 'held' AND (:family = '' OR family = :family)
        """,
        connection=connection,
        now=now,
        family=family.value if family else "",
    )


_OVERTAKEN = """EXISTS (SELECT FROM outbox AS later WHERE later.record_id = outbox.record_id
    AND later.kind = outbox.kind AND later.id > outbox.id
    AND (later.replay_of = outbox.id OR later.state NOT IN ('superseded', 'closed')))"""


def counts(session: Session, connection: ConnectionId) -> dict[str, int]:
    """How many entries of a connection are in each state. A dead letter that was overtaken counts as superseded."""
    found = rows(
        session,
        f"""
        SELECT CASE WHEN state = 'dead' AND {_OVERTAKEN} THEN 'superseded' ELSE state END AS state, count(*) AS n
        FROM outbox WHERE connection_id = :connection GROUP BY 1
        """,  # noqa: S608, the condition is a constant
        connection=connection,
    )
    return {row.state: row.n for row in found}


def withheld(session: Session, connection: ConnectionId) -> dict[str, int]:
    """How many records would be told each state, of those whose fields wait to be written."""
    found = rows(
        session,
        """
        SELECT desired ->> 'state' AS state, count(*) AS n FROM outbox
        WHERE connection_id = :connection AND state = 'waiting' AND kind = 'fields' AND why <> 'repair' GROUP BY 1
        """,
        connection=connection,
    )
    return {row.state or "": row.n for row in found}


def dead(session: Session, *, connection: ConnectionId | None = None, cause: str = "", most: int = 200) -> list[Any]:
    """Dead letters, the newest first, that neither a replay nor anything newer has overtaken.

    `cause` is a code or a field.
    """
    return list(
        rows(
            session,
            f"""
            SELECT outbox.id, connection.name AS connection, record.object, record.crm_id, outbox.kind, outbox.family,
                   outbox.code, outbox.field, outbox.words, outbox.attempts, outbox.settled_at, outbox.desired,
                   outbox.number, outbox.record_id, outbox.connection_id, outbox.evaluation_id
            FROM outbox JOIN record ON record.id = record_id JOIN connection ON connection.id = outbox.connection_id
            WHERE outbox.state = 'dead'
              AND (CAST(:connection AS bigint) IS NULL OR outbox.connection_id = :connection)
              AND (:cause = '' OR outbox.code = :cause OR outbox.field = :cause)
              AND NOT {_OVERTAKEN}
            ORDER BY outbox.id DESC LIMIT :most
            """,  # noqa: S608, likewise
            connection=connection,
            cause=cause,
            most=most,
        )
    )
