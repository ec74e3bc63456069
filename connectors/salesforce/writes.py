"""Writing values, 1,000 records a call, with an outcome for each.

Source: REST API guide, "Update Multiple Records with Fewer Round-Trips" (sObject Collections, allOrNone=false) and
"Composite": five collections of 200 travel as one API call.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.salesforce import composite
from connectors.salesforce.errors import SaidError, in_family, reaction, refusal, said, without_personal_data
from connectors.salesforce.session import Session
from connectors.salesforce.transport import CONSTANT_HEADERS
from connectors.salesforce.wire import id_key, update_of
from crm_sync.domain.writes import Answer, Outcome, Write
from crm_sync.errors import CrmSyncError, Family, GoneError, RateLimitedError, TransientError

A_COLLECTION = 200

Collection = list[Write]


@dataclass(slots=True)
class Run:
    """One call of `write`: what is still to be sent, what became of the rest, and what ended the run early."""

    waiting: list[Write]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    ended_by: CrmSyncError | None = None

    def settle(self, outcome: Outcome) -> None:
        self.outcomes[outcome.key] = outcome


def write(session: Session, writes: Sequence[Write]) -> list[Outcome]:
    """One Outcome for each write, in the same order; never raises for a refused call.

    Repeating is harmless: values are set, never added. A call whose answer is lost leaves its writes UNKNOWN and
    ends the run, as the next one would likely hang as long.
    """
    run = Run(waiting=sorted(writes, key=lambda write: write.object))
    while run.waiting and run.ended_by is None:
        _send_one_call(session, run)
    for write in run.waiting:
        assert run.ended_by is not None
        run.settle(_outcome(write, Answer.NOT_SENT, run.ended_by))
    return [run.outcomes[write.key] for write in writes]


def _send_one_call(session: Session, run: Run) -> None:
    collections, run.waiting = _next_call(run.waiting)
    call_id = uuid.uuid4().hex
    asks = [
        composite.Ask(
            method="PATCH",
            path="composite/sobjects",
            # A subrequest inherits none of them, and an update without Sforce-Auto-Assign may change the owner.
            headers=CONSTANT_HEADERS,
            body={"allOrNone": False, "records": [update_of(write) for write in collection]},
        )
        for collection in collections
    ]
    try:
        answers = session.write(lambda client: composite.send(client, asks, name="w"))
    except CrmSyncError as error:
        _call_failed(run, [write for collection in collections for write in collection], error, call_id)
        return
    for collection, answer in zip(collections, answers, strict=True):
        _settle(run, collection, answer, session.now(), call_id)


def _next_call(writes: Sequence[Write]) -> tuple[list[Collection], list[Write]]:
    """The collections of the next call, one object in each, and what stays for later calls.

    A record that comes twice waits for a later call: one call may not name it twice.
    """
    collections: list[Collection] = []
    later: list[Write] = []
    named: set[str] = set()
    for write in writes:
        if id_key(write.record_id) in named or not _has_room(collections, write):
            later.append(write)
            continue
        named.add(id_key(write.record_id))
        if not collections or not _fits(collections[-1], write):
            collections.append([])
        collections[-1].append(write)
    return collections, later


def _has_room(collections: Sequence[Collection], write: Write) -> bool:
    return len(collections) < composite.MOST_QUERIES or _fits(collections[-1], write)


def _fits(collection: Collection, write: Write) -> bool:
    return len(collection) < A_COLLECTION and collection[-1].object == write.object


def _call_failed(run: Run, sent: Sequence[Write], error: CrmSyncError, call_id: str) -> None:
    """A refused call did nothing. A lost one may have done everything."""
    run.ended_by = error
    lost = isinstance(error, TransientError) and error.sent
    for write in sent:
        run.settle(_outcome(write, Answer.UNKNOWN if lost else Answer.NOT_SENT, error, call_id=call_id))


def _settle(run: Run, collection: Collection, answer: composite.Answered, now: datetime, call_id: str) -> None:
    if answer.refused:
        _collection_refused(run, collection, refusal(said(answer.body), answer.status, now), call_id)
        return
    results = answer.body if isinstance(answer.body, list) else []
    for write, result in _matched(collection, results):
        run.settle(_outcome_of(write, result, now, call_id))


def _collection_refused(run: Run, collection: Collection, error: CrmSyncError, call_id: str) -> None:
    """One bad field refuses the whole collection: who doesn't write it is sent again without the others."""
    match error.family:
        case Family.RATE_LIMITED | Family.AUTH:
            run.ended_by = error
            run.waiting += collection
        case Family.TRANSIENT:
            for write in collection:
                run.settle(_outcome(write, Answer.UNKNOWN, error, call_id=call_id))
        case _:
            guilty = [write for write in collection if error.field in write.fields] or collection
            guilty_keys = {write.key for write in guilty}
            innocent = [write for write in collection if write.key not in guilty_keys]
            # Before the others, so that of two writes of one record the first stays the first.
            run.waiting = sorted(innocent + run.waiting, key=lambda write: write.object)
            for write in guilty:
                run.settle(_outcome(write, Answer.REFUSED, error, call_id=call_id))


def _matched(collection: Collection, results: Sequence[Any]) -> Iterator[tuple[Write, Any]]:
    """Each write with its result, or None where the CRM said nothing that can be tied to it.

    Results come by position. Where their number differs, only those that name their record count.
    """
    if len(results) == len(collection):
        yield from zip(collection, results, strict=True)
        return
    named = {id_key(r["id"]): r for r in results if isinstance(r, dict) and isinstance(r.get("id"), str)}
    for write in collection:
        yield write, named.get(id_key(write.record_id))


def _outcome_of(write: Write, result: Any, now: datetime, call_id: str) -> Outcome:
    if not isinstance(result, dict) or not isinstance(result.get("success"), bool):
        return _unsaid(write, call_id)
    if result["success"]:
        if id_key(str(result.get("id", ""))) != id_key(write.record_id):
            return _unsaid(write, call_id)
        return Outcome(key=write.key, answer=Answer.ACCEPTED, call_id=call_id)
    error = said(result.get("errors"))
    if error is None:
        return _unsaid(write, call_id)
    return _refused(write, error, now, call_id)


def _refused(write: Write, error: SaidError, now: datetime, call_id: str) -> Outcome:
    known = reaction(error.code, error.message)
    if known is None:
        family, words, retry_at = Family.RECORD, "Salesforce refused the record.", None
    else:
        raised = in_family(known, known.advice, error, now)
        family, words = known.family, known.advice
        retry_at = raised.retry_at if isinstance(raised, RateLimitedError) else None
    return Outcome(
        key=write.key,
        answer=Answer.REFUSED,
        family=family,
        code=error.code,
        field=error.field,
        message=f"{words} Salesforce says: {without_personal_data(error.message)}",
        retry_at=retry_at,
        call_id=call_id,
    )


def _unsaid(write: Write, call_id: str) -> Outcome:
    words = "Salesforce took the call but said nothing about this record."
    return _outcome(write, Answer.UNKNOWN, TransientError(words, code="no_result"), call_id=call_id)


def _outcome(write: Write, answer: Answer, error: CrmSyncError, *, call_id: str = "") -> Outcome:
    return Outcome(
        key=write.key,
        answer=answer,
        family=error.family,
        code=error.code,
        field=error.field,
        message=str(error),
        retry_at=error.retry_at if isinstance(error, RateLimitedError) else None,
        survivor=error.survivor if isinstance(error, GoneError) else "",
        call_id=call_id,
    )
