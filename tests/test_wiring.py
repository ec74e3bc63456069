"""What workers are handed, and that a message may come late or twice: rows decide, messages only nudge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from celery import Celery, current_app

from crm_sync.domain.budgets import calls_to_push
from crm_sync.domain.changes import Walk
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.records import CrmKind
from crm_sync.examples import example_mapping, example_policy
from crm_sync.flows.push import BATCH
from crm_sync.settings import Settings
from crm_sync.store import connections
from crm_sync.store.engine import rows, run
from crm_sync.wiring import Installation
from crm_sync.workers import evaluate, process, pull, push
from tests.connectors.world import World
from tests.joined import join, set_policy

ONE_CRM = pytest.mark.parametrize("crm", ["hubspot"], indirect=True)
"""For rules that are ours alone and ask no CRM differently."""

US = {CrmKind.SALESFORCE: {"Country": "United States"}, CrmKind.HUBSPOT: {"country": "United States"}}


@pytest.fixture
def ours(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """The installation that a worker process holds. Its nudges go to the broker, where nobody hears them."""
    before = current_app._get_current_object()
    Celery("nudges", broker=settings.broker_url).set_current()
    made = Installation(settings)
    monkeypatch.setitem(process._held, "installation", made)
    set_policy(made, example_policy())
    yield made
    made.close()
    current_app.close()
    before.set_current()


@pytest.fixture
def connection(ours: Installation, crm: World) -> Connection:
    """A CRM that is connected and active; nothing of it is pulled yet."""
    crm.clock.thaw()
    return join(ours, crm.kind, crm.url, example_mapping(crm.kind))  # type: ignore[attr-defined]


def followed(ours: Installation, connection: Connection) -> list[str]:
    found = ours.connector(connection).feeds()
    return [feed.name for feed in found if feed.walk in (Walk.CHANGES, Walk.FULL)]


@ONE_CRM
@pytest.mark.parametrize("state", list(ConnectionState))
def test_given_a_connections_state_when_a_worker_asks_where_to_write_then_only_an_active_one_is_told(
    ours: Installation, connection: Connection, state: ConnectionState
):
    with ours.transaction() as session:
        connections.set_state(session, connection.id, state)

    assert (ours.target(connection.id) is not None) is (state is ConnectionState.ACTIVE)


@ONE_CRM
def test_given_a_crm_that_asked_us_to_wait_when_a_worker_asks_where_to_write_then_it_is_told_nowhere(
    ours: Installation, connection: Connection
):
    with ours.transaction() as session:
        connections.wait(session, connection.id, ours.now() + timedelta(minutes=5))

    assert ours.target(connection.id) is None


@pytest.mark.parametrize("deadline", [timedelta(seconds=1), timedelta(minutes=10)], ids=str)
def test_given_calls_that_take_all_their_time_when_they_are_made_under_a_claim_then_it_outlasts_them(
    settings: Settings, deadline: timedelta
):
    ours = Installation(replace(settings, call_deadline=deadline))

    assert ours.lease_span > deadline
    for kind in CrmKind:
        assert ours.claim_span > calls_to_push(kind, BATCH) * deadline


def test_given_messages_that_come_twice_when_worked_off_then_nothing_is_done_twice(
    ours: Installation, connection: Connection, crm: World
):
    leads = crm.add_people(3, **US[crm.kind])

    for name in followed(ours, connection):
        pull.feed(connection.id, name)
        pull.feed(connection.id, name)
    for task in (evaluate.waiting, evaluate.waiting):
        task()
    push.connection(connection.id)
    push.connection(connection.id)

    writes = [(write.record_id, write.field) for write in crm.journal.writes if write.call and write.record_id in leads]
    assert {record for record, _ in writes} == set(leads)
    assert len(writes) == len(set(writes))
    with ours.transaction() as session:
        [pages] = rows(session, "SELECT max(pages_read) AS most FROM feed WHERE name = :name", name=crm.people.name)
        [kept] = rows(session, "SELECT count(*) AS n FROM evaluation")
    assert (pages.most, kept.n) == (1, len(leads))


def test_given_messages_that_come_late_when_the_connection_is_paused_then_no_call_is_made(
    ours: Installation, connection: Connection, crm: World
):
    crm.add_people(1, **US[crm.kind])
    ours.forget_connectors()  # a worker that has just begun
    with ours.transaction() as session:
        connections.set_state(session, connection.id, ConnectionState.PAUSED)
    mark = crm.mark()

    for name in followed(ours, connection):
        pull.feed(connection.id, name)
    push.connection(connection.id)

    assert crm.calls(mark) == []


def test_given_an_address_that_leads_to_another_org_when_a_worker_begins_then_nothing_is_read_or_written(
    ours: Installation, connection: Connection, crm: World
):
    crm.add_people(1, **US[crm.kind])
    ours.forget_connectors()
    with ours.transaction() as session:
        run(session, "UPDATE connection SET org_id = 'the one that was confirmed'")

    for name in followed(ours, connection):
        pull.feed(connection.id, name)
    push.connection(connection.id)

    with ours.transaction() as session:
        assert connections.by_id(session, connection.id).state is ConnectionState.WRONG_ORG
        [found] = rows(session, "SELECT count(*) AS n FROM record")
    assert found.n == 0


def test_given_few_calls_a_day_when_feeds_are_followed_then_polls_leave_room_for_what_changes(
    ours: Installation, connection: Connection
):
    mapping = ours.mapping_of(connection)
    assert mapping is not None

    def at_rest(calls_a_day: int) -> float:
        return sum(timedelta(days=1) / feed.every for feed in ours.feeds(connection, mapping, calls_a_day))

    assert at_rest(1_000_000) > 9_000
    assert 3_000 < at_rest(7_500) <= 4_600


@ONE_CRM
def test_given_a_faster_pace_when_feeds_are_followed_then_it_is_kept_whatever_it_costs(
    ours: Installation, connection: Connection
):
    mapping = ours.mapping_of(connection)
    assert mapping is not None
    ours.settings = replace(ours.settings, poll_every=timedelta(seconds=5))

    fastest = min(feed.every for feed in ours.feeds(connection, mapping, 100))

    assert fastest == timedelta(seconds=5)
