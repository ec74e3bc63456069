"""One REST request and its answer, whether it came over HTTP or inside a composite body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from crm_sync.sandbox.salesforce.refusals import Refusal, malformed_body
from crm_sync.sandbox.salesforce.writes import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`segments` are the parts of the path behind the version, decoded. Header names are in lower case.

    `body` is raw JSON, or parsed already when it came inside another body.
    """

    method: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    version: str
    user: str
    call: int

    def json(self) -> Any:
        """The body; raises JSON_PARSER_ERROR."""
        if not isinstance(self.body, bytes):
            return self.body
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise malformed_body(f"Unexpected character at [line:{error.lineno}, column:{error.colno}]") from error

    def object(self) -> dict[str, Any]:
        """The body as a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise malformed_body("Cannot deserialize instance of request from START_ARRAY at [line:1, column:1]")
        return body

    def parameter(self, name: str) -> str:
        """A query parameter that must be given."""
        value = self.query.get(name)
        if not value:
            raise Refusal("MISSING_ARGUMENT", f"missing required parameter: {name}")
        return value

    def option(self, header: str, name: str) -> str | None:
        """`name=value` out of a header such as `Sforce-Query-Options: batchSize=200`."""
        for part in self.headers.get(header, "").replace(",", ";").split(";"):
            key, _, value = part.partition("=")
            if key.strip().lower() == name.lower():
                return value.strip()
        return None

    def actor(self) -> Actor:
        """The signed-in user, writing as the Sforce- headers say."""
        return Actor(
            user=self.user,
            call=self.call,
            auto_assign=self.headers.get("sforce-auto-assign", "TRUE").strip().upper() != "FALSE",
            allow_duplicates=(self.option("sforce-duplicate-rule-header", "allowSave") or "").lower() == "true",
        )


@dataclass(slots=True, kw_only=True)
class Reply:
    """`records` came in or went out; `counted` is what the call takes from the daily allocation."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    operation: str = ""
    object: str = ""
    records: int = 0
    counted: int = 1

    @property
    def failed(self) -> bool:
        return self.status >= 400


def refused(refusal: Refusal) -> Reply:
    return Reply(body=refusal.as_rest(), status=refusal.status)
