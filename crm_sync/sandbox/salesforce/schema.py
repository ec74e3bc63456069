"""The org's objects and fields: the standard ones from `standard/*.csv`, and what admins add and take away."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from crm_sync.sandbox.salesforce.fields import Field, label_of
from crm_sync.sandbox.salesforce.refusals import no_such_column, unknown_type


@dataclass(slots=True, kw_only=True)
class ObjectType:
    """One object. `traits`: bin (Recycle Bin), deleted (IsDeleted without undelete), archive, merge, queue (queues
    may own it), setup (only admins write it), history (no SystemModstamp), tooling (seen by the Tooling API only).
    """

    name: str
    prefix: str
    label: str
    plural: str
    traits: frozenset[str]
    history: str | None = None
    fields: dict[str, Field] = field(default_factory=dict)
    _spelling: dict[str, str] = field(default_factory=dict)

    @property
    def stamp_field(self) -> str:
        """What incremental readers follow. History objects have no SystemModstamp."""
        return "CreatedDate" if "history" in self.traits else "SystemModstamp"

    @property
    def soft_deletes(self) -> bool:
        return "bin" in self.traits or "deleted" in self.traits

    def add(self, column: Field) -> None:
        self.fields[column.name] = column
        self._spelling[column.name.lower()] = column.name

    def drop(self, name: str) -> None:
        del self.fields[name]
        del self._spelling[name.lower()]

    def find(self, name: str) -> Field | None:
        """A field by its API name in any case, as everywhere in Salesforce."""
        spelled = self._spelling.get(name.lower())
        return self.fields[spelled] if spelled else None

    def field(self, name: str) -> Field:
        found = self.find(name)
        if found is None:
            raise no_such_column(name, self.name)
        return found

    def references(self) -> Iterator[Field]:
        return (f for f in self.fields.values() if f.type == "reference")

    def by_relationship(self, name: str) -> Field | None:
        lowered = name.lower()
        return next((f for f in self.references() if f.relationship and f.relationship.lower() == lowered), None)


@dataclass(frozen=True, slots=True)
class Child:
    """A to-many relationship: rows of `object` whose `field` names the parent."""

    name: str
    object: ObjectType
    field: Field


class Schema:
    """All objects by name. `version` rises with each change, so that what was derived from it can be thrown away."""

    def __init__(self) -> None:
        self.objects: dict[str, ObjectType] = {}
        self.hidden: set[str] = set()
        self.version = 0
        self._spelling: dict[str, str] = {}
        for row in _table("objects.csv"):
            self._add_object(row)
        for row in _table("fields.csv"):
            self.objects[row["object"]].add(_standard_field(row))
        self._by_prefix: dict[str, list[str]] = {}
        for kind in self.objects.values():
            self._by_prefix.setdefault(kind.prefix, []).append(kind.name)

    def _add_object(self, row: dict[str, str]) -> None:
        kind = ObjectType(
            name=row["name"],
            prefix=row["prefix"],
            label=row["label"],
            plural=row["plural"],
            traits=frozenset(row["traits"].split()),
            history=row["history"] or None,
        )
        for column in _system_fields(kind):
            kind.add(column)
        self.objects[kind.name] = kind
        self._spelling[kind.name.lower()] = kind.name

    def find(self, name: str) -> ObjectType | None:
        """An object by name in any case; None for one that is unknown or whose feature is off in this org."""
        spelled = self._spelling.get(name.lower())
        return self.objects[spelled] if spelled and spelled not in self.hidden else None

    def object(self, name: str) -> ObjectType:
        found = self.find(name)
        if found is None:
            raise unknown_type(name)
        return found

    def of_id(self, record_id: str) -> list[str]:
        """Names of the objects that an id may belong to, by its key prefix."""
        return self._by_prefix.get(record_id[:3], [])

    def children(self, kind: ObjectType) -> Iterator[Child]:
        for other in self.objects.values():
            for column in other.references():
                if column.children and kind.name in column.references and other.name not in self.hidden:
                    yield Child(column.children, other, column)

    def referrers(self, kind: ObjectType) -> Iterator[tuple[ObjectType, Field]]:
        for other in self.objects.values():
            for column in other.references():
                if kind.name in column.references:
                    yield other, column

    def set_field(self, object: str, column: Field) -> None:
        """Add or replace a field."""
        self.objects[object].add(column)
        self.version += 1

    def drop_field(self, object: str, name: str) -> None:
        self.objects[object].drop(name)
        self.version += 1

    def change_field(self, object: str, name: str, **changes: Any) -> Field:
        column = replace(self.object(object).field(name), **changes)
        self.set_field(object, column)
        return column


def _table(name: str) -> list[dict[str, str]]:
    source = resources.files("crm_sync.sandbox.salesforce").joinpath("standard", name)
    return list(csv.DictReader(source.read_text(encoding="utf-8").splitlines()))


def _system_fields(kind: ObjectType) -> Iterator[Field]:
    def fixed(name: str, type: str, **more: Any) -> Field:
        return Field(name=name, type=type, label=label_of(name), createable=False, updateable=False, **more)

    def user(name: str) -> Field:
        relationship = name.removesuffix("Id")
        return fixed(name, "reference", length=18, references=("User",), relationship=relationship, required=True)

    yield fixed("Id", "id", length=18, default=None, required=True)
    if kind.soft_deletes or "history" in kind.traits:
        yield fixed("IsDeleted", "boolean")
    yield fixed("CreatedDate", "datetime", required=True)
    yield user("CreatedById")
    if "history" in kind.traits:
        return
    yield fixed("LastModifiedDate", "datetime", required=True)
    yield user("LastModifiedById")
    yield fixed("SystemModstamp", "datetime", required=True)


def _standard_field(row: dict[str, str]) -> Field:
    traits = row["traits"].split()
    default = next((t.partition(":")[2] for t in traits if t.startswith("default:")), None)
    formula = "formula" in traits
    values = () if formula else tuple(v.rstrip("*") for v in row["values"].split("|") if v)
    starred = next((v[:-1] for v in row["values"].split("|") if v.endswith("*")), None)
    length, precision, scale = _size(row["type"], row["size"])
    return Field(
        name=row["field"],
        type=row["type"],
        label=label_of(row["field"]),
        length=length,
        precision=precision,
        scale=scale,
        required="required" in traits,
        createable="read" not in traits,
        updateable="read" not in traits and "create" not in traits,
        computed="computed" in traits,
        formula=row["values"] if formula else None,
        filterable="unfilterable" not in traits,
        name_field="name" in traits,
        lookup="lookup" in traits,
        owner="owner" in traits,
        cascade="cascade" in traits,
        tracked="track" in traits,
        unique="unique" in traits,
        default=True if default == "true" else default or starred,
        values=values,
        references=tuple(row["references"].split()),
        relationship=row["relationship"] or None,
        children=row["children"] or None,
    )


def _size(type: str, size: str) -> tuple[int, int, int]:
    """Length, precision and scale from `80`, `18.2` (all digits, those behind the point) or nothing."""
    if "." in size:
        whole, behind = (int(part) for part in size.split("."))
        return 0, whole, behind
    if type == "int":
        return 0, int(size or 0), 0
    return int(size or 0), 0, 0
