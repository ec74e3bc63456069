"""What the portal says when it refuses a call: status and body.

Source: HubSpot API reference, error handling; wording as recorded from live accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

Body = dict[str, Any]


class Refusal(Exception):
    """A call that ends with `status`. `body` None gives `page` (HTML, or nothing) instead of JSON.

    The correlation id is added when the answer is written.
    """

    def __init__(
        self,
        status: int,
        body: Body | None = None,
        *,
        page: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {(body or {}).get('message', '')}")
        self.status = status
        self.body = body
        self.page = page
        self.headers = dict(headers or {})


def error(
    status: int,
    category: str | None,
    message: str,
    *,
    context: Mapping[str, Sequence[str]] | None = None,
    errors: Sequence[Body] | None = None,
    sub_category: str | None = None,
    **more: Any,
) -> Refusal:
    body: Body = {"status": "error", "message": message}
    if context:
        body["context"] = {name: list(values) for name, values in context.items()}
    if errors:
        body["errors"] = list(errors)
    if category:
        body["category"] = category
    if sub_category:
        body["subCategory"] = sub_category
    return Refusal(status, body | more)


def invalid(
    message: str, *, context: Mapping[str, Sequence[str]] | None = None, errors: Sequence[Body] | None = None
) -> Refusal:
    return error(400, "VALIDATION_ERROR", message, context=context, errors=errors)


def malformed(message: str) -> Refusal:
    """The body isn't the JSON that was expected; such answers carry no category."""
    return error(400, None, f"Invalid input JSON on line 1, column 1: {message}")


def fields_missing(*paths: str) -> Refusal:
    return invalid(f"Invalid input JSON on line 1, column 1: Some required fields were not set: [{', '.join(paths)}]")


def not_found() -> Refusal:
    return error(404, "OBJECT_NOT_FOUND", "resource not found")


def no_such_object_type(word: str) -> Refusal:
    return invalid(f"Unable to infer object type from: {word}")


def conflict(message: str, category: str = "CONFLICT") -> Refusal:
    return error(409, category, message)


def no_credentials() -> Refusal:
    return error(
        401,
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more "
        "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
    )


def expired_credentials(seconds: int, at: str) -> Refusal:
    return error(
        401,
        "EXPIRED_AUTHENTICATION",
        f"The OAuth token used to make this call expired {seconds} second(s) ago.",
        context={"expire time": [at]},
    )


def missing_scopes(scopes: Sequence[str]) -> Refusal:
    return error(
        403,
        "MISSING_SCOPES",
        "This app hasn't been granted all required scopes to make this call.",
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": list(scopes)},
            }
        ],
        links={"scopes": "https://developers.hubspot.com/scopes"},
    )


def problem_texts(problems: Sequence[Mapping[str, Any]], portal_id: int, *, form: str) -> Body:
    """Message and errors for property values that were refused; `form` is a word of Behaviour.validation_errors.

    The body names property and value but never the record.
    """
    told = [
        {
            "isValid": False,
            "message": p["message"],
            "error": p["code"],
            "name": p["name"],
            "localizedErrorMessage": p["message"],
            "portalId": portal_id,
        }
        for p in problems
    ]
    if form == "nameless":
        told = [{key: value for key, value in t.items() if key != "name"} for t in told]
    body: Body = {"message": f"Property values were not valid: {orjson.dumps(told).decode()}"}
    if form == "full":
        body["errors"] = [
            {"message": p["message"], "code": p["code"], "context": {"propertyName": [p["name"]]}} for p in problems
        ]
    return body
