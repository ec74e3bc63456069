"""What admins have set up to happen on a save: assignment, triggers, validation and duplicate rules, row faults."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.soql.conditions import Test
from crm_sync.sandbox.salesforce.table import Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRule:
    """Whom the active lead assignment rule gives a lead; without an active rule it is the default lead owner.

    Source: REST API guide, Sforce-Auto-Assign: true by default, for updates too, even where no rule is active.
    """

    active: bool = False
    owner: str | None = None
    default_owner: str | None = None

    def choose(self) -> str | None:
        return (self.owner or self.default_owner) if self.active else self.default_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRule:
    """Refuses a row for which `fails` is true."""

    name: str
    object: str
    fails: Test
    message: str
    field: str = ""

    def check(self, row: Row) -> None:
        if self.fails(row):
            fields = [self.field] if self.field else []
            raise Refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", self.message, fields=fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Sets `values` in the same save when one of `watches` changes (none: on any save), as the same user."""

    name: str
    object: str
    watches: frozenset[str]
    values: Mapping[str, Any]

    def fires(self, changed: set[str]) -> bool:
        return not self.watches or bool(self.watches & changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRule:
    """Objects to a second row with the same value. One that only alerts gives way to `allowSave=true`."""

    object: str
    field: str
    blocks: bool = False

    def check(self, row: Row, changed: set[str], table: Table, *, allow_save: bool) -> None:
        value = row.get(self.field)
        if self.field not in changed or value is None or (allow_save and not self.blocks):
            return
        others = (table.rows[found] for found in table.with_value(self.field, value) if found != row.get("Id"))
        if any(not other.get("IsDeleted") for other in others):
            raise Refusal("DUPLICATES_DETECTED", "Use one of these records?")


@dataclass(slots=True, kw_only=True)
class RowFault:
    """A refusal that is planned for some rows: one id, every nth row tried, or a seeded share of them."""

    number: int
    object: str
    code: str
    message: str
    fields: tuple[str, ...] = ()
    id: str | None = None
    every_nth: int | None = None
    share: float | None = None
    times: int | None = None
    tried: int = 0
    fired: int = 0

    def strikes(self, record_id: str, draw: random.Random) -> bool:
        if self.times is not None and self.fired >= self.times:
            return False
        self.tried += 1
        if self.id is not None:
            return self.id == record_id
        if self.every_nth is not None:
            return self.tried % self.every_nth == 0
        return self.share is None or draw.random() < self.share


@dataclass(slots=True)
class Automation:
    """All of it together. Row faults and assignment meet API writes only, never what people do by hand."""

    draw: random.Random
    assignment: AssignmentRule = field(default_factory=AssignmentRule)
    validations: list[ValidationRule] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    duplicates: list[DuplicateRule] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)
    conversion_mapping: dict[str, str] = field(default_factory=dict)

    def strike(self, object: str, record_id: str) -> None:
        for fault in self.faults:
            if fault.object == object and fault.strikes(record_id, self.draw):
                fault.fired += 1
                raise Refusal(fault.code, fault.message, fields=fault.fields)
