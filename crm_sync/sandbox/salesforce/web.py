"""The org behind HTTP: sessions, the daily allocation, headers and the journal, around what the resources answer."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import format_datetime
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from crm_sync.sandbox.salesforce import metadata_api, versions
from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal, not_found
from crm_sync.sandbox.salesforce.rest import dispatch
from crm_sync.sandbox.salesforce.sign_in import Door, SignInRefusal, soap_fault, soap_login, token, user_info
from crm_sync.sandbox.salesforce.store import CRM
from crm_sync.sandbox.salesforce.wire import Reply, Request, refused

MAX_ADDRESS = 16_384
"""Bytes of the URI, and of URI and headers together. Source: help article 000386264."""

_JSON = "application/json;charset=UTF-8"
_XML = "text/xml;charset=UTF-8"


def salesforce_app(org: SalesforceOrg) -> Starlette:
    """The ASGI application of one org. Its requests are answered one after the other."""
    front = _Front(org)
    app = Starlette(
        routes=[
            Route("/services/oauth2/token", front.token, methods=["POST"]),
            Route("/services/oauth2/userinfo", front.user_info, methods=["GET", "POST"]),
            Route("/services/oauth2/revoke", front.revoke, methods=["POST"]),
            Route("/id/{org}/{user}", front.user_info, methods=["GET"]),
            Route("/services/Soap/u/{version:path}", front.soap_login, methods=["POST"]),
            Route("/services/Soap/m/{version:path}", front.metadata, methods=["POST"]),
            Route("/services/data", front.versions, methods=["GET"]),
            Route("/services/data/", front.versions, methods=["GET"]),
            Route("/services/data/{path:path}", front.data, methods=["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


class _Front:
    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org

    async def data(self, http: HttpRequest) -> Response:
        body = await http.body()
        return self._noted(http, lambda call: self._data(http, body, call), tells_usage=True)

    async def versions(self, http: HttpRequest) -> Response:
        return self._noted(http, lambda _: Reply(body=versions.listing(), operation="versions", counted=0))

    async def token(self, http: HttpRequest) -> Response:
        form = dict(parse_qsl((await http.body()).decode(), keep_blank_values=True))
        headers = {name.lower(): value for name, value in http.headers.items()}

        def sign_in(_: int) -> Reply:
            try:
                body: object = token(self._org, _door(http), form, headers)
            except SignInRefusal as refusal:
                error = {"error": refusal.error, "error_description": refusal.description}
                return Reply(body=error, status=400, operation="sign_in", counted=0)
            return Reply(body=body, operation="sign_in", counted=0)

        return self._noted(http, sign_in)

    async def soap_login(self, http: HttpRequest) -> Response:
        body = await http.body()
        version = http.path_params["version"].partition("/")[0]

        def sign_in(_: int) -> Reply:
            try:
                return Reply(body=soap_login(self._org, _door(http), version, body), operation="sign_in", counted=0)
            except SignInRefusal as refusal:
                return Reply(body=soap_fault(refusal), status=500, operation="sign_in", counted=0)

        return self._noted(http, sign_in)

    async def metadata(self, http: HttpRequest) -> Response:
        body = await http.body()

        def call(_: int) -> Reply:
            reply = metadata_api.answer(self._org, body)
            self._org.allowance.spend(reply.counted, self._org.clock.now())
            return reply

        return self._noted(http, call)

    async def user_info(self, http: HttpRequest) -> Response:
        def who(_: int) -> Reply:
            try:
                user = self._org.sessions.user_of(_bearer(http))
            except Refusal:
                # The identity service answers with plain words, not with the array of the REST API.
                return Reply(body="Bad_OAuth_Token", status=403, operation="user_info", counted=0)
            return Reply(body=user_info(self._org, _door(http), user), operation="user_info", counted=0)

        return self._noted(http, who)

    async def revoke(self, http: HttpRequest) -> Response:
        form = dict(parse_qsl((await http.body()).decode()))

        def end(_: int) -> Reply:
            self._org.sessions.revoke(form.get("token", ""))
            return Reply(operation="revoke", counted=0)

        return self._noted(http, end)

    def _data(self, http: HttpRequest, body: bytes, call: int) -> Reply:
        """One REST call: is it let in, is there allowance left, and what does the resource say."""
        try:
            _check_size(http)
            request = self._request(http, body, call)
            self._org.allowance.check(self._org.clock.now())
        except Refusal as refusal:
            reply = refused(refusal)
            reply.operation, reply.counted = "refused", 0
            return reply
        reply = dispatch(self._org, request)
        self._org.allowance.spend(reply.counted, self._org.clock.now())
        return reply

    def _request(self, http: HttpRequest, body: bytes, call: int) -> Request:
        path = http.scope["raw_path"].decode("ascii").partition("?")[0]
        version, *rest = path.removeprefix("/services/data/").split("/")
        if not version.startswith("v") or not versions.known(version[1:]):
            raise not_found()
        user = self._org.sessions.user_of(_bearer(http))
        self._org.access.require_api(user)
        return Request(
            method="GET" if http.method == "HEAD" else http.method,
            segments=tuple(unquote(part) for part in rest if part),
            query=dict(parse_qsl(http.scope["query_string"].decode("ascii"), keep_blank_values=True)),
            headers={name.lower(): value for name, value in http.headers.items()},
            body=body,
            version=version[1:],
            user=user,
            call=call,
        )

    def _noted(self, http: HttpRequest, answer: Callable[[int], Reply], *, tells_usage: bool = False) -> Response:
        """Answer, tell the journal, and dress the answer in the headers of the org."""
        org = self._org
        with org.lock:
            call = org.journal.next_call()
            org.settle()
            reply = answer(call)
            now = org.clock.now()
            org.journal.call(
                number=call,
                at=now,
                crm=CRM,
                method=http.method,
                path=http.url.path,
                operation=reply.operation or "unknown",
                object=reply.object,
                status=reply.status,
                records=reply.records,
                counted=reply.counted,
            )
            usage = org.allowance.info(now) if tells_usage else None
        headers = {"Date": format_datetime(now, usegmt=True), **reply.headers}
        if usage is not None:
            headers["Sforce-Limit-Info"] = usage
        return _response(reply, headers)


def _response(reply: Reply, headers: dict[str, str]) -> Response:
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers)
    if isinstance(reply.body, str):
        return Response(reply.body, status_code=reply.status, headers=headers, media_type=_XML)
    return Response(orjson.dumps(reply.body), status_code=reply.status, headers=headers, media_type=_JSON)


def _bearer(http: HttpRequest) -> str:
    scheme, _, session = http.headers.get("authorization", "").partition(" ")
    return session.strip() if scheme.lower() in ("bearer", "oauth") else ""


def _door(http: HttpRequest) -> Door:
    """The client may have been led here from another host, which it then names."""
    here = http.headers.get("host", "127.0.0.1")
    return Door(base=f"{http.url.scheme}://{here}", host=http.headers.get("x-original-host", here))


def _check_size(http: HttpRequest) -> None:
    address = len(http.scope["raw_path"].partition(b"?")[0]) + 1 + len(http.scope["query_string"])
    if address > MAX_ADDRESS:
        raise Refusal("URI_TOO_LONG", "The URI is too long.", status=414)
    headers = sum(len(name) + len(value) + 4 for name, value in http.scope["headers"])
    if address + headers > MAX_ADDRESS:
        raise Refusal("REQUEST_HEADER_FIELDS_TOO_LARGE", "URI and headers are too large.", status=431)
