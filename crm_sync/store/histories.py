"""What was known about people over time, as training reads it: versions, history rows and activities of everybody.

Read in one transaction with a snapshot of its own, so that all of it is of one moment however long it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session

from crm_sync.domain.connections import ConnectionId
from crm_sync.store.engine import rows, run


def freeze(session: Session) -> None:
    """Let every statement of this transaction see the same moment. To be called first."""
    run(session, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def people(session: Session, connections: Sequence[ConnectionId], *, most: int) -> tuple[list[int], int]:
    """People with a record in one of these connections, and how many there are; at most `most` of them.

    Where there are more, it is a sample that stays the same as long as nobody joins (by a hash of the id).
    """
    found = rows(
        session,
        """
        SELECT id, count(*) OVER () AS everybody FROM person
        WHERE erased_at IS NULL AND EXISTS (
            SELECT FROM link JOIN record ON record.id = link.record_id
            WHERE link.person_id = person.id AND link.to_at IS NULL
              AND record.connection_id = ANY(CAST(:connections AS bigint[]))
        )
        ORDER BY md5(id::text) LIMIT :most
        """,
        connections=list(connections),
        most=most,
    )
    return sorted(row.id for row in found), int(found[0].everybody) if found else 0


def held(session: Session, people: Sequence[int], connections: Sequence[ConnectionId]) -> Sequence[Any]:
    """(person_id, record_id) of each record of these people, and of the accounts, consents and deals tied to one."""
    return rows(
        session,
        """
        WITH mine AS MATERIALIZED (
            SELECT link.person_id, record.id, record.connection_id, record.object, record.crm_id
            FROM link JOIN record ON record.id = link.record_id
            WHERE link.person_id = ANY(CAST(:people AS bigint[])) AND link.to_at IS NULL
              AND record.connection_id = ANY(CAST(:connections AS bigint[]))
        )
        SELECT person_id, id AS record_id FROM mine
        UNION
        SELECT mine.person_id, other.id FROM mine
             JOIN tie ON tie.connection_id = mine.connection_id AND tie.object = mine.object
                     AND tie.crm_id = mine.crm_id
             JOIN record AS other ON other.connection_id = mine.connection_id AND other.object = tie.to_object
                     AND other.crm_id = tie.to_id AND other.role IN ('account', 'consent')
        UNION
        SELECT mine.person_id, deal.id FROM mine
             JOIN tie ON tie.connection_id = mine.connection_id AND tie.to_object = mine.object
                     AND tie.to_id = mine.crm_id
             JOIN record AS deal ON deal.connection_id = mine.connection_id AND deal.object = tie.object
                     AND deal.crm_id = tie.crm_id AND deal.role = 'deal'
        """,
        people=list(people),
        connections=list(connections),
    )


def versions(session: Session, records: Sequence[int]) -> Sequence[Any]:
    """Every version of these records, each record's oldest first."""
    return rows(
        session,
        """
        SELECT record.id AS record_id, record.connection_id, record.object, record.role, record.life,
               record.created_at, version.known_from, version.valid_from, version.fields
        FROM record JOIN record_version AS version ON version.record_id = record.id
        WHERE record.id = ANY(CAST(:records AS bigint[]))
        ORDER BY record.id, version.known_from, version.id
        """,
        records=list(records),
    )


def changes(
    session: Session, people: Sequence[int], connections: Sequence[ConnectionId], objects: Sequence[str]
) -> Sequence[Any]:
    """Rows of history objects about a record of these people, oldest first: record_id, at, and the CRM's fields."""
    return rows(
        session,
        """
        SELECT record.id AS record_id, record.connection_id, record.object, changed.known_from AS at, changed.fields
        FROM activity AS changed
             JOIN tie ON tie.connection_id = changed.connection_id AND tie.object = changed.object
                     AND tie.crm_id = changed.crm_id
             JOIN record ON record.connection_id = tie.connection_id AND record.object = tie.to_object
                     AND record.crm_id = tie.to_id
             JOIN link ON link.record_id = record.id AND link.to_at IS NULL
        WHERE changed.object = ANY(CAST(:objects AS text[])) AND changed.life = 'open'
          AND changed.connection_id = ANY(CAST(:connections AS bigint[]))
          AND link.person_id = ANY(CAST(:people AS bigint[]))
        ORDER BY record.id, changed.known_from, changed.crm_id
        """,
        people=list(people),
        connections=list(connections),
        objects=list(objects),
    )


def activities(session: Session, people: Sequence[int], connections: Sequence[ConnectionId]) -> Sequence[Any]:
    """Activities tied to a record of these people, once for each person, with the CRM's fields."""
    return rows(
        session,
        """
        SELECT DISTINCT ON (link.person_id, done.id)
               link.person_id, done.connection_id, done.object, done.known_from, done.fields
        FROM link JOIN record ON record.id = link.record_id
             JOIN tie ON tie.connection_id = record.connection_id AND tie.to_object = record.object
                     AND tie.to_id = record.crm_id
             JOIN activity AS done ON done.connection_id = tie.connection_id AND done.object = tie.object
                     AND done.crm_id = tie.crm_id
        WHERE link.person_id = ANY(CAST(:people AS bigint[])) AND link.to_at IS NULL AND done.life = 'open'
          AND done.connection_id = ANY(CAST(:connections AS bigint[]))
        ORDER BY link.person_id, done.id
        """,
        people=list(people),
        connections=list(connections),
    )
