"""Writes and their outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from crm_sync.domain.records import Value
from crm_sync.errors import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """The values that one CRM record should hold. `None` clears a field; an absent field is left alone.

    `key` is unique within a call and comes back in the outcome. `fields` are the CRM's own field names with
    values at our precision (int, float, bool, str; times as ISO 8601 text with `Z`).
    """

    key: str
    object: str
    record_id: str
    fields: Mapping[str, Value]


class Answer(StrEnum):
    """What the CRM said to one write.

    UNKNOWN: the request may have reached the CRM, nothing came back; read before repeating (law 14).
    NOT_SENT: an earlier refusal ended the run before this write's turn; nothing happened.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one write.

    For anything but ACCEPTED, `family` decides the reaction; `code`, `field` and `message` are the CRM's words
    (personal data stripped), `retry_at` is set for RATE_LIMITED, `survivor` for GONE where it is known.
    `call_id` names the HTTP call that carried the write.
    """

    key: str
    answer: Answer
    family: Family | None = None
    code: str = ""
    field: str = ""
    message: str = ""
    retry_at: datetime | None = None
    survivor: str = ""
    stamp: datetime | None = None
    call_id: str = ""


def same_value(shown: Value, wanted: Value) -> bool:
    """Whether a CRM that shows `shown` already holds `wanted`, at the CRM's precision (scenario 17).

    87 and "87.0" are the same, and so are "" and nothing, text with blanks behind it, and one moment in two spellings
    down to the second.
    """
    if shown == wanted and type(shown) is type(wanted):
        return True
    return _comparable(shown) == _comparable(wanted)


def _comparable(value: Value) -> Value:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return round(float(value), 6)
    text = value.strip()
    if not text:
        return None
    if text in ("true", "false"):
        return text == "true"
    try:
        return round(float(text), 6)
    except ValueError:
        pass
    if len(text) >= 19 and text[4:5] == "-" and text[10:11] == "T":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        return moment.astimezone(UTC).replace(microsecond=0).isoformat()
    return text
