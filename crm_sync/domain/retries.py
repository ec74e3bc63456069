"""What to do about a write that was not accepted: try again, hold, close, or call it dead (law 15)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_sync.domain.writes import Answer, Outcome
from crm_sync.errors import Family

FIRST_WAIT = timedelta(seconds=20)
LONGEST_WAIT = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class TryAt:
    """Back to waiting, not before `at`. `costs` says whether the attempt counts."""

    at: datetime
    costs: bool = True


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep it until an admin or RevOps acted; the connection tells them."""


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing is left to do: the record is gone."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """It won't be tried again by itself."""


Decision = TryAt | Hold | Close | DeadLetter


def retry_decision(outcome: Outcome, *, attempt: int, most: int, now: datetime, draw: random.Random) -> Decision:
    """The reaction to an outcome that is not ACCEPTED. `attempt` counts from 1, `draw` gives the jitter.

    An unknown outcome is tried again at once: the guard reads back first, so nothing is sent blindly (law 14).
    """
    if outcome.answer is Answer.UNKNOWN:
        return TryAt(now + _wait(1, draw)) if attempt < most else DeadLetter()
    match outcome.family:
        case Family.RATE_LIMITED:
            return TryAt(outcome.retry_at or now + FIRST_WAIT, costs=False)
        case Family.AUTH | Family.CONFIG:
            return Hold()
        case Family.GONE:
            return Close()
        case Family.TRANSIENT if outcome.answer is Answer.NOT_SENT:
            return TryAt(now + _wait(attempt, draw), costs=False)
        case Family.TRANSIENT if attempt < most:
            return TryAt(now + _wait(attempt, draw))
        case _:
            return DeadLetter()


def _wait(attempt: int, draw: random.Random) -> timedelta:
    """Exponential with full jitter and a ceiling, so that what failed together doesn't come back together."""
    doublings: int = 2 ** min(attempt - 1, 16)
    ceiling = min(FIRST_WAIT * doublings, LONGEST_WAIT)
    return timedelta(seconds=1) + ceiling * draw.random()
