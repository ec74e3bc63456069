"""Feeds: where each object of a connection has been read to, and who may read on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlmodel import Session

from crm_sync.domain.changes import Cursor, Feed, Role, Walk
from crm_sync.domain.connections import ConnectionId
from crm_sync.store.engine import rows, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to follow one feed for a while, and where it stands."""

    connection: ConnectionId
    name: str
    token: uuid.UUID
    cursor: Cursor | None
    watermark: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatus:
    """How far one feed is, for people."""

    name: str
    watermark: datetime | None
    next_due: datetime
    leased: bool
    rows_read: int
    last_problem: str


def declare(session: Session, connection: ConnectionId, feeds: Sequence[Feed], now: datetime) -> None:
    """Make sure that every feed has its row; those that stand already keep their cursor."""
    run(
        session,
        """
        INSERT INTO feed (connection_id, name, next_due, walking_first)
        SELECT :connection, name, :now, first
        FROM unnest(CAST(:names AS text[]), CAST(:firsts AS boolean[])) AS declared (name, first)
        ON CONFLICT DO NOTHING
        """,
        connection=connection,
        names=[feed.name for feed in feeds],
        firsts=[feed.walk is Walk.CHANGES and feed.role is not Role.HISTORY for feed in feeds],
        now=now,
    )


def due(session: Session, now: datetime) -> list[tuple[ConnectionId, str]]:
    """Feeds whose time has come, of connections that pull, nobody holds and the CRM lets us ask."""
    found = rows(
        session,
        """
        SELECT feed.connection_id, feed.name FROM feed JOIN connection ON connection.id = feed.connection_id
        WHERE next_due <= :now AND (lease_until IS NULL OR lease_until < :now)
          AND connection.state IN ('observing', 'active')
          AND (connection.wait_until IS NULL OR connection.wait_until <= :now)
        ORDER BY next_due
        """,
        now=now,
    )
    return [(ConnectionId(row.connection_id), row.name) for row in found]


def lease(
    session: Session, connection: ConnectionId, name: str, now: datetime, *, span: timedelta, early: bool = False
) -> Lease | None:
    """Take the lease of a feed that is due, or None where it isn't or somebody holds it.

    None too where the connection doesn't pull any more or waits as its CRM asked: a worker that goes from page to page
    notices here (law 17). `early` takes one whose time has not come. The span outlasts the total deadline of a call
    (law 14).
    """
    token = uuid.uuid4()
    found = rows(
        session,
        """
        UPDATE feed SET lease_token = :token, lease_until = :until
        WHERE connection_id = :connection AND name = :name AND (:early OR next_due <= :now)
          AND (lease_until IS NULL OR lease_until < :now)
          AND EXISTS (SELECT FROM connection WHERE id = feed.connection_id AND state IN ('observing', 'active')
                      AND (wait_until IS NULL OR wait_until <= :now))
        RETURNING cursor, watermark
        """,
        connection=connection,
        name=name,
        now=now,
        token=token,
        until=now + span,
        early=early,
    )
    if not found:
        return None
    return Lease(connection=connection, name=name, token=token, cursor=found[0].cursor, watermark=found[0].watermark)


class LeaseLostError(Exception):
    """Another worker took the feed over while we read: what we read is rolled back, and theirs counts."""


def advance(
    session: Session, held: Lease, *, cursor: Cursor, watermark: datetime | None, read: int, due: datetime
) -> None:
    """Move the cursor past the page that this commit stores, and give the lease back.

    Raises LeaseLostError where somebody else holds it by now; the caller lets it rise through its transaction.
    """
    moved = run(
        session,
        """
        UPDATE feed SET cursor = CAST(:cursor AS jsonb), watermark = coalesce(:watermark, watermark),
               walking_first = walking_first AND CAST(:watermark AS timestamptz) IS NULL, rows_read = rows_read + :read,
               pages_read = pages_read + 1, last_problem = '', next_due = :due,
               lease_token = NULL, lease_until = NULL
        WHERE connection_id = :connection AND name = :name AND lease_token = :token
        """,
        connection=held.connection,
        name=held.name,
        token=held.token,
        cursor=orjson.dumps(cursor).decode(),
        watermark=watermark,
        read=read,
        due=due,
    )
    if not moved:
        raise LeaseLostError


def release(session: Session, held: Lease, *, due: datetime, problem: str) -> None:
    """Give the lease back without a page, and say why."""
    run(
        session,
        """
        UPDATE feed SET lease_token = NULL, lease_until = NULL, next_due = :due, last_problem = :problem
        WHERE connection_id = :connection AND name = :name AND lease_token = :token
        """,
        connection=held.connection,
        name=held.name,
        token=held.token,
        due=due,
        problem=problem,
    )


def postpone(session: Session, connection: int, name: str, due: datetime, *, problem: str = "") -> None:
    """Look at a feed again at `due` that can't be read now, or that nothing uses: nobody waits for its first walk."""
    run(
        session,
        """
        UPDATE feed SET next_due = :due, last_problem = :problem,
               walking_first = walking_first AND CAST(:problem AS text) <> ''
        WHERE connection_id = :connection AND name = :name
        """,
        connection=connection,
        name=name,
        due=due,
        problem=problem,
    )


def walk_again(session: Session, connection: ConnectionId, names: Sequence[str], now: datetime) -> int:
    """Let these feeds begin anew, now. Who reads one of them meanwhile loses its lease and its page."""
    return run(
        session,
        """
        UPDATE feed SET cursor = NULL, lease_token = NULL, lease_until = NULL, next_due = :now
        WHERE connection_id = :connection AND name = ANY(CAST(:names AS text[]))
        """,
        connection=connection,
        names=list(names),
        now=now,
    )


def hurry(session: Session, connection: ConnectionId, now: datetime) -> int:
    """Make every feed of a connection due now, but those that read a large object whole."""
    return run(
        session,
        """
        UPDATE feed SET next_due = :now
        WHERE connection_id = :connection AND next_due > :now AND name NOT LIKE '%:' || :whole
        """,
        connection=connection,
        now=now,
        whole=Walk.WHOLE.value,
    )


def restart(session: Session, connection: ConnectionId, now: datetime) -> int:
    """Read every feed of a connection from its beginning, now. A worker that is reading one loses its lease."""
    return run(
        session,
        """
        UPDATE feed SET cursor = NULL, watermark = NULL, next_due = :now, last_problem = '',
               lease_token = NULL, lease_until = NULL
        WHERE connection_id = :connection
        """,
        connection=connection,
        now=now,
    )


def status(session: Session, connection: ConnectionId, now: datetime) -> list[FeedStatus]:
    found: Sequence[Any] = rows(
        session,
        """
        SELECT name, watermark, next_due, coalesce(lease_until > :now, false) AS leased, rows_read, last_problem
        FROM feed WHERE connection_id = :connection ORDER BY name
        """,
        connection=connection,
        now=now,
    )
    return [
        FeedStatus(
            name=row.name,
            watermark=row.watermark,
            next_due=row.next_due,
            leased=row.leased,
            rows_read=row.rows_read,
            last_problem=row.last_problem,
        )
        for row in found
    ]
