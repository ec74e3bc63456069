"""The worlds that connectors are tested in: one for each `<crm>_world.py` beside this file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest

from tests.connectors.world import World

WORLDS = sorted(path.stem for path in Path(__file__).parent.glob("*_world.py"))


@pytest.fixture(params=WORLDS, ids=[name.removesuffix("_world") for name in WORLDS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A CRM with nobody in it and a clock that stands still, and a connector to it."""
    with closing(import_module(f"tests.connectors.{request.param}").open_world()) as world:
        world.clock.freeze()
        yield world
