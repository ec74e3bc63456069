"""Runs a query for one user: finds the rows' ids in order, and says how each is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from crm_sync.sandbox.salesforce.access import Access
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.schema import Child, ObjectType
from crm_sync.sandbox.salesforce.soql import aggregates
from crm_sync.sandbox.salesforce.soql.columns import Column, Columns
from crm_sync.sandbox.salesforce.soql.conditions import EVERYWHERE, Conditions, Reach, Test
from crm_sync.sandbox.salesforce.soql.selection import Selection, Show, ShowChildren
from crm_sync.sandbox.salesforce.soql.syntax import Item, Path, Query, parse, parse_condition
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import LAST, Row, Table

MAX_OFFSET = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a query found: `ids` of rows to be shown with `show` page by page, or `records` that are ready.

    `long_texts` counts the custom long text fields that are shown, which make pages smaller.
    """

    object: str
    total: int
    ids: list[str]
    show: Show
    long_texts: int = 0
    records: list[dict[str, Any]] | None = None


class Queries:
    """SOQL for one org. `version` (`62.0`) is that of the request, for the addresses in answers."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def run(self, text: str, *, user: str, version: str, everything: bool, tooling: bool = False) -> Found:
        """Answer `text`. `everything` is queryAll: deleted rows and archived activities too."""
        query = parse(text)
        root = f"/services/data/v{version}" + ("/tooling" if tooling else "")
        run = _Run(self._store, self._access, user=user, text=text, everything=everything, root=root)
        kind = run.columns.object(query.source)
        if ("tooling" in kind.traits) is not tooling:
            raise run.columns.refuse(query.source.at, run.unknown(query.source))
        return run.answer(query, kind)

    def test(self, object: str, condition: str) -> Test:
        """A condition on rows of `object` as a function, for rules; it sees every field."""
        run = _Run(self._store, self._access, user="", text=condition, everything=True, root="")
        kind = self._store.schema.object(object)
        return run.conditions(kind, None).compile(parse_condition(condition))[0]


class _Run:
    def __init__(self, store: Store, access: Access, *, user: str, text: str, everything: bool, root: str) -> None:
        self.columns = Columns(store, access, user, text)
        self._store = store
        self._everything = everything
        self._root = root

    def unknown(self, path: Path) -> Refusal:
        return Refusal("INVALID_TYPE", f"sObject type '{path.text}' is not supported.")

    def conditions(self, kind: ObjectType, alias: str | None) -> Conditions:
        return Conditions(
            self.columns, lambda e: self.columns.column(kind, e, alias), self._semi_join, kind.stamp_field
        )

    def answer(self, query: Query, kind: ObjectType) -> Found:
        if query.offset > MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", message)
        if aggregates.is_bare_count(query):
            count = sum(1 for _ in self._limited(query, self._ids(query, kind)))
            return Found(object=kind.name, total=count, ids=[], show=lambda row: row, records=[])
        if aggregates.is_aggregate(query):
            return self._grouped(query, kind)
        selection = self._selection(kind, query.alias)
        show = selection.show(query.items)
        ids = list(self._limited(query, self._ids(query, kind)))
        return Found(object=kind.name, total=len(ids), ids=ids, show=show, long_texts=selection.long_texts)

    def _selection(self, kind: ObjectType, alias: str | None) -> Selection:
        return Selection(self.columns, kind, alias, self._root, self._children)

    def _limited(self, query: Query, ids: Iterable[str]) -> Iterator[str]:
        stop = None if query.limit is None else query.offset + query.limit
        return islice(ids, query.offset, stop)

    def _ids(self, query: Query, kind: ObjectType) -> Iterable[str]:
        """Ids of the rows that pass, in the order asked for."""
        table = self._store.table(kind.name)
        test, reach = self._where(query, kind)
        walked = _natural(query, kind, table, reach)
        candidates = _candidates(table, reach) if walked is None else walked
        rows = table.rows
        hides = not self._everything and ("IsDeleted" in kind.fields or "IsArchived" in kind.fields)
        passing = (
            found
            for found in candidates
            if (row := rows.get(found)) is not None and not (hides and _hidden(row)) and test(row)
        )
        return passing if walked is not None else self._sorted(query, kind, passing)

    def _where(self, query: Query, kind: ObjectType) -> tuple[Test, Reach]:
        if query.where is None:
            return (lambda _: True), EVERYWHERE
        return self.conditions(kind, query.alias).compile(query.where)

    def _sorted(self, query: Query, kind: ObjectType, ids: Iterable[str]) -> Iterable[str]:
        if not query.order:
            return ids
        rows = self._store.table(kind.name).rows
        found = [rows[one] for one in ids]
        self._sort(query, found, lambda e: self.columns.column(kind, e, query.alias))
        return (row["Id"] for row in found)

    def _sort(self, query: Query, rows: list[Row], column: Callable[[Any], Column]) -> None:
        for sort in reversed(query.order):
            by = column(sort.expression)
            if not by.filterable:
                message = f"field '{by.name}' can not be sorted in a query call"
                raise self.columns.refuse(by.at, Refusal("INVALID_FIELD", message))
            with_value = [row for row in rows if by.read(row) is not None]
            without = [row for row in rows if by.read(row) is None]
            with_value.sort(key=lambda row, read=by.read: _order(read(row)), reverse=sort.descending)  # type: ignore[misc]
            rows[:] = with_value + without if sort.nulls_last else without + with_value

    def _semi_join(self, query: Query) -> list[Any]:
        kind = self.columns.object(query.source)
        item = query.items[0]
        if len(query.items) != 1 or not isinstance(item, Item):
            raise Refusal("MALFORMED_QUERY", "Nested queries must select exactly one field.")
        read = self.columns.column(kind, item.expression, query.alias).read
        rows = self._store.table(kind.name).rows
        return [read(rows[found]) for found in self._limited(query, self._ids(query, kind))]

    def _children(self, child: Child, query: Query) -> ShowChildren:
        kind = child.object
        table = self._store.table(kind.name)
        show = self._selection(kind, query.alias).show(query.items)
        test, _ = self._where(query, kind)

        def answer(parent: str) -> dict[str, Any] | None:
            rows = (table.rows[found] for found in table.with_value(child.field.name, parent))
            kept = [row["Id"] for row in rows if (self._everything or not _hidden(row)) and test(row)]
            shown = [show(table.rows[i]) for i in self._limited(query, self._sorted(query, kind, kept))]
            return {"totalSize": len(shown), "done": True, "records": shown} if shown else None

        return answer

    def _grouped(self, query: Query, kind: ObjectType) -> Found:
        rows = self._store.table(kind.name).rows
        aggregation = aggregates.Aggregation(self.columns, kind, query)
        sorts = [aggregation.column(sort.expression) for sort in query.order]
        passes: Test = lambda _: True  # noqa: E731 - the default of a name that HAVING replaces
        if query.having is not None:
            passes, _ = Conditions(self.columns, aggregation.column, self._semi_join).compile(query.having)
        # Order and limit are about groups, so all rows are looked at.
        plain = Query(
            items=query.items, source=query.source, alias=query.alias, where=query.where,
            group=(), having=None, order=(), limit=None, offset=0,
        )  # fmt: skip
        groups = [g for g in aggregation.groups(rows[i] for i in self._ids(plain, kind)) if passes(g)]
        if sorts:
            self._sort(query, groups, aggregation.column)
        groups = groups[query.offset :][: query.limit]
        if len(groups) > aggregates.MAX_GROUPS:
            message = (
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
            )
            raise Refusal("EXCEEDED_ID_LIMIT", message)
        records = [aggregation.show(group) for group in groups]
        return Found(object=kind.name, total=len(records), ids=[], show=lambda row: row, records=records)


def _hidden(row: Row) -> bool:
    return bool(row.get("IsDeleted") or row.get("IsArchived"))


def _order(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _natural(query: Query, kind: ObjectType, table: Table, reach: Reach) -> Iterable[str] | None:
    """The rows within reach in the order asked for, where the table keeps that order; else None.

    With it a page costs what it returns, however many rows there are.
    """
    if reach.ids is not None or reach.value is not None or not query.order:
        return None
    names = [
        s.expression.text.rpartition(".")[2].lower() if isinstance(s.expression, Path) else "" for s in query.order
    ]
    if any(isinstance(s.expression, Path) and "." in s.expression.text for s in query.order):
        return None
    descending = query.order[0].descending
    if any(sort.descending is not descending for sort in query.order):
        return None
    if names in (["id"],):
        return table.ids(reach.id_low, reach.id_high, descending=descending)
    if names in ([kind.stamp_field.lower()], [kind.stamp_field.lower(), "id"]):
        return table.stamped(reach.low, reach.high, newest_first=descending)
    return None


def _candidates(table: Table, reach: Reach) -> Iterable[str]:
    if reach.ids is not None:
        return sorted(reach.ids)
    if reach.value is not None:
        field, values = reach.value
        return [found for value in values for found in table.with_value(field, value)]
    if reach.low[0] or reach.high[0] != LAST:
        return table.stamped(reach.low, reach.high)
    if reach.id_low or reach.id_high != LAST:
        return table.ids(reach.id_low, reach.id_high)
    return list(table.rows)
