"""Following a portal: what can be followed, and one page of it after another.

Changes are searched in a closed window of the modification stamp, walked by record id and never by offset: any
number of records may share a millisecond, and search ends at offset 10,000. The first page of a poll has no upper
end; the CRM's clock in its answer becomes the window's. The next poll starts a little before that end, for clocks
that differ and writes that were under way. The search index lags by seconds as a rule and by minutes now and then:
that is what the sweep is for, which goes over the last hour again, every ten minutes.

Source: HubSpot CRM search guide; ways of airbyte and estuary, which met the 10,000 and the lag.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.hubspot.fields import OWNER_FIELDS, Catalogues
from connectors.hubspot.session import Session
from connectors.hubspot.ties import TIES, listed_ties, read_ties, with_ties
from connectors.hubspot.transport import Answer
from connectors.hubspot.wire import (
    RowReader,
    append,
    asked_of,
    iso,
    milliseconds,
    moment,
    rows_of,
    stamp_property,
)
from crm_sync.domain.changes import ChangeBatch, Cursor, Feed, Role, Walk
from crm_sync.domain.records import Life, RecordBatch
from crm_sync.errors import ConfigError, TransientError

OVERLAP = timedelta(seconds=15)
SWEPT = timedelta(hours=1)
REST_OF_A_SECOND = timedelta(milliseconds=999)  # the CRM tells its clock in whole seconds, and stamps in milliseconds
SEARCH_PAGE = 200
LIST_PAGE = 100
OWNER_PAGE = 100
PAGES = 5  # are handed over together: one call reads the associations of 1,000, and a commit has its price too
LONGEST_LIST_URL = 5_000  # characters of property names; above some 8,000 HubSpot's edge answers 414
BEFORE_HUBSPOT = datetime(2005, 1, 1, tzinfo=UTC)  # a filter on the epoch itself has answered 500
ARCHIVED_AGAIN = timedelta(minutes=10)

_PEOPLE_AND_THEIRS: Sequence[tuple[str, Role, timedelta]] = (
    # object, role, how often its archive is scanned (zero: not at all)
    ("contacts", Role.PERSON, timedelta(hours=1)),
    ("companies", Role.ACCOUNT, timedelta(hours=6)),
    ("deals", Role.DEAL, timedelta(hours=6)),
    ("emails", Role.ACTIVITY, timedelta(0)),
    ("calls", Role.ACTIVITY, timedelta(0)),
    ("meetings", Role.ACTIVITY, timedelta(0)),
    ("notes", Role.ACTIVITY, timedelta(0)),
    ("tasks", Role.ACTIVITY, timedelta(0)),
)

FEEDS: Sequence[Feed] = (
    *(Feed(object=o, role=role) for o, role, _ in _PEOPLE_AND_THEIRS),
    *(Feed(object=o, role=role, walk=Walk.SWEEP, every=timedelta(minutes=10)) for o, role, _ in _PEOPLE_AND_THEIRS),
    *(Feed(object=o, role=role, walk=Walk.ARCHIVED, every=every) for o, role, every in _PEOPLE_AND_THEIRS if every),
    Feed(object="contacts", role=Role.PERSON, walk=Walk.WHOLE, every=timedelta(days=1)),
    Feed(object="companies", role=Role.ACCOUNT, walk=Walk.WHOLE, every=timedelta(days=1)),
    Feed(object="owners", role=Role.OWNER, walk=Walk.FULL, every=timedelta(minutes=10)),
)
_NAMES = frozenset(feed.name for feed in FEEDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Where a search walk stands: stamps from `start` to `end` (None: open until an answer tells the clock).

    Everything up to record `after_id` has been seen.
    """

    start: datetime
    end: datetime | None = None
    after_id: str = "0"

    @classmethod
    def of(cls, cursor: Mapping[str, Any]) -> Window:
        start, end = moment(cursor.get("start")), moment(cursor.get("end"))
        after_id = cursor.get("after_id", "0")
        if start is None or not isinstance(after_id, str) or not after_id.isdecimal():
            raise ConfigError("This cursor isn't one of HubSpot's.", field="cursor")
        return cls(start=start, end=end, after_id=after_id)

    def cursor(self) -> Cursor:
        end = iso(self.end) if self.end else None
        return Cursor({"walk": "search", "start": iso(self.start), "end": end, "after_id": self.after_id})

    @property
    def complete_until(self) -> datetime | None:
        """What the CRM's clock said when `end` was set."""
        return self.end.replace(microsecond=0) if self.end else None

    def next_poll(self, overlap: timedelta) -> Window:
        """The window after this one. It never starts before this one did, whatever the CRM's clock says."""
        assert self.end is not None
        return Window(start=max(self.start, self.end - overlap))

    def filters(self, stamp: str) -> list[dict[str, str]]:
        bounds = [{"propertyName": stamp, "operator": "GTE", "value": str(milliseconds(self.start))}]
        if self.end is not None:
            bounds.append({"propertyName": stamp, "operator": "LTE", "value": str(milliseconds(self.end))})
        return [*bounds, {"propertyName": "hs_object_id", "operator": "GT", "value": self.after_id}]


