"""CRM records as the CRM sent them, in batches.

A batch is columnar: parallel lists, one entry a record. Objects a record cost more than everything else on the
hot path together, so there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Value = str | int | float | bool | None
"""A field's value once parsed: text, number, truth or nothing. Times stay text in ISO 8601 with `Z`."""


class CrmKind(StrEnum):
    """Which dialect a connection speaks."""

    SALESFORCE = "salesforce"
    HUBSPOT = "hubspot"


class Life(StrEnum):
    """What became of a CRM record."""

    OPEN = "open"
    CONVERTED = "converted"
    MERGED = "merged"
    DELETED = "deleted"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """One record points at another: a task at its lead, a contact at its account.

    `object` and `id` are the CRM's own names of the other record.
    """

    object: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Records of one object to be read again, and the CRM fields that are wanted of them."""

    object: str
    ids: Sequence[str]
    fields: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBatch:
    """Records of one object, columnar: entry n of each list is about record n.

    `stamps` are the CRM's modification times, `created` its creation times, both aware UTC. `fields` are the
    fields asked for, flat, as the CRM sent them (`null` and absent are kept apart: absent means the field does
    not exist or is hidden). `successors` names the record that lives on after a merge or a conversion, else "".
    `ties` are the records that each one belongs to.
    """

    object: str
    ids: list[str] = field(default_factory=list)
    stamps: list[datetime] = field(default_factory=list)
    created: list[datetime] = field(default_factory=list)
    fields: list[dict[str, Value]] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    successors: list[str] = field(default_factory=list)
    ties: list[tuple[Tie, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgIdentity:
    """Which org or portal answers at a connection: its stable id guards against writing into the wrong one."""

    org_id: str
    name: str
    is_test: bool
    time_zone: str
    user_id: str
    details: Mapping[str, str] = field(default_factory=dict)
