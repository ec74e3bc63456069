"""People, the keys that recognise them, and the links from their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.keys import Keys
from crm_sync.domain.people import Grouping, Key, Recognised, group
from crm_sync.store.engine import rows, run

LINKING = 7_700_001
"""Advisory lock: people are brought together by one worker at a time, for the few milliseconds before its commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """The people that now hold the records asked for, and everybody else whose records changed hands."""

    people: dict[int, int]
    touched: set[int]


def link(session: Session, realm: str, keys_of: Mapping[int, frozenset[Key]], keys: Keys, now: datetime) -> Linked:
    """Give each record its person by what recognises it (law 7). `keys_of` maps record ids to their identity keys.

    Repeating is harmless: the same keys give the same people. Two at once end with one person: an advisory lock
    orders them, and the primary key of identity_key refuses the rest.
    """
    if not keys_of:
        return Linked(people={}, touched=set())
    digests = {
        record: {(kind, keys.pseudonym(f"{realm}/{kind}", value)) for kind, value in found}
        for record, found in keys_of.items()
    }
    run(session, "SELECT pg_advisory_xact_lock(:lock)", lock=LINKING)
    _store_keys(session, realm, digests)
    records = _near(
        session, realm, list(digests), sorted({digest for found in digests.values() for _, digest in found})
    )
    groups = group(records)
    before = {record.record_id: record.person_id for record in records}
    people = _people_for(session, groups, now)
    firsts = {min(each.record_ids) for each in groups if each.person_id is None}
    _relink(session, people, before, firsts, now)
    _number_on(session, people, before)
    _store_people(session, realm, people, records)
    moved = {record for record, person in people.items() if before[record] != person}
    touched = {people[record] for record in moved}
    touched |= {p for record in moved if (p := before[record]) is not None}
    return Linked(people={record: people[record] for record in keys_of}, touched=touched)


def _store_keys(session: Session, realm: str, digests: Mapping[int, set[tuple[str, bytes]]]) -> None:
    pairs = [(record, kind, value) for record, found in digests.items() for kind, value in found]
    run(
        session,
        """
        WITH shown AS MATERIALIZED (
            SELECT * FROM unnest(CAST(:records AS bigint[]), CAST(:kinds AS text[]), CAST(:keys AS bytea[]))
                AS shown (record_id, kind, value)
        ), dropped AS (
            DELETE FROM record_key WHERE record_id = ANY(CAST(:all AS bigint[]))
               AND NOT EXISTS (SELECT FROM shown WHERE shown.record_id = record_key.record_id
                               AND shown.kind = record_key.kind AND shown.value = record_key.value)
        )
        INSERT INTO record_key (record_id, realm, kind, value)
        SELECT record_id, :realm, kind, value FROM shown ON CONFLICT DO NOTHING
        """,
        realm=realm,
        all=list(digests),
        records=[record for record, _, _ in pairs],
        kinds=[kind for _, kind, _ in pairs],
        keys=[value for _, _, value in pairs],
    )


def _near(session: Session, realm: str, records: Sequence[int], digests: Sequence[bytes]) -> list[Recognised]:
    """The records asked for, those that share a key with them, and all records of the people who hold any of these."""
    found = rows(
        session,
        """
        WITH sharing AS (
            SELECT shared.record_id FROM unnest(CAST(:digests AS bytea[])) AS digest (value)
            CROSS JOIN LATERAL (
                SELECT record_id FROM record_key
                WHERE realm = :realm AND kind IN ('email', 'salesforce', 'hubspot') AND value = digest.value OFFSET 0
            ) AS shared
            UNION SELECT unnest(CAST(:records AS bigint[]))
        ), holders AS (
            SELECT DISTINCT link.person_id FROM sharing CROSS JOIN LATERAL (
                SELECT person_id FROM link WHERE record_id = sharing.record_id AND to_at IS NULL OFFSET 0
            ) AS link
        ), members AS (
            SELECT record_id FROM sharing
            UNION SELECT link.record_id FROM holders CROSS JOIN LATERAL (
                SELECT record_id FROM link WHERE person_id = holders.person_id AND to_at IS NULL OFFSET 0
            ) AS link
        )
        SELECT members.record_id,
               (SELECT person_id FROM link WHERE record_id = members.record_id AND to_at IS NULL) AS person_id,
               (SELECT array_agg(value) FROM record_key WHERE record_id = members.record_id) AS found
        FROM members
        """,
        realm=realm,
        records=list(records),
        digests=list(digests),
    )
    return [
        Recognised(
            record_id=row.record_id, person_id=row.person_id, keys=frozenset(bytes(value) for value in row.found or ())
        )
        for row in found
    ]


