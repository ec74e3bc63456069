"""A portal to test against: something valid by default, so that a test states only what matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from hubspot import HubSpot
from hubspot.discovery.discovery_base import DiscoveryBase
from starlette.types import Receive, Scope, Send

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.hubspot import PRIVATE_APP_KEY, HubSpotPortal, hubspot_app
from crm_sync.sandbox.journal import Journal

NOW = datetime(2026, 11, 22, 10, 0, 0, 250_000, tzinfo=UTC)
PAST = NOW - timedelta(days=30)


def ms(moment: datetime) -> str:
    return str(round(moment.timestamp() * 1000))


class Stage:
    """An ASGI application that is whichever portal's a test put on, so that all tests share one listener."""

    app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class World:
    """A portal with a frozen clock behind real HTTP, and the words to talk to it on the wire."""

    def __init__(self, stage: Stage, url: str, **settings: Any) -> None:
        self.url = url
        self.clock = SandboxClock()
        self.clock.freeze(NOW)
        self.journal = Journal()
        self.portal = HubSpotPortal(clock=self.clock, journal=self.journal, **settings)
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {PRIVATE_APP_KEY}"
        stage.app = hubspot_app(self.portal)
        self._clients: list[Any] = []

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        if body is not None:
            options["json"] = body
        return self.session.request(method, self.url + path, timeout=10, **options)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a successful GET; lists become repeated keys."""
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        """The JSON of a POST that must end with `status`; None for one without a body."""
        answer = self.call("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def act(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.portal.act({"do": do, **arguments})

    def contact(self, **properties: Any) -> str:
        """The id of a new contact from a month ago."""
        return self.contacts(1, **properties)[0]

    def contacts(self, n: int, **properties: Any) -> list[str]:
        rows = [{"properties": properties, "created": PAST, "modified": PAST} for _ in range(n)]
        return self.portal.seed("contacts", rows)

    def stored(self, id: str, name: str, object: str = "contacts") -> str | None:
        found = self.portal.get(object, id)
        assert found is not None
        return found["properties"].get(name)

    def stamp(self, id: str, object: str = "contacts") -> str:
        found = self.portal.get(object, id)
        assert found is not None
        return str(found["updatedAt"])

    def search(self, object: str = "contacts", *filters: dict[str, Any], status: int = 200, **body: Any) -> Any:
        request = {"filterGroups": [{"filters": list(filters)}] if filters else [], **body}
        return self.post(f"/crm/v3/objects/{object}/search", request, status)

    def found(self, *filters: dict[str, Any], object: str = "contacts", **body: Any) -> list[str]:
        """Ids of a search, in its order."""
        return [r["id"] for r in self.search(object, *filters, **{"limit": 200, **body})["results"]]

    def update(self, inputs: list[dict[str, Any]], status: int = 200, object: str = "contacts") -> Any:
        return self.post(f"/crm/v3/objects/{object}/batch/update", {"inputs": inputs}, status)

    def client(self, **options: Any) -> HubSpot:
        """The unmodified client; its sockets are closed with the world."""

        def build(package: Any, name: str, config: dict[str, Any]) -> Any:
            api = DiscoveryBase._default_api_factory(package, name, config)
            self._clients.append(api.api_client)
            return api

        return HubSpot(**{"access_token": PRIVATE_APP_KEY, "host": self.url, "api_factory": build, **options})

    def close(self) -> None:
        self.session.close()
        for client in self._clients:
            client.rest_client.pool_manager.clear()
            client.close()


def where(name: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    given = {"propertyName": name, "operator": operator, **more}
    return given if value is None else {**given, "value": value}
