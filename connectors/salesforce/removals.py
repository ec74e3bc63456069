"""What was deleted, by the org's own list: the only trace of a record that was purged before a walk met it.

A soft delete moves the stamp and is met by the walk of changes; an emptied Recycle Bin or a hard delete leaves no row.

    {"since": "…"}                              the next list begins here
    {"since": "…", "until": "…", "after": 2000} the same list goes on behind so many entries

Source: REST API guide, "Get a List of Deleted Records Within a Given Timeframe": 15 days back at most, up to
`latestDateCovered`, which the oldest open transaction holds back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.salesforce.errors import garbage
from connectors.salesforce.reads import read_all
from connectors.salesforce.rows import Rows
from connectors.salesforce.session import Session, as_dict
from connectors.salesforce.wire import literal, moment
from crm_sync.domain.changes import ChangeBatch, Cursor, Feed
from crm_sync.domain.records import Wanted

PAGE = 1_000
"""As many as one call reads again."""

OLDEST = timedelta(days=15) - timedelta(minutes=5)
SHORTEST = timedelta(minutes=1)


def page_after(
    session: Session,
    rows: Rows,
    feed: Feed,
    cursor: Cursor | None,
    fields: Sequence[str],
    now: datetime,
) -> ChangeBatch:
    """One page of what was deleted until the CRM's `now`, each looked at again: a call, and another if any were.

    Looking again tells merged from deleted, and leaves alone what was undeleted.
    """
    since, until, after = _window(cursor, now)
    told = _deleted(session, feed.object, since, until)
    ids = [
        entry["id"] for entry in sorted(told["deletedRecords"], key=lambda entry: (entry["deletedDate"], entry["id"]))
    ]
    page = ids[after : after + PAGE]
    [records] = read_all(rows, [Wanted(object=feed.object, ids=page, fields=fields)], now)
    if len(ids) > after + PAGE:
        further = Cursor({"since": literal(since), "until": literal(until), "after": after + PAGE})
        return ChangeBatch(records=records, next_cursor=further, more=True)
    covered = min(moment(told["latestDateCovered"]), until)
    return ChangeBatch(
        records=records, next_cursor=Cursor({"since": literal(covered)}), more=False, complete_until=covered
    )


def _window(cursor: Cursor | None, now: datetime) -> tuple[datetime, datetime, int]:
    asked: Mapping[str, Any] = cursor or {}
    until = moment(asked["until"]) if "until" in asked else now
    since = moment(asked["since"]) if "since" in asked else now - OLDEST
    return max(now - OLDEST, min(since, until - SHORTEST)), until, int(asked.get("after", 0))


def _deleted(session: Session, object: str, since: datetime, until: datetime) -> dict[str, Any]:
    span = {"start": since.isoformat(timespec="seconds"), "end": until.isoformat(timespec="seconds")}
    told = as_dict(session.read(lambda client: client.restful(f"sobjects/{object}/deleted/", params=span)))
    entries = told.get("deletedRecords")
    if not isinstance(entries, list) or not isinstance(told.get("latestDateCovered"), str):
        raise garbage()
    return told
