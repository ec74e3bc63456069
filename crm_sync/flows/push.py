"""Push: due outbox entries of one connection into the CRM; claim, guard, diff, call, settle."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.connections import Connection
from crm_sync.domain.consent import no_longer
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.mappings import MappingVersion, translate
from crm_sync.domain.outbox import REPAIR, Claimed, Kind, OutboxState
from crm_sync.domain.records import Life, Value, Wanted
from crm_sync.domain.retries import Close, DeadLetter, Hold, TryAt, retry_decision
from crm_sync.domain.routing import GAVE_WAY, NEW_OWNER_LEFT
from crm_sync.domain.writes import Answer, Outcome, Write, same_value
from crm_sync.errors import CrmSyncError, Family, RateLimitedError
from crm_sync.ports import Connector
from crm_sync.store import assignments, audit, connections, feeds, inbox, outbox, records
from crm_sync.store.engine import Transaction, committed
from crm_sync.store.outbox import Settlement

WITHDRAWN = "what the person allows changed meanwhile; the change is pulled and evaluated"
WORE_OUT = "each worker that took it ended before it could tell what became of it"

BATCH = 1_000
"""Five collections of 200 for Salesforce in one call, ten batches of 100 for HubSpot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One connection with all that is needed to write into it."""

    connection: Connection
    connector: Connector
    mapping: MappingVersion
    most_attempts: int

    def own_names(self, object: str) -> dict[str, str]:
        """Neutral name to CRM name of our own fields on `object`."""
        return self.mapping.own_fields_of(object, self.connector.own_field_names(OWN_FIELDS))

    def guarded(self, object: str) -> list[str]:
        """What is read again before a write: of people all that the guard looks at, of consent records the consent."""
        if object in self.mapping.consents:
            return self.mapping.score_consents_of(object)
        return self.mapping.guard_fields_of(object, self.connector.own_field_names(OWN_FIELDS))

    def owner_field(self, object: str) -> str:
        return (self.mapping.sources_of(object).get("owner_id") or ("",))[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What one batch came to. `more` says that a full batch was claimed, so that more may wait."""

    delivered: int = 0
    unchanged: int = 0
    refused: int = 0
    closed: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One record as the guard saw it."""

    life: Life
    successor: str
    fields: Mapping[str, Value]


def push(
    transaction: Transaction, target: Target, now: datetime, *, span: timedelta, draw: random.Random, most: int = BATCH
) -> Pushed:
    """Write what waits for one connection. Each record stands on its own.

    Repeating is harmless: the guard reads what stands in the CRM just before the write, and what stands there already
    is not written. A worker that dies leaves a claim that lapses; whoever takes it reads back first (law 14).
    """
    with transaction() as session:
        token, entries = outbox.claim(
            session, target.connection.id, now, most=most, span=span, most_attempts=target.most_attempts
        )
    if not entries:
        return Pushed()

    try:
        return _push(transaction, target, token, entries, now, draw=draw, most=most)
    except Exception:
        # A bug of ours must not keep these from everybody until the claim lapses.
        with transaction() as session:
            outbox.let_lapse(session, token, now)
        raise


def _push(
    transaction: Transaction,
    target: Target,
    token: uuid.UUID,
    entries: Sequence[Claimed],
    now: datetime,
    *,
    draw: random.Random,
    most: int,
) -> Pushed:
    fit = [entry for entry in entries if entry.attempts <= target.most_attempts]
    worn = [entry for entry in entries if entry.attempts > target.most_attempts]
    settlements = [_settlement(entry, OutboxState.DEAD, WORE_OUT) for entry in worn]
    consents = _consents(transaction, target, fit)
    try:
        shown = guard(target, fit, consents)
        withdrawn = withdrawn_now(target, consents, shown, now)
    except CrmSyncError as error:
        with transaction() as session:
            _put_back(session, target, token, fit, error, now, draw)
        return Pushed()
    planned, writes = plan(target, fit, shown, withdrawn)
    settlements += planned
    outcomes = target.connector.write([write for _, write in writes]) if writes else []
    for (entry, write), outcome in zip(writes, outcomes, strict=True):
        settlements.append(_settle(target, entry, write, outcome, now, draw))

    def keep(session: Session) -> None:
        ours = outbox.settle(session, token, settlements, now)
        _settle_owners(session, settlements, now)
        if any(settled.words == WITHDRAWN for settled in settlements):
            feeds.hurry(session, target.connection.id, now)
        kept = [settled for settled in settlements if settled.entry.id in ours]
        repaired = _repaired(target, kept)
        records.note_repairs(session, {entry.record_id: names for entry, names in repaired}, now)
        audit.append(session, [*_told(target, kept), *_told_of_repairs(target, repaired)], now)
        _note_connection(session, target, outcomes, now)

    committed(transaction, keep)
    states = [settled.state for settled in settlements]
    return Pushed(
        delivered=sum(bool(s.sent) and s.state is OutboxState.DELIVERED for s in settlements),
        unchanged=sum(not s.sent and s.state is OutboxState.DELIVERED for s in settlements),
        refused=states.count(OutboxState.DEAD) + states.count(OutboxState.HELD) + states.count(OutboxState.WAITING),
        closed=states.count(OutboxState.CLOSED),
        more=len(entries) >= most or any(entry.repeated for entry in entries),
    )


def guard(target: Target, entries: Sequence[Claimed], consents: Sequence[records.Held]) -> dict[tuple[str, str], Shown]:
    """Read what is about to be pushed again: our fields, owner, consent and what became of the record (law 13).

    The records beside it that hold `consents` are read in the same calls.
    """
    mapping = target.mapping
    people = {(entry.object, entry.crm_id) for entry in entries if entry.object in mapping.people}
    beside = {(held.object, held.crm_id) for held in consents if held.object in mapping.consents}
    wanted = [
        Wanted(
            object=name, ids=sorted(id for object, id in people | beside if object == name), fields=target.guarded(name)
        )
        for name in sorted({object for object, _ in people | beside})
    ]
    return {
        (read.object, crm_id): Shown(life=life, successor=successor, fields=fields)
        for read in target.connector.read_all(wanted)
        for crm_id, life, successor, fields in zip(read.ids, read.lives, read.successors, read.fields, strict=True)
    }


def plan(
    target: Target,
    entries: Sequence[Claimed],
    shown: Mapping[tuple[str, str], Shown],
    withdrawn: Set[int] = frozenset(),
) -> tuple[list[Settlement], list[tuple[Claimed, Write]]]:
    """Sort entries into those that are settled without a call and those that need a write.

    The records in `withdrawn` get no score.
    """
    settled: list[Settlement] = []
    writes: list[tuple[Claimed, Write]] = []
    names = {object: target.own_names(object) for object in target.mapping.people}
    for entry in entries:
        if entry.object not in target.mapping.people:
            settled.append(_settlement(entry, OutboxState.CLOSED, f"the mapping doesn't name {entry.object} any more"))
            continue
        record = shown.get((entry.object, entry.crm_id))
        if record is None or record.life is not Life.OPEN:
            life = record.life.value if record else Life.DELETED.value
            settled.append(_settlement(entry, OutboxState.CLOSED, f"the record is {life}"))
            continue
        if entry.record_id in withdrawn and _needs_consent(entry):
            settled.append(_settlement(entry, OutboxState.CLOSED, WITHDRAWN))
            continue
        if entry.kind is Kind.OWNER:
            _plan_owner(target, entry, record, settled, writes)
            continue
        differing = _difference(names[entry.object], entry.desired, record.fields)
        if differing:
            key = str(entry.id)
            write = Write(key=key, object=entry.object, record_id=entry.crm_id, fields=differing)
            writes.append((entry, write))
        else:
            words = "confirmed by reading back" if entry.repeated or entry.attempts > 1 else "stood there already"
            settled.append(_settlement(entry, OutboxState.DELIVERED, words))
    return settled, writes


def _needs_consent(entry: Claimed) -> bool:
    """Whether an entry holds what only a person who allows scoring may have: a score, or an owner chosen by it."""
    return entry.desired.get("score") is not None or bool(entry.desired.get("consented"))


def _consents(transaction: Transaction, target: Target, entries: Sequence[Claimed]) -> list[records.Held]:
    """What the people who are about to get a score, or an owner by it, had said about it when they were pulled."""
    mapped = [entry for entry in entries if entry.object in target.mapping.people]
    scored = [entry for entry in mapped if _needs_consent(entry)]
    objects = {entry.object for entry in scored} | set(target.mapping.consents)
    names = [name for object in sorted(objects) for name in target.mapping.score_consents_of(object)]
    if not scored or not names:
        return []
    with transaction() as session:
        return records.consents(session, [entry.record_id for entry in scored], names)


def withdrawn_now(
    target: Target, pulled: Sequence[records.Held], shown: Mapping[tuple[str, str], Shown], now: datetime
) -> set[int]:
    """Records whose consent to be scored reads as refused now, or not as it was when it was pulled (law 8)."""
    seen = {key: record.fields for key, record in shown.items()}
    withdrawn: set[int] = set()
    for object in sorted({held.object for held in pulled}):
        told = [
            (held, fields) for held in pulled if held.object == object and (fields := seen.get((object, held.crm_id)))
        ]
        frame = translate(target.mapping, object, range(len(told)), [fields for _, fields in told])
        refused = frame.select(no_longer(now)).to_series().to_list()
        withdrawn |= {held.record_id for (held, _), no in zip(told, refused, strict=True) if no}
        withdrawn |= {
            held.record_id
            for held, fields in told
            if any(name in fields and not same_value(fields[name], was) for name, was in held.fields.items())
        }
    return withdrawn


def _difference(names: Mapping[str, str], desired: Mapping[str, Value], shown: Mapping[str, Value]) -> dict[str, Value]:
    """What has to be written, by CRM field name, at the CRM's precision."""
    return {
        names[name]: value
        for name, value in desired.items()
        if name in names and not same_value(shown.get(names[name]), value)
    }


