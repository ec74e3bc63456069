"""From what Salesforce says to what to do next. The only place that knows its error codes.

Status and exception class would mislead: an exhausted quota is a 403 (fact sheet §1.6, §6). The code decides, with
words of the message where one code means two things.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import requests
import urllib3
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError

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

SECONDS = timedelta(seconds=10)
TENS_OF_MINUTES = timedelta(minutes=30)
"""The daily allocation is a rolling 24 hours and no header says when it frees (REST API guide, API limits)."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """A family, the advice to people, and for RATE_LIMITED how long to wait."""

    family: Family
    advice: str
    wait: timedelta = timedelta(0)


def _transient(advice: str) -> Reaction:
    return Reaction(Family.TRANSIENT, advice)


def _record(advice: str) -> Reaction:
    return Reaction(Family.RECORD, advice)


def _gone(advice: str) -> Reaction:
    return Reaction(Family.GONE, advice)


def _auth(advice: str) -> Reaction:
    return Reaction(Family.AUTH, advice)


def _config(advice: str) -> Reaction:
    return Reaction(Family.CONFIG, advice)


_LIMIT = "The org's API calls for the day are used up; crm-sync goes on when some are free again."
_BUSY = "The org has too many long calls running; crm-sync waits a moment."
_LOCKED = "Somebody else was changing the record; it is tried again."
_NO_RIGHT = "The integration user may not edit this record: look at sharing, an approval lock or the owner's role."
_NO_FIELD = "The field is gone or hidden from the integration user: give it access or change the mapping."
_NO_OBJECT = "The object is not enabled in this org or hidden from the integration user."
_OWNER = "Salesforce doesn't accept this owner: choose an active user or a queue that takes leads."
_BUG = "The value doesn't fit the field: look at the field's type in the mapping."
_OUR_CALL = "Salesforce didn't understand the call: please report this with the code."
_AGAIN = "Salesforce had a problem of its own; it is tried again."
_API_OFF = "The org doesn't allow API access: an admin must switch it on for the integration user."

FAMILIES: Sequence[tuple[str, str, Reaction]] = (  # code, words in the message, reaction; first match wins
    ("REQUEST_LIMIT_EXCEEDED", "Concurrent", Reaction(Family.RATE_LIMITED, _BUSY, SECONDS)),
    ("REQUEST_LIMIT_EXCEEDED", "", Reaction(Family.RATE_LIMITED, _LIMIT, TENS_OF_MINUTES)),
    ("UNABLE_TO_LOCK_ROW", "", _transient(_LOCKED)),
    ("REQUEST_RUNNING_TOO_LONG", "", _transient(_AGAIN)),
    ("QUERY_TIMEOUT", "", _transient("The query ran too long; it is tried again.")),
    ("INVALID_QUERY_LOCATOR", "", _transient("The page is no longer there; the walk goes on from its last place.")),
    ("UNKNOWN_EXCEPTION", "", _transient(_AGAIN)),
    ("SERVER_UNAVAILABLE", "", _transient(_AGAIN)),
    ("LIMIT_EXCEEDED", "", _transient("The org's own automation hit a limit; it is tried again.")),
    ("ALL_OR_NONE_OPERATION_ROLLED_BACK", "", _transient("Another record stopped this one; it is tried again.")),
    ("PROCESSING_HALTED", "", _transient("Another record stopped this one; it is tried again.")),
    # A trigger that met a locked row reports its own code with the lock's inside.
    ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "UNABLE_TO_LOCK_ROW", _transient(_LOCKED)),
    ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "", _record("A trigger of the org refused the change.")),
    ("CANNOT_EXECUTE_FLOW_TRIGGER", "", _record("A flow of the org failed on the change; an admin must mend it.")),
    ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "", _record("A validation rule of the org refused the change.")),
    ("REQUIRED_FIELD_MISSING", "", _record("The record lacks a field that the org now requires: fill it in.")),
    ("FIELD_INTEGRITY_EXCEPTION", "", _record("The record's fields contradict each other: correct the record.")),
    ("INVALID_EMAIL_ADDRESS", "", _record("The record holds an invalid e-mail address: correct it.")),
    ("FIELD_FILTER_VALIDATION_EXCEPTION", "", _record("A lookup filter of the org refused the change.")),
    ("DUPLICATES_DETECTED", "", _record("A duplicate rule of the org blocks the change: merge the duplicates.")),
    ("DUPLICATE_VALUE", "", _record("Another record already has this unique value.")),
    ("STRING_TOO_LONG", "", _record(_BUG)),
    ("NUMBER_OUTSIDE_VALID_RANGE", "", _record(_BUG)),
    ("INVALID_TYPE_ON_FIELD_IN_RECORD", "", _record(_BUG)),
    ("INSUFFICIENT_ACCESS_OR_READONLY", "", _record(_NO_RIGHT)),
    ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", _record(_NO_RIGHT)),
    ("TRANSFER_REQUIRES_READ", "", _record("The new owner may not read leads: choose another or give the right.")),
    ("INACTIVE_OWNER_OR_USER", "", _record(_OWNER)),
    ("OP_WITH_INVALID_USER_TYPE_EXCEPTION", "", _record(_OWNER)),
    ("INVALID_CROSS_REFERENCE_KEY", "", _record("The record, or one that it points at, is not there.")),
    ("MALFORMED_ID", "", _record("This is not the id of a Salesforce record.")),
    ("INVALID_ID_FIELD", "", _record("This is not the id of a Salesforce record.")),
    ("ENTITY_IS_DELETED", "", _gone("The record is deleted or merged in Salesforce.")),
    ("CANNOT_UPDATE_CONVERTED_LEAD", "", _gone("The lead is converted; its contact lives on.")),
    ("INVALID_FIELD", "", _config(_NO_FIELD)),
    ("INVALID_FIELD_FOR_INSERT_UPDATE", "", _config("The field can't be written: give edit access or map another.")),
    ("INVALID_TYPE", "", _config(_NO_OBJECT)),
    ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "", _config("The picklist doesn't offer this value: add it.")),
    ("NOT_FOUND", "", _config(_NO_OBJECT)),
    ("OPERATION_TOO_LARGE", "", _config("Give the integration user the permission View All Data, or fewer records.")),
    ("QUERY_TOO_COMPLICATED", "", _config("Map fewer formula fields.")),
    ("STORAGE_LIMIT_EXCEEDED", "", _config("The org's storage is full: free some.")),
    ("TXN_SECURITY_METERING_ERROR", "", _config("Exempt the integration user from transaction security policies.")),
    ("FUNCTIONALITY_NOT_ENABLED", "", _config(_NO_OBJECT)),
    ("MALFORMED_QUERY", "", _config(_OUR_CALL)),
    ("JSON_PARSER_ERROR", "", _config(_OUR_CALL)),
    ("EXCEEDED_ID_LIMIT", "", _config(_OUR_CALL)),
    ("INVALID_REPLICATION_DATE", "", _config(_OUR_CALL)),
    ("API_DISABLED_FOR_ORG", "", _auth(_API_OFF)),
    ("API_CURRENTLY_DISABLED", "", _auth(_API_OFF)),
    ("INSUFFICIENT_ACCESS", "", _auth("The integration user lacks a permission that this call needs.")),
    # Session security level: a new session of the same kind would be refused again (jsforce http-api.ts).
    ("INVALID_SESSION_ID", "not valid for use with the REST API", _auth("Let the app's sessions use the REST API.")),
    ("INVALID_SESSION_ID", "", _auth("The session has ended: sign in again.")),
    ("INVALID_LOGIN", "", _auth("Check user name, password and security token.")),
    ("LOGIN_MUST_USE_SECURITY_TOKEN", "", _auth("Add the user's security token, or trust this machine's address.")),
    ("UNSUPPORTED_API_VERSION", "", _config("The org no longer has this way to sign in: use client credentials.")),
    ("UNSUPPORTED_CLIENT", "", _auth("The org's TLS settings refuse this client.")),
    ("INVALID AUTH", "", _config("Name the org's own My Domain address; login hosts don't take client credentials.")),
    ("invalid_grant", "", _auth("The org doesn't let this user in: check the user and the app's policies.")),
    ("invalid_client_id", "", _auth("Check the consumer key.")),
    ("invalid_client", "", _auth("Check the consumer key and secret.")),
    ("inactive_user", "", _auth("The integration user is not active.")),
    ("inactive_org", "", _auth("The org is locked or closed.")),
    ("invalid_app_access", "", _auth("Allow the integration user to use the app.")),
    ("unsupported_grant_type", "", _auth("Allow this flow in the app's settings.")),
    ("rate_limit_exceeded", "", Reaction(Family.RATE_LIMITED, "Too many sign-ins; crm-sync waits.", TENS_OF_MINUTES)),
)

_TRANSIENT_STATUSES = frozenset({406, 408, 420, 425, 429})
"""Salesforce Edge answers some of these with an empty body while it sets things up."""

_MAIL = re.compile(r"\S+@\S+")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”")
_AFTER_A_COLON = re.compile(
    r"((?:too large|picklist field|email address|invalid value|not of type [^:]*|value)\s*:\s*).*?(?=\(max|$)", re.I
)
_NAMED_FIELD = re.compile(
    r"No such column '([^']+)'|relationship '([^']+)'|sObject type '([^']+)'|field ['\"]?(\w+__c|\w+Id)['\"]?"
)


class SaidError(BaseModel):
    """One element of an error body: REST says `errorCode`, collections say `statusCode` (fact sheet §5.2)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message: str = ""
    errorCode: str = ""
    statusCode: str = ""
    fields: tuple[str, ...] | None = Field(default=None)

    @property
    def code(self) -> str:
        return self.errorCode or self.statusCode

    @property
    def field(self) -> str:
        """The field (or object) that it is about, from the list or from the words."""
        if self.fields:
            return self.fields[0]
        named = _NAMED_FIELD.search(self.message)
        return next((g for g in named.groups() if g), "") if named else ""


