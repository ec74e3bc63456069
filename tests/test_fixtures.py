"""The fixtures that other tests stand on: two tests never meet in one database or broker."""

from __future__ import annotations

from queue import Empty

import pytest
from kombu import Connection as BrokerConnection

from crm_sync.store import schema
from crm_sync.store.engine import Transaction, make_engine, rows, run


@pytest.mark.parametrize("turn", [1, 2])
def test_given_a_row_left_by_a_test_when_the_next_one_looks_then_its_database_is_empty(
    transaction: Transaction, turn: int
):
    with transaction() as session:
        assert rows(session, "SELECT name FROM connection") == []

        run(
            session,
            "INSERT INTO connection (name, kind, base_url, sealed_credentials) VALUES ('x', 'hubspot', '', '')",
        )


@pytest.mark.parametrize("turn", [1, 2])
def test_given_a_message_left_by_a_test_when_the_next_one_looks_then_its_queue_is_empty(broker_url: str, turn: int):
    with BrokerConnection(broker_url) as connection:
        with connection.SimpleQueue("pull") as queue, pytest.raises(Empty):
            queue.get(block=False)
        with connection.SimpleQueue("pull") as queue:
            queue.put("a nudge")


def test_given_a_fresh_database_when_asked_then_it_is_at_the_head(database_url: str, empty_database_url: str):
    migrated, empty = make_engine(database_url), make_engine(empty_database_url, application_role=False)

    assert (schema.current(migrated), schema.current(empty)) == (schema.head(), "")

    migrated.dispose()
    empty.dispose()
