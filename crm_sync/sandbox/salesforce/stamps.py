"""Times as the org keeps and shows them: text of fixed width, UTC, so that text order is time order.

Source: REST API guide, sample bodies; facts: one-second resolution, `.000+0000` always written out.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_FORM = re.compile(
    r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,]\d+)?\s*(Z|z|[+-]\d\d:?\d\d)?$",
)


def stamp(moment: datetime) -> str:
    """`2026-11-22T09:15:03.000+0000`; the fraction of the second is dropped. A naive time counts as UTC."""
    if moment.tzinfo is not None and moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def moment(text: str) -> datetime:
    """The aware time that `stamp` wrote."""
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def stamp_of_text(text: str) -> str | None:
    """Any ISO 8601 date-time as a stamp, or None where the text is none. Without a zone it counts as UTC."""
    if len(text) == 28 and text.endswith(".000+0000"):
        return text
    found = _FORM.match(text)
    if found is None:
        return None
    day, time, zone = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)
    except ValueError:
        return None
    if zone and zone not in "Zz":
        sign = 1 if zone[0] == "+" else -1
        digits = zone[1:].replace(":", "")
        at -= sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return stamp(at)


def day_of_text(text: str) -> str | None:
    """The date at the head of an ISO text, or None."""
    try:
        return date.fromisoformat(text[:10]).isoformat() if len(text) == 10 or text[10:11] in "T " else None
    except ValueError:
        return None


def as_stamp(value: datetime | str) -> str:
    """A time given as a datetime or ISO text; raises ValueError for any other text."""
    if isinstance(value, datetime):
        return stamp(value)
    found = stamp_of_text(value)
    if found is None:
        raise ValueError(f"not a date-time: {value!r}")
    return found
