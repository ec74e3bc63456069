"""One server for all tests of this folder; each test has an org of its own behind it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from simple_salesforce import Salesforce

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg, salesforce_app
from crm_sync.sandbox.web import LiveServer
from tests.sandbox.salesforce.door import Door

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class Stage:
    """Serves whichever app is on it."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="session")
def server(stage: Stage) -> Iterator[LiveServer]:
    with LiveServer(stage) as live:
        yield live


@pytest.fixture
def clock() -> SandboxClock:
    clock = SandboxClock()
    clock.freeze(NOW)
    return clock


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def org(clock: SandboxClock, journal: Journal) -> SalesforceOrg:
    return SalesforceOrg(clock=clock, journal=journal)


@pytest.fixture
def door(org: SalesforceOrg, stage: Stage, server: LiveServer) -> Iterator[Door]:
    stage.app = salesforce_app(org)
    door = Door(org, server.url)
    yield door
    door.close()


@pytest.fixture
def sf(door: Door, org: SalesforceOrg) -> Salesforce:
    """The integration user's client."""
    return door.as_user(org.integration_id)


@pytest.fixture
def admin(door: Door, org: SalesforceOrg) -> Salesforce:
    return door.as_user(org.admin_id)
