"""One test write, undone again: the only proof that a score will arrive."""

from __future__ import annotations

from collections.abc import Callable

from crm_sync.domain.changes import Walk
from crm_sync.domain.records import Life, Value
from crm_sync.domain.writes import Answer, Outcome, Write, same_value
from crm_sync.errors import CrmSyncError
from crm_sync.ports import Check, Connector

MARKER = "crm-sync connection test"
"""What our state field holds for a moment."""

NAME = "test write"


def rehearse(connector: Connector, object: str, state: str, agrees: Callable[[str], bool]) -> Check:
    """Write a marker into our state field of one existing record, read it back, and put back what stood there.

    It is put back only while the marker shows: if somebody else wrote meanwhile, theirs stays. Where the CRM stops
    answering in between, the Check names the record that may still hold the marker.
    """
    found = _somebody(connector, object, state)
    if found is None:
        return Check(name=NAME, passed=True, found=f"left out, as no {object} was found to try it on")
    crm_id, before = found
    if not agrees(f"Write a test value into {state} of {object} {crm_id}, and undo it at once?"):
        return Check(name=NAME, passed=False, found="left out", advice="Agree to it, or add --yes.")
    wrote = _set(connector, object, crm_id, state, MARKER)
    if wrote.answer in (Answer.REFUSED, Answer.NOT_SENT):
        return Check(name=NAME, passed=False, found=f"{object} {crm_id} was refused", advice=wrote.message)
    by_hand = f"Set {state} of this record back to {before or 'empty'} by hand."
    try:
        if not same_value(_shown(connector, object, crm_id, state), MARKER):
            return _not_shown(wrote, state)
        undone = _set(connector, object, crm_id, state, before)
        if same_value(_shown(connector, object, crm_id, state), before):
            return Check(name=NAME, passed=True, found=f"{object} {crm_id} was written, read back and restored")
    except CrmSyncError as error:
        found_words = f"{object} {crm_id} may still hold the test value"
        return Check(name=NAME, passed=False, found=found_words, advice=f"{by_hand} {error}")
    found_words = f"{object} {crm_id} was written and not restored"
    return Check(name=NAME, passed=False, found=found_words, advice=f"{by_hand} {undone.message}".rstrip())


def _not_shown(wrote: Outcome, state: str) -> Check:
    if wrote.answer is Answer.ACCEPTED:
        advice = f"Look which automation changes {state} when it is written."
        return Check(name=NAME, passed=False, found="accepted, but the record shows something else", advice=advice)
    return Check(name=NAME, passed=False, found="no answer, and nothing was written", advice=wrote.message)


def _somebody(connector: Connector, object: str, state: str) -> tuple[str, Value] | None:
    """An open record of the feed's first page, and what its state field shows now."""
    feed = next((feed for feed in connector.feeds() if feed.object == object and feed.walk is Walk.CHANGES), None)
    if feed is None:
        return None
    page = connector.changes_since(feed, None, [state]).records
    for crm_id, life in zip(page.ids, page.lives, strict=True):
        if life is Life.OPEN:
            shown = _shown(connector, object, crm_id, state)
            return crm_id, None if same_value(shown, MARKER) else shown
    return None


def _shown(connector: Connector, object: str, crm_id: str, state: str) -> Value:
    return connector.read(object, [crm_id], [state]).fields[0].get(state)


def _set(connector: Connector, object: str, crm_id: str, state: str, value: Value) -> Outcome:
    [outcome] = connector.write([Write(key="test", object=object, record_id=crm_id, fields={state: value})])
    return outcome
