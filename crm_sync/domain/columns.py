"""The canonical columns: what a record of either CRM says once a mapping has translated it.

Every column may be null. Beyond these a mapping may add extra columns named `x_…`; those named `x_web_…` are web
signals and are dropped where tracking isn't allowed.
"""

from __future__ import annotations

import re
from enum import StrEnum

import polars as pl

UTC_TIME = pl.Datetime("us", "UTC")


class Shape(StrEnum):
    """What a canonical column holds."""

    TEXT = "text"
    NUMBER = "number"
    TRUTH = "truth"
    TIME = "time"


DTYPES: dict[Shape, pl.DataType] = {
    Shape.TEXT: pl.String(),
    Shape.NUMBER: pl.Float64(),
    Shape.TRUTH: pl.Boolean(),
    Shape.TIME: UTC_TIME,
}

CONSENT_COLUMNS: dict[str, Shape] = {
    "email_opt_out": Shape.TRUTH,
    "phone_opt_out": Shape.TRUTH,
    "tracking_opt_out": Shape.TRUTH,
    "do_not_profile": Shape.TRUTH,
    "do_not_process": Shape.TRUTH,
    "should_forget": Shape.TRUTH,
    "legal_basis": Shape.TEXT,
    "profiling_consent": Shape.TRUTH,
    "profiling_consent_until": Shape.TIME,
}
"""What people allowed or refused. `profiling_consent` is an explicit answer: true allows, false refuses."""

SCORE_CONSENT_COLUMNS = (
    "do_not_profile",
    "do_not_process",
    "should_forget",
    "legal_basis",
    "profiling_consent",
    "profiling_consent_until",
)
"""Those of them that decide whether a person may be scored."""

ACCOUNT_COLUMNS: dict[str, Shape] = {
    "company": Shape.TEXT,
    "website": Shape.TEXT,
    "industry": Shape.TEXT,
    "employees": Shape.NUMBER,
    "revenue": Shape.NUMBER,
    "country": Shape.TEXT,
    "region": Shape.TEXT,
    "city": Shape.TEXT,
}

MAPPED_ACCOUNT_COLUMNS: dict[str, Shape] = {**ACCOUNT_COLUMNS, "owner_id": Shape.TEXT}
"""An account's owner is for routing alone: it never becomes the owner of the account's people."""

PERSON_COLUMNS: dict[str, Shape] = {
    "email": Shape.TEXT,
    "phone": Shape.TEXT,
    "mobile": Shape.TEXT,
    "first_name": Shape.TEXT,
    "last_name": Shape.TEXT,
    "title": Shape.TEXT,
    **ACCOUNT_COLUMNS,
    "lead_source": Shape.TEXT,
    "status": Shape.TEXT,
    "owner_id": Shape.TEXT,
    "created_at": Shape.TIME,
    **CONSENT_COLUMNS,
    "crm_link": Shape.TEXT,
    "is_converted": Shape.TRUTH,
}
"""`is_converted` is never mapped to a field: it follows from the conversion that a mapping declares."""

DEAL_COLUMNS: dict[str, Shape] = {
    "name": Shape.TEXT,
    "stage": Shape.TEXT,
    "amount": Shape.NUMBER,
    "is_closed": Shape.TRUTH,
    "is_won": Shape.TRUTH,
    "closed_at": Shape.TIME,
    "created_at": Shape.TIME,
}

EXTRA_PREFIX = "x_"
WEB_PREFIX = "x_web_"

PROTECTED = re.compile(
    r"^(x_)?age(_?(group|band|range|years))?(__c)?$|individualsage|gender|(?<![a-z])sex(ual)?(?![a-z])|birth|salutation"
    r"|religi|ethnic|(?<![a-z])race(?![a-z])|nationality|marital|relationship_?status|pregnan|disabilit"
    r"|(?<![a-z])health(?!care|_?score)|political|trade_?union"
)
"""Words of attributes that may not decide about people, nor be shown as a reason."""

LOCATION = re.compile(
    r"(^|_)(country|region|state|province|county|district|city|town|location|post_?(al_?)?code|zip(_?code)?)"
    r"(_(code|group|name))?$"
)
"""Names of fields that say where somebody is. Nobody can act on them, and they come close to where somebody is from: as
a reason they are shown only where the policy wants it."""


class Kind(StrEnum):
    """What an activity was."""

    CALL = "call"
    EMAIL_IN = "email_in"
    EMAIL_OUT = "email_out"
    MEETING = "meeting"
    NOTE = "note"
    TASK = "task"
    FORM = "form"
    CAMPAIGN_RESPONSE = "campaign_response"
    VISIT = "visit"


class Direction(StrEnum):
    """Who started it: the person (in) or us (out). Null where that has no meaning."""

    IN = "in"
    OUT = "out"


DIRECTION_OF: dict[Kind, Direction] = {
    Kind.EMAIL_IN: Direction.IN,
    Kind.FORM: Direction.IN,
    Kind.CAMPAIGN_RESPONSE: Direction.IN,
    Kind.VISIT: Direction.IN,
    Kind.EMAIL_OUT: Direction.OUT,
}
"""Kinds whose direction goes without saying."""

TRACKED_KINDS = frozenset({Kind.VISIT})
"""Kinds that exist only because somebody was watched; never used without consent to tracking."""
