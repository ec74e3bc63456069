"""From Salesforce's words to our families."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.salesforce.errors import FAMILIES, reaction, refusal, said, without_personal_data
from crm_sync.errors import AuthError, ConfigError, Family, RateLimitedError, TransientError
from tests.connectors.salesforce.conversations import NOW

RECORDED = [
    "UNABLE_TO_LOCK_ROW",
    "REQUEST_RUNNING_TOO_LONG",
    "QUERY_TIMEOUT",
    "UNKNOWN_EXCEPTION",
    "LIMIT_EXCEEDED",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    "CANNOT_EXECUTE_FLOW_TRIGGER",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    "REQUIRED_FIELD_MISSING",
    "STRING_TOO_LONG",
    "NUMBER_OUTSIDE_VALID_RANGE",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    "INVALID_TYPE_ON_FIELD_IN_RECORD",
    "JSON_PARSER_ERROR",
    "INVALID_FIELD",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
    "FIELD_INTEGRITY_EXCEPTION",
    "INSUFFICIENT_ACCESS_OR_READONLY",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    "ENTITY_IS_DELETED",
    "INVALID_CROSS_REFERENCE_KEY",
    "MALFORMED_ID",
    "INVALID_ID_FIELD",
    "CANNOT_UPDATE_CONVERTED_LEAD",
    "DUPLICATES_DETECTED",
    "DUPLICATE_VALUE",
    "INVALID_EMAIL_ADDRESS",
    "STORAGE_LIMIT_EXCEEDED",
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "PROCESSING_HALTED",
    "TXN_SECURITY_METERING_ERROR",
    "API_DISABLED_FOR_ORG",
    "API_CURRENTLY_DISABLED",
    "INACTIVE_OWNER_OR_USER",
    "OP_WITH_INVALID_USER_TYPE_EXCEPTION",
    "TRANSFER_REQUIRES_READ",
    "REQUEST_LIMIT_EXCEEDED",
    "SERVER_UNAVAILABLE",
    "INVALID_SESSION_ID",
    "INVALID_LOGIN",
    "LOGIN_MUST_USE_SECURITY_TOKEN",
    "INSUFFICIENT_ACCESS",
    "UNSUPPORTED_API_VERSION",
    "INVALID_QUERY_LOCATOR",
    "MALFORMED_QUERY",
    "INVALID_TYPE",
    "QUERY_TOO_COMPLICATED",
    "OPERATION_TOO_LARGE",
    "EXCEEDED_ID_LIMIT",
    "INVALID_REPLICATION_DATE",
    "invalid_grant",
    "invalid_client_id",
    "invalid_client",
    "inactive_user",
    "inactive_org",
]


@pytest.mark.parametrize("code", RECORDED)
def test_every_recorded_code_has_a_family_and_advice(code: str):
    known = reaction(code, "")

    assert known is not None
    assert known.advice.endswith(".")


def test_no_line_of_the_table_is_hidden_by_one_before_it():
    hidden = [
        (code, words)
        for n, (code, words, _) in enumerate(FAMILIES)
        if any(c == code and w.lower() in words.lower() for c, w, _ in FAMILIES[:n])
    ]

    assert hidden == []


def test_an_exhausted_day_waits_longer_than_too_many_calls_at_once():
    day = refusal(said([{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]), 403, NOW)
    at_once = refusal(
        said(
            [
                {
                    "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
                    "errorCode": "REQUEST_LIMIT_EXCEEDED",
                }
            ]
        ),
        403,
        NOW,
    )

    assert isinstance(day, RateLimitedError)
    assert isinstance(at_once, RateLimitedError)
    assert day.retry_at - NOW >= timedelta(minutes=10)
    assert at_once.retry_at - NOW <= timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "family"),
    [
        pytest.param(503, TransientError, id="maintenance-page"),
        pytest.param(500, TransientError, id="server-error"),
        pytest.param(420, TransientError, id="edge-420-without-a-body"),
        pytest.param(429, TransientError, id="edge-429-without-a-body"),
        pytest.param(406, TransientError, id="edge-406-without-a-body"),
        pytest.param(400, TransientError, id="a-proxy-page"),
        pytest.param(401, AuthError, id="not-let-in"),
        pytest.param(403, AuthError, id="forbidden-page"),
        pytest.param(404, ConfigError, id="no-such-address"),
    ],
)
def test_an_answer_without_a_code_goes_by_its_status(status: int, family: type[Exception]):
    assert isinstance(refusal(said("<html>Down for maintenance</html>"), status, NOW), family)


def test_a_trigger_that_met_a_locked_row_is_transient_and_any_other_is_not():
    locked = reaction("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "LeadTrigger: UNABLE_TO_LOCK_ROW, unable to obtain")
    other = reaction("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "LeadTrigger: System.NullPointerException")

    assert (locked.family, other.family) == (Family.TRANSIENT, Family.RECORD)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param(
            "unable to obtain exclusive access to this record or 1 records: 00QSB0000000002AAA",
            "unable to obtain exclusive access to this record or 1 records: 00QSB0000000002AAA",
            id="ids-stay",
        ),
        pytest.param("Email: invalid email address: ana@exa", "Email: invalid email address: …", id="address"),
        pytest.param(
            "Company: data value too large: Müller & Söhne (max length=40)",
            "Company: data value too large: …(max length=40)",
            id="value-too-large",
        ),
        pytest.param("Name 'Ana Diaz' is taken", "Name … is taken", id="quoted"),
        pytest.param(
            "bad value for restricted picklist field: Ana's own",
            "bad value for restricted picklist field: …",
            id="pick",
        ),
    ],
)
def test_messages_hold_no_personal_data(message: str, shown: str):
    assert without_personal_data(message) == shown


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"errorCode": "X", "message": "", "fields": ["Score__c"]}, "Score__c", id="listed"),
        pytest.param(
            {
                "errorCode": "INVALID_FIELD",
                "message": "\nSELECT Id, Foo__c FROM\nNo such column 'Foo__c' on entity 'Lead'",
            },
            "Foo__c",
            id="no-such-column",
        ),
        pytest.param(
            {"errorCode": "INVALID_TYPE", "message": "sObject type 'Individual' is not supported."},
            "Individual",
            id="no-such-object",
        ),
    ],
)
def test_the_field_or_object_is_named(body: dict[str, object], field: str):
    assert said([body]).field == field
