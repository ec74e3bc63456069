"""Call budgets: how much of what an org or portal lets everybody use is ours (law 16)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from crm_sync.domain.records import CrmKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One allowance: at most `limit` calls in `length`, of which `share` is ours, reserved `block` calls at a time.

    Short allowances roll in the CRM and are counted in fixed windows here, so half of the limit is the most that
    never passes it in any rolling window.
    """

    name: str
    length: timedelta
    limit: int
    share: float
    block: int

    def allowed(self, limit: int | None = None) -> int:
        """Our calls in one window, of `limit` as the CRM stated it or of what its documentation says."""
        return max(1, int((limit or self.limit) * self.share))


SPANS: dict[CrmKind, tuple[Span, ...]] = {
    CrmKind.SALESFORCE: (
        # Rolling 24 hours for the whole org; 15,000 is the least that any edition with an API has.
        Span(name="day", length=timedelta(hours=24), limit=15_000, share=0.5, block=20),
        Span(name="sign_in", length=timedelta(hours=1), limit=3_600, share=0.05, block=1),
    ),
    CrmKind.HUBSPOT: (
        Span(name="day", length=timedelta(hours=24), limit=250_000, share=0.5, block=50),
        Span(name="burst", length=timedelta(seconds=10), limit=100, share=0.45, block=15),
        Span(name="search", length=timedelta(seconds=1), limit=5, share=0.45, block=2),
        Span(name="sign_in", length=timedelta(hours=1), limit=600, share=0.2, block=1),
    ),
}
"""Sources: Salesforce app limits cheat sheet (API requests); HubSpot usage guidelines (private apps, search)."""


def spans_of(kind: CrmKind, window: str) -> tuple[Span, ...]:
    """The allowances that one call counts against: its own window where there is one, and the day."""
    return tuple(span for span in SPANS[kind] if span.name in (window, "day"))


RECORDS_A_CALL: dict[CrmKind, int] = {CrmKind.SALESFORCE: 1_000, CrmKind.HUBSPOT: 100}
"""How many records one call reads again or writes (design, measures)."""


RECORDS_A_PAGE: dict[CrmKind, int] = {CrmKind.SALESFORCE: 2_000, CrmKind.HUBSPOT: 100}
"""How many records one call brings where an object is read whole."""


def calls_to_read(kind: CrmKind, records: int) -> int:
    """The calls that it takes to read an object of so many records whole."""
    return max(1, ceil(records / RECORDS_A_PAGE[kind]))


AT_REST = 0.6
"""The part of our share of a day that polls may take; the rest is for what changes."""


def stretch(polls: float, rereads: float, ours: int) -> float:
    """By how much polls have to be further apart, so that the day's calls last for the whole day; 1 where they do.

    `polls` and `rereads` are calls a day at the pace that was asked for, `ours` our share of the day.
    """
    room = max(ours * AT_REST - rereads, ours * 0.1)
    return max(1.0, polls / room)


def calls_to_push(kind: CrmKind, records: int) -> int:
    """The calls that it takes to write `records` at most: once to read them again, once to write (law 13)."""
    return 2 * ceil(records / RECORDS_A_CALL[kind])


def time_for(kind: CrmKind, calls: int) -> timedelta:
    """How long `calls` take at our share, if nothing else is pushed meanwhile."""
    return max(span.length * (calls / span.allowed()) for span in spans_of(kind, "burst"))
