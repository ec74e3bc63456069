"""What the sandbox CRMs were asked and what changed in them: every call and every field write, in order."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call.

    `operation` is a stable word for what was asked (`query`, `collections.update`, `search`, `batch.read`,
    `sign_in` …), `object` the object it was asked of (empty where none), `records` how many records went in or out,
    `counted` how many calls the CRM takes from its daily allowance for it.
    """

    number: int
    at: datetime
    crm: str
    method: str
    path: str
    operation: str
    object: str
    status: int
    records: int
    counted: int


@dataclass(frozen=True, slots=True)
class FieldWrite:
    """One field of one record that somebody set. `no_op` says that the value was there already.

    `call` is the number of the HTTP call, or 0 for a change made by a person or by the CRM itself; `actor` is the
    user or app that did it.
    """

    number: int
    at: datetime
    crm: str
    call: int
    actor: str
    object: str
    record_id: str
    field: str
    before: Any
    after: Any
    no_op: bool


class Journal:
    """Append-only, in memory, safe under threads. Numbers start at 1 and rise by one within calls and writes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.writes: list[FieldWrite] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def next_call(self) -> int:
        """A number for a call that has begun, so that its field writes can name it before it ends."""
        return next(self._numbers)

    def call(self, **fields: Any) -> Call:
        """Note a finished call; pass `number` from `next_call` so that its writes can name it."""
        with self._lock:
            entry = Call(**fields)
            self.calls.append(entry)
            return entry

    def write(self, **fields: Any) -> FieldWrite:
        with self._lock:
            entry = FieldWrite(number=len(self.writes) + 1, **fields)
            self.writes.append(entry)
            return entry

    def summary(self, crm: str, *, since_call: int = 0) -> dict[str, Any]:
        """Calls by operation and object, and writes by kind, after call number `since_call`."""
        calls = [c for c in self.calls if c.crm == crm and c.number > since_call]
        writes = [w for w in self.writes if w.crm == crm and w.call > since_call]
        return {
            "calls": len(calls),
            "counted": sum(c.counted for c in calls),
            "by_operation": dict(Counter(f"{c.operation} {c.object}".strip() for c in calls)),
            "writes": len(writes),
            "no_op_writes": sum(w.no_op for w in writes),
        }

    def page(
        self, kind: str, crm: str, *, since: int = 0, limit: int = 10_000, field: str = ""
    ) -> list[dict[str, Any]]:
        """Entries of `kind` (`calls` or `writes`) numbered above `since`, in order, ready for JSON.

        With `field` only writes of that field.
        """
        source: list[Call] | list[FieldWrite] = self.calls if kind == "calls" else self.writes
        found = (e for e in source if e.crm == crm and e.number > since and field in ("", getattr(e, "field", "")))
        return [asdict(e) for e in itertools.islice(found, limit)]
