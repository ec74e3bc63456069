"""CRM records and their versions, activities, and the ties between them. Every statement takes a whole page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlmodel import Session

from crm_sync.domain.changes import Role
from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.echoes import Known, Prepared, Sorted
from crm_sync.domain.records import Life, RecordBatch
from crm_sync.store.engine import rows, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a page left behind: record ids by CRM id, of the rows that were stored."""

    ids: dict[str, int]


def known(session: Session, connection: ConnectionId, object: str, ids: Sequence[str]) -> dict[str, Known]:
    """What we hold about these records, locked until the commit, by CRM id."""
    found = rows(
        session,
        """
        SELECT id, crm_id, stamp, content_hash, inputs_hash, life, owner, owner_accepted, own_accepted,
               (SELECT desired FROM outbox WHERE record_id = record.id AND kind = 'fields' AND state = 'in_flight')
                   AS in_flight,
               (SELECT desired FROM outbox WHERE record_id = record.id AND kind = 'fields' AND state = 'waiting'
                   AND attempts > 0) AS tried
        FROM record WHERE connection_id = :connection AND object = :object AND crm_id = ANY(CAST(:ids AS text[]))
        ORDER BY id FOR UPDATE OF record
        """,
        connection=connection,
        object=object,
        ids=list(ids),
    )
    return {
        row.crm_id: Known(
            record_id=row.id,
            stamp=row.stamp,
            content_hash=bytes(row.content_hash),
            inputs_hash=bytes(row.inputs_hash),
            life=Life(row.life),
            owner=row.owner,
            owner_accepted=row.owner_accepted,
            own_accepted=row.own_accepted,
            own_under_way=[state for state in (row.in_flight, row.tried) if state],
        )
        for row in found
    }


def store(
    session: Session, connection: ConnectionId, role: Role, prepared: Prepared, order: Sorted, now: datetime
) -> Stored:
    """Upsert the changed records of a page and add a version for each real change, in one statement.

    Repeating is harmless: a row that holds a newer stamp keeps it. A record that was only met as gone (no fields)
    keeps the version, owner and hashes that it had.
    """
    if not order.changed:
        return Stored(ids={})
    batch, versioned = prepared.batch, set(order.versioned)
    chosen = sorted(order.changed, key=lambda position: batch.ids[position])
    found = rows(
        session,
        """
        WITH incoming AS MATERIALIZED (
            SELECT *, CASE WHEN versioned THEN nextval(pg_get_serial_sequence('record_version', 'id')) END AS version
            FROM unnest(
                CAST(:ids AS text[]), CAST(:stamps AS timestamptz[]), CAST(:created AS timestamptz[]),
                CAST(:contents AS bytea[]), CAST(:inputs AS bytea[]), CAST(:owners AS text[]), CAST(:own AS jsonb[]),
                CAST(:lives AS text[]), CAST(:successors AS text[]), CAST(:fields AS jsonb[]),
                CAST(:versioned AS boolean[])
            ) AS page (crm_id, stamp, created_at, content_hash, inputs_hash, owner, own_shown, life, successor,
                       fields, versioned)
        ), stored AS (
            INSERT INTO record AS held (connection_id, object, crm_id, role, stamp, created_at, seen_at, content_hash,
                                        inputs_hash, version_id, owner, own_shown, life, successor)
            SELECT :connection, :object, crm_id, :role, stamp, created_at, :now, content_hash, inputs_hash, version,
                   owner, own_shown, life, successor
            FROM incoming
            ON CONFLICT (connection_id, object, crm_id) DO UPDATE SET
                stamp = greatest(held.stamp, excluded.stamp), seen_at = excluded.seen_at,
                content_hash = excluded.content_hash,
                inputs_hash = CASE WHEN excluded.version_id IS NULL THEN held.inputs_hash ELSE excluded.inputs_hash END,
                version_id = coalesce(excluded.version_id, held.version_id),
                owner = CASE WHEN excluded.life IN ('merged', 'deleted') AND excluded.owner IS NULL
                             THEN held.owner ELSE excluded.owner END,
                own_shown = held.own_shown || excluded.own_shown, life = excluded.life,
                successor = excluded.successor
            RETURNING id, crm_id
        ), versions AS (
            INSERT INTO record_version (id, record_id, valid_from, known_from, fields) OVERRIDING SYSTEM VALUE
            SELECT incoming.version, stored.id, incoming.stamp, :now, incoming.fields
            FROM incoming JOIN stored USING (crm_id) WHERE incoming.version IS NOT NULL
        )
        SELECT id, crm_id FROM stored
        """,
        connection=connection,
        object=batch.object,
        role=role.value,
        now=now,
        ids=[batch.ids[p] for p in chosen],
        stamps=[batch.stamps[p] for p in chosen],
        created=[batch.created[p] for p in chosen],
        contents=[prepared.content_hashes[p] for p in chosen],
        inputs=[prepared.inputs_hashes[p] for p in chosen],
        owners=[prepared.owners[p] for p in chosen],
        own=[orjson.dumps(prepared.own[p]).decode() for p in chosen],
        lives=[batch.lives[p].value for p in chosen],
        successors=[batch.successors[p] for p in chosen],
        fields=[prepared.fields[p] for p in chosen],
        versioned=[p in versioned for p in chosen],
    )
    return Stored(ids={row.crm_id: row.id for row in found})


