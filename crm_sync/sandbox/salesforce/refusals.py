"""What the org says no with: an HTTP status, Salesforce's own code, a message and the fields it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Refusal(ValueError):
    """One `[{"message", "errorCode", "fields"}]` answer.

    `whole_request` says that a collection or composite body is refused as a whole rather than one record of it.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        fields: Sequence[str] = (),
        whole_request: bool = False,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = list(fields)
        self.whole_request = whole_request

    def as_rest(self) -> list[dict[str, Any]]:
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields:
            error["fields"] = self.fields
        return [error]

    def as_result(self, record_id: str | None = None) -> dict[str, Any]:
        """The same inside a collections answer, which says `statusCode` where REST says `errorCode`."""
        error = {"statusCode": self.code, "message": self.message, "fields": self.fields}
        result: dict[str, Any] = {"success": False, "errors": [error]}
        return {"id": record_id, **result} if record_id else result


def not_found() -> Refusal:
    return Refusal("NOT_FOUND", "The requested resource does not exist", status=404)


def entity_is_deleted(status: int = 400) -> Refusal:
    return Refusal("ENTITY_IS_DELETED", "entity is deleted", status=status)


def unknown_type(name: str) -> Refusal:
    return Refusal(
        "INVALID_TYPE",
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the "
        "'__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
    )


def no_such_column(field: str, object: str) -> Refusal:
    return Refusal(
        "INVALID_FIELD",
        f"No such column '{field}' on entity '{object}'. If you are attempting to use a custom field, be sure to "
        "append the '__c' after the custom field name. Please reference your WSDL or the describe call for the "
        "appropriate names.",
    )


def invalid_cross_reference(fields: Sequence[str] = ()) -> Refusal:
    return Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=fields)


def no_access(status: int = 403) -> Refusal:
    return Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", status=status)


def malformed_body(message: str) -> Refusal:
    return Refusal("JSON_PARSER_ERROR", message, whole_request=True)
