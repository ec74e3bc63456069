"""A portal that answers by script, over real HTTP: for exact conversations that the sandbox portal doesn't have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.hubspot.connector import HubSpotConnector, open_connector
from connectors.hubspot.session import HoldCredentials
from crm_sync.ports import Usage
from crm_sync.sandbox.web import LiveServer

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PRIVATE = {"method": "private_app", "access_token": "pat-na1-test"}
OAUTH = {"method": "oauth", "client_id": "id", "client_secret": "key", "refresh_token": "first"}

Script = Callable[["Asked"], tuple[int, Any] | tuple[int, Any, Mapping[str, str]]]


class Asked:
    """One request, as the script sees it."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.method = request.method
        self.path = request.url.path
        self.query = request.query_params
        self.token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.text = body.decode()

    @property
    def json(self) -> Any:
        return orjson.loads(self.text)


class Stage:
    """One server for the whole run; the portal whose script it plays changes. Starting one takes a while."""

    def __init__(self) -> None:
        self.portal: ScriptedPortal | None = None
        methods = ["GET", "POST", "PATCH", "DELETE"]
        self.server = LiveServer(Starlette(routes=[Route("/{rest:path}", self._answer, methods=methods)]))

    async def _answer(self, request: Request) -> Response:
        assert self.portal is not None, "no script is played"
        return self.portal.answer(Asked(request, await request.body()))


class ScriptedPortal:
    """Plays `script` until closed; `asked` and what was stored and metered are kept in one order in `events`."""

    stage: Stage

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[Asked] = []
        self.events: list[str] = []
        self.stored: list[Mapping[str, str]] = []
        self.reserved: list[str] = []
        self.usages: list[Usage] = []
        self._connectors: list[HubSpotConnector] = []

    def __enter__(self) -> ScriptedPortal:
        self.stage.portal = self
        return self

    def __exit__(self, *error: Any) -> None:
        for connector in self._connectors:
            connector.close()
        self.stage.portal = None

    def connect(
        self,
        credentials: Mapping[str, str] = PRIVATE,
        *,
        deadline: timedelta = timedelta(seconds=5),
        hold_credentials: HoldCredentials | None = None,
    ) -> HubSpotConnector:
        connector = open_connector(
            base_url=self.stage.server.url,
            credentials=credentials,
            meter=self,
            save_credentials=self._save,
            deadline=deadline,
            now=lambda: NOW,
            hold_credentials=hold_credentials,
        )
        self._connectors.append(connector)
        return connector

    def reserve(self, window: str, calls: int = 1) -> None:
        self.reserved += [window] * calls

    def seen(self, usage: Usage) -> None:
        self.usages.append(usage)

    def _save(self, credentials: Mapping[str, str]) -> None:
        self.events.append(f"stored {credentials['access_token']}")
        self.stored.append(dict(credentials))

    def answer(self, asked: Asked) -> Response:
        self.asked.append(asked)
        self.events.append(f"{asked.path} {asked.token}".strip())
        status, body, *more = self._script(asked)
        headers = {"Content-Type": "application/json"} | dict(more[0] if more else {})
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return Response(content, status_code=status, headers=headers)


def date(at: datetime) -> dict[str, str]:
    return {"Date": format_datetime(at.astimezone(UTC), usegmt=True)}
