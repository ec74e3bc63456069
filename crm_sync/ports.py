"""What we ask of the outside: a CRM connector, and the meter that its calls go through.

A third port, the scorer, is in `domain/scores.py`: who only talks to a CRM need not load numpy for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crm_sync.domain.changes import ChangeBatch, Cursor, Feed
from crm_sync.domain.fields import Catalogue, OwnField
from crm_sync.domain.records import CrmKind, OrgIdentity, RecordBatch, Wanted
from crm_sync.domain.writes import Outcome, Write


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a CRM's answer said about one allowance. `window` is `day`, `burst` or `search`.

    `resets_at` is None where the CRM doesn't say.
    """

    window: str
    used: int
    limit: int
    resets_at: datetime | None = None


class Meter(Protocol):
    """The budget of one org or portal, shared by all workers (law 16). Every HTTP call passes through it."""

    def reserve(self, window: str, calls: int = 1) -> None:
        """Take `calls` from the budget before they are made, or raise RateLimitedError with the time to wait for.

        `window` is the scarcest allowance that the call counts against: `burst`, `search` or `sign_in`.
        """

    def seen(self, usage: Usage) -> None:
        """Tell what an answer's headers said. The higher of this and our own count wins."""


SaveCredentials = Callable[[Mapping[str, str]], None]
"""Stores renewed credentials durably; called before a rotated token is used for the first time."""


HoldCredentials = Callable[[], AbstractContextManager[Mapping[str, str]]]
"""Keeps every other worker from renewing this connection's credentials while it is held, and yields them as they are
stored now: whoever waited finds what the first one renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at on the way to a working connection.

    `advice` says what to do, empty where `passed`.
    """

    name: str
    passed: bool
    found: str = ""
    advice: str = ""


class Connector(Protocol):
    """One CRM's dialect. Each method speaks to the CRM and raises one of the six error families.

    A connector is made after a fork, used by one thread, and closed when done.
    """

    kind: CrmKind

    def identity(self) -> OrgIdentity:
        """Sign in if needed, and say which org or portal this is."""

    def permissions(self) -> list[Check]:
        """Look whether the signed-in user may read every feed and write people; one Check an object."""

    def server_time(self) -> datetime:
        """The CRM's own clock (aware UTC, whole seconds), from one cheap call."""

    def feeds(self) -> Sequence[Feed]:
        """What can be followed here, people first. No call is made."""

    def changes_since(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        """One page of `feed` after `cursor` (None: from the beginning), with at least `fields`.

        Order within a page is the feed's own. Nothing is skipped: a row met twice is the caller's to recognise by
        (id, stamp, content). Fields that the CRM doesn't have raise ConfigError naming them.
        """

    def sweep_from(self, feed: Feed, since: datetime) -> Cursor:
        """A cursor that makes `feed` start again at `since`."""

    def read_all(self, wanted: Sequence[Wanted]) -> list[RecordBatch]:
        """Records as they are now, of several objects in as few calls as the CRM allows (law 13).

        One batch for each of `wanted`, in the order of its ids, every id with an entry. A record that can't be found
        has life DELETED, or MERGED with its successor, and no fields.
        """

    def read(self, object: str, ids: Sequence[str], fields: Sequence[str]) -> RecordBatch:
        """Records of one object as they are now: `read_all` of one."""
        return self.read_all([Wanted(object=object, ids=ids, fields=fields)])[0]

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Set values, in batches. One Outcome for each write, in the same order; never raises for a refused call.

        A refused record doesn't hold back the others. Once the CRM refuses whole calls (limit, sign-in), what was
        not yet sent comes back NOT_SENT with that family. Repeating is harmless: values are set, never added.
        """

    def catalogue(self, object: str) -> Catalogue:
        """The fields of `object` as the signed-in user sees them."""

    def own_field_names(self, fields: Sequence[OwnField]) -> Mapping[str, str]:
        """How this CRM spells our own fields: neutral name to API name. No call is made."""

    def install_fields(self, object: str, fields: Sequence[OwnField]) -> list[Check]:
        """Create what is missing and grant our user the right to write it. Repeating changes nothing."""

    def remove_fields(self, object: str, fields: Sequence[OwnField]) -> list[Check]:
        """Delete our own fields from `object`, and nothing else. Repeating changes nothing."""

    def close(self) -> None:
        """Let go of sockets."""
