"""Values of properties: everything is text, and its declared type decides what may be written.

Source: HubSpot properties guide (types and how values are written); codes and wording of refusals as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from crm_sync.sandbox.hubspot.schema import Property
from crm_sync.sandbox.hubspot.stamps import DAY, iso, parse_ms

LONGEST_TEXT = 65_536
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


class ValueRefused(Exception):
    """A value that can't stand in the property. `code` is HubSpot's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def stored(value: Any) -> str | None:
    """How a value given by a test or a load is kept: text, None where it is empty. Nothing is checked."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(parse_ms(value) or 0)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return ";".join(str(v) for v in value) or None
    return str(value)


def written(definition: Property, raw: Any, *, before: str | None, allowed: Collection[str] | None) -> str | None:
    """What a write of `raw` leaves in the property, None where it is cleared; raises ValueRefused.

    `before` is what stands there, for a leading `;` that appends. `allowed` are the values of an enumeration, None
    where anything goes.
    """
    if raw is None or raw == "":
        return None
    if isinstance(raw, (list, dict)):
        raise ValueRefused("INVALID_STRING", f"{definition.name} must be a single value.")
    value = _BY_TYPE[definition.type](definition, raw, before, allowed)
    _check_rules(definition, value)
    return value


def number(text: str | None) -> float | None:
    """The number that a text stands for, None where it stands for none."""
    if text is None or not _NUMBER.fullmatch(text):
        return None
    return float(text)


def _text(raw: Any) -> str:
    return stored(raw) or ""


def _string(definition: Property, raw: Any, _before: str | None, _allowed: Collection[str] | None) -> str:
    text = _text(raw).replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > LONGEST_TEXT:
        raise ValueRefused(
            "PROPERTY_VALUE_TOO_LONG",
            f'Property "{definition.name}" is too long: {len(text)} characters. The maximum is {LONGEST_TEXT}.',
        )
    if definition.name != "email":
        return text
    text = text.strip().lower()
    if not _EMAIL.fullmatch(text):
        raise ValueRefused("INVALID_EMAIL", f"Email address {text} is invalid")
    return text


def _number(_definition: Property, raw: Any, _before: str | None, _allowed: Collection[str] | None) -> str:
    text = _text(raw).strip()
    if isinstance(raw, bool) or not _NUMBER.fullmatch(text):
        raise ValueRefused("INVALID_NUMERIC", f"{text} was not a valid number.")
    return text


def _bool(_definition: Property, raw: Any, _before: str | None, _allowed: Collection[str] | None) -> str:
    text = _text(raw).lower()
    if text not in ("true", "false"):
        raise ValueRefused("INVALID_BOOLEAN", f"{_text(raw)} was not a valid boolean.")
    return text


def _date(_definition: Property, raw: Any, _before: str | None, _allowed: Collection[str] | None) -> str:
    text = _text(raw).strip()
    ms = parse_ms(text) if _DAY.fullmatch(text) or text.lstrip("-").isdigit() else None
    if ms is None:
        raise ValueRefused("INVALID_LONG", f"{text} was not a valid long.")
    if ms % DAY:
        at = iso(ms)[11:-1]
        raise ValueRefused("INVALID_DATE", f"{text} is at {at} UTC, not midnight!")
    return iso(ms)[:10]


def _datetime(_definition: Property, raw: Any, _before: str | None, _allowed: Collection[str] | None) -> str:
    ms = parse_ms(raw)
    if ms is None:
        raise ValueRefused("INVALID_LONG", f"{_text(raw)} was not a valid long.")
    return iso(ms)


def _enumeration(definition: Property, raw: Any, before: str | None, allowed: Collection[str] | None) -> str | None:
    text = _text(raw)
    if definition.field_type == "booleancheckbox":
        text, allowed = text.lower(), allowed or ("true", "false")
    chosen = [v for v in text.split(";") if v] if definition.multiple else [text]
    for value in chosen:
        if allowed is not None and value not in allowed:
            raise ValueRefused("INVALID_OPTION", f"{value} was not one of the allowed options: [{', '.join(allowed)}]")
    if definition.multiple and text.startswith(";"):
        chosen = [v for v in (before or "").split(";") if v] + chosen
    return ";".join(dict.fromkeys(chosen)) or None


_BY_TYPE = {
    "string": _string,
    "phone_number": _string,
    "json": _string,
    "object_coordinates": _string,
    "number": _number,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "enumeration": _enumeration,
}


def _check_rules(definition: Property, value: str | None) -> None:
    """The account's own rules. HubSpot's code for a broken rule isn't documented; the rule's type stands for it."""
    if value is None:
        return
    for rule, limit in definition.rules.items():
        if _breaks(rule, limit, value):
            raise ValueRefused(rule, f"{value} does not meet the validation rule {rule} {limit} of {definition.name}.")


def _breaks(rule: str, limit: Any, value: str) -> bool:
    amount = number(value)
    match rule:
        case "MAX_NUMBER":
            return amount is not None and amount > float(limit)
        case "MIN_NUMBER":
            return amount is not None and amount < float(limit)
        case "DECIMAL":
            return len(value.partition(".")[2]) > int(limit)
        case "MAX_LENGTH":
            return len(value) > int(limit)
        case "MIN_LENGTH":
            return len(value) < int(limit)
        case "ALPHANUMERIC":
            return not value.isalnum()
        case "REGEX":
            return not re.fullmatch(str(limit), value)
        case _:
            raise ValueError(f"There is no validation rule {rule}.")
