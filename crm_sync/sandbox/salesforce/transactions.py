"""Saves that are stamped now and seen later: their transaction is still open.

A row is stamped when it is saved, and nobody else sees it before the commit. Whoever remembers the newest stamp seen
walks past it. Source: SOAP API guide, getUpdated: latestDateCovered is held back to the oldest open transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from crm_sync.sandbox.salesforce.stamps import stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransaction:
    """`commit` puts the rows in place with the stamp of `began`. `locks` are the ids that others must wait for."""

    began: datetime
    visible_at: datetime
    locks: frozenset[str]
    commit: Callable[[str], None]


class Transactions:
    def __init__(self) -> None:
        self._open: list[OpenTransaction] = []

    def begin(self, transaction: OpenTransaction) -> None:
        self._open.append(transaction)

    def settle(self, now: datetime) -> None:
        """Commit what is due, in order of the commit."""
        if not self._open:
            return
        due = sorted((t for t in self._open if t.visible_at <= now), key=lambda t: t.visible_at)
        self._open = [t for t in self._open if t.visible_at > now]
        for transaction in due:
            transaction.commit(stamp(transaction.began))

    def locks(self, record_id: str) -> bool:
        return any(record_id in t.locks for t in self._open)

    def oldest(self) -> datetime | None:
        return min((t.began for t in self._open), default=None)
