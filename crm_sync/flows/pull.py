"""Pull: one page of changes of one feed into rows and the inbox; cursor and rows move in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.changes import ChangeBatch, Feed, Role, Walk
from crm_sync.domain.connections import Connection
from crm_sync.domain.echoes import Known, Prepared, Sorted, prepare, sort
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.keys import Keys
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.outbox import REPAIR, Kind
from crm_sync.domain.people import record_keys
from crm_sync.domain.records import Life, Value
from crm_sync.errors import AuthError, ConfigError, CrmSyncError, RateLimitedError, TransientError
from crm_sync.ports import Connector
from crm_sync.store import (
    audit,
    connections,
    crm_users,
    evaluations,
    feeds,
    inbox,
    outbox,
    people,
    records,
)
from crm_sync.store.engine import Transaction, committed

RETRY = timedelta(seconds=30)

FRESH = timedelta(hours=1)
"""A record created this lately is a fresh lead, and goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What one page brought. `more` asks for the next page now, `waiting` are the people it let wait."""

    rows: int = 0
    waiting: int = 0
    more: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One feed with all that is needed to read it."""

    connection: Connection
    connector: Connector
    feed: Feed
    mapping: MappingVersion
    keys: Keys

    @property
    def own_names(self) -> dict[str, str]:
        """Neutral name to CRM name of our own fields on this feed's object."""
        return self.mapping.own_fields_of(self.feed.object, self.connector.own_field_names(OWN_FIELDS))

    @property
    def owner_field(self) -> str:
        return (self.mapping.sources_of(self.feed.object).get("owner_id") or ("",))[0]

    def fields(self) -> list[str]:
        return self.mapping.fields_of(self.feed.object, self.connector.own_field_names(OWN_FIELDS))


def is_wanted(feed: Feed, mapping: MappingVersion) -> bool:
    """Whether anything uses this feed: objects that the mapping doesn't name are not pulled (least data)."""
    if feed.walk is Walk.WHOLE:
        return feed.object in mapping.reread
    return feed.role in (Role.OWNER, Role.HISTORY) or feed.object in mapping.roles


def pull(transaction: Transaction, source: Source, now: datetime, *, span: timedelta, early: bool = False) -> Pulled:
    """Bring one page of a feed into the inbox and move the cursor past it.

    Repeating is harmless: rows seen before are known by id, stamp and content, and a cursor that has moved refuses the
    move. Two at once are harmless: the lease is taken before the CRM is called, and who doesn't get it leaves.
    A refused call is noted at the feed (and at the connection, where all of its feeds are concerned) and not raised.
    """
    with transaction() as session:
        lease = feeds.lease(session, source.connection.id, source.feed.name, now, span=span, early=early)
    if lease is None:
        return Pulled()

    try:
        page = source.connector.changes_since(source.feed, lease.cursor, source.fields())
    except CrmSyncError as error:
        with transaction() as session:
            _note_refusal(session, source, lease, error, now)
        return Pulled(problem=str(error))

    def keep(session: Session) -> int:
        waiting = store(session, source, page, now, backfill=lease.watermark is None)
        feeds.advance(
            session,
            lease,
            cursor=page.next_cursor,
            watermark=page.complete_until,
            read=len(page.records),
            due=now if page.more else now + source.feed.every,
        )
        return waiting

    try:
        waiting = committed(transaction, keep)
    except feeds.LeaseLostError:
        return Pulled(problem="another worker took the feed over")
    except Exception:
        # A bug of ours must not make the feed wait until the lease lapses; the page is read again.
        with transaction() as session:
            feeds.release(session, lease, due=now + RETRY, problem="a page could not be stored; see the worker's log")
        raise
    return Pulled(rows=len(page.records), waiting=waiting, more=page.more)


def store(session: Session, source: Source, page: ChangeBatch, now: datetime, *, backfill: bool = False) -> int:
    """Keep a page by the role of its object. Returns how many people it let wait."""
    if not len(page.records):
        return 0
    if source.feed.role is Role.OWNER:
        left = crm_users.store(session, source.connection.id, page.records, now)
        from crm_sync.store import leads  # routing and its frames: most pages need none of it

        behind = leads.left_behind(session, source.connection.id, left)
        return inbox.add(session, dict.fromkeys(behind, inbox.Priority.CHANGE), why="owner_left", now=now)
    prepared = prepare(page.records, own_names=source.own_names, owner_field=source.owner_field)
    if source.feed.role in (Role.ACTIVITY, Role.HISTORY):
        return _store_activities(session, source, prepared, now, backfill=backfill)
    return _store_records(session, source, prepared, now, backfill=backfill)


def _store_activities(session: Session, source: Source, prepared: Prepared, now: datetime, *, backfill: bool) -> int:
    batch, connection = prepared.batch, source.connection.id
    changed = sorted(records.store_activities(session, connection, prepared))
    if not changed:
        return 0
    records.tie(session, connection, batch, changed)
    if source.feed.role is Role.HISTORY:
        return 0
    touched = records.people_tied_to(session, connection, batch.object, changed)
    priority = inbox.Priority.BACKFILL if backfill else inbox.Priority.CHANGE
    return inbox.add(session, dict.fromkeys(touched, priority), why="change", now=now)


