"""The ASGI application: routes, and what is the same for every call.

Each call is let in by its token, counted, checked for its scope, answered and noted in the journal, in this order.
The date-based paths (`/crm/objects/2026-09/…`) lead to the same answers as v3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.portal import CRM, HubSpotPortal
from crm_sync.sandbox.hubspot.refusals import Refusal
from crm_sync.sandbox.hubspot.sign_in import App, check_scopes
from crm_sync.sandbox.hubspot.stamps import from_ms
from crm_sync.sandbox.hubspot.web import account, associations, batches, objects, properties
from crm_sync.sandbox.hubspot.web.call import Answer, Call, Endpoint

LONGEST_URL = 8_192
JSON = "application/json;charset=utf-8"
_DATED = ("2025-09", "2026-03", "2026-09")
_TOO_LONG = "<html><head><title>414 Request-URI Too Large</title></head><body>414 Request-URI Too Large</body></html>"
_V3_AND_DATED = {
    "objects": (*batches.ENDPOINTS, *objects.ENDPOINTS),
    "properties": properties.ENDPOINTS,
    "owners": account.OWNERS,
    "pipelines": account.PIPELINES,
}


def hubspot_app(portal: HubSpotPortal) -> Starlette:
    """The portal as an ASGI application, for LiveServer or any other server."""
    app = Starlette(routes=_routes())
    app.state.portal = portal
    app.router.redirect_slashes = False
    app.add_middleware(_WithoutTrailingSlash)
    return app


class _WithoutTrailingSlash:
    """Some list paths of the client end with a slash; they mean the same without."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > 1:
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def _endpoints() -> Iterator[tuple[str, Endpoint]]:
    """Every path with its endpoint; fixed segments stand before the parameters that would swallow them."""
    for name, endpoints in _V3_AND_DATED.items():
        for prefix in (f"/crm/v3/{name}", *(f"/crm/{name}/{version}" for version in _DATED)):
            yield from ((prefix + e.path, e) for e in endpoints)
    for prefix in ("/crm/v4/associations", *(f"/crm/associations/{version}" for version in _DATED)):
        yield from ((prefix + e.path, e) for e in associations.BETWEEN)
    for prefix in ("/crm/v4/objects", *(f"/crm/objects/{version}" for version in _DATED)):
        yield from ((prefix + e.path, e) for e in associations.OF_RECORD)
    yield from (("/crm/v3/associations" + e.path, e) for e in associations.BETWEEN_V3)
    yield from (("/crm/v3/property-validations" + e.path, e) for e in properties.RULES)
    yield from (("/account-info/v3" + e.path, e) for e in account.ACCOUNT)
    yield from (("/oauth" + e.path, e) for e in account.OAUTH)


@cache
def _routes() -> tuple[Route, ...]:
    """The same for every portal, which is in the application's state."""
    known = [Route(path, _serve(endpoint), methods=[endpoint.method]) for path, endpoint in _endpoints()]
    unknown = Endpoint(method="GET", path="", operation="unknown", answer=_unknown, open=True)
    return (*known, Route("/{path:path}", _serve(unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]))


def _unknown(_call: Call) -> Answer:
    raise Refusal(404, None, page="<html><body>404</body></html>")


def _serve(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        content = await request.body()
        portal: HubSpotPortal = request.app.state.portal
        # No await below: the lock is held by this thread from the first look at the state to the journal entry.
        with portal.lock:
            return _Exchange(portal, endpoint, request, content).run()

    return serve


class _Exchange:
    """One request and its response."""

    def __init__(self, portal: HubSpotPortal, endpoint: Endpoint, request: Request, content: bytes) -> None:
        self._portal = portal
        self._endpoint = endpoint
        self._request = request
        self._content = content
        self._app: App | None = None
        self._call = Call(
            portal=portal,
            number=portal.journal.next_call(),
            app=None,
            path=request.url.path,
            params=request.path_params,
            query=request.query_params,
            body=None,
            url=f"{request.url.scheme}://{request.url.netloc}",
        )

    def run(self) -> Response:
        try:
            answer = self._answer()
        except Refusal as refused:
            response = self._refusal(refused)
            self._note(response.status_code, 0)
            return response
        response = self._response(answer.status, answer.body)
        self._note(answer.status, answer.records)
        return response

    def _answer(self) -> Answer:
        if len(str(self._request.url.path)) + len(self._request.url.query) > LONGEST_URL:
            raise Refusal(414, None, page=_TOO_LONG)
        if not self._endpoint.open:
            self._let_in()
        self._call.body = self._body()
        self._call.object = self._object()
        if self._app is not None:
            check_scopes(self._app, self._endpoint.scopes(self._call))
        return self._endpoint.answer(self._call)

    def _let_in(self) -> None:
        now = self._portal.now()
        self._app = self._call.app = self._portal.sign_in.admit(self._request.headers.get("authorization"), now)
        self._portal.limits.take(self._app, now, search=self._endpoint.search)

    def _body(self) -> Any:
        if not self._content:
            return None
        kind = self._request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return _form(self._content)
        if kind != "application/json":
            raise refusals.error(415, None, f"Unsupported media type {kind}")
        if self._endpoint.method == "GET":
            return None
        try:
            return orjson.loads(self._content)
        except orjson.JSONDecodeError as error:
            raise refusals.malformed(str(error)) from None

    def _object(self) -> str:
        """What the journal says was asked of; associations name both ends."""
        params = self._call.params
        if "from" in params:
            return f"{self._call.type('from').name}/{self._call.type('to').name}"
        return self._call.type().name if "type" in params else ""

    def _refusal(self, refused: Refusal) -> Response:
        if refused.body is None:
            headers = self._headers() | refused.headers | {"Content-Type": "text/html"}
            return Response(refused.page, status_code=refused.status, headers=headers)
        return self._response(refused.status, dict(refused.body), refused.headers)

    def _response(self, status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
        told = self._headers() | (headers or {})
        if body is None:
            return Response(status_code=status, headers=told)
        if status >= 400:
            body["correlationId"] = told["X-HubSpot-Correlation-Id"]
        return Response(orjson.dumps(body), status_code=status, headers=told | {"Content-Type": JSON})

    def _headers(self) -> dict[str, str]:
        now = self._portal.now()
        told = {
            "Date": format_datetime(from_ms(now - now % 1000), usegmt=True),
            "X-HubSpot-Correlation-Id": self._portal.correlation_id(),
        }
        if self._app is not None and not self._endpoint.search:
            told |= self._portal.limits.headers(self._app, now)
        return told

    def _note(self, status: int, records: int) -> None:
        """A call counts unless it was turned away at the door (401) or for a limit (429)."""
        self._portal.journal.call(
            number=self._call.number,
            at=self._portal.clock.now(),
            crm=CRM,
            method=self._request.method,
            path=self._call.path,
            operation=self._endpoint.operation,
            object=self._call.object,
            status=status,
            records=records,
            counted=0 if status in (401, 429) else 1,
        )


def _form(content: bytes) -> dict[str, str]:
    return dict(parse_qsl(content.decode(errors="replace")))