def store_activities(session: Session, connection: ConnectionId, prepared: Prepared) -> set[str]:
    """Upsert a page of activities, history rows or the like. Returns the CRM ids that were new or different.

    `known_from` is the created stamp of the CRM, never the date that a rep typed (law 4).
    """
    batch = prepared.batch
    last = {crm_id: position for position, crm_id in enumerate(batch.ids)}
    chosen = [last[crm_id] for crm_id in sorted(last)]
    if not chosen:
        return set()
    found = rows(
        session,
        """
        INSERT INTO activity AS held (connection_id, object, crm_id, known_from, stamp, content_hash, life, fields)
        SELECT :connection, :object, *
        FROM unnest(CAST(:ids AS text[]), CAST(:created AS timestamptz[]), CAST(:stamps AS timestamptz[]),
                    CAST(:contents AS bytea[]), CAST(:lives AS text[]), CAST(:fields AS jsonb[]))
        ON CONFLICT (connection_id, object, crm_id) DO UPDATE SET
            stamp = excluded.stamp, content_hash = excluded.content_hash, life = excluded.life,
            fields = CASE WHEN excluded.fields = '{}' THEN held.fields ELSE excluded.fields END
        WHERE held.content_hash <> excluded.content_hash AND held.stamp <= excluded.stamp
        RETURNING crm_id
        """,
        connection=connection,
        object=batch.object,
        ids=[batch.ids[p] for p in chosen],
        created=[batch.created[p] for p in chosen],
        stamps=[batch.stamps[p] for p in chosen],
        contents=[prepared.content_hashes[p] for p in chosen],
        lives=[batch.lives[p].value for p in chosen],
        fields=[prepared.fields[p] for p in chosen],
    )
    return {row.crm_id for row in found}


def tie(session: Session, connection: ConnectionId, batch: RecordBatch, changed: Sequence[str]) -> None:
    """Replace the ties of the changed rows of a page by those that it shows."""
    wanted = set(changed)
    last = {crm_id: position for position, crm_id in enumerate(batch.ids) if crm_id in wanted}
    shown = [(crm_id, tie.object, tie.id) for crm_id, position in last.items() for tie in batch.ties[position]]
    if not wanted:
        return
    run(
        session,
        """
        WITH shown AS MATERIALIZED (
            SELECT DISTINCT * FROM unnest(CAST(:from_ids AS text[]), CAST(:objects AS text[]), CAST(:ids AS text[]))
                AS shown (crm_id, to_object, to_id)
        ), parted AS (
            DELETE FROM tie WHERE connection_id = :connection AND object = :object
               AND crm_id = ANY(CAST(:changed AS text[]))
               AND NOT EXISTS (SELECT FROM shown WHERE shown.crm_id = tie.crm_id
                               AND shown.to_object = tie.to_object AND shown.to_id = tie.to_id)
        )
        INSERT INTO tie (connection_id, object, crm_id, to_object, to_id)
        SELECT :connection, :object, crm_id, to_object, to_id FROM shown ON CONFLICT DO NOTHING
        """,
        connection=connection,
        object=batch.object,
        changed=sorted(wanted),
        from_ids=[row[0] for row in shown],
        objects=[row[1] for row in shown],
        ids=[row[2] for row in shown],
    )


