"""Date literals that move with the calendar: TODAY, LAST_N_DAYS:30, THIS_QUARTER …

Source: SOQL and SOSL reference, Date Formats and Date Literals. Days begin at midnight in the user's time zone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.stamps import stamp

Span = tuple[date, date]
"""First day, and the day after the last."""


def _month(day: date, by: int) -> date:
    months = day.year * 12 + day.month - 1 + by
    return date(months // 12, months % 12 + 1, 1)


def _week(day: date, by: int) -> date:
    # Weeks begin on Sunday in the default locale.
    return day - timedelta(days=(day.weekday() + 1) % 7) + timedelta(weeks=by)


def _quarter(day: date, by: int) -> date:
    return _month(day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1), by * 3)


def _year(day: date, by: int) -> date:
    return date(day.year + by, 1, 1)


def _day(day: date, by: int) -> date:
    return day + timedelta(days=by)


_UNITS: dict[str, Callable[[date, int], date]] = {
    "DAY": _day,
    "WEEK": _week,
    "MONTH": _month,
    "QUARTER": _quarter,
    "YEAR": _year,
}
_FIXED = {
    "YESTERDAY": ("DAY", -1),
    "TODAY": ("DAY", 0),
    "TOMORROW": ("DAY", 1),
    **{f"LAST_{unit}": (unit, -1) for unit in ("WEEK", "MONTH", "QUARTER", "YEAR")},
    **{f"THIS_{unit}": (unit, 0) for unit in ("WEEK", "MONTH", "QUARTER", "YEAR")},
    **{f"NEXT_{unit}": (unit, 1) for unit in ("WEEK", "MONTH", "QUARTER", "YEAR")},
}


def span(literal: str, today: date) -> Span:
    """The days that `literal` (upper case, with its `:n`) covers; MALFORMED_QUERY where there is no such literal."""
    name, _, count = literal.partition(":")
    if not count and name in _FIXED:
        unit, by = _FIXED[name]
        return _UNITS[unit](today, by), _UNITS[unit](today, by + 1)
    if name in ("LAST_90_DAYS", "NEXT_90_DAYS"):
        name, count = name.replace("90", "N"), "90"
    unit = name.removesuffix("_AGO").removesuffix("S").rpartition("_")[2]
    if not count or unit not in _UNITS:
        raise Refusal("MALFORMED_QUERY", f"unexpected token: '{literal}'")
    return _counted(name, _UNITS[unit], unit, int(count), today)


def _counted(name: str, move: Callable[[date, int], date], unit: str, count: int, today: date) -> Span:
    if name == f"N_{unit}S_AGO":
        return move(today, -count), move(today, 1 - count)
    if name == f"LAST_N_{unit}S":
        # The last n days run to the end of today; the last n weeks and longer end before the present one.
        return move(today, -count), move(today, 1 if unit == "DAY" else 0)
    if name == f"NEXT_N_{unit}S":
        return move(today, 1), move(today, count + 1)
    raise Refusal("MALFORMED_QUERY", f"unexpected token: '{name}:{count}'")


def midnight(day: date, zone: ZoneInfo) -> str:
    """The stamp of the moment when `day` begins in `zone`."""
    return stamp(datetime.combine(day, time(), zone).astimezone(UTC))


def local_day(text: str, zone: ZoneInfo) -> date:
    """The day of a stamp, as the user's calendar has it."""
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).astimezone(zone).date()


PARTS: dict[str, Callable[[date], int]] = {
    "CALENDAR_YEAR": lambda day: day.year,
    "CALENDAR_QUARTER": lambda day: (day.month - 1) // 3 + 1,
    "CALENDAR_MONTH": lambda day: day.month,
    "DAY_IN_MONTH": lambda day: day.day,
    "DAY_IN_WEEK": lambda day: (day.weekday() + 1) % 7 + 1,
    "DAY_IN_YEAR": lambda day: day.timetuple().tm_yday,
    "WEEK_IN_MONTH": lambda day: (day.day - 1) // 7 + 1,
    "WEEK_IN_YEAR": lambda day: (day.timetuple().tm_yday - 1) // 7 + 1,
}
"""Date functions that give a number."""
