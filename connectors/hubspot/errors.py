"""The table from HubSpot's statuses, categories and codes to our error families, and what is read from a refusal.

Nothing here calls HubSpot. A refusal is an answer whose status isn't 2xx, or one entry of `errors` in a 207.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import orjson

from crm_sync.errors import (
    AuthError,
    ConfigError,
    CrmSyncError,
    Family,
    GoneError,
    RateLimitedError,
    RecordError,
    TransientError,
)


class Wait(Enum):
    """How long HubSpot wants us to stay away where it sends no `Retry-After`. Days end at the account's midnight."""

    SECOND = "second"
    TEN_SECONDS = "ten_seconds"
    HOUR = "hour"
    UNTIL_MIDNIGHT = "until_midnight"


_WAITS = {
    Wait.SECOND: timedelta(seconds=1),
    Wait.TEN_SECONDS: timedelta(seconds=10),
    Wait.HOUR: timedelta(hours=1),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A family, and what else its reaction needs.

    `sent` is for transient refusals: false where HubSpot's edge says that the request never reached its origin.
    """

    family: Family
    wait: Wait | None = None
    sent: bool = True


TRANSIENT = Kind(Family.TRANSIENT)
NOT_REACHED = Kind(Family.TRANSIENT, sent=False)
RECORD = Kind(Family.RECORD)
GONE = Kind(Family.GONE)
AUTH = Kind(Family.AUTH)
CONFIG = Kind(Family.CONFIG)

FAMILIES: Sequence[tuple[int, str, str, Kind]] = (
    # status (0: any), word in category, code, policy or errorType ("" any), words in the message, family; first wins.
    # Source: HubSpot API guides "Error handling" and "Usage details"; codes met in recorded answers.
    (429, "DAILY", "", Kind(Family.RATE_LIMITED, Wait.UNTIL_MIDNIGHT)),
    (429, "SECONDLY", "", Kind(Family.RATE_LIMITED, Wait.SECOND)),
    (429, "TEN_SECONDLY_ROLLING", "", Kind(Family.RATE_LIMITED, Wait.TEN_SECONDS)),
    (429, "", "daily limit", Kind(Family.RATE_LIMITED, Wait.UNTIL_MIDNIGHT)),
    (429, "", "ten_secondly", Kind(Family.RATE_LIMITED, Wait.TEN_SECONDS)),
    (429, "", "secondly limit", Kind(Family.RATE_LIMITED, Wait.SECOND)),
    (429, "", "", Kind(Family.RATE_LIMITED, Wait.TEN_SECONDS)),
    (477, "", "", Kind(Family.RATE_LIMITED, Wait.HOUR)),  # the account moves to another data centre
    (0, "RATE_LIMITS", "", Kind(Family.RATE_LIMITED, Wait.TEN_SECONDS)),
    (0, "RATE_LIMIT", "", Kind(Family.RATE_LIMITED, Wait.TEN_SECONDS)),
    (0, "BAD_REFRESH_TOKEN", "", AUTH),
    (0, "invalid_grant", "", AUTH),
    (0, "invalid_client", "", AUTH),
    (0, "INVALID_AUTHENTICATION", "", AUTH),
    (0, "EXPIRED_AUTHENTICATION", "", AUTH),
    (0, "MISSING_SCOPES", "", AUTH),
    (0, "BANNED", "", AUTH),
    (0, "FORBIDDEN", "", AUTH),
    (401, "", "", AUTH),
    (403, "", "", AUTH),
    (530, "", "", AUTH),  # the edge can't make sense of the token
    (0, "PROPERTY_DOESNT_EXIST", "", CONFIG),
    (0, "READ_ONLY_VALUE", "", CONFIG),
    (0, "", "non-unique", CONFIG),  # an update by a property that isn't unique
    (0, "INVALID_OPTION", "", RECORD),
    (0, "INVALID_LONG", "", RECORD),
    (0, "INVALID_INTEGER", "", RECORD),
    (0, "INVALID_NUMERIC", "", RECORD),
    (0, "INVALID_NUMBER", "", RECORD),
    (0, "INVALID_BOOLEAN", "", RECORD),
    (0, "INVALID_DATE", "", RECORD),
    (0, "INVALID_EMAIL", "", RECORD),
    (0, "PROPERTY_VALUE_TOO_LONG", "", RECORD),
    (0, "OBJECT_NOT_FOUND", "", GONE),
    (0, "OBJECT_ALREADY_EXISTS", "", CONFIG),
    (0, "CONFLICT", "", RECORD),
    (0, "LOCKED", "", TRANSIENT),
    (400, "", "does not exist", CONFIG),
    (400, "", "", RECORD),
    (0, "VALIDATION_ERROR", "", RECORD),
    (0, "BAD_REQUEST", "", RECORD),
    (404, "", "resource not found", GONE),
    (404, "", "", CONFIG),  # an address or an object type that this portal doesn't have
    (0, "METHOD_NOT_ALLOWED", "", CONFIG),
    (405, "", "", CONFIG),
    (409, "", "", RECORD),
    (414, "", "", CONFIG),
    (415, "", "", CONFIG),
    (423, "", "", TRANSIENT),
    (521, "", "", NOT_REACHED),
    (522, "", "", NOT_REACHED),
    (523, "", "", NOT_REACHED),
    (525, "", "", NOT_REACHED),
    (526, "", "", NOT_REACHED),
)

# Refusals of a value that hold for every record alike: the same value in the same property is refused everywhere.
VALUE_CODES = frozenset(
    {
        "INVALID_OPTION",
        "INVALID_LONG",
        "INVALID_INTEGER",
        "INVALID_NUMERIC",
        "INVALID_NUMBER",
        "INVALID_BOOLEAN",
        "INVALID_DATE",
        "INVALID_EMAIL",
        "PROPERTY_VALUE_TOO_LONG",
    }
)

# Refusals of the property itself, whatever value stands in it.
PROPERTY_CODES = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})
_NO_PROPERTY = re.compile(r'Property "([a-z0-9_]+)" does not exist')

# What may be personal in a message: the value that it begins with, quotations, addresses, telephone numbers.
_VALUE_FIRST = re.compile(r"^(Email address )?.*?( (?:was not|is not|is invalid)\b)", re.DOTALL)
_QUOTED = re.compile(r'(?:Property )?"([^"]*)"')
_APOSTROPHES = re.compile(r"(?<!\w)'[^']*'(?!\w)")
_ADDRESS = re.compile(r"\S+@\S+")
_LONG_NUMBER = re.compile(r"\+?\d[\d ()/-]{6,}\d")

LONGEST_ADVICE = timedelta(hours=25)
_LISTED = "Property values were not valid: "
_SUBJECT = re.compile(
    r'^(?:Email address |Property )?"?(?P<value>.*?)"? (?:was not|is not|is invalid|does not exist)\b', re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that HubSpot found wrong. `message` is as it came and may hold personal data; show `words()` of it."""

    code: str = ""
    field: str = ""
    message: str = ""

    @property
    def value(self) -> str | None:
        """The value that the message complains about, where it begins with one."""
        found = _SUBJECT.match(self.message)
        return found["value"] if found and self.code in VALUE_CODES else None


class Refusal(Exception):
    """An answer of HubSpot whose status isn't 2xx."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HubSpot answered {status}")
        self.status = status
        self.headers = headers
        self.body = parse_body(body)

    @property
    def correlation_id(self) -> str:
        return str(self.headers.get("X-HubSpot-Correlation-Id") or self.body.get("correlationId") or "")


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object in a refusal, or an empty one: gateways answer in HTML."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def complaints(error: Mapping[str, Any]) -> list[Complaint]:
    """What a refusal's body, or one entry of a 207's `errors`, complains about; at least one.

    Either list may be missing: `errors`, or the JSON that follows "Property values were not valid:".
    """
    message = str(error.get("message") or "")
    found = [
        Complaint(
            code=str(entry.get("code") or entry.get("error") or ""),
            field=_first(_context(entry), "propertyName") or str(entry.get("name") or ""),
            message=str(entry.get("message") or ""),
        )
        for entry in [*_dicts(error.get("errors")), *_listed(message)]
    ]
    told = [c for c in found if c.code or c.field]
    if told:
        return sorted(set(told), key=told.index)
    if unknown := _NO_PROPERTY.search(message):
        return [Complaint(code="PROPERTY_DOESNT_EXIST", field=unknown[1], message=message)]
    code = str(error.get("code") or error.get("category") or error.get("status") or "")
    return [Complaint(code=code, field=_first(_context(error), "propertyName"), message=message)]


def kind_of(status: int, error: Mapping[str, Any], complaint: Complaint | None = None) -> Kind:
    """The first row of FAMILIES that fits; a status that no row knows is transient when 5xx, else a record's fault."""
    said = [complaint.code] if complaint and complaint.code else []
    said += [str(error[key]) for key in ("policyName", "category", "errorType", "status", "error") if error.get(key)]
    text = f"{error.get('message') or ''} {complaint.message if complaint else ''}".casefold()
    for of_status, word, words, kind in FAMILIES:
        if of_status in (0, status) and (not word or word in said) and words in text:
            return kind
    return TRANSIENT if status >= 500 or status < 300 else RECORD


def error_of(refusal: Refusal, *, now: datetime, midnight: datetime | None) -> CrmSyncError:
    """A refused call as the error to raise. `midnight` is the account's next one, None where its zone isn't known."""
    complaint = complaints(refusal.body)[0]
    kind = kind_of(refusal.status, refusal.body, complaint)
    code = complaint.code or str(refusal.status)
    said = words(complaint)
    match kind.family:
        case Family.RATE_LIMITED:
            retry_at = advised(refusal.headers, now) or _after(kind.wait, now, midnight)
            why = "The portal's calls of the day are used up: " if kind.wait is Wait.UNTIL_MIDNIGHT else ""
            return RateLimitedError(
                f"{why}HubSpot asked us to wait until {retry_at:%Y-%m-%d %H:%M:%S} UTC.", retry_at=retry_at, code=code
            )
        case Family.AUTH:
            return AuthError(_auth_words(refusal, code), code=code)
        case Family.GONE:
            return GoneError(f"HubSpot doesn't have this record any more ({code}).", code=code)
        case Family.CONFIG:
            return ConfigError(_sentence("HubSpot refuses the request", code, said), code=code, field=complaint.field)
        case Family.RECORD:
            return RecordError(_sentence("HubSpot refuses the values", code, said), code=code, field=complaint.field)
    return TransientError(
        f"HubSpot answered {refusal.status}; the same call may work later.", code=code, sent=kind.sent
    )


def advised(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """The moment that `Retry-After` names, in seconds or as a date; None where it is absent or makes no sense."""
    text = (headers.get("Retry-After") or "").strip()
    if not text:
        return None
    try:
        wait = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        wait = _until_date(text, now)
    return now + wait if timedelta(0) < wait <= LONGEST_ADVICE else None


def words(complaint: Complaint) -> str:
    """HubSpot's message without what may be personal: the refused value, quoted text, addresses, long numbers.

    The name of the property stays, also where it is quoted.
    """
    kept = complaint.message.split(_LISTED)[0] + (_LISTED.strip(": ") if _LISTED in complaint.message else "")
    about_property = f'"{complaint.field}"' if complaint.field else "Property "
    if not kept.startswith(("Property ", about_property)):
        kept = _VALUE_FIRST.sub(r"\1…\2", kept, count=1)
    kept = _QUOTED.sub(lambda q: q[0] if q[1] == complaint.field or q[0].startswith("Property ") else '"…"', kept)
    kept = _APOSTROPHES.sub("'…'", kept)
    kept = _ADDRESS.sub("…", kept)
    kept = _LONG_NUMBER.sub("…", kept)
    return kept[:300].strip()


def _auth_words(refusal: Refusal, code: str) -> str:
    scopes = sorted(
        {
            str(scope)
            for entry in _dicts(refusal.body.get("errors"))
            for scope in _context(entry).get("requiredGranularScopes") or _context(entry).get("requiredScopes") or ()
        }
    )
    if scopes:
        return f"HubSpot lacks a permission: grant the scope {', '.join(scopes)} and sign in again."
    if code in ("BAD_REFRESH_TOKEN", "invalid_grant", "invalid_client"):
        return "HubSpot refuses to renew the sign-in: an admin has to connect the portal again."
    if refusal.status == 403:
        return f"HubSpot doesn't allow this ({code}): check the app's scopes and the user's permissions."
    return f"HubSpot doesn't let us in ({code}): check the access token, or sign in again."


def _sentence(start: str, code: str, said: str) -> str:
    return f"{start} ({code}): {said}" if said else f"{start} ({code})."


def _after(wait: Wait | None, now: datetime, midnight: datetime | None) -> datetime:
    if wait is Wait.UNTIL_MIDNIGHT:
        return midnight or now + timedelta(hours=1)
    return now + _WAITS[wait or Wait.TEN_SECONDS]


def _until_date(text: str, now: datetime) -> timedelta:
    try:
        return parsedate_to_datetime(text) - now
    except (ValueError, TypeError):
        return timedelta(0)


def _listed(message: str) -> Iterator[dict[str, Any]]:
    start = message.find(_LISTED)
    if start < 0:
        return
    try:
        yield from _dicts(orjson.loads(message[start + len(_LISTED) :]))
    except orjson.JSONDecodeError:
        return


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _context(error: Mapping[str, Any]) -> Mapping[str, Any]:
    context = error.get("context")
    return context if isinstance(context, dict) else {}


def _first(context: Mapping[str, Any], key: str) -> str:
    value = context.get(key)
    if isinstance(value, list) and value:
        return str(value[0])
    return str(value) if isinstance(value, str) else ""
