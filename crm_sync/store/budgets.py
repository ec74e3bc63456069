"""Budgets in PostgreSQL, where every worker sees them: blocks of calls are reserved before the calls are made."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlmodel import Session

from crm_sync.domain.budgets import SPANS, Span, spans_of
from crm_sync.domain.connections import Connection, ConnectionId
from crm_sync.errors import RateLimitedError
from crm_sync.ports import Usage
from crm_sync.store.engine import Transaction, rows, run

PATIENCE = timedelta(seconds=25)
"""How long a call waits for its turn in a short window, before its worker turns to something else."""

LOOK_AGAIN = timedelta(minutes=30)
"""How long a used-up allowance is believed: the CRM may free calls, or grant more, long before our window ends."""


def _take(session: Session, connection: ConnectionId, span: Span, calls: int, now: datetime) -> datetime | None:
    """Take `calls` from a window. The moment it ends, or None where they don't fit.

    They fit while our own count stays within our share, and everybody's within its limit: what the CRM last told, and
    all that we took since.
    """
    found = rows(
        session,
        """
        INSERT INTO budget AS held (connection_id, span, allowed, taken, resets_at)
        VALUES (:connection, :span, :allowed, :calls, :ends)
        ON CONFLICT (connection_id, span) DO UPDATE SET
            taken = CASE WHEN held.resets_at <= :now THEN excluded.taken ELSE held.taken + excluded.taken END,
            seen_used = CASE WHEN held.resets_at > :now THEN held.seen_used + excluded.taken END,
            resets_at = CASE WHEN held.resets_at <= :now THEN excluded.resets_at ELSE held.resets_at END
        WHERE held.resets_at <= :now
           OR (held.taken + :calls <= held.allowed
               AND (held.seen_used IS NULL OR held.seen_used + :calls <= held.seen_limit))
        RETURNING resets_at
        """,
        connection=connection,
        span=span.name,
        allowed=span.allowed(),
        calls=calls,
        ends=now + span.length,
        now=now,
    )
    return found[0].resets_at if found else None


def _free_at(session: Session, connection: ConnectionId, span: Span) -> datetime:
    [row] = rows(
        session,
        "SELECT resets_at FROM budget WHERE connection_id = :connection AND span = :span",
        connection=connection,
        span=span.name,
    )
    free: datetime = row.resets_at
    return free


def _doubt(session: Session, connection: ConnectionId, span: Span, calls: int) -> None:
    """Forget what the CRM told, where that alone stands against `calls`: only another call can tell that it changed.

    Salesforce counts the last 24 hours, so what the org used goes down at any time.
    """
    run(
        session,
        """
        UPDATE budget SET seen_used = NULL
        WHERE connection_id = :connection AND span = :span AND taken + :calls <= allowed
        """,
        connection=connection,
        span=span.name,
        calls=calls,
    )


def share_of_the_day(session: Session, connection: Connection) -> int:
    """Our calls of a day: of the limit that the CRM told, or of the least that its documentation promises."""
    [span] = [span for span in SPANS[connection.kind] if span.name == "day"]
    found = rows(
        session,
        "SELECT allowed FROM budget WHERE connection_id = :connection AND span = 'day'",
        connection=connection.id,
    )
    return int(found[0].allowed) if found else span.allowed()


def note_usage(session: Session, connection: ConnectionId, span: Span, usage: Usage, now: datetime) -> None:
    """The higher of the CRM's count and our own wins, and its stated limit sets our share."""
    run(
        session,
        """
        INSERT INTO budget AS held (connection_id, span, allowed, seen_used, seen_limit, resets_at)
        VALUES (:connection, :span, :allowed, :used, :limit, :ends)
        ON CONFLICT (connection_id, span) DO UPDATE SET
            allowed = excluded.allowed, seen_limit = excluded.seen_limit,
            seen_used = greatest(excluded.seen_used, CASE WHEN held.resets_at > :now THEN held.seen_used END),
            resets_at = coalesce(CAST(:resets AS timestamptz), held.resets_at)
        """,
        connection=connection,
        span=span.name,
        allowed=span.allowed(usage.limit),
        used=usage.used if span.name == "day" else None,
        limit=usage.limit,
        ends=usage.resets_at or now + span.length,
        resets=usage.resets_at,
        now=now,
    )


class ConnectionMeter:
    """The Meter of one connection in one worker process.

    Calls come out of blocks that were reserved for this process; a block ends with its window. What headers said is
    written down when it moved by more than a block, so that an idle poll writes nothing.
    """

    def __init__(self, transaction: Transaction, connection: Connection, now: Callable[[], datetime]) -> None:
        self._transaction = transaction
        self._connection = connection
        self._now = now
        self._left: dict[str, tuple[int, datetime]] = {}
        self._told: dict[str, tuple[int, int]] = {}

    def reserve(self, window: str, calls: int = 1) -> None:
        for span in spans_of(self._connection.kind, window):
            left, ends = self._left.get(span.name, (0, self._now()))
            if left < calls or ends <= self._now():
                left, ends = self._block(span, calls)
            self._left[span.name] = (left - calls, ends)

    def _block(self, span: Span, calls: int) -> tuple[int, datetime]:
        """A block of a window, waited for where the window is short: seconds are ours, minutes are the rows'."""
        give_up = self._now() + PATIENCE
        while True:
            now = self._now()
            with self._transaction() as session:
                for size in sorted({max(span.block, calls), calls}, reverse=True):
                    if ends := _take(session, self._connection.id, span, size, now):
                        return size, ends
                free = max(_free_at(session, self._connection.id, span), now + timedelta(milliseconds=20))
            if free > give_up:
                break
            time.sleep((free - now).total_seconds())
        if free > now + LOOK_AGAIN:
            free = now + LOOK_AGAIN
            self._told.pop(span.name, None)
            with self._transaction() as session:
                _doubt(session, self._connection.id, span, calls)
        raise RateLimitedError(
            f"our share of the {span.name} allowance of connection {self._connection.name!r} is used up", retry_at=free
        )

    def seen(self, usage: Usage) -> None:
        span = next((span for span in SPANS[self._connection.kind] if span.name == usage.window), None)
        if span is None or usage.limit <= 0:
            return
        used, limit = self._told.get(span.name, (-1, 0))
        if limit == usage.limit and (span.name != "day" or abs(usage.used - used) < span.block):
            return
        self._told[span.name] = (usage.used, usage.limit)
        with self._transaction() as session:
            note_usage(session, self._connection.id, span, usage, self._now())
