"""Turns and limits in the database: sixteen workers at once pass no limit, and what is given back is as never taken."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from sqlmodel import Session

from connectors.hubspot.connector import HubSpotConnector
from connectors.salesforce.feeds import FEEDS
from crm_sync.domain.changes import Role
from crm_sync.domain.connections import Connection
from crm_sync.domain.policies import PolicyVersion
from crm_sync.domain.routing import GAVE_WAY
from crm_sync.store import assignments, pools
from crm_sync.store.assignments import Basis
from crm_sync.store.engine import Transaction, committed, rows, run
from tests.factories import a_policy
from tests.rows import NOW, a_connection, linked_people

ROUTABLE = {
    "country_code": "US",
    "country_group": "us",
    "region": None,
    "city": None,
    "industry": None,
    "employees": 300.0,
    "state": "scored",
    "may_email": True,
    "may_phone": True,
    "lead_source": None,
    "bucket": "A",
    "score": 80,
}


class Desk:
    """An org with four reps, a queue, and leads that nobody owns."""

    def __init__(self, transaction: Transaction, org: Connection, people: dict[int, int]) -> None:
        self.transaction, self.org, self.people = transaction, org, people

    def policy(self, *members: Any, pools_more: dict[str, Any] | None = None, **sections: Any) -> PolicyVersion:
        name = self.org.name
        return a_policy(
            routing={
                "connections": {name: {"since": "2026-11-01", "fallback": "Inbound"}},
                "pools": {"sales": {"connection": name, "members": list(members)}} | (pools_more or {}),
                "rules": [{"name": "sales", "to": {"pool": "sales"}}, {"name": "rest", "to": "fallback"}],
            }
            | sections
        )

    def assign(self, policy: PolicyVersion, records: list[int], number: int = 1, now: datetime = NOW) -> int:
        """One worker's batch: these records are evaluated and routed in one commit. Returns the owner entries."""

        def work(session: Session) -> int:
            evaluated = pl.DataFrame(
                [{"person_id": self.people[record], **ROUTABLE} for record in records], infer_schema_length=None
            )
            shown = [
                SimpleNamespace(id=record, person_id=self.people[record], life="open", object="Lead")
                for record in records
            ]
            basis = {self.people[record]: Basis(evaluation_id=None, number=number) for record in records}
            return assignments.assign(session, policy, evaluated, shown, basis, now).entries

        return committed(self.transaction, work)

    def ask(self, statement: str, **values: Any) -> list[Any]:
        with self.transaction() as session:
            return list(rows(session, statement, **values))

    def owners(self) -> Counter[str]:
        return Counter(row.owner for row in self.ask("SELECT owner FROM assignment"))

    def end(self, record: int, state: str, words: str = "") -> None:
        """An owner entry comes to its end."""
        with self.transaction() as session:
            run(
                session,
                "UPDATE outbox SET state = :state, words = :words WHERE record_id = :record AND kind = 'owner'",
                state=state,
                words=words,
                record=record,
            )
            assignments.settle(session, [record], NOW)


@pytest.fixture
def desk(transaction: Transaction, keys) -> Desk:
    with transaction() as session:
        org = a_connection(session, keys)
        linked = linked_people(session, org, keys, {f"00Q{n:03}": f"p{n}@acme.eu" for n in range(96)})
        run(
            session,
            """
            INSERT INTO crm_user (connection_id, crm_id, kind, name, active, seen_at)
            SELECT :connection, 'rep-' || n, 'user', 'Rep ' || n, true, now() FROM generate_series(1, 4) n
            UNION ALL SELECT :connection, 'queue', 'queue', 'Inbound', true, now()
            """,
            connection=org.id,
        )
        found = rows(session, "SELECT id, crm_id FROM record")
    return Desk(transaction, org, {row.id: linked[row.crm_id] for row in found})


def test_given_sixteen_workers_when_they_route_at_once_then_no_limit_is_passed_and_nobody_is_forgotten(desk: Desk):
    policy = desk.policy(
        {"who": "Rep 1", "per_day": 7},
        {"who": "Rep 2", "open_leads": 5},
        {"who": "Rep 3", "weight": 3, "per_day": 20},
    )
    records = sorted(desk.people)

    with ThreadPoolExecutor(16) as workers:
        list(workers.map(lambda n: desk.assign(policy, records[n::16]), range(16)))

    assert desk.owners() == {"rep-1": 7, "rep-2": 5, "rep-3": 20, "queue": 96 - 32}
    [taken] = desk.ask("SELECT sum(taken) AS n, sum(turn) AS turns FROM pool_member")
    [events] = desk.ask("SELECT count(*) AS n FROM assignment WHERE pool_id IS NOT NULL")
    assert taken.n == events.n == 32


def test_given_sixteen_workers_when_everybody_is_free_then_shares_are_fair_whoever_comes_first(desk: Desk):
    policy = desk.policy("Rep 1", {"who": "Rep 2", "weight": 2}, "Rep 3")
    records = sorted(desk.people)

    with ThreadPoolExecutor(16) as workers:
        list(workers.map(lambda n: desk.assign(policy, records[n::16]), range(16)))

    assert desk.owners() == {"rep-1": 24, "rep-2": 48, "rep-3": 24}