def people_tied_to(session: Session, connection: ConnectionId, object: str, ids: Sequence[str]) -> list[int]:
    """People one of whose records is tied to, or from, one of these records or activities."""
    if not ids:
        return []
    found: Sequence[Any] = rows(
        session,
        """
        WITH near AS (
            SELECT tie.to_object AS object, tie.to_id AS crm_id FROM unnest(CAST(:ids AS text[])) AS shown (id)
            CROSS JOIN LATERAL (
                SELECT to_object, to_id FROM tie
                WHERE connection_id = :connection AND object = :object AND crm_id = shown.id OFFSET 0
            ) AS tie
            UNION
            SELECT tie.object, tie.crm_id FROM unnest(CAST(:ids AS text[])) AS shown (id)
            CROSS JOIN LATERAL (
                SELECT object, crm_id FROM tie
                WHERE connection_id = :connection AND to_object = :object AND to_id = shown.id OFFSET 0
            ) AS tie
        )
        SELECT DISTINCT link.person_id
        FROM near CROSS JOIN LATERAL (
            SELECT id FROM record
            WHERE connection_id = :connection AND record.object = near.object AND record.crm_id = near.crm_id
              AND role = 'person' OFFSET 0
        ) AS record
        CROSS JOIN LATERAL (
            SELECT person_id FROM link WHERE record_id = record.id AND to_at IS NULL OFFSET 0
        ) AS link
        """,
        connection=connection,
        object=object,
        ids=list(ids),
    )
    return [row.person_id for row in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Consent as it was pulled: of a record (`record_id` is its own) or of a consent record that it is tied to."""

    record_id: int
    object: str
    crm_id: str
    fields: dict[str, Any]


def consents(session: Session, records: Sequence[int], names: Sequence[str]) -> list[Held]:
    """What these records, and the consent records that they are tied to, said in the fields `names` when pulled.

    A field that was not asked for then is absent.
    """
    found = rows(
        session,
        """
        WITH mine AS MATERIALIZED (
            SELECT id, connection_id, object, crm_id, version_id FROM record
            WHERE id = ANY(CAST(:records AS bigint[]))
        ), spoken AS (
            SELECT id AS record_id, object, crm_id, version_id FROM mine
            UNION ALL
            SELECT mine.id, other.object, other.crm_id, other.version_id
            FROM mine CROSS JOIN LATERAL (
                SELECT to_object, to_id FROM tie
                WHERE connection_id = mine.connection_id AND object = mine.object AND crm_id = mine.crm_id OFFSET 0
            ) AS near CROSS JOIN LATERAL (
                SELECT object, crm_id, version_id FROM record
                WHERE connection_id = mine.connection_id AND object = near.to_object AND crm_id = near.to_id
                  AND role = 'consent' AND life = 'open' OFFSET 0
            ) AS other
        )
        SELECT spoken.record_id, object, crm_id, (
            SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(version.fields)
            WHERE key = ANY(CAST(:names AS text[]))) AS fields
        FROM spoken JOIN record_version AS version ON version.id = spoken.version_id
        """,
        records=list(records),
        names=list(names),
    )
    return [Held(record_id=row.record_id, object=row.object, crm_id=row.crm_id, fields=row.fields) for row in found]


def counts(session: Session, connection: ConnectionId) -> Counter[str]:
    """How many open records of each object are held; 0 of others."""
    found = rows(
        session,
        "SELECT object, count(*) AS n FROM record WHERE connection_id = :connection AND life = 'open' GROUP BY object",
        connection=connection,
    )
    return Counter({row.object: row.n for row in found})


def own_shown(session: Session, records: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Our own fields of these records as they were last seen, by record id."""
    if not records:
        return {}
    found = rows(
        session,
        "SELECT id, own_shown FROM record WHERE id = ANY(CAST(:records AS bigint[]))",
        records=list(records),
    )
    return {row.id: row.own_shown for row in found}


def may_repair(session: Session, overwritten: Mapping[int, Sequence[str]], now: datetime) -> dict[int, list[str]]:
    """Which of these overwritten fields to put back: those put back less than twice in the last 24 hours (law 2).

    `overwritten` maps a record id to its fields, and so does the answer. What it leaves out is something that keeps
    writing there, to be named and left alone.
    """
    pairs = [(record, name) for record, names in overwritten.items() for name in names]
    if not pairs:
        return {}
    found = rows(
        session,
        """
        SELECT record_id, field
        FROM unnest(CAST(:records AS bigint[]), CAST(:fields AS text[])) AS wanted (record_id, field)
        WHERE (SELECT count(*) FROM repair
               WHERE repair.record_id = wanted.record_id AND repair.field = wanted.field
                 AND repair.at > CAST(:now AS timestamptz) - interval '24 hours') < 2
        """,
        records=[record for record, _ in pairs],
        fields=[name for _, name in pairs],
        now=now,
    )
    granted: dict[int, list[str]] = {}
    for row in found:
        granted.setdefault(row.record_id, []).append(row.field)
    return granted


def note_repairs(session: Session, repaired: Mapping[int, Sequence[str]], now: datetime) -> None:
    """Count the fields that were really put back, by record id: a pull may have seen an older state than the guard."""
    pairs = [(record, name) for record, names in repaired.items() for name in names]
    if not pairs:
        return
    run(
        session,
        """
        INSERT INTO repair (record_id, field, at)
        SELECT record_id, field, :now
        FROM unnest(CAST(:records AS bigint[]), CAST(:fields AS text[])) AS put_back (record_id, field)
        """,
        records=[record for record, _ in pairs],
        fields=[name for _, name in pairs],
        now=now,
    )
