"""Several calls in one: `/composite` carries up to 25 subrequests and counts as a single API call.

Five of them may be queries or collections. Source: REST API guide, Composite, "Using Composite Resources".
Whatever speaks the rest of the API without it, a gateway or somebody's own test org, is asked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from weakref import WeakSet

from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceResourceNotFound

from connectors.salesforce.errors import garbage, is_expired
from connectors.salesforce.sign_in import API_VERSION

MOST_QUERIES = 5
_ROOT = f"/services/data/v{API_VERSION}"
_WITHOUT: WeakSet[Salesforce] = WeakSet()
"""Clients whose other side has no /composite: asked once each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One subrequest; `path` is below the API's root. Subrequests inherit no header of ours."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] | None = None

    def to_json(self, reference: str) -> dict[str, Any]:
        request: dict[str, Any] = {"method": self.method, "url": f"{_ROOT}/{self.path}", "referenceId": reference}
        if self.body is not None:
            request["body"] = self.body
        if self.headers:
            request["httpHeaders"] = dict(self.headers)
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back for one subrequest."""

    status: int
    body: Any

    @property
    def refused(self) -> bool:
        return self.status >= 300


def query(soql: str, *, removed: bool) -> Ask:
    return Ask(method="GET", path=f"{'queryAll' if removed else 'query'}?q={quote(soql, safe='')}")


def send(client: Salesforce, asks: Sequence[Ask], *, name: str = "r") -> list[Answered]:
    """Send them as one call; answers in the order of `asks`. Fewer or other answers are garbage."""
    if client in _WITHOUT:
        return [_alone(client, ask) for ask in asks]
    body = {
        "allOrNone": False,
        "compositeRequest": [ask.to_json(f"{name}{n}") for n, ask in enumerate(asks)],
    }
    try:
        answer = client.restful("composite", method="POST", json=body)
    except SalesforceResourceNotFound:
        _WITHOUT.add(client)
        return [_alone(client, ask) for ask in asks]
    parts = answer.get("compositeResponse") if isinstance(answer, dict) else None
    if not isinstance(parts, list) or len(parts) != len(asks):
        raise garbage()
    return [_answered(part, f"{name}{n}") for n, part in enumerate(parts)]


def _alone(client: Salesforce, ask: Ask) -> Answered:
    """One of them as a call of its own. The session's constant headers are those that a subrequest has to repeat."""
    options = {} if ask.body is None else {"json": ask.body}
    try:
        return Answered(status=200, body=client.restful(ask.path, method=ask.method, **options))
    except SalesforceError as error:
        if is_expired(error):
            raise
        return Answered(status=error.status, body=error.content)


def _answered(part: Any, reference: str) -> Answered:
    if not isinstance(part, dict) or part.get("referenceId") != reference:
        raise garbage()
    status = part.get("httpStatusCode")
    if not isinstance(status, int):
        raise garbage()
    return Answered(status=status, body=part.get("body"))
