"""The rows of one object, with the orders and lookups that queries walk along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sortedcontainers import SortedList

Row = dict[str, Any]
Position = tuple[str, str]
"""Stamp and id: where a row stands in the order that incremental readers follow."""

LAST = "\U0010ffff"
"""Sorts behind every stamp and id."""


class Table:
    """Rows by id. A stored row is never changed in place: a change puts a new row in its stead.

    `by_stamp` orders all rows by (stamp, id). Orders by id and lookups by value are built at first use and kept
    up from then on, so that a query costs in proportion to the rows it returns.
    """

    def __init__(self, stamp_field: str) -> None:
        self.stamp_field = stamp_field
        self.rows: dict[str, Row] = {}
        self.by_stamp: Any = SortedList()
        self.deleted_at: dict[str, str] = {}
        self._by_id: Any = None
        self._lookups: dict[str, dict[Any, dict[str, None]]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, record_id: str) -> Row | None:
        return self.rows.get(record_id)

    def put(self, row: Row) -> Row | None:
        """Store `row` under its Id. Returns what stood there before."""
        record_id = row["Id"]
        before = self.rows.get(record_id)
        if before is not None:
            self._forget(before)
        elif self._by_id is not None:
            self._by_id.add(record_id)
        self.rows[record_id] = row
        self.by_stamp.add((row[self.stamp_field], record_id))
        for field, lookup in self._lookups.items():
            lookup.setdefault(row.get(field), {})[record_id] = None
        return before

    def remove(self, record_id: str) -> Row | None:
        before = self.rows.pop(record_id, None)
        if before is not None:
            self._forget(before)
            if self._by_id is not None:
                self._by_id.remove(record_id)
        return before

    def load(self, rows: Iterable[Row]) -> None:
        """Store many rows at once; faster than putting each."""
        fresh = list(rows)
        for row in fresh:
            before = self.rows.get(row["Id"])
            if before is not None:
                self.by_stamp.remove((before[self.stamp_field], row["Id"]))
            self.rows[row["Id"]] = row
        self.by_stamp.update((row[self.stamp_field], row["Id"]) for row in fresh)
        self._by_id = None
        self._lookups.clear()

    def with_value(self, field: str, value: Any) -> Iterable[str]:
        """Ids of the rows that hold `value` in `field`."""
        if field not in self._lookups:
            lookup: dict[Any, dict[str, None]] = {}
            for record_id, row in self.rows.items():
                lookup.setdefault(row.get(field), {})[record_id] = None
            self._lookups[field] = lookup
        return list(self._lookups[field].get(value, ()))

    def stamped(self, low: Position, high: Position, *, newest_first: bool = False) -> Iterator[str]:
        """Ids in (stamp, id) order from `low` to `high`, both included."""
        return (pair[1] for pair in self.by_stamp.irange(low, high, reverse=newest_first))

    def ids(self, low: str = "", high: str = LAST, *, descending: bool = False) -> Iterator[str]:
        if self._by_id is None:
            self._by_id = SortedList(self.rows)
        found: Iterator[str] = self._by_id.irange(low, high, reverse=descending)
        return found

    def _forget(self, before: Row) -> None:
        record_id = before["Id"]
        self.by_stamp.remove((before[self.stamp_field], record_id))
        for field, lookup in self._lookups.items():
            lookup[before.get(field)].pop(record_id, None)
