"""The processes of one installation on one machine: a worker for each leg, beat, and a sandbox if asked for.

Every child holds the reading end of a pipe whose writing end only this process has. When this process ends, however it
ends, the pipe closes and each child stops by itself, so nothing is left behind after a `kill -9`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import crm_sync
from crm_sync.settings import Settings

Report = Callable[[str, str], None]
"""Told each line that a child prints: the child's name, the line."""

LEGS = ("pull", "evaluate", "push")
STOPPING_SECONDS = 20.0
ROOT = Path(crm_sync.__file__).parent.parent
"""Where `celery_config` lies: beside the package, in a checkout and in an installed wheel alike."""


class Stack:
    """Children of this process, stopped together. Used as a context manager."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._report = report
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._last_words: dict[str, str] = {}
        self._reading, self._writing = os.pipe()
        self._env = {
            **os.environ,
            "CRM_SYNC_HOME": str(settings.home),
            "CRM_SYNC_DATABASE_URL": settings.database_url,
            "CRM_SYNC_BROKER_URL": settings.broker_url,
            "CRM_SYNC_SECRET_KEY": settings.secret_key,
            "CRM_SYNC_POLL_SECONDS": str(int(settings.poll_every.total_seconds())),
            "CRM_SYNC_CLOCK_OFFSET_SECONDS": str(int(settings.clock_offset.total_seconds())),
            "CRM_SYNC_PARENT_PIPE": str(self._reading),
            # Messages carry no pickles here, so what Celery warns root of can't happen.
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        }
        self._processes = settings.worker_processes
        self._run = settings.home / "run"

    def __enter__(self) -> Stack:
        self._run.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Start `python -m module arguments` as the child `name`."""
        child = subprocess.Popen(  # noqa: S603 (our own interpreter, our own arguments)
            [sys.executable, "-m", module, *arguments],
            env={**self._env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self._reading],
            start_new_session=True,
        )
        self._children[name] = child
        assert child.stdout is not None
        threading.Thread(target=self._forward, args=(name, child.stdout), daemon=True).start()

    def start_workers(self) -> None:
        """A worker for each leg, one that seals, one that trains, and beat."""
        for leg in LEGS:
            self._worker(leg, leg, processes=self._processes if leg == "pull" else 1)
        self._worker("keep", "keep", processes=1)
        self._worker("training", "training", processes=1)
        self.start(
            "beat", "celery", "--quiet", "-A", "celery_config", "beat", "--loglevel", "WARNING",
            "--schedule", str(self._run / "beat-schedule"), "--pidfile", "",
        )  # fmt: skip

    def _worker(self, name: str, queue: str, *, processes: int) -> None:
        self.start(
            name, "celery", "--quiet", "-A", "celery_config", "worker", "--queues", queue, "--hostname", f"{name}@%h",
            "--concurrency", str(processes), "--pool", "prefork", "--loglevel", "WARNING", "--without-gossip",
            "--without-mingle",
        )  # fmt: skip

    def _forward(self, name: str, stream: IO[bytes]) -> None:
        for line in stream:
            words = line.decode(errors="replace").rstrip()
            self._last_words[name] = words or self._last_words.get(name, "")
            self._report(name, words)

    def ended(self) -> list[tuple[str, int]]:
        """Children that ended by themselves, with their exit code."""
        return [(name, child.returncode) for name, child in self._children.items() if child.poll() is not None]

    def last_words(self, name: str) -> str:
        """The last line that a child printed; it tends to say why it ended."""
        return self._last_words.get(name, "") or "it said nothing"

    def stop(self) -> None:
        """Ask every child to stop, and make it after a while."""
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                child.wait(STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        self._children.clear()
        for end in (self._reading, self._writing):
            os.close(end)
