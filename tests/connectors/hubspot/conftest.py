from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.hubspot.scripted import ScriptedPortal, Stage


@pytest.fixture(scope="session", autouse=True)
def _stage() -> Iterator[None]:
    ScriptedPortal.stage = Stage()
    with ScriptedPortal.stage.server:
        yield
