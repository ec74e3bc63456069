"""Outbox entries: desired states on their way into a CRM, and the moves they may make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from crm_sync.domain.records import Value

REPAIR = "repair"
"""Why an entry was made: it puts back own fields that somebody else wrote over, and nothing else."""


class OutboxState(StrEnum):
    """WAITING and IN_FLIGHT go on by themselves, HELD once an admin acted, the others are at their end."""

    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    HELD = "held"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    CLOSED = "closed"
    DEAD = "dead"


class Kind(StrEnum):
    """What an entry writes. An owner is an entry of its own: its refusal never holds back the score (law 9)."""

    FIELDS = "fields"
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One entry in one worker's hands.

    `desired` is the whole state by neutral field name; of a repair only what it puts back. `owner_left` says that the
    CRM shows the owner who is to be written as inactive by now.
    """

    id: int
    record_id: int
    object: str
    crm_id: str
    kind: Kind
    why: str
    number: int
    attempts: int
    desired: Mapping[str, Value]
    accepted: Mapping[str, Value]
    owner_accepted: str | None
    person_id: int | None
    repeated: bool
    owner_left: bool = False
