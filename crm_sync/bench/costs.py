"""What a stretch of work cost this process: CPU seconds, statements to the database, calls and writes at the CRM."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

from crm_sync.sandbox.client import SandboxClient

APART = ("sign_in", "describe", "properties", "account", "identity", "limits")
"""Calls that a worker makes once in its life or once an hour, whatever it moves."""


class Statements:
    """Every statement that goes to the database through an engine, BEGIN, COMMIT and ROLLBACK included."""

    def __init__(self, engine: Engine) -> None:
        self.sent = 0
        for name in ("begin", "commit", "rollback", "before_cursor_execute"):
            event.listen(engine, name, self._count)

    def _count(self, *_: Any) -> None:
        self.sent += 1


@dataclass
class Costs:
    """What one stretch cost. `calls` are by operation and object, those APART left out."""

    cpu: float = 0.0
    statements: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    no_op_writes: int = 0


@dataclass(frozen=True, kw_only=True)
class Meters:
    """Where costs are read: the engine's statements, and the journal of a sandbox CRM."""

    statements: Statements
    crm: SandboxClient

    @contextmanager
    def over(self) -> Iterator[Costs]:
        """Add up what happens inside."""
        costs, sent, began = Costs(), self.statements.sent, self.crm.summary()["last_call"]
        cpu = cpu_seconds()
        yield costs
        costs.cpu = cpu_seconds() - cpu
        costs.statements = self.statements.sent - sent
        told = self.crm.summary(since=began)
        costs.writes, costs.no_op_writes = told["writes"], told["no_op_writes"]
        costs.calls = Counter({what: n for what, n in told["by_operation"].items() if what.split()[0] not in APART})


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_memory() -> int:
    """The most bytes of memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
