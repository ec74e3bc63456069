from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crm_sync.sandbox.web import LiveServer
from tests.sandbox.hubspot.portals import Stage, World


@pytest.fixture(scope="session")
def listener() -> Iterator[tuple[Stage, str]]:
    stage = Stage()
    with LiveServer(stage) as server:
        yield stage, server.url


@pytest.fixture
def hubspot(listener: tuple[Stage, str], request: pytest.FixtureRequest) -> Iterator[World]:
    """A fresh portal; settings of its constructor by indirect parameters."""
    settings: dict[str, Any] = getattr(request, "param", {})
    world = World(*listener, **settings)
    yield world
    world.close()
