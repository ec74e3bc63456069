"""Replay: dead letters wait again with the current desired state, unless something newer was delivered meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.outbox import Kind
from crm_sync.store import audit, evaluations, outbox
from crm_sync.store.engine import Transaction
from crm_sync.store.inbox import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """`replayed` wait again, `overtaken` were left because something newer reached the CRM or is on its way."""

    replayed: int
    overtaken: int


def replay(transaction: Transaction, letters: Sequence[Any], *, actor: str, now: datetime) -> Replayed:
    """Make a new outbox entry from each dead letter (rows of `outbox.dead`), all in one commit.

    What is sent is the newest evaluation's state, not the old payload; the dead letter itself never changes, the new
    entry names it. Repeating is harmless: a letter that was replayed is no longer among the dead.
    """
    with transaction() as session:
        records = [letter.record_id for letter in letters]
        newest = evaluations.newest_for_records(session, records)
        again = [letter for letter in letters if _standing(letter, newest[letter.record_id]) <= letter.number]
        outbox.put(
            session,
            [
                outbox.Desired(
                    record_id=letter.record_id,
                    connection_id=letter.connection_id,
                    kind=Kind(letter.kind),
                    evaluation_id=newest[letter.record_id].evaluation_id or letter.evaluation_id,
                    number=max(newest[letter.record_id].number or 0, letter.number),
                    values=_values(letter, newest[letter.record_id]),
                    priority=int(Priority.CHANGE),
                    why="replay",
                    replay_of=letter.id,
                )
                for letter in again
            ],
            now,
        )
        audit.append(
            session,
            [
                AuditEntry(
                    actor=actor,
                    kind="replay",
                    subject=f"record:{letter.record_id}",
                    payload={"entry": letter.id, "code": letter.code, "field": letter.field},
                )
                for letter in again
            ],
            now,
        )
    return Replayed(replayed=len(again), overtaken=len(letters) - len(again))


def _standing(letter: Any, newest: Any) -> int:
    """The number that the CRM holds or is about to get; an owner and the fields don't overtake each other."""
    return int((newest.standing or {}).get(letter.kind, -1))


def _values(letter: Any, newest: Any) -> dict[str, Any]:
    if Kind(letter.kind) is Kind.OWNER or newest.desired is None:
        return dict(letter.desired)
    return dict(newest.desired)
