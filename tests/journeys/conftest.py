"""An installation as it runs: Celery workers and beat in processes of their own, over real servers and two CRMs."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from kombu import Connection as BrokerConnection
from psycopg import sql

from crm_sync.cli.stack import LEGS, Stack
from crm_sync.domain.connections import ConnectionId, ConnectionState
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.mappings import parse_mapping
from crm_sync.domain.policies import parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.embedded import Servers
from crm_sync.examples import example_mapping, example_policy
from crm_sync.flows.publish import Publisher, publish_mapping, publish_policy
from crm_sync.sandbox.hubspot import PRIVATE_APP_KEY
from crm_sync.sandbox.salesforce.sessions import Credentials
from crm_sync.settings import Settings
from crm_sync.store import connections, feeds
from crm_sync.store.engine import rows, run
from crm_sync.wiring import Installation
from tests.conftest import SECRET_KEY, url_of
from tests.connectors.hubspot_world import HubSpotWorld
from tests.connectors.salesforce_world import SalesforceWorld
from tests.connectors.world import World

KNOWN = Credentials()
CREDENTIALS: Mapping[CrmKind, Mapping[str, str]] = {
    CrmKind.SALESFORCE: {
        "method": "client_credentials",
        "consumer_key": KNOWN.consumer_key,
        "consumer_secret": KNOWN.consumer_secret,
    },
    CrmKind.HUBSPOT: {"method": "private_app", "access_token": PRIVATE_APP_KEY},
}
BY = Publisher(author="ops", reason="a test")
PATIENCE = 60.0


@dataclass
class Running:
    """Everything of one installation, up; `said` is what its processes printed."""

    installation: Installation
    processes: Stack
    worlds: Mapping[CrmKind, Any]
    said: list[str] = field(default_factory=list)

    def world(self, kind: CrmKind) -> Any:
        return self.worlds[kind]

    def add(self, kind: CrmKind, n: int = 1) -> list[str]:
        """People who may be scored, with an address of their own."""
        unique = uuid.uuid4().hex[:8]
        country = "Country" if kind is CrmKind.SALESFORCE else "country"
        email = "Email" if kind is CrmKind.SALESFORCE else "email"
        fields = {country: "United States"}
        return [
            id for k in range(n) for id in self.worlds[kind].add_people(1, **fields, **{email: f"{unique}{k}@firm.com"})
        ]

    def score(self, kind: CrmKind, id: str) -> Any:
        world = self.worlds[kind]
        return world.value(id, world.own("score"))

    def written(self, kind: CrmKind, *ids: str) -> list[Any]:
        return [w for w in self.worlds[kind].journal.writes if w.call and w.record_id in ids]

    def ask(self, statement: str, **values: Any) -> list[Any]:
        with self.installation.transaction() as session:
            return list(rows(session, statement, **values))

    def do(self, statement: str, **values: Any) -> None:
        with self.installation.transaction() as session:
            run(session, statement, **values)

    def until(self, what: Callable[[], Any], why: str) -> Any:
        """Wait until `what` is true, or fail with what the processes said last."""
        give_up = time.monotonic() + PATIENCE
        while not (found := what()):
            assert time.monotonic() < give_up, "\n".join([f"{why} did not happen", *self.said[-20:]])
            time.sleep(0.05)
        return found

    def flush_broker(self) -> None:
        """The broker forgets everything that it was told."""
        with BrokerConnection(self.installation.settings.broker_url) as connection:
            connection.default_channel.client.flushdb()


@pytest.fixture(scope="module")
def settings(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an installation that polls every second, with a database and a broker of its own."""
    name = f"journey_{uuid.uuid4().hex}"
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        yield Settings(
            home=tmp_path_factory.mktemp("home"),
            database_url=url_of(servers, name),
            broker_url=servers.broker_url.replace("virtual_host=0", f"virtual_host={worker}"),
            secret_key=SECRET_KEY,
            worker_processes=1,
            call_deadline=timedelta(seconds=20),
            push_max_attempts=4,
            poll_every=timedelta(seconds=1),
            clock_offset=timedelta(0),
        )
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[Running]:
    """Both CRMs connected, and a worker for each leg with beat."""
    with ExitStack() as stack:
        installation = Installation(settings)
        stack.callback(installation.close)
        worlds: dict[CrmKind, World] = {
            CrmKind.SALESFORCE: stack.enter_context(closing(SalesforceWorld())),
            CrmKind.HUBSPOT: stack.enter_context(closing(HubSpotWorld())),
        }
        publish_policy(
            installation.transaction, parse_policy(example_policy()), example_policy(), BY, installation.now()
        )
        for world in worlds.values():
            connect(installation, world)
        said: list[str] = []
        processes = stack.enter_context(Stack(settings, lambda name, line: said.append(f"{name}: {line}")))
        for leg in LEGS:
            processes.start_worker(leg, leg, processes=1)
        processes.start(
            "beat", "celery", "--quiet", "-A", "celery_config", "beat", "--loglevel", "WARNING",
            "--schedule", str(Path(settings.home) / "run" / "beat-schedule"), "--pidfile", "",
        )  # fmt: skip
        yield Running(installation, processes, worlds, said)


def connect(installation: Installation, world: World) -> ConnectionId:
    """Join a CRM as `crm-sync connect` does."""
    text = example_mapping(world.kind)
    for object in parse_mapping(text).people:
        assert all(check.passed for check in world.connector.install_fields(object, OWN_FIELDS))
    with installation.transaction() as session:
        id = connections.save(
            session,
            name=str(world.kind),
            kind=world.kind,
            base_url=world.url,  # type: ignore[attr-defined]
            credentials=CREDENTIALS[world.kind],
            keys=installation.keys,
        )
        connections.confirm_identity(session, id, world.connector.identity())
        connections.set_state(session, id, ConnectionState.ACTIVE)
        feeds.declare(session, id, world.connector.feeds(), installation.now())
        connection = connections.by_id(session, id)
    publish_mapping(installation.transaction, connection, parse_mapping(text), text, BY, installation.now())
    return id


def descendants(pid: int) -> list[psutil.Process]:
    """A process's children and theirs."""
    return psutil.Process(pid).children(recursive=True)
