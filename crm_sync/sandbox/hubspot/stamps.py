"""Moments as HubSpot keeps them: whole milliseconds since 1970, shown as text with three decimals and a Z."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_WHOLE = re.compile(r"[+-]?\d+")
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999  # what a datetime can hold


def to_ms(moment: datetime) -> int:
    """Milliseconds of an aware moment, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


@lru_cache(maxsize=8192)
def iso(ms: int) -> str:
    """2026-11-20T17:03:44.101Z"""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def from_ms(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def parse_ms(value: Any) -> int | None:
    """Milliseconds of what a client may send for a moment: epoch milliseconds, or ISO-8601 with a zone.

    A bare date is its midnight in UTC. None where it is neither. Python datetimes are taken as well.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _within_time(value)
    if isinstance(value, datetime):
        return to_ms(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, date):
        return to_ms(datetime(value.year, value.month, value.day, tzinfo=UTC))
    return _parse_text(str(value).strip())


def _parse_text(text: str) -> int | None:
    if _WHOLE.fullmatch(text):
        return _within_time(int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return to_ms(moment.replace(tzinfo=UTC)) if len(text) == 10 else None
    return to_ms(moment)


def _within_time(ms: int) -> int | None:
    return ms if _FIRST <= ms <= _LAST else None
