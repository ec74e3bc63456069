"""Pools of owners: who is in them as the CRMs show it, whose turn it is, and the turns that are taken and given back.

The policy in force says who is in a pool, with which weight and limits; the rows hold only turns and counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlmodel import Session

from crm_sync.domain.policies import Routing
from crm_sync.domain.routing import Owner, Owners, Seats, seats_of
from crm_sync.store.engine import rows, run

OWNER_FEEDS = ("User", "Group", "owners")
"""The feeds of every connector that bring users and queues; nobody is routed before each has been read once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A connection that is routed: its id, and the day that it is there."""

    connection_id: int
    name: str
    day: date


def place(connection_id: int, name: str, time_zone: str, now: datetime) -> Place:
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return Place(connection_id=connection_id, name=name, day=now.astimezone(zone).date())


def owners(session: Session, places: Sequence[Place], words: Iterable[str]) -> Owners:
    """The users and queues of these connections that `words` may mean: CRM ids, their first 15 characters, or names."""
    wanted = sorted(set(words))
    found = rows(
        session,
        """
        SELECT connection_id, crm_id, kind, name, active FROM crm_user
        WHERE connection_id = ANY(CAST(:connections AS bigint[]))
          AND (crm_id = ANY(CAST(:words AS text[])) OR left(crm_id, 15) = ANY(CAST(:words AS text[]))
               OR lower(name) = ANY(CAST(:names AS text[])))
        ORDER BY connection_id, crm_id
        """,
        connections=[place.connection_id for place in places],
        words=wanted,
        names=[word.lower() for word in wanted],
    )
    named = {place.connection_id: place.name for place in places}
    by_connection: dict[str, list[Owner]] = {place.name: [] for place in places}
    for row in found:
        owner = Owner(crm_id=row.crm_id, name=row.name, is_queue=row.kind == "queue", active=row.active)
        by_connection[named[row.connection_id]].append(owner)
    return Owners(by_connection)


def unread(session: Session, places: Sequence[Place]) -> set[str]:
    """The connections among these whose users and queues were not read to the end yet, by name."""
    found = rows(
        session,
        """
        SELECT DISTINCT connection_id FROM feed
        WHERE connection_id = ANY(CAST(:connections AS bigint[])) AND name = ANY(CAST(:feeds AS text[]))
          AND watermark IS NULL
        """,
        connections=[place.connection_id for place in places],
        feeds=list(OWNER_FEEDS),
    )
    names = {place.connection_id: place.name for place in places}
    return {names[row.connection_id] for row in found}


def lock(session: Session, routing: Routing, places: Sequence[Place]) -> dict[str, int]:
    """Lock every pool of these connections, in id order, until the commit. Returns their ids by name.

    All of them, because one person may be in several, and their limit of open leads counts over all. Pools and
    members that the policy names for the first time get their rows.
    """
    connections = [place.connection_id for place in places]
    wanted = _wanted(routing, places)
    standing = {
        (row.pool, row.member)
        for row in rows(
            session,
            """
            SELECT pool.name AS pool, pool_member.member FROM pool JOIN pool_member ON pool_id = pool.id
            WHERE connection_id = ANY(CAST(:connections AS bigint[]))
            """,
            connections=connections,
        )
    }
    missing = [each for each in wanted if (each[1], each[2]) not in standing]
    if missing:
        _add(session, missing)
    run(
        session,
        """
        SELECT FROM pool WHERE connection_id = ANY(CAST(:connections AS bigint[])) ORDER BY id FOR UPDATE
        """,
        connections=connections,
    )
    return known(session, routing, places)


def known(session: Session, routing: Routing, places: Sequence[Place]) -> dict[str, int]:
    """The ids of the pools of these connections that have rows, by name; nothing is locked."""
    found = rows(
        session,
        "SELECT id, connection_id, name FROM pool WHERE connection_id = ANY(CAST(:connections AS bigint[]))",
        connections=[place.connection_id for place in places],
    )
    now = {(connection, name) for connection, name, _ in _wanted(routing, places)}
    return {row.name: row.id for row in found if (row.connection_id, row.name) in now}


def _wanted(routing: Routing, places: Sequence[Place]) -> list[tuple[int, str, str]]:
    ids = {place.name: place.connection_id for place in places}
    return sorted(
        (ids[pool.connection], name, member.who)
        for name, pool in routing.pools.items()
        if pool.connection in ids
        for member in pool.members
    )


def _add(session: Session, missing: Sequence[tuple[int, str, str]]) -> None:
    arrays = {
        "connections": [connection for connection, _, _ in missing],
        "names": [name for _, name, _ in missing],
        "members": [member for _, _, member in missing],
    }
    run(
        session,
        """
        INSERT INTO pool (connection_id, name)
        SELECT DISTINCT connection_id, name FROM unnest(CAST(:connections AS bigint[]), CAST(:names AS text[]))
            AS wanted (connection_id, name)
        ORDER BY 1, 2 ON CONFLICT DO NOTHING
        """,
        connections=arrays["connections"],
        names=arrays["names"],
    )
    run(
        session,
        """
        INSERT INTO pool_member (pool_id, member)
        SELECT pool.id, wanted.member
        FROM unnest(CAST(:connections AS bigint[]), CAST(:names AS text[]), CAST(:members AS text[]))
             AS wanted (connection_id, name, member) JOIN pool USING (connection_id, name)
        ORDER BY 1, 2 ON CONFLICT DO NOTHING
        """,
        **arrays,
    )


def seats(
    session: Session, routing: Routing, places: Sequence[Place], ids: Mapping[str, int], found: Owners, now: datetime
) -> Seats:
    """The pools of these connections as they stand. Called after `lock`, in a statement of its own: what others took
    while we waited for the lock is seen only then."""
    by_name = {place.name: place for place in places}
    made = {name: seats_of(pool, found) for name, pool in routing.pools.items() if pool.connection in by_name}
    standing = {
        (row.pool_id, row.member): row
        for row in rows(
            session,
            """
            SELECT pool_id, member, turn, day, taken_today FROM pool_member
            WHERE pool_id = ANY(CAST(:pools AS bigint[]))
            """,
            pools=list(ids.values()),
        )
    }
    for name, members in made.items():
        today = by_name[routing.pools[name].connection].day
        for seat in members:
            row = standing.get((ids.get(name, 0), seat.member.who))
            if row is not None:
                seat.turn, seat.today = row.turn, row.taken_today if row.day == today else 0
    limited = {
        (by_name[routing.pools[name].connection], seat.owner.crm_id)
        for name, members in made.items()
        for seat in members
        if seat.member.open_leads is not None and isinstance(seat.owner, Owner)
    }
    return Seats(pools=made, open_leads=_open_leads(session, routing, limited, now))


def _open_leads(
    session: Session, routing: Routing, limited: Iterable[tuple[Place, str]], now: datetime
) -> dict[tuple[str, str], int]:
    """How many open leads these owners hold: as last pulled, on their way, or accepted and perhaps not pulled yet."""
    pairs = sorted((place.connection_id, place.name, who) for place, who in limited)
    if not pairs:
        return {}
    found = rows(
        session,
        """
        WITH limited AS (
            SELECT connection_id, owner
            FROM unnest(CAST(:connections AS bigint[]), CAST(:owners AS text[])) AS named (connection_id, owner)
        ), held AS (
            SELECT limited.*, record.id FROM limited JOIN record USING (connection_id, owner)
            WHERE record.life = 'open' AND record.object = ANY(CAST(:objects AS text[]))
            UNION
            SELECT limited.*, record.id FROM limited JOIN assignment USING (connection_id, owner)
                 JOIN record ON record.id = assignment.record_id
            WHERE record.life = 'open' AND assignment.state IN ('taken', 'accepted')
              AND (assignment.state = 'taken'
                   OR assignment.settled_at > CAST(:now AS timestamptz) - interval '1 hour')
        )
        SELECT connection_id, owner, count(*) AS n FROM held GROUP BY connection_id, owner
        """,
        connections=[connection for connection, _, _ in pairs],
        owners=[who for _, _, who in pairs],
        objects=list(routing.objects),
        now=now,
    )
    names = {connection: name for connection, name, _ in pairs}
    return {(names[row.connection_id], row.owner): row.n for row in found}


class LimitPassedError(AssertionError):
    """A turn was taken that a limit forbids: the pools were not locked. Everything is rolled back."""


def take(session: Session, routing: Routing, places: Sequence[Place], ids: Mapping[str, int], taken: Seats) -> None:
    """Note the turns that routing took, in one statement that passes no day's limit."""
    days = {place.name: place.day for place in places}
    moved = [
        (ids[name], seat, days[routing.pools[name].connection]) for name, pool in taken.pools.items() for seat in pool
    ]
    if not any(seat.given for _, seat, _ in moved):
        return
    found = rows(
        session,
        """
        UPDATE pool_member SET
            turn = now.turn, day = now.day, taken = pool_member.taken + now.given,
            taken_today = CASE WHEN pool_member.day = now.day THEN taken_today ELSE 0 END + now.given
        FROM unnest(CAST(:pools AS bigint[]), CAST(:members AS text[]), CAST(:turns AS bigint[]),
                    CAST(:given AS int[]), CAST(:days AS date[]), CAST(:limits AS int[]))
             AS now (pool_id, member, turn, given, day, per_day)
        WHERE pool_member.pool_id = now.pool_id AND pool_member.member = now.member
          AND (now.given = 0 OR now.per_day IS NULL OR now.per_day >=
               now.given + CASE WHEN pool_member.day = now.day THEN taken_today ELSE 0 END)
        RETURNING pool_member.pool_id, pool_member.member
        """,
        pools=[pool for pool, _, _ in moved],
        members=[seat.member.who for _, seat, _ in moved],
        turns=[seat.turn for _, seat, _ in moved],
        given=[seat.given for _, seat, _ in moved],
        days=[day.isoformat() for _, _, day in moved],
        limits=[seat.member.per_day for _, seat, _ in moved],
    )
    if len(found) < len(moved):
        raise LimitPassedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A turn that is given back (`given` -1) or, by a replay, taken after all (1), with what it did to the credits."""

    pool_id: int
    member: str
    day: date
    given: int
    before: Mapping[str, int]
    after: Mapping[str, int]


def give_back(session: Session, returns: Sequence[Return]) -> None:
    """Undo these turns: credits, the day's count where the day isn't over, and the count of all."""
    if not returns:
        return
    run(
        session,
        "SELECT FROM pool WHERE id = ANY(CAST(:pools AS bigint[])) ORDER BY id FOR UPDATE",
        pools=[each.pool_id for each in returns],
    )
    moved: dict[tuple[int, str], int] = {}
    given: dict[tuple[int, str, date], int] = {}
    for each in returns:
        for member, before in each.before.items():
            key = (each.pool_id, member)
            moved[key] = moved.get(key, 0) + each.given * (each.after[member] - before)
        day = (each.pool_id, each.member, each.day)
        given[day] = given.get(day, 0) + each.given
    run(
        session,
        """
        UPDATE pool_member SET turn = turn + moved.by
        FROM unnest(CAST(:pools AS bigint[]), CAST(:members AS text[]), CAST(:by AS bigint[]))
             AS moved (pool_id, member, by)
        WHERE pool_member.pool_id = moved.pool_id AND pool_member.member = moved.member
        """,
        pools=[pool for pool, _ in moved],
        members=[member for _, member in moved],
        by=list(moved.values()),
    )
    run(
        session,
        """
        UPDATE pool_member SET taken = pool_member.taken + back.given,
            taken_today = greatest(0, taken_today + coalesce(back.of_day, 0))
        FROM (
            SELECT told.pool_id, told.member, sum(told.given) AS given,
                   sum(told.given) FILTER (WHERE told.day = standing.day) AS of_day
            FROM unnest(CAST(:pools AS bigint[]), CAST(:members AS text[]), CAST(:days AS date[]),
                        CAST(:given AS int[])) AS told (pool_id, member, day, given)
                 JOIN pool_member AS standing USING (pool_id, member)
            GROUP BY told.pool_id, told.member
        ) AS back
        WHERE pool_member.pool_id = back.pool_id AND pool_member.member = back.member
        """,
        pools=[pool for pool, _, _ in given],
        members=[member for _, member, _ in given],
        days=[day.isoformat() for _, _, day in given],
        given=list(given.values()),
    )