def _plan_owner(
    target: Target,
    entry: Claimed,
    record: Shown,
    settled: list[Settlement],
    writes: list[tuple[Claimed, Write]],
) -> None:
    """An owner is written over a blank one, one that counts as nobody, or our own last assignment (law 9).

    Anything else is a human's. Ids are compared as texts: an id may look like a number.
    """
    field = target.owner_field(entry.object)
    stands, wanted = str(record.fields.get(field) or ""), entry.desired.get("owner")
    if not field:
        settled.append(_settlement(entry, OutboxState.CLOSED, "the mapping names no field for the owner any more"))
    elif stands == wanted:
        settled.append(_settlement(entry, OutboxState.DELIVERED, "stood there already"))
    elif stands and stands not in (entry.owner_accepted, *_unassigned(entry)):
        settled.append(_settlement(entry, OutboxState.CLOSED, GAVE_WAY))
    elif entry.owner_left:
        settled.append(_settlement(entry, OutboxState.CLOSED, NEW_OWNER_LEFT))
    else:
        write = Write(key=str(entry.id), object=entry.object, record_id=entry.crm_id, fields={field: wanted})
        writes.append((entry, write))


def _unassigned(entry: Claimed) -> tuple[Value, ...]:
    """Owners that count as nobody, as the policy listed them when the entry was made."""
    return tuple(str(entry.desired.get("unassigned") or "").split())


