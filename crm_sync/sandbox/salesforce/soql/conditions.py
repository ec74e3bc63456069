"""WHERE and HAVING: a test for each row, and where in the table the rows that can pass it stand.

Null compares as in SOQL: equal to null only, never less or greater, and different from any value.
Text compares without case, ids with it, date-times by the second.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from crm_sync.sandbox.salesforce.fields import NUMBERS
from crm_sync.sandbox.salesforce.ids import full_id, is_id
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.soql import days
from crm_sync.sandbox.salesforce.soql.columns import Column, Columns
from crm_sync.sandbox.salesforce.soql.syntax import (
    Compared,
    Condition,
    Expression,
    Literal,
    Logic,
    Member,
    Not,
    Query,
)
from crm_sync.sandbox.salesforce.stamps import stamp_of_text
from crm_sync.sandbox.salesforce.table import LAST, Position, Row

Test = Callable[[Row], bool]

_FIRST: Position = ("", "")
_END: Position = (LAST, LAST)
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Bounds on the rows that can pass a test. It may let in too many rows, never too few."""

    ids: frozenset[str] | None = None
    low: Position = _FIRST
    high: Position = _END
    id_low: str = ""
    id_high: str = LAST
    value: tuple[str, frozenset[Any]] | None = None

    def both(self, other: Reach) -> Reach:
        ids = self.ids if other.ids is None else other.ids if self.ids is None else self.ids & other.ids
        low, high = max(self.low, other.low), min(self.high, other.high)
        id_low, id_high = max(self.id_low, other.id_low), min(self.id_high, other.id_high)
        if low[0] and low[0] == high[0]:
            # Within one stamp the order is by id, so a bound on the id narrows the range.
            low, high = max(low, (low[0], id_low)), min(high, (high[0], id_high))
        return Reach(ids=ids, low=low, high=high, id_low=id_low, id_high=id_high, value=self.value or other.value)

    def either(self, other: Reach) -> Reach:
        value = None
        if self.value and other.value and self.value[0] == other.value[0]:
            value = (self.value[0], self.value[1] | other.value[1])
        return Reach(
            ids=None if self.ids is None or other.ids is None else self.ids | other.ids,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            id_low=min(self.id_low, other.id_low),
            id_high=max(self.id_high, other.id_high),
            value=value,
        )


EVERYWHERE = Reach()


