"""COUNT, SUM and their like, with GROUP BY and HAVING."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.soql.columns import Column, Columns
from crm_sync.sandbox.salesforce.soql.syntax import Call, Expression, Item, Path, Query, located
from crm_sync.sandbox.salesforce.table import Row

MAX_GROUPS = 2_000

_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "COUNT": len,
    "COUNT_DISTINCT": lambda values: len(set(values)),
    "SUM": lambda values: sum(values) if values else None,
    "AVG": lambda values: sum(values) / len(values) if values else None,
    "MIN": lambda values: min(values, default=None),
    "MAX": lambda values: max(values, default=None),
}


def is_aggregate(query: Query) -> bool:
    calls = (item.expression for item in query.items if isinstance(item, Item))
    return bool(query.group) or any(isinstance(call, Call) and call.name in _FUNCTIONS for call in calls)


def is_bare_count(query: Query) -> bool:
    """`SELECT COUNT() FROM …`, which answers with nothing but totalSize."""
    first = query.items[0]
    return (
        len(query.items) == 1
        and isinstance(first, Item)
        and isinstance(first.expression, Call)
        and first.expression.name == "COUNT"
        and not first.expression.arguments
    )


def _key(expression: Expression) -> str:
    """The same text for the same thing, however it was written."""
    if isinstance(expression, Path):
        return expression.text.lower()
    return f"{expression.name}({','.join(_key(a) for a in expression.arguments)})"


class Aggregation:
    """Groups rows and works out each group's values, as rows of their own keyed by expression."""

    def __init__(self, columns: Columns, kind: ObjectType, query: Query) -> None:
        self._columns = columns
        self._kind = kind
        self._query = query
        self._grouped = {_key(e): columns.column(kind, e, query.alias) for e in query.group}
        self._worked_out: dict[str, tuple[Call, Column | None]] = {}
        self._aliases: dict[str, str] = {}
        self._names = [self._name(item) for item in query.items if isinstance(item, Item)]

    def column(self, expression: Expression) -> Column:
        """A grouped field or an aggregate, to be read from a group's row; for HAVING and ORDER BY."""
        key = self._aliases.get(_key(expression), _key(expression))
        if key in self._grouped:
            grouped = self._grouped[key]
            return Column(name=grouped.name, type=grouped.type, read=lambda row: row.get(key), at=expression.at)
        if isinstance(expression, Call) and expression.name in _FUNCTIONS:
            inner = self._work_out(expression)
            type = "int" if expression.name.startswith("COUNT") or inner is None else inner.type
            return Column(name=key, type=type, read=lambda row: row.get(key), at=expression.at)
        if key in self._worked_out:
            return self.column(self._worked_out[key][0])
        message = f"Field must be grouped or aggregated: {key}"
        raise Refusal("MALFORMED_QUERY", located(self._columns.text, expression.at, message))

    def _work_out(self, call: Call) -> Column | None:
        inner = self._columns.column(self._kind, call.arguments[0], self._query.alias) if call.arguments else None
        self._worked_out[_key(call)] = (call, inner)
        return inner

    def _name(self, item: Item) -> tuple[str | None, Expression]:
        self.column(item.expression)
        if item.alias:
            self._aliases[item.alias.lower()] = _key(item.expression)
        if item.alias or isinstance(item.expression, Call):
            return item.alias, item.expression
        return self._grouped[_key(item.expression)].name, item.expression

    def groups(self, rows: Iterable[Row]) -> list[Row]:
        """One row a group; a query without GROUP BY has one group, even of nothing."""
        readers = [(key, column.read) for key, column in self._grouped.items()]
        members: dict[tuple[Any, ...], list[Row]] = {} if readers else {(): []}
        for row in rows:
            members.setdefault(tuple(read(row) for _, read in readers), []).append(row)
        keys = [key for key, _ in readers]
        return [{**dict(zip(keys, values, strict=True)), **self._totals(found)} for values, found in members.items()]

    def _totals(self, rows: list[Row]) -> Row:
        totals: Row = {}
        for key, (call, column) in self._worked_out.items():
            if column is None:
                totals[key] = len(rows)
            else:
                held = [value for row in rows if (value := column.read(row)) is not None]
                totals[key] = _FUNCTIONS[call.name](held)
        return totals

    def show(self, group: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        unnamed = 0
        for name, expression in self._names:
            if name is None:
                name, unnamed = f"expr{unnamed}", unnamed + 1
            shown[name] = group[_key(expression)]
        return shown
