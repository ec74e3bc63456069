"""HubSpot's refusals and what we make of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.hubspot.errors import FAMILIES, Complaint, Refusal, complaints, error_of, kind_of, words
from crm_sync.errors import AuthError, Family, RateLimitedError, TransientError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)

# Every category, code, policy and status that HubSpot is known to answer with.
KNOWN = {
    "VALIDATION_ERROR": Family.RECORD,
    "BAD_REQUEST": Family.RECORD,
    "INVALID_AUTHENTICATION": Family.AUTH,
    "EXPIRED_AUTHENTICATION": Family.AUTH,
    "BAD_REFRESH_TOKEN": Family.AUTH,
    "MISSING_SCOPES": Family.AUTH,
    "BANNED": Family.AUTH,
    "FORBIDDEN": Family.AUTH,
    "OBJECT_NOT_FOUND": Family.GONE,
    "METHOD_NOT_ALLOWED": Family.CONFIG,
    "CONFLICT": Family.RECORD,
    "OBJECT_ALREADY_EXISTS": Family.CONFIG,
    "LOCKED": Family.TRANSIENT,
    "RATE_LIMITS": Family.RATE_LIMITED,
    "RATE_LIMIT": Family.RATE_LIMITED,
    "PROPERTY_DOESNT_EXIST": Family.CONFIG,
    "READ_ONLY_VALUE": Family.CONFIG,
    "INVALID_OPTION": Family.RECORD,
    "INVALID_LONG": Family.RECORD,
    "INVALID_INTEGER": Family.RECORD,
    "INVALID_NUMERIC": Family.RECORD,
    "INVALID_BOOLEAN": Family.RECORD,
    "INVALID_DATE": Family.RECORD,
    "INVALID_EMAIL": Family.RECORD,
    "PROPERTY_VALUE_TOO_LONG": Family.RECORD,
}

STATUSES = {
    400: Family.RECORD,
    401: Family.AUTH,
    403: Family.AUTH,
    404: Family.CONFIG,
    405: Family.CONFIG,
    409: Family.RECORD,
    414: Family.CONFIG,
    415: Family.CONFIG,
    423: Family.TRANSIENT,
    429: Family.RATE_LIMITED,
    477: Family.RATE_LIMITED,
    500: Family.TRANSIENT,
    502: Family.TRANSIENT,
    503: Family.TRANSIENT,
    504: Family.TRANSIENT,
    521: Family.TRANSIENT,
    522: Family.TRANSIENT,
    523: Family.TRANSIENT,
    524: Family.TRANSIENT,
    525: Family.TRANSIENT,
    526: Family.TRANSIENT,
    530: Family.AUTH,
}


def refused(status: int, body: Any = None, **headers: str) -> Refusal:
    raw = body if isinstance(body, bytes) else orjson.dumps(body if body is not None else {})
    return Refusal(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def listed(*errors: dict[str, str]) -> str:
    return "Property values were not valid: " + orjson.dumps(list(errors)).decode()


@pytest.mark.parametrize(("word", "family"), KNOWN.items(), ids=KNOWN)
def test_every_known_code_has_its_own_row_and_family(word: str, family: Family) -> None:
    assert any(of_word == word for _, of_word, _, _ in FAMILIES) or word in ("VALIDATION_ERROR", "BAD_REQUEST")
    assert kind_of(400 if family is Family.RECORD else 207, {"category": word}, Complaint(code=word)).family is family


@pytest.mark.parametrize(("status", "family"), STATUSES.items(), ids=map(str, STATUSES))
def test_given_a_web_page_instead_of_json_then_the_status_decides(status: int, family: Family) -> None:
    error = error_of(refused(status, b"<html>Bad gateway</html>"), now=NOW, midnight=MIDNIGHT)

    assert error.family is family


@pytest.mark.parametrize(
    ("body", "retry_at"),
    [
        pytest.param({"policyName": "TEN_SECONDLY_ROLLING"}, NOW + timedelta(seconds=10), id="ten-secondly"),
        pytest.param({"policyName": "SECONDLY"}, NOW + timedelta(seconds=1), id="search-secondly"),
        pytest.param({"policyName": "DAILY"}, MIDNIGHT, id="daily"),
        pytest.param({"message": "You have reached your daily limit."}, MIDNIGHT, id="daily-by-message-alone"),
        pytest.param({"category": "RATE_LIMITS"}, NOW + timedelta(seconds=10), id="newer-body"),
    ],
)
def test_given_no_retry_after_when_limited_then_the_policy_says_how_long(body: Any, retry_at: datetime) -> None:
    error = error_of(refused(429, body), now=NOW, midnight=MIDNIGHT)

    assert isinstance(error, RateLimitedError)
    assert error.retry_at == retry_at
    assert ("calls of the day are used up" in str(error)) is (retry_at == MIDNIGHT)


@pytest.mark.parametrize(
    ("status", "text", "seconds"),
    [
        pytest.param(429, "17", 17, id="seconds"),
        pytest.param(429, "Sun, 22 Nov 2026 12:01:00 GMT", 60, id="date"),
        pytest.param(477, "86400", 86_400, id="a-day-of-migration"),
        pytest.param(429, "soon", 10, id="nonsense"),
        pytest.param(429, "-5", 10, id="past"),
        pytest.param(429, "9e99", 10, id="absurd"),
    ],
)
def test_given_retry_after_when_limited_then_it_wins_where_it_makes_sense(status: int, text: str, seconds: int) -> None:
    error = error_of(refused(status, {"policyName": "TEN_SECONDLY_ROLLING"}, Retry_After=text), now=NOW, midnight=None)

    assert isinstance(error, RateLimitedError)
    assert error.retry_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(("status", "sent"), [(502, True), (504, True), (524, True), (521, False), (523, False)])
def test_an_edge_that_never_reached_its_origin_leaves_no_doubt(status: int, sent: bool) -> None:
    error = error_of(refused(status, b""), now=NOW, midnight=None)

    assert isinstance(error, TransientError)
    assert error.sent is sent


def test_a_missing_scope_is_named() -> None:
    body = {
        "category": "MISSING_SCOPES",
        "errors": [{"message": "…", "context": {"requiredGranularScopes": ["crm.objects.deals.read"]}}],
    }

    error = error_of(refused(403, body), now=NOW, midnight=None)

    assert isinstance(error, AuthError)
    assert "crm.objects.deals.read" in str(error)


def test_given_the_same_complaint_in_both_lists_then_it_is_one() -> None:
    text = "lukewarm was not one of the allowed options: [hot, warm]"
    body = {
        "message": listed({"message": text, "error": "INVALID_OPTION", "name": "crm_sync_bucket"}),
        "errors": [{"message": text, "code": "INVALID_OPTION", "context": {"propertyName": ["crm_sync_bucket"]}}],
    }

    found = complaints(body)

    assert found == [Complaint(code="INVALID_OPTION", field="crm_sync_bucket", message=text)]
    assert found[0].value == "lukewarm"


def test_given_no_list_of_errors_then_the_json_in_the_message_is_read() -> None:
    text = "tomorrow was not a valid long."

    found = complaints({"message": listed({"message": text, "error": "INVALID_LONG", "name": "closedate"})})

    assert (found[0].code, found[0].field, found[0].value) == ("INVALID_LONG", "closedate", "tomorrow")


def test_given_only_a_sentence_then_the_unknown_property_is_still_found() -> None:
    found = complaints({"message": 'Property "lead_heat" does not exist', "category": "VALIDATION_ERROR"})

    assert (found[0].code, found[0].field) == ("PROPERTY_DOESNT_EXIST", "lead_heat")


@pytest.mark.parametrize(
    ("complaint", "shown"),
    [
        pytest.param(
            Complaint(code="INVALID_OPTION", field="b", message="Ana Ruiz was not one of the allowed options: [A, B]"),
            "… was not one of the allowed options: [A, B]",
            id="refused-value",
        ),
        pytest.param(
            Complaint(code="INVALID_EMAIL", field="email", message="Email address ana@example.com is invalid"),
            "Email address … is invalid",
            id="address",
        ),
        pytest.param(
            Complaint(
                code="READ_ONLY_VALUE",
                field="hs_score",
                message='"hs_score" is a read only property; its value cannot be set.',
            ),
            '"hs_score" is a read only property; its value cannot be set.',
            id="property-name-stays",
        ),
        pytest.param(
            Complaint(code="X", field="phone", message='cannot take "Ana" with +49 30 1234567'),
            'cannot take "…" with …',
            id="quotation-and-telephone",
        ),
    ],
)
def test_what_is_shown_holds_no_personal_data(complaint: Complaint, shown: str) -> None:
    assert words(complaint) == shown