class Conditions:
    """Compiles conditions over the columns that `column` finds. `subquery` gives the values of a semi-join."""

    def __init__(
        self,
        columns: Columns,
        column: Callable[[Expression], Column],
        subquery: Callable[[Query], list[Any]],
        stamp_field: str = "SystemModstamp",
    ) -> None:
        self._columns = columns
        self._column = column
        self._subquery = subquery
        self._stamp_field = stamp_field

    def compile(self, condition: Condition) -> tuple[Test, Reach]:
        match condition:
            case Logic(every=every, parts=parts):
                return self._logic(every, [self.compile(part) for part in parts])
            case Not(part=part):
                test, _ = self.compile(part)
                return (lambda row: not test(row)), EVERYWHERE
            case Member():
                return self._member(condition)
            case Compared():
                return self._compared(condition)

    def _logic(self, every: bool, compiled: list[tuple[Test, Reach]]) -> tuple[Test, Reach]:
        tests = [test for test, _ in compiled]
        reach = compiled[0][1]
        for _, other in compiled[1:]:
            reach = reach.both(other) if every else reach.either(other)
        if every:
            return (lambda row: all(test(row) for test in tests)), reach
        return (lambda row: any(test(row) for test in tests)), reach

    def _filtered(self, expression: Expression) -> Column:
        column = self._column(expression)
        if not column.filterable:
            raise self._invalid(column, f"field '{column.name}' can not be filtered in a query call")
        return column

    def _invalid(self, column: Column, message: str, code: str = "INVALID_FIELD") -> Refusal:
        return self._columns.refuse(column.at, Refusal(code, message))

    def _member(self, condition: Member) -> tuple[Test, Reach]:
        column = self._filtered(condition.left)
        if isinstance(condition.within, Query):
            values: Iterable[Any] = self._subquery(condition.within)
        else:
            values = [self._value(column, literal) for literal in condition.within]
        within = frozenset(_fold(column, value) for value in values)
        read, fold = column.read, _folder(column)
        if condition.negated:
            return (lambda row: fold(read(row)) not in within), EVERYWHERE
        return (lambda row: fold(read(row)) in within), self._reach_of_values(column, within)

    def _reach_of_values(self, column: Column, values: frozenset[Any]) -> Reach:
        if column.direct == "Id":
            return Reach(ids=frozenset(v for v in values if isinstance(v, str)))
        if column.direct and column.type == "reference":
            return Reach(value=(column.direct, values))
        return EVERYWHERE

    def _compared(self, condition: Compared) -> tuple[Test, Reach]:
        column = self._filtered(condition.left)
        if condition.operator in ("INCLUDES", "EXCLUDES"):
            return self._chosen(column, condition), EVERYWHERE
        literal = condition.right[0]
        if condition.operator == "LIKE":
            if literal.kind != "string" or not _is_text(column):
                raise self._invalid(column, "invalid operator", "INVALID_QUERY_FILTER_OPERATOR")
            return _like(column, literal.value), EVERYWHERE
        if literal.kind == "relative":
            return self._relative(column, condition.operator, literal)
        value = self._value(column, literal)
        return _comparison(column, condition.operator, value), self._reach(column, condition.operator, value)

    def _reach(self, column: Column, sign: str, value: Any) -> Reach:
        if value is None or not column.direct or sign == "!=":
            return EVERYWHERE
        if sign == "=" and (column.direct == "Id" or column.type == "reference"):
            return self._reach_of_values(column, frozenset([value]))
        if column.direct == "Id":
            return Reach(id_low=value) if sign in (">", ">=") else Reach(id_high=value)
        if column.direct == self._stamp_field:
            low = {"=": (value, ""), ">=": (value, ""), ">": (value, LAST)}.get(sign, _FIRST)
            high = {"=": (value, LAST), "<=": (value, LAST), "<": (value, "")}.get(sign, _END)
            return Reach(low=low, high=high)
        return EVERYWHERE

    def _relative(self, column: Column, sign: str, literal: Literal) -> tuple[Test, Reach]:
        zone = self._columns.zone()
        today = self._columns.store.clock.now().astimezone(zone).date()
        first, after = days.span(literal.value, today)
        if column.type == "datetime":
            low, high = days.midnight(first, zone), days.midnight(after, zone)
        elif column.type == "date":
            low, high = first.isoformat(), after.isoformat()
        else:
            raise self._wrong_type(column)
        bounds = {"=": (">=", low, "<", high), "!=": ("<", low, ">=", high)}
        if sign in bounds:
            sign1, value1, sign2, value2 = bounds[sign]
            pair = [
                (_comparison(column, s, v), self._reach(column, s, v)) for s, v in ((sign1, value1), (sign2, value2))
            ]
            return self._logic(sign == "=", pair)
        edge = {"<": ("<", low), ">=": (">=", low), ">": (">=", high), "<=": ("<", high)}[sign]
        return _comparison(column, *edge), self._reach(column, *edge)

    def _value(self, column: Column, literal: Literal) -> Any:
        """A literal as the column's values are kept; INVALID_FIELD where it is of another type."""
        if literal.kind == "null":
            return False if column.type == "boolean" else None
        if column.type in ("id", "reference"):
            return self._id(column, literal)
        if column.type == "datetime":
            return self._expect(column, literal, "datetime", stamp_of_text)
        if column.type == "date":
            return self._expect(column, literal, "date", str)
        if column.type == "boolean":
            return self._expect(column, literal, "truth", bool)
        if column.type == "int" or column.type in NUMBERS:
            return self._expect(column, literal, "number", float)
        return self._expect(column, literal, "string", lambda text: text or None)

    def _expect(self, column: Column, literal: Literal, kind: str, parse: Callable[[Any], Any]) -> Any:
        value = parse(literal.value) if literal.kind == kind else None
        if literal.kind != kind or (value is None and kind != "string"):
            raise self._wrong_type(column)
        return value

    def _id(self, column: Column, literal: Literal) -> str | None:
        text = str(literal.value)
        if literal.kind != "string" or (text and not is_id(text)):
            raise self._invalid(column, f"invalid ID field: {text}", "INVALID_QUERY_FILTER_OPERATOR")
        return full_id(text) if text else None

    def _wrong_type(self, column: Column) -> Refusal:
        kind = {"datetime": "dateTime", "id": "ID", "reference": "ID"}.get(column.type, column.type)
        quotes = (
            "should be enclosed in quotes" if kind in ("string", "picklist") else "should not be enclosed in quotes"
        )
        return self._invalid(
            column, f"value of filter criterion for field '{column.name}' must be of type {kind} and {quotes}"
        )

    def _chosen(self, column: Column, condition: Compared) -> Test:
        if column.type != "multipicklist":
            raise self._invalid(
                column, f"includes or excludes operator only valid on multipicklist field: {column.name}"
            )
        wanted = [frozenset(str(literal.value).lower().split(";")) for literal in condition.right]
        read, include = column.read, condition.operator == "INCLUDES"

        def test(row: Row) -> bool:
            held = frozenset((read(row) or "").lower().split(";"))
            return any(choice <= held for choice in wanted) is include

        return test


def _folder(column: Column) -> Callable[[Any], Any]:
    if not _is_text(column):
        return lambda value: value
    return lambda value: value.lower() if isinstance(value, str) else value


def _is_text(column: Column) -> bool:
    return column.type not in ("id", "reference", "datetime", "date", "boolean", "int") and column.type not in NUMBERS


def _fold(column: Column, value: Any) -> Any:
    return _folder(column)(value)


def _comparison(column: Column, sign: str, value: Any) -> Test:
    read, fold = column.read, _folder(column)
    value = fold(value)
    if sign == "=":
        return lambda row: bool(fold(read(row)) == value)
    if sign == "!=":
        return lambda row: bool(fold(read(row)) != value)
    compare = _ORDERED[sign]

    def test(row: Row) -> bool:
        held = fold(read(row))
        return held is not None and value is not None and compare(held, value)

    return test


def _like(column: Column, pattern: str) -> Test:
    pieces = re.split(r"(\\[%_]|[%_])", pattern)
    wild = {"%": ".*", "_": "."}
    text = "".join(wild.get(piece) or re.escape(piece.removeprefix("\\")) for piece in pieces)
    found = re.compile(text, re.IGNORECASE | re.DOTALL).fullmatch
    read = column.read
    return lambda row: found(read(row) or "") is not None
