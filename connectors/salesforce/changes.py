"""Walking an object's changes, and the cursors that say where a walk stands.

A cursor is at rest or under way:

    {"since": "2026-11-22T09:14:48Z"}             the next walk begins here
    {"stamp": "2026-11-22T09:15:03Z", "id": "00Q…"}   the walk goes on behind this row
    {"id": "005…"}                                likewise in a FULL walk, which is ordered by id alone
    {}                                            a FULL walk begins

Rows are ordered by stamp and id, because a bulk load stamps thousands of rows with one second and a page can end in
the middle of them. A walk reads up to the CRM's own now; what becomes visible late, behind the cursor, is met by
beginning the next walk a little earlier and by the sweep (law 1; DECISIONS.md).

Source: SOAP API guide, "System Fields" (SystemModstamp); SOQL reference, date formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from connectors.salesforce.feeds import Shape, shape_of
from connectors.salesforce.rows import Page, Rows
from connectors.salesforce.wire import batch_of, fill_parents, literal, moment, quoted
from crm_sync.domain.changes import ChangeBatch, Cursor, Feed, Role, Walk
from crm_sync.domain.records import RecordBatch
from crm_sync.errors import ConfigError

PAGE = 2_000
"""The most rows that Salesforce gives at once (REST API guide, Query Options Header)."""

OVERLAP = timedelta(seconds=15)
"""How far a walk begins before the moment that the one before it was complete to."""

SWEEP = timedelta(hours=1)
"""How far back a sweep begins; the longest transaction takes ten minutes (Limits quick reference, API)."""

BEGINNING = Cursor({})

BY_ID = (Walk.FULL, Walk.WHOLE)


def starting_at(feed: Feed, since: datetime) -> Cursor:
    return BEGINNING if feed.walk in BY_ID else Cursor({"since": literal(since)})


def page_after(
    rows: Rows, feed: Feed, cursor: Cursor | None, fields: Sequence[str], server_time: Callable[[], datetime]
) -> ChangeBatch:
    """One page of `feed` behind `cursor`: one call.

    `server_time` tells the CRM's clock when the last call began, asking for it if there was none.
    """
    shape = shape_of(feed.object)
    if cursor is None and feed.walk is Walk.SWEEP:
        cursor = starting_at(feed, server_time() - SWEEP)
    try:
        page = rows.page(feed.object, fields, _rest(feed, shape, cursor or BEGINNING))
    except ConfigError as error:
        if feed.role is not Role.HISTORY or error.code != "INVALID_TYPE":
            raise
        # An org that tracks no field of the object has no history of it. The walk stays where it is, for the day
        # when there is one, or when we may see it.
        nothing = RecordBatch(object=feed.object)
        return ChangeBatch(records=nothing, next_cursor=cursor or BEGINNING, more=False, complete_until=server_time())
    records = batch_of(feed.object, shape, page.rows)
    fill_parents(records, fields)
    if _goes_on(page):
        return ChangeBatch(records=records, next_cursor=_behind_last(feed, shape, page), more=True)
    complete = server_time()
    return ChangeBatch(records=records, next_cursor=_at_rest(feed, complete), more=False, complete_until=complete)


def _rest(feed: Feed, shape: Shape, cursor: Cursor) -> str:
    if feed.walk in BY_ID:
        conditions = [shape.only, f"Id > {quoted(cursor['id'])}" if "id" in cursor else ""]
        return _tail([c for c in conditions if c], "Id")
    return _tail(_behind(shape.stamp, cursor), f"{shape.stamp}, Id")


def _behind(stamp: str, cursor: Cursor) -> list[str]:
    """SOQL compares no tuples, and only the server knows the order of its ids."""
    if "id" in cursor:
        at = literal(moment(cursor["stamp"]))
        return [f"(({stamp} = {at} AND Id > {quoted(cursor['id'])}) OR {stamp} > {at})"]
    return [f"{stamp} >= {literal(moment(cursor['since']))}"] if "since" in cursor else []


def _tail(conditions: Sequence[str], order: str) -> str:
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return f"{where}ORDER BY {order} LIMIT {PAGE}"


def _goes_on(page: Page) -> bool:
    """A short page may still not be the last: rows with long texts come in pages of 200."""
    return bool(page.rows) and (not page.done or len(page.rows) >= PAGE)


def _behind_last(feed: Feed, shape: Shape, page: Page) -> Cursor:
    last = page.rows[-1]
    if feed.walk in BY_ID:
        return Cursor({"id": last["Id"]})
    return Cursor({"stamp": literal(moment(last[shape.stamp])), "id": last["Id"]})


def _at_rest(feed: Feed, complete: datetime) -> Cursor:
    if feed.walk in BY_ID:
        return BEGINNING
    return Cursor({"since": literal(complete - (SWEEP if feed.walk is Walk.SWEEP else OVERLAP))})
