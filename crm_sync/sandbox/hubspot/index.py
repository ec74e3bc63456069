"""The search index: a second view of the records that may lag behind them.

Search matches and sorts by what the index holds; the rows it returns are the records as they are now, so they can
look out of order. Archived, merged and erased records leave at once.

Source: HubSpot search guide ("may take a few moments"), and what users of large accounts measured.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from sortedcontainers import SortedList


class Document(Protocol):
    """What the index knows of a record."""

    id: int
    properties: dict[str, str]
    created: int
    modified: int


class _Row(Document, Protocol):
    archived_at: int | None


class _Copy:
    """A record as it stood when the index last looked."""

    __slots__ = ("created", "id", "modified", "properties")

    def __init__(self, row: Document) -> None:
        self.id = row.id
        self.properties = dict(row.properties)
        self.created = row.created
        self.modified = row.modified


class Matches:
    """The ids that a query found, kept in the query's order while the index moves on."""

    def __init__(self, key: Callable[[Document], Any]) -> None:
        self.key = key
        self.keys: dict[int, Any] = {}
        self.order: SortedList = SortedList()
        self.seen = 0

    def fill(self, documents: Iterable[Document]) -> None:
        self.keys = {d.id: self.key(d) for d in documents}
        self.order = SortedList(self.keys.values())

    def put(self, id: int, document: Document | None) -> None:
        """Let `document` stand for `id` from now on; None takes it out."""
        new = None if document is None else self.key(document)
        old = self.keys.get(id)
        if old == new:
            return
        if old is not None:
            self.order.remove(old)
            del self.keys[id]
        if new is not None:
            self.order.add(new)
            self.keys[id] = new


class SearchIndex:
    """Follows `rows` at a distance of `lag` milliseconds.

    Results of recent queries are kept and brought up to date by the rows that changed since, so walking a large
    result page by page costs what each page returns. `looked_at` counts the rows that were held against a query.
    """

    _QUERIES_KEPT = 12

    def __init__(self, rows: Mapping[int, _Row]) -> None:
        self.lag = 0
        self.looked_at = 0
        self._rows = rows
        self._behind: dict[int, _Copy | None] = {}
        self._hidden: dict[int, int] = {}
        self._due: list[tuple[int, int, int, _Copy | None]] = []
        self._waiting: Counter[int] = Counter()
        self._numbers = itertools.count()
        self._by_stamp: SortedList | None = None
        self._stamps: dict[int, int] = {}
        self._changed: list[int] = []
        self._forgotten = 0
        self._queries: OrderedDict[Hashable, Matches] = OrderedDict()

    def reloaded(self) -> None:
        """Many rows were added: forget what was worked out from them."""
        self._by_stamp = None
        self._stamps.clear()
        self._queries.clear()
        self._forgotten += len(self._changed)
        self._changed.clear()

    def about_to_change(self, row: _Row, *, new: bool = False) -> None:
        """Call before a row changes, so that the index can keep to the old state while it lags."""
        if self.lag and row.id not in self._behind:
            self._behind[row.id] = None if new else _Copy(row)

    def changed(self, row: _Row, now: int) -> None:
        if not self.lag and row.id not in self._behind:
            self._note(row.id)
            return
        heapq.heappush(self._due, (now + self.lag, next(self._numbers), row.id, _Copy(row)))
        self._waiting[row.id] += 1

    def gone(self, id: int) -> None:
        """The row left: the index drops it at once."""
        self._behind.pop(id, None)
        self._note(id)

    def hide(self, ids: Iterable[int], until: int) -> None:
        """Let these rows be invisible until then."""
        for id in ids:
            self._hidden[id] = until
            heapq.heappush(self._due, (until, next(self._numbers), id, None))
            self._waiting[id] += 1
            self._note(id)

    def catch_up(self, now: int) -> None:
        """Take in what is due by now."""
        while self._due and self._due[0][0] <= now:
            _, _, id, copy = heapq.heappop(self._due)
            self._waiting[id] -= 1
            if self._hidden.get(id, now + 1) <= now:
                del self._hidden[id]
            if id in self._behind and copy is not None:
                self._behind[id] = copy
            if self._waiting[id] <= 0:
                del self._waiting[id]
                self._behind.pop(id, None)
            self._note(id)

    def document(self, id: int) -> Document | None:
        """What the index holds of a row; None where it knows of none."""
        row = self._rows.get(id)
        if row is None or row.archived_at is not None or id in self._hidden:
            return None
        return self._behind.get(id, row)

    def documents(self) -> Iterator[Document]:
        found = (self.document(id) for id in self._rows)
        return (d for d in found if d is not None)

    def stamped(self, lo: int | None, hi: int | None) -> Iterator[Document]:
        """Rows whose modification stamp, as the index knows it, lies between `lo` and `hi`, both included."""
        if self._by_stamp is None:
            self._stamps = {d.id: d.modified for d in self.documents()}
            self._by_stamp = SortedList((stamp, id) for id, stamp in self._stamps.items())
        first = None if lo is None else (lo, -1)
        last = None if hi is None else (hi + 1, -1)
        found = (self.document(id) for _, id in self._by_stamp.irange(first, last, inclusive=(True, False)))
        return (d for d in found if d is not None)

    def matches(
        self,
        query: Hashable,
        *,
        key: Callable[[Document], Any],
        candidates: Callable[[], Iterable[Document]],
        test: Callable[[Document], bool],
    ) -> Matches:
        """The rows that pass `test`, in the order of `key` (unique for each row); kept under the name `query`."""
        found = self._queries.get(query)
        at = self._forgotten + len(self._changed)
        if found is None or found.seen < self._forgotten:
            found = Matches(key)
            found.fill(d for d in candidates() if self._passes(d, test))
            self._queries[query] = found
        else:
            for id in dict.fromkeys(self._changed[found.seen - self._forgotten :]):
                document = self.document(id)
                found.put(id, document if document is not None and self._passes(document, test) else None)
        found.seen = at
        self._queries.move_to_end(query)
        while len(self._queries) > self._QUERIES_KEPT:
            self._queries.popitem(last=False)
        return found

    def _passes(self, document: Document, test: Callable[[Document], bool]) -> bool:
        self.looked_at += 1
        return test(document)

    def _note(self, id: int) -> None:
        """A row may be seen differently from now on."""
        self._changed.append(id)
        if len(self._changed) > 200_000:
            self._forgotten += len(self._changed)
            self._changed.clear()
        if self._by_stamp is None:
            return
        document = self.document(id)
        old = self._stamps.get(id)
        new = None if document is None else document.modified
        if old == new:
            return
        if old is not None:
            self._by_stamp.remove((old, id))
            del self._stamps[id]
        if new is not None:
            self._by_stamp.add((new, id))
            self._stamps[id] = new
