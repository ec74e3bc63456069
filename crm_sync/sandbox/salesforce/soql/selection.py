"""The SELECT list: how one row is shown, with its parents and children nested in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_sync.sandbox.salesforce.fields import Field
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.schema import Child, ObjectType
from crm_sync.sandbox.salesforce.soql.columns import Columns, Parent
from crm_sync.sandbox.salesforce.soql.syntax import Call, Children, Expression, Item, Path, Query, TypeOf
from crm_sync.sandbox.salesforce.table import Row

Shown = dict[str, Any]
Show = Callable[[Row], Shown]
ShowChildren = Callable[[str], Shown | None]


@dataclass(slots=True)
class _Above:
    """The fields wanted of one parent."""

    parent: Parent
    paths: list[tuple[str, int]] = field(default_factory=list)


class Selection:
    """Builds the function that shows rows of one object. `children` makes the answer of a nested query."""

    def __init__(
        self,
        columns: Columns,
        kind: ObjectType,
        alias: str | None,
        root: str,
        children: Callable[[Child, Query], ShowChildren],
    ) -> None:
        self._columns = columns
        self._kind = kind
        self._alias = alias
        self._root = root
        self._children = children
        self.long_texts = 0

    def show(self, items: Sequence[Item | Children | TypeOf]) -> Show:
        plain: list[Expression] = []
        nested: list[tuple[str, ShowChildren]] = []
        typed: list[tuple[str, Show]] = []
        for item in items:
            if isinstance(item, Children):
                nested.append(self._nested(item.query))
            elif isinstance(item, TypeOf):
                typed.append(self._typed(item))
            else:
                plain.append(item.expression)
        show = self._fields(self._kind, self._expanded(plain), self._alias)
        if not nested and not typed:
            return show

        def whole(row: Row) -> Shown:
            shown = show(row)
            for name, show_parent in typed:
                shown[name] = show_parent(row)
            for name, show_children in nested:
                shown[name] = show_children(row["Id"])
            return shown

        return whole

    def _expanded(self, expressions: Sequence[Expression]) -> list[Expression]:
        """The same with FIELDS(ALL), FIELDS(STANDARD) and FIELDS(CUSTOM) written out."""
        found: list[Expression] = []
        for one in expressions:
            if isinstance(one, Call) and one.name == "FIELDS":
                found += self._all_fields(one)
            else:
                found.append(one)
        return found

    def _all_fields(self, call: Call) -> list[Expression]:
        which = call.arguments[0].text.upper() if call.arguments and isinstance(call.arguments[0], Path) else ""
        if which not in ("ALL", "STANDARD", "CUSTOM"):
            raise self._columns.unknown_function(call)
        readable = self._columns.access.visible(self._kind, self._columns.user).readable
        return [
            Path(name, call.at)
            for name, column in self._kind.fields.items()
            if name in readable and (which == "ALL" or column.custom is (which == "CUSTOM"))
        ]

    def _fields(self, kind: ObjectType, expressions: Sequence[Expression], alias: str | None) -> Show:
        own: dict[str, Callable[[Row], Any]] = {}
        above: dict[str, _Above] = {}
        for expression in expressions:
            if isinstance(expression, Call):
                column = self._columns.column(kind, expression, alias)
                own[column.name] = column.read
                continue
            names = self._columns.parts(expression, kind, alias)
            if len(names) == 1:
                found = self._columns.field(kind, names[0], expression.at)
                own[found.name] = self._columns.store.reader(kind.name, found)
                self.long_texts += found.custom and found.long_text
            else:
                self._want(kind, above, names, expression.at)
        return self._shower(kind, own, {name: self._above(wanted) for name, wanted in above.items()})

    def _want(self, kind: ObjectType, above: dict[str, _Above], names: list[str], at: int) -> None:
        parent = self._columns.parent(kind, names[0], at)
        name = parent.column.relationship or names[0]
        above.setdefault(name, _Above(parent)).paths.append((".".join(names[1:]), at))

    def _shower(
        self, kind: ObjectType, own: dict[str, Callable[[Row], Any]], above: dict[str, Callable[[Row], Shown | None]]
    ) -> Show:
        prefix, type_name = f"{self._root}/sobjects/{kind.name}/", kind.name
        readers = list({**own, **above}.items())

        def show(row: Row) -> Shown:
            shown: Shown = {"attributes": {"type": type_name, "url": prefix + row["Id"]}}
            for name, read in readers:
                shown[name] = read(row)
            return shown

        return show

    def _above(self, wanted: _Above) -> Callable[[Row], Shown | None]:
        parent = wanted.parent
        if parent.polymorphic:
            return self._above_any(wanted)
        show = self._fields(parent.kinds[0], [Path(text, at) for text, at in wanted.paths], None)
        row_of = self._columns.parent_row(parent)
        return lambda row: None if (found := row_of(row)) is None else show(found)

    def _above_any(self, wanted: _Above) -> Callable[[Row], Shown | None]:
        """A parent that may be of several objects is shown as `Name`, whatever it is."""
        parent, store = wanted.parent, self._columns.store
        fields: dict[str, dict[str, Field]] = {}
        for text, at in wanted.paths:
            if "." in text:
                raise self._columns.refuse(at, Refusal("INVALID_FIELD", f"No such column '{text}' on entity 'Name'."))
            found = self._columns.named(parent, text, at)
            fields[next(iter(found.values())).name] = found

        def show(row: Row) -> Shown | None:
            target = store.find(row.get(parent.column.name) or "")
            if target is None:
                return None
            kind, above = target
            shown: Shown = {"attributes": {"type": "Name", "url": f"{self._root}/sobjects/{kind.name}/{above['Id']}"}}
            for name, columns in fields.items():
                column = columns.get(kind.name)
                shown[name] = kind.name if name == "Type" else column and store.read(kind.name, above, column)
            return shown

        return show

    def _typed(self, item: TypeOf) -> tuple[str, Show]:
        """TYPEOF: each object that the parent may be of shows fields of its own."""
        parent = self._columns.parent(self._kind, item.path.text, item.path.at)
        shows = {
            (kind := self._columns.access.readable_object(name, self._columns.user)).name: self._fields(
                kind, fields, None
            )
            for name, fields in item.branches
        }
        otherwise = list(item.otherwise)
        store = self._columns.store

        def show(row: Row) -> Any:
            target = store.find(row.get(parent.column.name) or "")
            if target is None:
                return None
            kind, above = target
            if kind.name in shows:
                return shows[kind.name](above)
            return self._fields(kind, otherwise, None)(above)

        return parent.column.relationship or item.path.text, show

    def _nested(self, query: Query) -> tuple[str, ShowChildren]:
        name = query.source.text
        for child in self._columns.store.schema.children(self._kind):
            if child.name.lower() == name.lower():
                self._columns.access.readable_object(child.object.name, self._columns.user)
                return child.name, self._children(child, query)
        message = (
            f"Didn't understand relationship '{name}' in FROM part of query call. If you are attempting to use a "
            "custom relationship, be sure to append the '__r' after the custom relationship name. Please reference "
            "your WSDL or the describe call for the appropriate names."
        )
        raise self._columns.refuse(query.source.at, Refusal("INVALID_TYPE", message))
