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
    entry names it. Repeating is harmless: a letter that was replayed is no longer among the dead. Of several letters
    of one record only the last is replayed.
    """
    last = {(letter.record_id, letter.kind): letter for letter in sorted(letters, key=lambda letter: int(letter.id))}
    with transaction() as session:
        newest = evaluations.newest_for_records(session, [letter.record_id for letter in letters])
        again = [
            letter
            for letter in last.values()
            if newest[letter.record_id].standing.get(letter.kind, -1) <= letter.number
        ]
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


def _values(letter: Any, newest: Any) -> dict[str, Any]:
    if Kind(letter.kind) is Kind.OWNER or newest.desired is None:
        return dict(letter.desired)
    return dict(newest.desired)
