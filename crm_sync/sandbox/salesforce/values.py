"""Turns what a client sends into what the org keeps, or says why it won't; one rule for each field type."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from crm_sync.sandbox.salesforce.fields import NUMBERS, Field
from crm_sync.sandbox.salesforce.ids import full_id, is_id
from crm_sync.sandbox.salesforce.refusals import Refusal, malformed_body
from crm_sync.sandbox.salesforce.stamps import as_stamp, day_of_text, stamp_of_text

_EMAIL = re.compile(r"^[^@\s,;<>()\[\]]+@[^@\s,;<>()\[\]]+\.[^@\s,;<>()\[\].]{2,}$")


def stored(column: Field, value: Any) -> Any:
    """`value` from a JSON body as `column` keeps it. An empty text is null; null stays null.

    Raises Refusal: JSON_PARSER_ERROR for the whole request where the JSON type is wrong, else a code for the record.
    """
    if value is None or value == "":
        return _cleared(column)
    if column.type == "boolean":
        return _truth(column, value)
    if column.type in NUMBERS or column.type == "int":
        return _number(column, value)
    if column.type == "datetime":
        return _parsed(value, stamp_of_text, "dateTime")
    if column.type == "date":
        return _parsed(value, day_of_text, "date")
    if column.type in ("id", "reference"):
        return _reference(column, value)
    if column.type == "complexvalue":
        return value
    return _text(column, value)


def _cleared(column: Field) -> Any:
    if column.type == "boolean":
        raise Refusal(
            "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{column.label}: value not of required type: ", fields=[column.name]
        )
    if column.required:
        raise required_missing([column.name])
    return None


def required_missing(names: list[str]) -> Refusal:
    return Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", fields=names)


def _wrong_json(column: Field, value: Any) -> Refusal:
    kind = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
    token = kind.get(type(value), "START_OBJECT")
    return malformed_body(
        f"Cannot deserialize instance of {column.type} from {token} value {value} or request may be missing a "
        "required field at [line:1, column:1]"
    )


def _truth(column: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    raise _wrong_json(column, value)


def _number(column: Field, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _wrong_json(column, value)
    try:
        exact = Decimal(str(value))
    except InvalidOperation as error:
        raise _wrong_json(column, value) from error
    if not exact.is_finite():
        raise _wrong_json(column, value)
    rounded = exact.quantize(Decimal(1).scaleb(-column.scale), rounding=ROUND_HALF_UP)
    if abs(rounded) >= Decimal(10) ** ((column.precision or 18) - column.scale):
        raise Refusal(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{column.label}: value outside of valid range on numeric field: {value}",
            fields=[column.name],
        )
    return int(rounded) if column.type == "int" else float(rounded)


def _parsed(value: Any, parse: Callable[[str], str | None], kind: str) -> str:
    found = parse(value) if isinstance(value, str) else None
    if found is None:
        raise malformed_body(
            f"Cannot deserialize instance of {kind} from VALUE_STRING value {value} or request may be missing a "
            "required field at [line:1, column:1]"
        )
    return found


def _reference(column: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_json(column, value)
    if not is_id(value):
        raise Refusal("MALFORMED_ID", f"{column.label}: id value of incorrect type: {value}", fields=[column.name])
    return full_id(value)


def _text(column: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_json(column, value)
    if column.length and len(value) > column.length:
        raise Refusal(
            "STRING_TOO_LONG",
            f"{column.label}: data value too large: {value[:255]} (max length={column.length})",
            fields=[column.name],
        )
    if column.type == "email" and not _EMAIL.match(value):
        raise Refusal("INVALID_EMAIL_ADDRESS", f"{column.label}: invalid email address: {value}", fields=[column.name])
    if column.restricted:
        _check_options(column, value)
    return value


def _check_options(column: Field, value: str) -> None:
    chosen = value.split(";") if column.type == "multipicklist" else [value]
    bad = next((one for one in chosen if one not in column.values), None)
    if bad is not None:
        raise Refusal(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{column.label}: bad value for restricted picklist field: {bad}",
            fields=[column.name],
        )


def seed_converter(column: Field) -> Callable[[Any], Any] | None:
    """How a seeded value of `column` is brought into the kept form; None where it is kept as it is.

    Nothing is refused for its content: a real org holds old rows that would not pass today.
    """
    if column.type == "datetime":
        return as_stamp
    if column.type == "date":
        return _seed_day
    if column.type in NUMBERS:
        return float
    if column.type in ("id", "reference"):
        return full_id
    return None


def _seed_day(value: date | datetime | str) -> str:
    return value.strftime("%Y-%m-%d") if isinstance(value, date) else value[:10]
