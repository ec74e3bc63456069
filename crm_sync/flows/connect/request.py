"""What connecting takes, and what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crm_sync.domain.connections import Connection, ConnectionId
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.records import CrmKind, OrgIdentity
from crm_sync.errors import RateLimitedError
from crm_sync.ports import Check, Connector, Meter, SaveCredentials, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody wants to be connected.

    `objects` are the person objects to look at (empty: all). `observe` begins without pushing. `confirm_org` says that
    another org than the one confirmed before is meant.
    """

    name: str
    kind: CrmKind
    base_url: str
    credentials: Mapping[str, str]
    actor: str
    objects: tuple[str, ...] = ()
    install_fields: bool = False
    observe: bool = False
    confirm_org: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a walk works with: a connector on the request's credentials, budgets, published mappings and the time."""

    open: Callable[[Meter, SaveCredentials], Connector]
    meter: Callable[[Connection], Meter]
    mapping: Callable[[ConnectionId], MappingVersion | None]
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whoever sits at the command: sees each check as it is made, and says whether a test write is welcome."""

    sees: Callable[[Check], None]
    agrees: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """What a walk came to. `connection` is None where nothing was saved."""

    checks: tuple[Check, ...]
    connection: Connection | None = None
    identity: OrgIdentity | None = None


@dataclass
class Tally(Meter):
    """Counts the calls of a connection that has no budget yet; they are charged to it once it is saved (law 16)."""

    calls: Counter[str] = field(default_factory=Counter)
    usages: list[Usage] = field(default_factory=list)

    def reserve(self, window: str, calls: int = 1) -> None:
        self.calls[window] += calls

    def seen(self, usage: Usage) -> None:
        self.usages.append(usage)

    def charge(self, meter: Meter) -> None:
        """Count these calls on `meter`. They were made, so one that doesn't fit is no refusal: the budget is spent."""
        for usage in self.usages:
            meter.seen(usage)
        for window, calls in self.calls.items():
            for _ in range(calls):
                try:
                    meter.reserve(window)
                except RateLimitedError:
                    break
