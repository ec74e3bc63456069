"""Refusals of single records on purpose: a row that is locked, breaks a rule, or isn't written although all is well."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What happens to a row that is written."""

    OPTION = "option"  # a value isn't one of the options (the row's own, e.g. by a conditional rule)
    RULE = "rule"  # a validation rule of the account is broken
    LOCKED = "locked"  # 423 for a single write, an error by record in a batch
    CONFLICT = "conflict"  # another record holds the unique value
    NOT_FOUND = "not_found"
    SILENT = "silent"  # a success that leaves the row out


@dataclass(slots=True, kw_only=True)
class RowFault:
    """`ids`, every nth write, or a seeded share of writes of `object` meet `kind`, at most `times` (None: always)."""

    object: str
    kind: FaultKind
    ids: frozenset[int] = frozenset()
    every_nth: int = 0
    share: float = 0.0
    times: int | None = None
    property: str | None = None
    draw: random.Random = field(default_factory=random.Random)
    seen: int = 0

    def meets(self, id: int) -> bool:
        """Whether the write of this row is hit; counts it."""
        if self.times == 0:
            return False
        self.seen += 1
        hit = (
            id in self.ids
            or (self.every_nth > 0 and self.seen % self.every_nth == 0)
            or (self.share > 0 and self.draw.random() < self.share)
        )
        if hit and self.times is not None:
            self.times -= 1
        return hit


class RowFaults:
    """The plan of a portal, in the order it was made; the first fault that meets a row counts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.plan: list[RowFault] = []

    def add(self, object_name: str, raw: Mapping[str, Any]) -> None:
        ids = raw.get("ids") or ([raw["id"]] if raw.get("id") is not None else [])
        self.plan.append(
            RowFault(
                object=object_name,
                kind=FaultKind(raw.get("kind", "option")),
                ids=frozenset(int(id) for id in ids),
                every_nth=int(raw.get("every_nth", 0)),
                share=float(raw.get("share", 0.0)),
                times=None if raw.get("times") is None else int(raw["times"]),
                property=raw.get("property"),
                draw=random.Random(f"{self._seed}:{len(self.plan)}"),
            )
        )

    def clear(self) -> None:
        self.plan.clear()

    def meet(self, object_name: str, id: int) -> RowFault | None:
        return next((f for f in self.plan if f.object == object_name and f.meets(id)), None)
