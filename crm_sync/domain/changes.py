"""Feeds, cursors and the pages they yield."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType

from crm_sync.domain.records import RecordBatch

Cursor = NewType("Cursor", Mapping[str, Any])
"""Where to resume in a CRM's feed: JSON, opaque to all but its connector."""


class Role(StrEnum):
    """What the records of a feed are to us."""

    PERSON = "person"
    ACCOUNT = "account"
    DEAL = "deal"
    ACTIVITY = "activity"
    CONSENT = "consent"
    OWNER = "owner"
    HISTORY = "history"


class Walk(StrEnum):
    """How a feed goes through its object.

    CHANGES follows the modification stamp. SWEEP re-reads the last hour by the same order, so that a row that
    became visible late is met. ARCHIVED lists what was removed where the changes don't tell. FULL reads a small
    table whole. WHOLE reads all of a large one again, by id, where the mapping asks for it: what moves no stamp
    (formulas, calculated properties, associations) shows then (law 3).
    """

    CHANGES = "changes"
    SWEEP = "sweep"
    ARCHIVED = "archived"
    FULL = "full"
    WHOLE = "whole"


POLL = timedelta(seconds=60)
"""How often changes of people are asked for, unless the settings say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One object of a connection that we follow, in one way, `every` so often.

    Changes are asked for faster or slower where the settings' pace is another than POLL.
    """

    object: str
    role: Role
    walk: Walk = Walk.CHANGES
    every: timedelta = POLL

    @property
    def name(self) -> str:
        """Unique within a connection: `Lead`, `Lead:sweep`."""
        return self.object if self.walk in (Walk.CHANGES, Walk.FULL) else f"{self.object}:{self.walk}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBatch:
    """One page of changes and the cursor that follows it.

    `more` is true while the walk has pages left. `complete_until` is the moment up to which everything in the
    feed has been pulled once this page is stored, or None while the walk goes on.
    """

    records: RecordBatch
    next_cursor: Cursor
    more: bool
    complete_until: datetime | None = None