@dataclass(slots=True)
class Page:
    """Rows as they came, and whether the walk has more."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    more: bool = True


class Follower:
    """Follows the feeds of one portal."""

    def __init__(self, session: Session, catalogues: Catalogues) -> None:
        self._session = session
        self._catalogues = catalogues

    def changes_since(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        if feed.name not in _NAMES:
            raise ConfigError(f"HubSpot has no feed {feed.name}.", field=feed.name)
        if self._catalogues.known(feed.object) or feed.walk is Walk.FULL:
            self._catalogues.require(feed.object, fields)
        walks: Mapping[Walk, Callable[..., ChangeBatch]] = {
            Walk.CHANGES: self._changes,
            Walk.SWEEP: self._sweep,
            Walk.ARCHIVED: self._archived,
            Walk.FULL: self._owners,
            Walk.WHOLE: self._whole,
        }
        return walks[feed.walk](feed, cursor, fields)

    def _changes(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        names = asked_of(feed.object, fields)
        if cursor is None and sum(len(name) + len("properties=&") for name in names) > LONGEST_LIST_URL:
            cursor = Window(start=BEFORE_HUBSPOT).cursor()  # search takes the names in its body
        if cursor is None or cursor.get("walk") == "list":
            return self._first(feed, cursor or {}, fields, names)
        return self._search(feed, Window.of(cursor), fields, names, OVERLAP)

    def _sweep(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        window = Window.of(cursor) if cursor else Window(start=self.server_time() - SWEPT)
        return self._search(feed, window, fields, asked_of(feed.object, fields), SWEPT)

    def _whole(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        """The first pull once more, and again from the beginning when it is through."""
        page = self._first(feed, cursor or {}, fields, asked_of(feed.object, fields))
        return page if page.more else replace(page, next_cursor=Cursor({}))

    def server_time(self) -> datetime:
        _, answer = self._session.account()
        return self._clock(answer)

    def _first(self, feed: Feed, cursor: Mapping[str, Any], fields: Sequence[str], names: Sequence[str]) -> ChangeBatch:
        """The first pull, by id over the list: no end at 10,000, and 100 a page at the burst rate, not search's.

        What changes on the way is met by the searches that follow, from the moment the first page was asked for.
        Source: HubSpot CRM objects guide.
        """
        began: datetime | None = moment(cursor.get("began"))
        after: str | None = cursor.get("after")
        rows: list[dict[str, Any]] = []
        for _ in self._pages():
            told, answer = self._list(feed.object, names, after)
            began = began or answer.began or self._session.now()
            rows += rows_of(told)
            after = _after(told)
            if not after:
                break
        assert began is not None, "at least one page is read"
        records = self._records(feed.object, rows, fields)
        if feed.object in TIES:
            records = with_ties(records, listed_ties(self._session, feed.object, rows))
        if after:
            return ChangeBatch(
                records=records,
                next_cursor=Cursor({"walk": "list", "after": after, "began": iso(began)}),
                more=True,
            )
        return ChangeBatch(
            records=records,
            next_cursor=Window(start=began - OVERLAP).cursor(),
            more=False,
            complete_until=began,
        )

    def _list(self, object: str, names: Sequence[str], after: str | None) -> tuple[dict[str, Any], Answer]:
        tied_to = TIES.get(object, ())
        return self._session.ask(
            self._session.objects.get_page,
            object,
            limit=LIST_PAGE,
            properties=list(names),
            archived=False,
            **({"after": after} if after else {}),
            **({"associations": list(tied_to)} if tied_to else {}),
            check=rows_of,
        )

    def _pages(self) -> Iterator[int]:
        """Room for so many pages, as long as half of a call's deadline is left for what follows them."""
        enough_at = time.monotonic() + self._session.deadline.total_seconds() / 2
        for page in range(PAGES):
            if page and time.monotonic() > enough_at:
                return
            yield page

    def _search(
        self, feed: Feed, window: Window, fields: Sequence[str], names: Sequence[str], overlap: timedelta
    ) -> ChangeBatch:
        """The next pages of changes, up to five."""
        page = Page()
        for _ in self._pages():
            window = self._search_page(feed.object, window, names, page)
            if not page.more:
                break
        records = self._records(feed.object, page.rows, fields)
        if feed.object in TIES:
            records = with_ties(records, read_ties(self._session, feed.object, [row["id"] for row in page.rows]))
        done = not page.more
        return ChangeBatch(
            records=records,
            next_cursor=(window.next_poll(overlap) if done else window).cursor(),
            more=page.more,
            complete_until=window.complete_until if done else None,
        )

    def _search_page(self, object: str, window: Window, names: Sequence[str], page: Page) -> Window:
        """Add the next rows of the window to `page`. `total` and the paging link say whether there are more.

        An empty page with a total is a contradiction: it is repeated, and fails loudly if it stays.
        """
        told, answer = self._session.ask(
            self._session.searches.do_search,
            object,
            {
                "filterGroups": [{"filters": window.filters(stamp_property(object))}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": list(names),
                "limit": SEARCH_PAGE,
            },
            check=_whole_search,
        )
        rows, total = rows_of(told), told["total"]
        page.rows += rows
        page.more = bool(_after(told)) or total > len(rows)
        end = window.end or max(window.start, (answer.began or self._session.now()) + REST_OF_A_SECOND)
        after_id = str(max((int(row["id"]) for row in rows), default=int(window.after_id)))
        return Window(start=window.start, end=end, after_id=after_id)

    def _archived(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        """One page of the recycle bin, by id. A scan is always whole; what an earlier one told of is passed over.

        Merged and privacy-deleted records are in no archive. Source: HubSpot CRM objects guide, `archived=true`.
        """
        del fields
        at: Mapping[str, Any] = cursor or {}
        told, answer = self._session.ask(
            self._session.objects.get_page,
            feed.object,
            limit=LIST_PAGE,
            properties=[stamp_property(feed.object)],
            archived=True,
            **({"after": str(at["after"])} if at.get("after") else {}),
            check=rows_of,
        )
        began = moment(at.get("began")) or answer.began or self._session.now()
        told_until = moment(at.get("told_until"))
        records = RecordBatch(object=feed.object)
        for row in rows_of(told):
            gone = moment(row.get("archivedAt")) or moment(row.get("updatedAt"))
            if told_until is None or gone is None or gone >= told_until:
                stamp = gone or began
                created = moment(row.get("createdAt")) or stamp
                append(records, str(row["id"]), stamp=stamp, created=created, life=Life.DELETED)
        after = _after(told)
        if after:
            cursor_after = {"after": after, "began": iso(began), "told_until": at.get("told_until")}
            return ChangeBatch(records=records, next_cursor=Cursor(cursor_after), more=True)
        return ChangeBatch(
            records=records,
            next_cursor=Cursor({"told_until": iso(began - ARCHIVED_AGAIN)}),
            more=False,
            complete_until=began,
        )

    def _owners(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        """One page of the owners, those in use first, then those who left.

        Source: HubSpot owners guide: `updatedAt` doesn't move when a user's details do, so the table is read whole.
        """
        at: Mapping[str, Any] = cursor or {}
        archived = bool(at.get("archived"))
        told, answer = self._session.ask(
            self._session.owners.get_page,
            limit=OWNER_PAGE,
            archived=archived,
            **({"after": str(at["after"])} if at.get("after") else {}),
            check=rows_of,
        )
        began = moment(at.get("began")) or answer.began or self._session.now()
        records = RecordBatch(object=feed.object)
        for row in rows_of(told):
            stamp = moment(row.get("updatedAt")) or began
            append(
                records,
                str(row["id"]),
                stamp=stamp,
                created=moment(row.get("createdAt")) or stamp,
                fields={name: _owner_value(row, name) for name in OWNER_FIELDS if name in fields or not fields},
                life=Life.DELETED if archived else Life.OPEN,
            )
        after = _after(told)
        if after or not archived:
            going_on = {"archived": archived or not after, "after": after, "began": iso(began)}
            return ChangeBatch(records=records, next_cursor=Cursor(going_on), more=True)
        return ChangeBatch(records=records, next_cursor=Cursor({}), more=False, complete_until=began)

    def _records(self, object: str, rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> RecordBatch:
        """Rows as records. Their types come from the catalogue, which is not read for a poll that found nothing."""
        if not rows:
            return RecordBatch(object=object)
        lacking = [name for name in fields if name not in rows[0].get("properties", {})]
        if lacking:
            self._catalogues.explain_absence(object, lacking)
        return RowReader(object, fields, self._catalogues.of(object)).batch(rows)

    def _clock(self, answer: Answer) -> datetime:
        return (answer.clock or self._session.now()).replace(microsecond=0)


def sweep_from(feed: Feed, since: datetime) -> Cursor:
    """Start again at `since`. The archive and the owners are read whole in any case."""
    if feed.walk in (Walk.ARCHIVED, Walk.FULL):
        return Cursor({})
    return Window(start=since).cursor()


def _whole_search(told: Mapping[str, Any]) -> None:
    """HubSpot gives no fewer rows than asked for; an answer without any says that there are none."""
    rows, total = rows_of(told), told.get("total")
    if not isinstance(total, int):
        raise TransientError("HubSpot's answer can't be read: a search without a total.", code="garbage")
    if not rows and (total > 0 or _after(told)):
        raise TransientError("HubSpot's answer contradicts itself: a total, but no rows.", code="garbage")


def _after(told: Mapping[str, Any]) -> str | None:
    following = (told.get("paging") or {}).get("next") or {}
    return str(following["after"]) if following.get("after") else None


def _owner_value(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    if name == "teams":
        return ";".join(str(team.get("id")) for team in value or ()) or None
    if isinstance(value, bool) or value is None:
        return value
    return str(value)
