"""What has a lifetime in tests: one PostgreSQL and one Valkey for the whole run, a fresh place in them for each test.

Several pytest processes share the servers; whoever leaves last stops them. A test's database is a copy of a migrated
template, emptied and used again by the next one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import cast

import psycopg
import pytest
from kombu import Connection as BrokerConnection
from psycopg import sql
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from crm_sync import embedded
from crm_sync.domain.keys import Keys
from crm_sync.embedded import Servers
from crm_sync.settings import Settings
from crm_sync.store import schema
from crm_sync.store.engine import Transaction, transactions
from tests.connectors.world import World
from tests.places import Place, Places

SECRET_KEY = "a secret key that is only known to these tests"
_MAKING_TEMPLATE = 7_700_100


_LONGEST_FIRST = ("packaging", "journeys", "flows/test_train", "flows", "cli", "embedded")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest begin first, so that no process is left alone with one of them at the end."""

    def place(item: pytest.Item) -> int:
        where = item.nodeid.removeprefix("tests/")
        return next((place for place, name in enumerate(_LONGEST_FIRST) if where.startswith(name)), len(_LONGEST_FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The embedded servers, without fsync, shared by every process of this run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with embedded.running(shared / "servers", durable=False) as up:
        yield up


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The name of a database at the schema's head, which nobody connects to and each test copies."""
    name = f"template_{schema.head()}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_MAKING_TEMPLATE])
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            unfinished = f"unfinished_{uuid.uuid4().hex}"
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
            schema.upgrade(url_of(servers, unfinished))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(unfinished), sql.Identifier(name))
            )
    return name


@pytest.fixture(scope="session")
def places(servers: Servers, template: str) -> Iterator[Places]:
    """The databases of this process, emptied and used again: what PostgreSQL has learned of one is still known."""
    made = Places(servers, template)
    yield made
    made.close()


@pytest.fixture
def place(places: Places) -> Iterator[Place]:
    taken = places.take()
    yield taken
    places.give_back(taken)


@pytest.fixture
def database_url(place: Place) -> str:
    """A database of this test's own, at the schema's head and empty."""
    return place.url


@pytest.fixture
def empty_database_url(servers: Servers) -> Iterator[str]:
    """A database of this test's own that no migration has been at."""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield url_of(servers, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def engine(place: Place) -> Engine:
    """An engine on this test's database, under the application's role."""
    return place.engine


@pytest.fixture
def transaction(engine: Engine) -> Transaction:
    """The way to open transactions on this test's database."""
    return transactions(engine)


@pytest.fixture
def broker_url(servers: Servers) -> Iterator[str]:
    """A broker that no other test uses meanwhile, empty."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = servers.broker_url.replace("virtual_host=0", f"virtual_host={int(worker) % 16}")
    yield url
    with BrokerConnection(url) as connection:
        connection.default_channel.client.flushdb()


@pytest.fixture
def keys() -> Keys:
    return Keys(SECRET_KEY)


@pytest.fixture
def settings(database_url: str, broker_url: str, tmp_path: Path) -> Settings:
    """The settings of an installation on this test's database and broker."""
    return Settings(
        home=tmp_path / "home",
        database_url=database_url,
        broker_url=broker_url,
        secret_key=SECRET_KEY,
        worker_processes=1,
        call_deadline=timedelta(seconds=20),
        push_max_attempts=4,
        poll_every=timedelta(seconds=60),
        clock_offset=timedelta(0),
    )


@pytest.fixture
def salesforce() -> Iterator[World]:
    """A Salesforce org with nobody in it, behind HTTP."""
    yield from _world("salesforce")


@pytest.fixture
def hubspot() -> Iterator[World]:
    """A HubSpot portal with nobody in it, behind HTTP."""
    yield from _world("hubspot")


@pytest.fixture(params=["salesforce", "hubspot"])
def crm(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each CRM in turn."""
    yield from _world(request.param)


def _world(name: str) -> Iterator[World]:
    # Imported when it is used, so that a test of one CRM doesn't load the other.
    with closing(cast(World, import_module(f"tests.connectors.{name}_world").open_world())) as world:
        yield world


def url_of(servers: Servers, database: str) -> str:
    """The URL of another database on the same server."""
    return make_url(servers.database_url).set(database=database).render_as_string(hide_password=False)