def said(content: Any) -> SaidError | None:
    """The first error of a body, or None where the body isn't Salesforce's."""
    first = content[0] if isinstance(content, list) and content else content
    try:
        error = SaidError.model_validate(first)
    except ValidationError:
        return None
    return error if error.code else None


def reaction(code: str, message: str) -> Reaction | None:
    """None where neither code nor words are known."""
    return next((r for c, words, r in FAMILIES if c == code and words.lower() in message.lower()), None)


def without_personal_data(message: str) -> str:
    """The message without e-mail addresses and quoted or repeated values. Record ids may stay."""
    bare = _QUOTED.sub("…", _MAIL.sub("…", message))
    return _AFTER_A_COLON.sub(r"\1…", bare).strip()[:300]


def is_expired(error: SalesforceError) -> bool:
    """True where a new session would help."""
    told = said(error.content)
    if error.status != 401 or told is None or told.code != "INVALID_SESSION_ID":
        return False
    return "not valid for use" not in told.message and "not attached" not in told.message


def refusal(error: SaidError | None, status: int, now: datetime) -> CrmSyncError:
    """One of the six families for an answer that refuses a whole call."""
    if error is None:
        return _by_status(status)
    known = reaction(error.code, error.message)
    if known is None:
        return _unknown(error, status)
    about = f" ({error.code}{': ' + error.field if error.field else ''})"
    return in_family(known, known.advice.rstrip(".") + about + ".", error, now)


