"""Users and queues of the CRMs: who can own a lead."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.records import Life, RecordBatch
from crm_sync.store.engine import rows


def store(session: Session, connection: ConnectionId, batch: RecordBatch, now: datetime) -> list[str]:
    """Keep a page of users, queues or owners; returns who was active before and isn't any more.

    Repeating is harmless. An owner of HubSpot may be a queue, too (owners guide, `type`).
    """

    def text(position: int, *names: str) -> str:
        values = batch.fields[position]
        return " ".join(str(values[name]) for name in names if values.get(name))

    last = {crm_id: position for position, crm_id in enumerate(batch.ids)}
    chosen = [last[crm_id] for crm_id in sorted(last)]
    queues = [batch.object == "Group" or text(p, "type") == "QUEUE" for p in chosen]
    found = rows(
        session,
        """
        WITH here AS (
            SELECT crm_id FROM crm_user WHERE connection_id = :connection AND active
               AND crm_id = ANY(CAST(:ids AS text[]))
        ), stored AS (
            INSERT INTO crm_user (connection_id, crm_id, kind, name, active, seen_at)
            SELECT :connection, crm_id, kind, name, active, :now
            FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:names AS text[]),
                        CAST(:active AS boolean[])) AS shown (crm_id, kind, name, active)
            ON CONFLICT (connection_id, crm_id) DO UPDATE SET
                kind = excluded.kind, name = excluded.name, active = excluded.active, seen_at = excluded.seen_at
            RETURNING crm_id, active
        )
        SELECT crm_id FROM stored JOIN here USING (crm_id) WHERE NOT stored.active ORDER BY crm_id
        """,
        connection=connection,
        kinds=["queue" if queue else "user" for queue in queues],
        now=now,
        ids=[batch.ids[p] for p in chosen],
        names=[text(p, "Name") or text(p, "firstName", "lastName") for p in chosen],
        active=[batch.lives[p] is Life.OPEN and batch.fields[p].get("IsActive", True) is not False for p in chosen],
    )
    return [row.crm_id for row in found]
