"""Users and queues of the CRMs: who can own a lead."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.records import Life, RecordBatch
from crm_sync.store.engine import run


def store(session: Session, connection: ConnectionId, batch: RecordBatch, now: datetime) -> int:
    """Keep a page of users, queues or owners. Repeating is harmless."""

    def text(position: int, *names: str) -> str:
        values = batch.fields[position]
        return " ".join(str(values[name]) for name in names if values.get(name))

    last = {crm_id: position for position, crm_id in enumerate(batch.ids)}
    chosen = [last[crm_id] for crm_id in sorted(last)]
    return run(
        session,
        """
        INSERT INTO crm_user (connection_id, crm_id, kind, name, active, seen_at)
        SELECT :connection, crm_id, :kind, name, active, :now
        FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[]), CAST(:active AS boolean[]))
             AS shown (crm_id, name, active)
        ON CONFLICT (connection_id, crm_id) DO UPDATE SET
            name = excluded.name, active = excluded.active, seen_at = excluded.seen_at
        """,
        connection=connection,
        kind="queue" if batch.object == "Group" else "user",
        now=now,
        ids=[batch.ids[p] for p in chosen],
        names=[text(p, "Name") or text(p, "firstName", "lastName") for p in chosen],
        active=[batch.lives[p] is Life.OPEN and batch.fields[p].get("IsActive", True) is not False for p in chosen],
    )