def in_family(known: Reaction, words: str, error: SaidError, now: datetime) -> CrmSyncError:
    match known.family:
        case Family.TRANSIENT:
            return TransientError(words, code=error.code, field=error.field)
        case Family.RATE_LIMITED:
            return RateLimitedError(words, code=error.code, retry_at=now + known.wait)
        case Family.RECORD:
            return RecordError(words, code=error.code, field=error.field)
        case Family.GONE:
            return GoneError(words, code=error.code)
        case Family.AUTH:
            return AuthError(words, code=error.code, field=error.field)
        case Family.CONFIG:
            return ConfigError(words, code=error.code, field=error.field)


def _unknown(error: SaidError, status: int) -> CrmSyncError:
    words = f"Salesforce refused the call ({error.code}): {without_personal_data(error.message)}"
    if status >= 500 or status in _TRANSIENT_STATUSES:
        return TransientError(words, code=error.code, field=error.field)
    if status in (401, 403):
        return AuthError(words, code=error.code, field=error.field)
    return ConfigError(words, code=error.code, field=error.field)


def _by_status(status: int) -> CrmSyncError:
    if status in (401, 403):
        return AuthError(f"Salesforce doesn't let the connection in (HTTP {status}): sign in again.", code=str(status))
    if status == 404:
        return ConfigError("There is no Salesforce API at this address: check it.", code="404")
    # An error page without a code comes from something in between: it says nothing lasting about our call.
    return TransientError(f"Salesforce isn't available (HTTP {status}); it is tried again.", code=str(status))


