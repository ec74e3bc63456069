"""The inbox: people waiting to be evaluated, one row each however many changes wait with them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from sqlmodel import Session

from crm_sync.store.engine import Transaction, rows, run

OFTEN, PARKED = 4, timedelta(hours=1)
"""Who was tried so often without success is tried alone, and only so often."""


class Priority(IntEnum):
    """What goes first. Lower is sooner."""

    FRESH = 10
    CHANGE = 20
    REPAIR = 30
    BACKFILL = 60
    PUBLISHED = 70
    AGEING = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """People taken from the inbox by one worker, with the evaluation number drawn for each.

    `urgent` says that somebody waits for one of them: not all of them come from a first pull, a publication or time.
    """

    token: uuid.UUID
    numbers: dict[int, int]
    changes: dict[int, int]
    why: dict[int, str]
    urgent: bool

    def __bool__(self) -> bool:
        return bool(self.numbers)


def add(session: Session, people: Mapping[int, Priority], *, why: str, now: datetime) -> int:
    """Let these people wait. Who waits already keeps the earliest time and takes the higher priority."""
    waiting = sorted(people)
    if not waiting:
        return 0
    return run(
        session,
        """
        INSERT INTO inbox (person_id, why, priority, since, available_at)
        SELECT person, :why, priority, :now, :now
        FROM unnest(CAST(:people AS bigint[]), CAST(:priorities AS smallint[])) AS waiting (person, priority)
        ON CONFLICT (person_id) DO UPDATE SET
            why = CASE WHEN excluded.priority < inbox.priority THEN excluded.why ELSE inbox.why END,
            priority = least(inbox.priority, excluded.priority), available_at = excluded.available_at,
            changes = inbox.changes + 1
        """,
        people=waiting,
        priorities=[int(people[person]) for person in waiting],
        why=why,
        now=now,
    )


def add_ageing(session: Session, now: datetime, *, most: int) -> int:
    """Let those wait whose score ages by now (law 6), at the lowest priority."""
    return run(
        session,
        """
        INSERT INTO inbox (person_id, why, priority, since, available_at)
        SELECT id, 'time', :priority, :now, :now FROM person
        WHERE evaluate_again_at <= :now AND erased_at IS NULL
        ORDER BY evaluate_again_at LIMIT :most
        ON CONFLICT (person_id) DO NOTHING
        """,
        now=now,
        priority=int(Priority.AGEING),
        most=most,
    )


def add_everybody(session: Session, *, why: str, now: datetime, connection: int | None = None) -> int:
    """Let everybody wait (with `connection`: everybody with a record there), at low priority."""
    return run(
        session,
        """
        INSERT INTO inbox (person_id, why, priority, since, available_at)
        SELECT DISTINCT link.person_id, :why, :priority, CAST(:now AS timestamptz), CAST(:now AS timestamptz)
        FROM link JOIN record ON record.id = link.record_id
        WHERE link.to_at IS NULL AND (CAST(:connection AS bigint) IS NULL OR record.connection_id = :connection)
        ON CONFLICT (person_id) DO UPDATE SET changes = inbox.changes + 1
        """,
        why=why,
        priority=int(Priority.PUBLISHED),
        now=now,
        connection=connection,
    )


def claim(session: Session, now: datetime, *, most: int, span: timedelta, large: int = 0) -> Claim:
    """Take up to `most` people, the most urgent first, and draw a new evaluation number for each.

    Where nobody urgent waits, up to `large` are taken if that is more. A claim that its worker didn't finish lapses
    after `span`, and somebody else takes it: together with those that were tried as often, and the fewer the more
    often. So whoever can't be evaluated holds back nobody else, and is tried once an hour. People of a first pull wait
    until every feed has been walked once: a score over half a history would be wrong, and soon written again.
    """
    token = uuid.uuid4()
    found = rows(
        session,
        """
        WITH first AS MATERIALIZED (
            SELECT attempts AS tries FROM inbox
            WHERE available_at <= :now AND (claimed_until IS NULL OR claimed_until < :now)
            ORDER BY priority, since LIMIT 1
        ), due AS (
            SELECT person_id FROM inbox
            WHERE available_at <= :now AND (claimed_until IS NULL OR claimed_until < :now)
              AND (priority <> :backfill OR NOT EXISTS (
                SELECT FROM feed JOIN connection ON connection.id = feed.connection_id
                WHERE feed.walking_first AND feed.last_problem = ''
                  AND (connection.wait_until IS NULL OR connection.wait_until <= :now)
                  AND connection.state IN ('observing', 'active')))
              AND attempts = (SELECT tries FROM first)
            ORDER BY priority, since
            LIMIT ceil(CASE WHEN EXISTS (
                SELECT FROM inbox WHERE priority < :backfill AND available_at <= :now
                   AND (claimed_until IS NULL OR claimed_until < :now)) THEN :most ELSE :large END
                / power(8, (SELECT tries FROM first)))
            FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE inbox SET token = :token, attempts = attempts + 1,
                   claimed_until = CASE WHEN attempts < :often THEN CAST(:until AS timestamptz) ELSE :parked END
            FROM due WHERE inbox.person_id = due.person_id
            RETURNING inbox.person_id, inbox.changes, inbox.why, inbox.priority
        )
        UPDATE person SET evaluation_number = evaluation_number + 1
        FROM taken WHERE person.id = taken.person_id
        RETURNING person.id, person.evaluation_number, taken.changes, taken.why, taken.priority
        """,
        now=now,
        token=token,
        until=now + span,
        most=most,
        large=max(most, large),
        backfill=int(Priority.BACKFILL),
        often=OFTEN,
        parked=now + span + PARKED,
    )
    return Claim(
        token=token,
        numbers={row.id: row.evaluation_number for row in found},
        changes={row.id: row.changes for row in found},
        why={row.id: row.why for row in found},
        urgent=any(row.priority < Priority.BACKFILL for row in found),
    )


@contextmanager
def freed_on_failure(transaction: Transaction, held: Claim) -> Iterator[None]:
    """Where a bug of ours rises, let others have these people at once instead of when the claim lapses.

    Those who were tried often keep their claim, and so are left alone for a while.
    """
    try:
        yield
    except Exception:
        with transaction() as session:
            run(
                session,
                """
                UPDATE inbox SET token = NULL, claimed_until = NULL
                WHERE person_id = ANY(CAST(:people AS bigint[])) AND token = :token AND attempts <= :often
                """,
                people=list(held.numbers),
                token=held.token,
                often=OFTEN,
            )
        raise


class ClaimLapsedError(Exception):
    """Somebody else took these people over: what was decided is rolled back, and theirs counts."""


def settle(session: Session, held: Claim) -> None:
    """Take the claimed people out of the inbox; for whom something newer arrived meanwhile, the row stays and is free.

    Raises ClaimLapsedError where not all of them are ours any more; the caller lets it rise through its transaction.
    """
    people = list(held.numbers)
    # A statement of its own: the next one then sees what others committed while this one waited for its locks.
    run(
        session,
        "SELECT FROM inbox WHERE person_id = ANY(CAST(:people AS bigint[])) ORDER BY person_id FOR UPDATE",
        people=people,
    )
    [row] = rows(
        session,
        """
        WITH ours AS (
            SELECT * FROM unnest(CAST(:people AS bigint[]), CAST(:changes AS bigint[])) AS ours (person_id, changes)
        ), done AS (
            DELETE FROM inbox USING ours
            WHERE inbox.person_id = ours.person_id AND inbox.token = :token AND inbox.changes = ours.changes
            RETURNING inbox.person_id
        ), newer AS (
            UPDATE inbox SET token = NULL, claimed_until = NULL, attempts = 0 FROM ours
            WHERE inbox.person_id = ours.person_id AND inbox.token = :token AND inbox.changes <> ours.changes
            RETURNING inbox.person_id
        )
        SELECT (SELECT count(*) FROM done) + (SELECT count(*) FROM newer) AS settled
        """,
        people=people,
        changes=[held.changes[person] for person in people],
        token=held.token,
    )
    if row.settled < len(people):
        raise ClaimLapsedError


def parked(session: Session, now: datetime) -> int:
    """How many people could not be evaluated again and again, and are tried alone, once an hour."""
    [row] = rows(
        session,
        "SELECT count(*) AS n FROM inbox WHERE attempts > :often AND claimed_until > :now",
        often=OFTEN,
        now=now,
    )
    return int(row.n)


def waiting(session: Session) -> int:
    """How many people wait."""
    [row] = rows(session, "SELECT count(*) AS n FROM inbox")
    return int(row.n)
