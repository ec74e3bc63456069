"""What a name in a query stands for: a field of the object itself, of a parent, or a function of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from crm_sync.sandbox.salesforce.access import Access
from crm_sync.sandbox.salesforce.fields import Field
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.soql import days
from crm_sync.sandbox.salesforce.soql.syntax import Call, Expression, Path, located
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row

_TYPE = Field(name="Type", type="string", label="Type", createable=False, updateable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How to read one value from a row. `direct` names the stored field where it is one of the row's own."""

    name: str
    type: str
    read: Callable[[Row], Any]
    filterable: bool = True
    direct: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Parent:
    """A to-one relationship: the field that holds the parent's id, and the objects that it may be of."""

    column: Field
    kinds: tuple[ObjectType, ...]

    @property
    def polymorphic(self) -> bool:
        return len(self.kinds) > 1


class Columns:
    """Resolves names for one user and one query text, which the errors point into."""

    def __init__(self, store: Store, access: Access, user: str, text: str) -> None:
        self.store = store
        self.access = access
        self.user = user
        self.text = text

    def zone(self) -> ZoneInfo:
        person = self.store.row("User", self.user) or {}
        return ZoneInfo(person.get("TimeZoneSidKey") or "GMT")

    def refuse(self, at: int, refusal: Refusal) -> Refusal:
        return Refusal(refusal.code, located(self.text, at, refusal.message), status=refusal.status)

    def object(self, path: Path) -> ObjectType:
        try:
            return self.access.readable_object(path.text, self.user)
        except Refusal as refusal:
            raise self.refuse(path.at, refusal) from refusal

    def parts(self, path: Path, kind: ObjectType, alias: str | None) -> list[str]:
        """The names along a path, without the object's own name or alias in front."""
        names = path.text.split(".")
        own = {kind.name.lower(), (alias or "").lower()}
        return names[1:] if len(names) > 1 and names[0].lower() in own else names

    def field(self, kind: ObjectType, name: str, at: int) -> Field:
        try:
            return self.access.column(kind, name, self.user)
        except Refusal as refusal:
            raise self.refuse(at, refusal) from refusal

    def parent(self, kind: ObjectType, relationship: str, at: int) -> Parent:
        column = kind.by_relationship(relationship)
        if column is None or not self.access.may_read(kind, column, self.user):
            message = (
                f"Didn't understand relationship '{relationship}' in field path. If you are attempting to use a "
                "custom relationship, be sure to append the '__r' after the custom relationship name. Please "
                "reference your WSDL or the describe call for the appropriate names."
            )
            raise self.refuse(at, Refusal("INVALID_FIELD", message))
        return Parent(column, tuple(self.store.schema.objects[name] for name in column.references))

    def named(self, parent: Parent, name: str, at: int) -> dict[str, Field]:
        """The field `name` of each object that the parent may be of."""
        if not parent.polymorphic:
            return {parent.kinds[0].name: self.field(parent.kinds[0], name, at)}
        found = {kind.name: column for kind in parent.kinds if (column := kind.find(name)) is not None}
        if name.lower() == "type":
            return {kind.name: _TYPE for kind in parent.kinds}
        if not found:
            raise self.refuse(at, Refusal("INVALID_FIELD", f"No such column '{name}' on entity 'Name'."))
        return found

    def column(self, kind: ObjectType, expression: Expression, alias: str | None = None) -> Column:
        if isinstance(expression, Call):
            return self._function(kind, expression, alias)
        names = self.parts(expression, kind, alias)
        if len(names) == 1:
            column = self.field(kind, names[0], expression.at)
            return Column(
                name=column.name,
                type=column.type,
                read=self.store.reader(kind.name, column),
                filterable=column.filterable,
                direct="" if column.computed else column.name,
                at=expression.at,
            )
        return self._of_parent(kind, names, expression.at)

    def _of_parent(self, kind: ObjectType, names: list[str], at: int) -> Column:
        parent = self.parent(kind, names[0], at)
        if len(names) > 2 and not parent.polymorphic:
            rest = self._of_parent(parent.kinds[0], names[1:], at)
            found = self.parent_row(parent)
            return Column(
                name=rest.name,
                type=rest.type,
                read=lambda row: None if (above := found(row)) is None else rest.read(above),
                filterable=rest.filterable,
                at=at,
            )
        columns = self.named(parent, names[1], at)
        first = next(iter(columns.values()))
        return Column(
            name=first.name, type=first.type, read=self._through(parent, columns), filterable=first.filterable, at=at
        )

    def parent_row(self, parent: Parent) -> Callable[[Row], Row | None]:
        key = parent.column.name
        if not parent.polymorphic:
            rows = self.store.table(parent.kinds[0].name).rows
            return lambda row: rows.get(row.get(key) or "")
        find = self.store.find
        return lambda row: found[1] if (found := find(row.get(key) or "")) else None

    def _through(self, parent: Parent, columns: dict[str, Field]) -> Callable[[Row], Any]:
        key, store = parent.column.name, self.store

        def read(row: Row) -> Any:
            found = store.find(row.get(key) or "")
            if found is None:
                return None
            kind, above = found
            column = columns.get(kind.name)
            if column is _TYPE:
                return kind.name
            return store.read(kind.name, above, column) if column else None

        return read

    def _function(self, kind: ObjectType, call: Call, alias: str | None) -> Column:
        if len(call.arguments) != 1:
            raise self.unknown_function(call)
        inner = self.column(kind, call.arguments[0], alias)
        if call.name in ("TOLABEL", "CONVERTCURRENCY", "CONVERTTIMEZONE", "FORMAT"):
            return inner
        if call.name == "DAY_ONLY":
            return self._dated(inner, "date", lambda day: day.isoformat())
        if call.name in days.PARTS:
            return self._dated(inner, "int", days.PARTS[call.name])
        raise self.unknown_function(call)

    def _dated(self, inner: Column, type: str, part: Callable[[date], Any]) -> Column:
        zone = self.zone()

        def read(row: Row) -> Any:
            value = inner.read(row)
            if value is None:
                return None
            return part(days.local_day(value, zone) if inner.type == "datetime" else date.fromisoformat(value))

        return Column(name=inner.name, type=type, read=read, filterable=inner.filterable, at=inner.at)

    def unknown_function(self, call: Call) -> Refusal:
        return Refusal("MALFORMED_QUERY", located(self.text, call.at, f"Invalid function: {call.name}"))
