"""Query locators: the rest of an answer, kept until it is asked for or too old.

A cursor remembers ids, not values: rows that change between pages show the new values, and purged ones are gone.
Source: REST API guide, Query; limits cheat sheet: locators live two days.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.soql.query import Found
from crm_sync.sandbox.salesforce.store import Store

DEFAULT_PAGE = 2_000
SMALLEST_PAGE = 200


@dataclass(frozen=True, slots=True)
class _Cursor:
    found: Found
    user: str
    page_size: int
    hides_deleted: bool
    made: datetime


class Cursors:
    def __init__(self, store: Store, draw: random.Random) -> None:
        self._store = store
        self._draw = draw
        self._open: dict[str, _Cursor] = {}
        self._sizes: Any = None
        self.lifetime = timedelta(days=2)

    def set_page_sizes(self, sizes: list[int]) -> None:
        """Pages take these sizes in turn, whatever the client hints at; an empty list ends that."""
        self._sizes = cycle(sizes) if sizes else None

    def first_page(self, found: Found, *, user: str, hint: int | None, everything: bool) -> dict[str, Any]:
        """The first page of an answer; `nextRecordsUrl` is left as the bare locator."""
        if found.records is not None:
            return {"totalSize": found.total, "done": True, "records": found.records}
        size = DEFAULT_PAGE if hint is None else min(max(hint, SMALLEST_PAGE), DEFAULT_PAGE)
        if found.long_texts >= 2:
            size = SMALLEST_PAGE
        cursor = _Cursor(found, user, size, not everything, self._store.clock.now())
        return self._page(cursor, 0, None)

    def next_page(self, locator: str, *, user: str) -> tuple[str, dict[str, Any]]:
        """The object and the page that a locator stands for."""
        name, _, offset = locator.rpartition("-")
        cursor = self._open.get(name)
        now = self._store.clock.now()
        if cursor is None or cursor.user != user or not offset.isdigit() or now - cursor.made > self.lifetime:
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        return cursor.found.object, self._page(cursor, int(offset), name)

    def _page(self, cursor: _Cursor, offset: int, name: str | None) -> dict[str, Any]:
        size = next(self._sizes) if self._sizes is not None else cursor.page_size
        found, end = cursor.found, offset + size
        rows = self._store.table(found.object).rows
        live = (row for one in found.ids[offset:end] if (row := rows.get(one)) is not None)
        shown = [found.show(row) for row in live if not (cursor.hides_deleted and row.get("IsDeleted"))]
        page: dict[str, Any] = {"totalSize": found.total, "done": end >= len(found.ids), "records": shown}
        if not page["done"]:
            page["nextRecordsUrl"] = f"{name or self._keep(cursor)}-{end}"
        return page

    def _keep(self, cursor: _Cursor) -> str:
        now = self._store.clock.now()
        self._open = {name: c for name, c in self._open.items() if now - c.made <= self.lifetime}
        name = "0r8" + "".join(self._draw.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789", k=15))
        self._open[name] = cursor
        return name