def _people_for(session: Session, groups: Sequence[Grouping], now: datetime) -> dict[int, int]:
    """The person of each record; new people are made in one statement."""
    fresh = sum(1 for each in groups if each.person_id is None)
    made = iter(
        rows(
            session,
            "INSERT INTO person (created_at) SELECT :now FROM generate_series(1, :fresh) RETURNING id",
            now=now,
            fresh=fresh,
        )
        if fresh
        else []
    )
    return {
        record: person
        for each in groups
        for person in [each.person_id if each.person_id is not None else next(made).id]
        for record in each.record_ids
    }


def _relink(
    session: Session, people: Mapping[int, int], before: Mapping[int, int | None], firsts: set[int], now: datetime
) -> None:
    """Close the links of records that change hands and open new ones: histories stay with their records.

    `firsts` are the records that people were made for; whoever joins one of them does so by a key that they share.
    """
    moved = [record for record, person in people.items() if before[record] != person]
    if not moved:
        return
    parted = [record for record in moved if before[record] is not None]
    if parted:
        run(
            session,
            "UPDATE link SET to_at = :now WHERE record_id = ANY(CAST(:parted AS bigint[])) AND to_at IS NULL",
            parted=parted,
            now=now,
        )
    run(
        session,
        """
        INSERT INTO link (record_id, person_id, evidence, from_at)
        SELECT *, :now FROM unnest(CAST(:records AS bigint[]), CAST(:people AS bigint[]), CAST(:evidence AS text[]))
        """,
        records=moved,
        people=[people[record] for record in moved],
        evidence=["first record" if record in firsts else "shared keys" for record in moved],
        now=now,
    )


def _number_on(session: Session, people: Mapping[int, int], before: Mapping[int, int | None]) -> None:
    """Number the evaluations of whoever gets a record on from those of whoever had it: of two states of one record the
    one with the higher number is newer (law 12)."""
    moves = sorted(
        {(person, had) for record, person in people.items() if (had := before[record]) not in (None, person)}
    )
    if not moves:
        return
    run(
        session,
        """
        UPDATE person SET evaluation_number = greatest(person.evaluation_number, other.number)
        FROM (
            SELECT getting.id, max(had.evaluation_number) AS number
            FROM unnest(CAST(:getting AS bigint[]), CAST(:had AS bigint[])) AS getting (id, from_id)
                 JOIN person AS had ON had.id = getting.from_id
            GROUP BY getting.id
        ) AS other
        WHERE person.id = other.id
        """,
        getting=[getting for getting, _ in moves],
        had=[had for _, had in moves],
    )


def _store_people(session: Session, realm: str, people: Mapping[int, int], records: Sequence[Recognised]) -> None:
    run(
        session,
        """
        INSERT INTO identity_key (realm, kind, value, person_id)
        SELECT DISTINCT ON (record_key.kind, record_key.value) :realm, record_key.kind, record_key.value, held.person
        FROM unnest(CAST(:records AS bigint[]), CAST(:people AS bigint[])) AS held (record, person)
             JOIN record_key ON record_key.record_id = held.record
        ORDER BY record_key.kind, record_key.value
        ON CONFLICT (realm, kind, value) DO UPDATE SET person_id = excluded.person_id
            WHERE identity_key.person_id <> excluded.person_id
        """,
        realm=realm,
        records=[record.record_id for record in records],
        people=[people[record.record_id] for record in records],
    )


def of_records(session: Session, records: Sequence[int]) -> dict[int, int]:
    """The person of each of these records."""
    found = rows(
        session,
        "SELECT record_id, person_id FROM link WHERE record_id = ANY(CAST(:ids AS bigint[])) AND to_at IS NULL",
        ids=list(records),
    )
    return {row.record_id: row.person_id for row in found}


def reach(session: Session, connection: ConnectionId | None = None) -> tuple[int, dict[ConnectionId, int]]:
    """How many people there are (with `connection`: with a record there), and their open records by connection."""
    found = rows(
        session,
        """
        WITH wanted AS MATERIALIZED (
            SELECT DISTINCT link.person_id FROM link JOIN record ON record.id = link.record_id
            WHERE link.to_at IS NULL AND (CAST(:connection AS bigint) IS NULL OR record.connection_id = :connection)
        ), open_records AS (
            SELECT record.connection_id, count(*) AS records
            FROM wanted JOIN link ON link.person_id = wanted.person_id AND link.to_at IS NULL
                 JOIN record ON record.id = link.record_id AND record.life = 'open'
            GROUP BY record.connection_id
        )
        SELECT (SELECT count(*) FROM wanted) AS people, connection_id, records
        FROM (SELECT) always LEFT JOIN open_records ON true
        """,
        connection=connection,
    )
    records = {ConnectionId(row.connection_id): int(row.records) for row in found if row.connection_id is not None}
    return int(found[0].people), records
