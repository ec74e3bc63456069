"""Where a measurement takes place: embedded servers, one sandbox CRM, and measured processes beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from crm_sync.domain.records import CrmKind
from crm_sync.embedded import Servers
from crm_sync.store import schema

PATIENCE_SECONDS = 600.0
ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Workers compute with one thread each (celery_config.py), and so does what is measured."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One CRM of one size, and an empty installation for it."""

    kind: CrmKind
    leads: int
    ready_file: Path
    model_file: Path
    env: Mapping[str, str]

    def measure(self, what: str) -> dict[str, Any]:
        """What a measured process tells (see measured.py)."""
        found: dict[str, Any] = json.loads(
            self._run("crm_sync.bench.measured", what, self.kind.value, str(self.ready_file), str(self.model_file))[1]
        )
        return found

    def command(self, *arguments: str) -> float:
        """CPU seconds of one `crm-sync` command, from its cold start to its end.

        The first of two runs leaves the bytecode that an installed package comes with.
        """
        return min(self._run("crm_sync", *arguments)[0] for _ in range(2))

    def _run(self, module: str, *arguments: str) -> tuple[float, str]:
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], env=self.env, stdout=subprocess.PIPE, check=True, text=True
        )
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return cpu, done.stdout


@contextmanager
def scene(servers: Servers, home: Path, model_file: Path, *, kind: CrmKind, leads: int, seed: int) -> Iterator[Scene]:
    """A full CRM and an empty installation that scores with `model_file`, for as long as the context lasts."""
    name = f"{kind}_{leads}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_url(servers.database_url).set(database=name).render_as_string(hide_password=False)
    schema.upgrade(url)
    place = home / name
    place.mkdir()
    env = {
        **os.environ,
        **ONE_THREAD,
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(home / "bytecode"),
        "CRM_SYNC_HOME": str(place),
        "CRM_SYNC_DATABASE_URL": url,
        "CRM_SYNC_BROKER_URL": servers.broker_url,
        "CRM_SYNC_SECRET_KEY": "a key that seals nothing of value: the CRMs are sandboxes",
    }
    with _sandbox(kind, leads, seed, place / "sandbox.json") as ready_file:
        yield Scene(kind=kind, leads=leads, ready_file=ready_file, model_file=model_file, env=env)


@contextmanager
def _sandbox(kind: CrmKind, leads: int, seed: int, ready_file: Path) -> Iterator[Path]:
    arguments = [kind.value, str(leads), str(seed), str(ready_file)]
    with subprocess.Popen([sys.executable, "-m", "crm_sync.bench.crm", *arguments]) as child:
        try:
            give_up = time.monotonic() + PATIENCE_SECONDS
            while not ready_file.exists():
                if child.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError(f"the sandbox {kind} did not start")
                time.sleep(0.1)
            yield ready_file
        finally:
            child.terminate()