def _store_records(session: Session, source: Source, prepared: Prepared, now: datetime, *, backfill: bool) -> int:
    batch, connection = prepared.batch, source.connection.id
    known = records.known(session, connection, batch.object, batch.ids)
    order = sort(prepared, known)
    seen = records.own_shown(session, [known[batch.ids[position]].record_id for position in order.repair])
    stored = records.store(session, connection, source.feed.role, prepared, order, now)
    changed = [batch.ids[position] for position in order.changed if batch.ids[position] in stored.ids]
    records.tie(session, connection, batch, changed)
    if source.feed.role is not Role.PERSON:
        touched = records.people_tied_to(
            session, connection, batch.object, [batch.ids[position] for position in order.evaluate]
        )
        priority = inbox.Priority.BACKFILL if backfill else inbox.Priority.CHANGE
        return inbox.add(session, dict.fromkeys(touched, priority), why="change", now=now)
    _repair(session, source, prepared, order, known, seen, now)
    return _store_people(session, source, prepared, order, stored.ids, now, backfill=backfill)


def _store_people(
    session: Session,
    source: Source,
    prepared: Prepared,
    order: Sorted,
    ids: Mapping[str, int],
    now: datetime,
    *,
    backfill: bool,
) -> int:
    batch = prepared.batch
    sources = source.mapping.sources_of(source.feed.object)
    evaluate = [position for position in order.evaluate if batch.ids[position] in ids]
    linked = people.link(
        session,
        source.connection.realm,
        {
            ids[batch.ids[position]]: record_keys(
                kind=source.connection.kind,
                connection=source.connection.id,
                crm_id=batch.ids[position],
                successor=batch.successors[position],
                email=_first(batch.fields[position], sources.get("email", ())),
                crm_link=_first(batch.fields[position], sources.get("crm_link", ())),
            )
            for position in evaluate
            if batch.fields[position] or batch.successors[position]
        },
        source.keys,
        now,
    )
    gone = [ids[batch.ids[position]] for position in evaluate if batch.lives[position] is not Life.OPEN]
    if gone:
        outbox.drop_waiting(session, gone, "the record is converted, merged or deleted", now)
        from crm_sync.store import assignments

        assignments.settle(session, gone, now)
    of_gone = people.of_records(session, gone) if gone else {}
    fresh = {
        linked.people[ids[batch.ids[position]]]
        for position in evaluate
        if batch.created[position] > now - FRESH and ids[batch.ids[position]] in linked.people
    }
    priority = inbox.Priority.BACKFILL if backfill else inbox.Priority.CHANGE
    touched = set(linked.people.values()) | linked.touched | set(of_gone.values())
    waiting = {person: inbox.Priority.FRESH if person in fresh else priority for person in touched}
    return inbox.add(session, waiting, why="change", now=now)


def _first(fields: Mapping[str, Value], names: Sequence[str]) -> str | None:
    return next((str(fields[name]) for name in names if fields.get(name)), None)


def _repair(
    session: Session,
    source: Source,
    prepared: Prepared,
    order: Sorted,
    known: Mapping[str, Known],
    seen: Mapping[int, Mapping[str, Value]],
    now: datetime,
) -> None:
    """Let our own fields be put back that somebody else wrote over: one repair write, no evaluation (law 2).

    The push leg looks again, and counts and tells what it really put back. What is left alone is told when it shows
    another value than the one `seen` before.
    """
    if not order.repair:
        return
    ids = prepared.batch.ids
    found = {known[ids[position]].record_id: names for position, names in order.repair.items()}
    accepted = {known[ids[position]].record_id: known[ids[position]].own_accepted for position in order.repair}
    granted = records.may_repair(session, found, now)
    last = evaluations.last_delivered(session, list(granted))
    outbox.put(
        session,
        [
            outbox.Desired(
                record_id=record,
                connection_id=source.connection.id,
                kind=Kind.FIELDS,
                evaluation_id=last[record].evaluation_id,
                number=last[record].number,
                values={name: accepted[record][name] for name in names},
                priority=int(inbox.Priority.REPAIR),
                why=REPAIR,
            )
            for record, names in granted.items()
            if record in last
        ],
        now,
    )
    shows = {known[ids[position]].record_id: prepared.own[position] for position in order.repair}
    left = {
        record: [
            name
            for name in names
            if name not in granted.get(record, ()) and shows[record][name] != seen[record].get(name)
        ]
        for record, names in found.items()
    }
    audit.append(
        session,
        [
            AuditEntry(
                actor="pull",
                kind="own_fields_left_alone",
                subject=f"record:{record}",
                payload={
                    "connection": source.connection.name,
                    "fields": names,
                    "why": "something else writes here: repaired twice in 24 hours, left alone now",
                },
            )
            for record, names in left.items()
            if names
        ],
        now,
    )


def _note_refusal(session: Session, source: Source, lease: feeds.Lease, error: CrmSyncError, now: datetime) -> None:
    match error:
        case RateLimitedError(retry_at=until):
            connections.wait(session, source.connection.id, until)
            due = until
        case AuthError():
            connections.needs_sign_in(session, source.connection, str(error), actor="pull", now=now)
            due = now
        case ConfigError():
            due = now + timedelta(minutes=10)
        case TransientError() | _:
            due = now + timedelta(seconds=30)
    feeds.release(session, lease, due=due, problem=str(error))
