"""`crm-sync connect …` against sandbox CRMs over HTTP and a real database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crm_sync.domain.connections import Connection
from crm_sync.store import connections
from crm_sync.store.engine import Transaction, rows
from tests.cli.conftest import Ran, Run, credentials_of
from tests.connectors.world import World


@pytest.fixture
def connect(crm_sync: Run, tmp_path: Path):
    """Runs `crm-sync connect` for a world, by a credentials file."""

    def run(world: World, *more: object, **changed: str) -> Ran:
        file = tmp_path / "credentials.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({**credentials_of(world), **changed}))
        return crm_sync("connect", world.kind, "--url", world.url, "--credentials-file", file, *more)

    return run


def connected(transaction: Transaction) -> list[Connection]:
    with transaction() as session:
        return connections.listed(session)


def test_given_everything_is_there_when_connected_then_each_step_is_told_and_the_connection_is_active(
    connect, crm: World, transaction: Transaction
):
    crm.install()
    crm.add_people(1)

    ran = connect(crm, "--yes", "--object", crm.people.object)

    assert ran.code == 0, ran
    assert "✗" not in ran.out
    assert [step in ran.out for step in ("sign-in", "identity", "access to", "our fields", "test write", "clocks")] == [
        True
    ] * 6
    [connection] = connected(transaction)
    assert (connection.name, connection.state) == (crm.kind, "active")
    assert connection.org_id in ran.out
    with transaction() as session:
        feeds = rows(session, "SELECT name FROM feed")
        [entry] = rows(session, "SELECT kind FROM audit_entry")
    assert {feed.name for feed in feeds} == {feed.name for feed in crm.connector.feeds()}
    assert entry.kind == "connected"
