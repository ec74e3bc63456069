"""Named plans of faults, with the bodies that each CRM is known to send.

Source: Salesforce REST API guide, status codes and error responses; HubSpot error handling and usage guidelines.
"""

from __future__ import annotations

from typing import Any

from crm_sync.sandbox.faults import Fault

PLANS = ("maintenance", "flaky", "quota", "busy")

SALESFORCE_PAGE = (
    "<html><head><title>Service Unavailable</title></head><body><h1>We are down for maintenance.</h1>"
    "<p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>"
)
HUBSPOT_PAGE = (
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center>"
    "<hr><center>cloudflare</center></body></html>"
)
CORRELATION = "9c5a3f0e-5f0d-4b53-9f3c-2f6f4c1f7a10"


def plan(name: str, crm: str) -> list[Fault]:
    """The faults of a named plan for one CRM. Raises KeyError where there is no such plan.

    `maintenance`: every call gets an HTML page. `flaky`: one call in eight goes wrong, each time differently.
    `quota`: the day's allowance is used up. `busy`: every third call is asked to wait for a moment.
    """
    return [Fault.model_validate({"crm": crm, **fault}) for fault in _PLANS[name][crm]]


_PLANS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "maintenance": {
        "salesforce": [{"do": "answer", "status": 503, "content": SALESFORCE_PAGE}],
        "hubspot": [{"do": "answer", "status": 502, "content": HUBSPOT_PAGE}],
    },
    "flaky": {
        "salesforce": [
            {"share": 0.03, "do": "answer", "status": 503, "content": [{"errorCode": "SERVER_UNAVAILABLE", "message": "Server unavailable"}]},  # noqa: E501
            {"share": 0.02, "do": "answer", "status": 500, "content": [{"errorCode": "UNKNOWN_EXCEPTION", "message": "An unexpected error occurred. Please include this ErrorId if you contact support"}]},  # noqa: E501
            {"share": 0.02, "do": "reset"},
            {"share": 0.02, "do": "truncate"},
            {"share": 0.01, "do": "answer", "status": 200, "content": SALESFORCE_PAGE},
            {"share": 0.01, "do": "answer", "status": 420},
            {"share": 0.02, "method": "PATCH", "do": "lose"},
        ],
        "hubspot": [
            {"share": 0.03, "do": "answer", "status": 502, "content": HUBSPOT_PAGE},
            {"share": 0.02, "do": "answer", "status": 500, "content": {"status": "error", "message": "internal error", "correlationId": CORRELATION}},  # noqa: E501
            {"share": 0.01, "do": "answer", "status": 503, "headers": {"retry-after": "1"}, "content": {"status": "error", "message": "Service temporarily unavailable", "correlationId": CORRELATION}},  # noqa: E501
            {"share": 0.02, "do": "reset"},
            {"share": 0.02, "do": "truncate"},
            {"share": 0.01, "do": "answer", "status": 200, "content": HUBSPOT_PAGE},
            {"share": 0.01, "do": "answer", "status": 423, "content": {"status": "error", "message": "Resource is locked", "correlationId": CORRELATION, "category": "LOCKED"}},  # noqa: E501
            {"share": 0.02, "path": "batch/update", "do": "lose"},
        ],
    },
    "quota": {
        "salesforce": [
            {"path": "^/services/data/v", "do": "answer", "status": 403, "headers": {"sforce-limit-info": "api-usage=100000/100000"}, "content": [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]},  # noqa: E501
        ],
        "hubspot": [
            {"do": "answer", "status": 429, "headers": {"x-hubspot-ratelimit-daily": "650000", "x-hubspot-ratelimit-daily-remaining": "0"}, "content": {"status": "error", "message": "You have reached your daily limit.", "errorType": "RATE_LIMIT", "correlationId": CORRELATION, "policyName": "DAILY", "groupName": "publicapi:private-apps-api-calls-daily"}},  # noqa: E501
        ],
    },
    "busy": {
        "salesforce": [
            {"path": "^/services/data/v", "every": 3, "do": "answer", "status": 403, "content": [{"message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]},  # noqa: E501
        ],
        "hubspot": [
            {"every": 3, "do": "answer", "status": 429, "headers": {"retry-after": "1"}, "content": {"status": "error", "message": "You have reached your ten_secondly_rolling limit.", "errorType": "RATE_LIMIT", "correlationId": CORRELATION, "policyName": "TEN_SECONDLY_ROLLING"}},  # noqa: E501
        ],
    },
}  # fmt: skip