def test_given_one_person_in_two_pools_when_workers_route_at_once_then_their_limit_holds_over_both(desk: Desk):
    member = {"who": "Rep 1", "open_leads": 10}
    more = {"hot": {"connection": desk.org.name, "members": [member]}}
    first = desk.policy(member, pools_more=more)
    second = desk.policy(
        member, pools_more=more, rules=[{"name": "hot", "to": {"pool": "hot"}}, {"name": "rest", "to": "fallback"}]
    )
    records = sorted(desk.people)

    with ThreadPoolExecutor(16) as workers:
        list(workers.map(lambda n: desk.assign((first, second)[n % 2], records[n::16]), range(16)))

    assert desk.owners()["rep-1"] == 10


def test_given_two_workers_with_the_same_lead_when_they_route_then_one_assignment_is_made(desk: Desk):
    policy, record = desk.policy("Rep 1", "Rep 2"), min(desk.people)

    with ThreadPoolExecutor(4) as workers:
        entries = list(workers.map(lambda n: desk.assign(policy, [record], number=n), range(1, 5)))

    assert sorted(entries) == [0, 0, 0, 1]
    assert sum(desk.owners().values()) == 1


@pytest.mark.parametrize(
    ("state", "words", "becomes"),
    [
        pytest.param("dead", "", "refused", id="refused"),
        pytest.param("superseded", "", "dropped", id="superseded"),
        pytest.param("closed", GAVE_WAY, "gave_way", id="gave-way"),
    ],
)
def test_given_a_turn_that_came_to_nothing_when_settled_then_it_is_as_never_taken(
    desk: Desk, state: str, words: str, becomes: str
):
    policy, record = desk.policy("Rep 1", {"who": "Rep 2", "weight": 2}, "Rep 3"), min(desk.people)
    desk.assign(policy, [record])

    desk.end(record, state, words)
    desk.end(record, state, words)

    assert [row.state for row in desk.ask("SELECT state FROM assignment")] == [becomes]
    found = desk.ask("SELECT turn, taken, taken_today FROM pool_member")
    assert [(row.turn, row.taken, row.taken_today) for row in found] == [(0, 0, 0)] * 3


def test_given_the_log_when_it_is_replayed_then_it_gives_the_turns_that_stand(desk: Desk):
    policy, records = desk.policy("Rep 1", {"who": "Rep 2", "weight": 2}, "Rep 3"), sorted(desk.people)
    for n, record in enumerate(records[:30]):
        desk.assign(policy, [record])
        desk.end(record, ("delivered", "dead", "delivered")[n % 3])

    log = desk.ask("SELECT * FROM assignment WHERE state IN ('taken', 'accepted')")

    turns, taken = Counter[str](), Counter(row.member for row in log)
    for row in log:
        turns.update({who: row.turns_after[who] - row.turns_before[who] for who in row.turns_before})
    standing = desk.ask("SELECT * FROM pool_member")
    assert {row.member: row.turn for row in standing} == dict(turns)
    assert {row.member: row.taken for row in standing} == dict(taken)


def test_given_midnight_where_the_crm_is_when_routed_then_a_days_limit_begins_anew(desk: Desk):
    with desk.transaction() as session:
        run(session, "UPDATE connection SET time_zone = 'America/Los_Angeles'")
    policy, records = desk.policy({"who": "Rep 1", "per_day": 1}), sorted(desk.people)

    for n, hour in enumerate((6, 7, 8)):
        desk.assign(policy, [records[n]], now=datetime(2026, 11, 23, hour, 30, tzinfo=UTC))

    told = desk.ask("SELECT owner, day FROM assignment ORDER BY id")
    assert [(row.owner, row.day) for row in told] == [
        ("rep-1", date(2026, 11, 22)),
        ("queue", date(2026, 11, 22)),
        ("rep-1", date(2026, 11, 23)),
    ]


def test_given_a_limit_that_somebody_filled_past_the_lock_when_turns_are_taken_then_nothing_is_kept(desk: Desk):
    policy = desk.policy({"who": "Rep 1", "per_day": 1})
    place = pools.place(desk.org.id, desk.org.name, "UTC", NOW)

    def overtake(session: Session) -> None:
        found = pools.owners(session, [place], ["Rep 1", "Inbound"])
        ids = pools.lock(session, policy.routing, [place])
        seats = pools.seats(session, policy.routing, [place], ids, found, NOW)
        run(session, "UPDATE pool_member SET day = :day, taken_today = 1", day=place.day)
        [seat] = seats.pools["sales"]
        seat.given = 1
        pools.take(session, policy.routing, [place], ids, seats)

    with pytest.raises(pools.LimitPassedError):
        committed(desk.transaction, overtake)

    assert desk.ask("SELECT * FROM pool_member") == []


def test_the_feeds_of_users_and_queues_are_those_of_every_connector(hubspot):
    connector = hubspot.connector
    assert isinstance(connector, HubSpotConnector)

    named = {feed.name for feed in (*FEEDS, *connector.feeds()) if feed.role is Role.OWNER}

    assert named == set(pools.OWNER_FEEDS)
