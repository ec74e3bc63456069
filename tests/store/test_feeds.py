"""Feeds: who may read on, and from where."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from crm_sync.domain.changes import Cursor, Feed, Role, Walk
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.keys import Keys
from crm_sync.store import connections, feeds
from crm_sync.store.engine import Transaction
from tests.rows import NOW, a_connection

SPAN = timedelta(minutes=3)
LEADS = Feed(object="Lead", role=Role.PERSON)


@pytest.fixture
def connection(transaction: Transaction, keys: Keys) -> Connection:
    """A connection with one feed."""
    with transaction() as session:
        made = a_connection(session, keys)
        feeds.declare(session, made.id, [LEADS], NOW)
    return made


def lease(transaction: Transaction, connection: Connection, *, later: timedelta = timedelta(0)) -> feeds.Lease | None:
    with transaction() as session:
        return feeds.lease(session, connection.id, LEADS.name, NOW + later, span=SPAN)


def test_given_many_workers_when_they_want_a_lease_at_once_then_one_gets_it(
    transaction: Transaction, connection: Connection
):
    ready = Barrier(4)

    def work(_: int) -> bool:
        ready.wait()
        return lease(transaction, connection) is not None

    with ThreadPoolExecutor(4) as workers:
        got = list(workers.map(work, range(4)))

    assert got.count(True) == 1


def test_given_a_lease_that_lapsed_when_its_worker_comes_back_then_the_cursor_doesnt_move(
    transaction: Transaction, connection: Connection
):
    slow = lease(transaction, connection)
    quick = lease(transaction, connection, later=SPAN + timedelta(seconds=1))
    assert slow is not None
    assert quick is not None

    with pytest.raises(feeds.LeaseLostError), transaction() as session:
        feeds.advance(session, slow, cursor=Cursor({"n": 1}), watermark=NOW, read=5, due=NOW)
    with transaction() as session:
        feeds.advance(session, quick, cursor=Cursor({"n": 2}), watermark=NOW, read=7, due=NOW)

    again = lease(transaction, connection, later=timedelta(hours=1))
    assert again is not None
    assert again.cursor == {"n": 2}
    with transaction() as session:
        [status] = feeds.status(session, connection.id, NOW)
    assert status.rows_read == 7


def test_given_a_worker_whose_lease_was_taken_over_when_it_gives_it_back_then_the_other_keeps_it(
    transaction: Transaction, connection: Connection
):
    slow = lease(transaction, connection)
    quick = lease(transaction, connection, later=SPAN + timedelta(seconds=1))
    assert slow is not None
    assert quick is not None

    with transaction() as session:
        feeds.release(session, slow, due=NOW, problem="too late")

    with transaction() as session:
        [status] = feeds.status(session, connection.id, NOW + SPAN)
        feeds.advance(session, quick, cursor=Cursor({"n": 2}), watermark=NOW, read=7, due=NOW)
    assert (status.leased, status.last_problem) == (True, "")


@pytest.mark.parametrize(
    ("state", "is_due"),
    [
        (ConnectionState.ACTIVE, True),
        (ConnectionState.OBSERVING, True),
        (ConnectionState.PAUSED, False),
        (ConnectionState.NEEDS_SIGN_IN, False),
        (ConnectionState.WRONG_ORG, False),
    ],
)
def test_given_a_connections_state_when_asked_what_is_due_then_only_those_that_pull_are(
    transaction: Transaction, connection: Connection, state: ConnectionState, is_due: bool
):
    with transaction() as session:
        connections.set_state(session, connection.id, state)

        assert bool(feeds.due(session, NOW)) is is_due


def test_given_a_feed_declared_twice_when_it_has_a_cursor_then_it_keeps_it(
    transaction: Transaction, connection: Connection
):
    held = lease(transaction, connection)
    assert held is not None
    with transaction() as session:
        feeds.advance(session, held, cursor=Cursor({"n": 2}), watermark=NOW, read=7, due=NOW)

        feeds.declare(session, connection.id, [LEADS], NOW)

    again = lease(transaction, connection)
    assert again is not None
    assert again.cursor == {"n": 2}


def test_given_feeds_at_rest_when_hurried_then_all_are_due_but_those_that_read_a_large_object_whole(
    transaction: Transaction, connection: Connection
):
    whole = Feed(object="Lead", role=Role.PERSON, walk=Walk.WHOLE)
    with transaction() as session:
        feeds.declare(session, connection.id, [whole], NOW + timedelta(hours=9))
        feeds.postpone(session, connection.id, LEADS.name, NOW + timedelta(hours=9))

        feeds.hurry(session, connection.id, NOW)

        due = {feed.name: feed.next_due <= NOW for feed in feeds.status(session, connection.id, NOW)}
    assert due == {"Lead": True, "Lead:whole": False}