def translate(error: Exception, now: datetime) -> CrmSyncError:
    """What simple-salesforce or requests raised, as one of the six families. A bug of ours is raised again."""
    match error:
        case SalesforceAuthenticationFailed():
            return _sign_in_refused(error, now)
        case SalesforceError():
            return refusal(said(error.content), error.status, now)
        case requests.exceptions.JSONDecodeError():
            return garbage()
        case requests.exceptions.InvalidJSONError() | requests.exceptions.InvalidURL():
            raise error
        case requests.exceptions.TooManyRedirects():
            return ConfigError("The address answers with a redirect: name the org's own My Domain address.")
        case requests.exceptions.SSLError():
            return _not_secure(error)
        case requests.exceptions.ConnectTimeout():
            return _unreachable(error)
        case requests.exceptions.Timeout():
            return _too_late()
        case requests.exceptions.ConnectionError():
            # A body that takes too long is reported as a connection error.
            if isinstance(_reason(error), urllib3.exceptions.ReadTimeoutError):
                return _too_late()
            return _unreachable(error) if _never_left(error) else _broken()
        case requests.exceptions.RequestException():
            return _broken()
    raise error


def garbage() -> TransientError:
    return TransientError("Salesforce's answer was not what was asked for; it is tried again.", code="garbage")


def _too_late() -> TransientError:
    return TransientError("Salesforce didn't answer in time; it is tried again.", code="timeout")


def _broken() -> TransientError:
    return TransientError("The connection to Salesforce broke off; it is tried again.", code="connection")


def _unreachable(error: requests.exceptions.RequestException) -> TransientError:
    host = (error.request.url or "").split("/")[2:3] if error.request is not None else []
    name = host[0] if host else "Salesforce"
    return TransientError(
        f"{name} can't be reached: check the address and the network.", code="unreachable", sent=False
    )


def _never_left(error: requests.exceptions.ConnectionError) -> bool:
    """True where no connection came about, so the CRM can't have acted."""
    return isinstance(_reason(error), urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError)


def _reason(error: requests.exceptions.ConnectionError) -> Any:
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", cause)


def _not_secure(error: requests.exceptions.SSLError) -> CrmSyncError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigError("The server's certificate isn't trusted: name its authority in ca_file.", code="certificate")
    return TransientError("No secure connection to Salesforce came about; it is tried again.", code="tls", sent=False)


def _sign_in_refused(error: SalesforceAuthenticationFailed, now: datetime) -> CrmSyncError:
    code, message = str(error.code or ""), str(error.message or "")
    if code.isdigit():
        # Neither XML nor JSON came back: a page of something in between.
        return _by_status(int(code)) if int(code) >= 300 else garbage()
    if not code:
        # JSON that is no OAuth error, from something in between or another server: its status isn't told.
        return TransientError(
            "What answers the sign-in isn't Salesforce: check the address if it stays so.", code="garbage"
        )
    known = reaction(code.removeprefix("sf:"), message)
    if known is None:
        words = without_personal_data(message)
        return AuthError(f"Salesforce doesn't let the connection in ({code}: {words}).", code=code)
    text = f"Salesforce doesn't let the connection in ({code}). {known.advice}"
    return in_family(known, text, SaidError(errorCode=code, message=""), now)