def _settle_owners(session: Session, settlements: Sequence[Settlement], now: datetime) -> None:
    """Tell assignments what became of them; leads whose new owner must not be written after all are routed again."""
    owners = [settled for settled in settlements if settled.entry.kind is Kind.OWNER]
    assignments.settle(session, [settled.entry.record_id for settled in owners], now)
    undone = (settled.entry.person_id for settled in owners if settled.words in (NEW_OWNER_LEFT, WITHDRAWN))
    again = dict.fromkeys((person for person in undone if person is not None), inbox.Priority.CHANGE)
    inbox.add(session, again, why="change", now=now)


def _settlement(entry: Claimed, state: OutboxState, words: str) -> Settlement:
    return Settlement(entry=entry, state=state, words=words, sent={})


def _settle(
    target: Target, entry: Claimed, write: Write, outcome: Outcome, now: datetime, draw: random.Random
) -> Settlement:
    sent = dict(write.fields)
    if outcome.answer is Answer.ACCEPTED:
        return Settlement(entry=entry, state=OutboxState.DELIVERED, words="", sent=sent, outcome=outcome)
    decision = retry_decision(outcome, attempt=entry.attempts, most=target.most_attempts, now=now, draw=draw)
    words = outcome.message
    match decision:
        case TryAt(at=at, costs=costs):
            return Settlement(
                entry=entry,
                state=OutboxState.WAITING,
                words=words,
                sent=sent,
                outcome=outcome,
                next_try=at,
                costs=costs,
            )
        case Hold():
            state = OutboxState.HELD
        case Close():
            state = OutboxState.CLOSED
        case DeadLetter():
            state = OutboxState.DEAD
    return Settlement(entry=entry, state=state, words=words, sent=sent, outcome=outcome)


def _put_back(
    session: Session,
    target: Target,
    token: uuid.UUID,
    entries: Sequence[Claimed],
    error: CrmSyncError,
    now: datetime,
    draw: random.Random,
) -> None:
    """The guard itself was refused: nothing was written, and nothing counts as tried."""
    retry_at = error.retry_at if isinstance(error, RateLimitedError) else None
    outcome = Outcome(
        key="",
        answer=Answer.NOT_SENT,
        family=error.family if error.family is not Family.RECORD else Family.TRANSIENT,
        code=error.code,
        field=error.field,
        message=str(error),
        retry_at=retry_at,
    )
    unsent = [
        _settle(
            target, entry, Write(key="", object=entry.object, record_id=entry.crm_id, fields={}), outcome, now, draw
        )
        for entry in entries
    ]
    outbox.settle(session, token, unsent, now)
    _settle_owners(session, unsent, now)
    _note_connection(session, target, [outcome], now)


def _told(target: Target, settlements: Sequence[Settlement]) -> list[AuditEntry]:
    """What the audit log tells of a batch: every delivery and every end, with what was there before."""
    return [
        AuditEntry(
            actor="push",
            kind=f"{settled.entry.kind}_{settled.state}",
            subject=f"record:{settled.entry.record_id}",
            payload={
                "connection": target.connection.name,
                "entry": settled.entry.id,
                "evaluation": settled.entry.number,
                "attempt": settled.entry.attempts,
                "repeat": settled.entry.repeated,
                "why": settled.entry.why,
                "before": {name: settled.entry.accepted.get(name) for name in settled.entry.desired},
                "after": dict(settled.entry.desired),
                "sent": settled.sent,
                "words": settled.words,
                "code": settled.outcome.code if settled.outcome else "",
                "call": settled.outcome.call_id if settled.outcome else "",
            },
        )
        for settled in settlements
        if settled.state is not OutboxState.WAITING
    ]


def _repaired(target: Target, settlements: Sequence[Settlement]) -> list[tuple[Claimed, list[str]]]:
    """Repairs that put something back, with the fields (law 2)."""
    return [
        (settled.entry, [name for name, crm_name in own.items() if crm_name in settled.sent])
        for settled in settlements
        if settled.entry.why == REPAIR and settled.sent and settled.state is OutboxState.DELIVERED
        for own in [target.own_names(settled.entry.object)]
    ]


def _told_of_repairs(target: Target, repaired: Sequence[tuple[Claimed, list[str]]]) -> list[AuditEntry]:
    return [
        AuditEntry(
            actor="push",
            kind="own_fields_overwritten",
            subject=f"record:{entry.record_id}",
            payload={
                "connection": target.connection.name,
                "entry": entry.id,
                "fields": names,
                "why": "somebody else wrote there; put back what we had written",
            },
        )
        for entry, names in repaired
    ]


def _note_connection(session: Session, target: Target, outcomes: Sequence[Outcome], now: datetime) -> None:
    """What concerns the whole connection: wait as the CRM asked, or stop until somebody signs in again."""
    waits = [outcome.retry_at for outcome in outcomes if outcome.family is Family.RATE_LIMITED and outcome.retry_at]
    if waits:
        connections.wait(session, target.connection.id, max(waits))
    refused = next((outcome for outcome in outcomes if outcome.family is Family.AUTH), None)
    if refused:
        connections.needs_sign_in(session, target.connection, refused.message, actor="push", now=now)
