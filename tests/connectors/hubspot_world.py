"""A HubSpot portal to test in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from connectors.registry import open_connector
from crm_sync.domain.records import CrmKind
from crm_sync.ports import Connector, Meter
from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.faults import FaultMiddleware, Faults
from crm_sync.sandbox.hubspot import CLIENT_ID, CLIENT_KEY, PRIVATE_APP_KEY, REFRESH_KEY, HubSpotPortal, hubspot_app
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.web import LiveServer
from tests.connectors.world import CountingMeter, World

OAUTH = {"method": "oauth", "client_id": CLIENT_ID, "client_secret": CLIENT_KEY, "refresh_token": REFRESH_KEY}
DAY = 650_000


def open_world() -> HubSpotWorld:
    return HubSpotWorld()


class HubSpotWorld(World):
    """A portal joined by a private app, whose contacts are the people.

    HubSpot tells private apps what is left of the day, OAuth apps not; `open(credentials=OAUTH)` joins by OAuth. The
    connector has been at work: it holds the catalogue of contacts, which it reads once an hour.
    """

    kind = CrmKind.HUBSPOT
    name_field = "lastname"
    write_batch = 100

    def __init__(self) -> None:
        self._open = ExitStack()
        self.clock, self.journal, self.faults = SandboxClock(), Journal(), Faults()
        self.portal = HubSpotPortal(clock=self.clock, journal=self.journal)
        app = FaultMiddleware(
            hubspot_app(self.portal), faults=self.faults, journal=self.journal, clock=self.clock, crm="hubspot"
        )
        self.url = self._open.enter_context(LiveServer(app)).url
        self._numbers = itertools.count(1)
        self.meter = CountingMeter()
        self.saved: list[Mapping[str, str]] = []
        self.connector = self.open(meter=self.meter)
        self.connector.catalogue("contacts")
        named = {feed.name: feed for feed in self.connector.feeds()}
        self.people, self.sweep, self.archive = (
            named[name] for name in ("contacts", "contacts:sweep", "contacts:archived")
        )

    def open(
        self,
        *,
        base_url: str | None = None,
        credentials: Mapping[str, str] | None = None,
        deadline: timedelta = timedelta(seconds=60),
        meter: Meter | None = None,
    ) -> Connector:
        connector = open_connector(
            self.kind,
            base_url=base_url or self.url,
            credentials={"method": "private_app", "access_token": PRIVATE_APP_KEY, **(credentials or {})},
            meter=meter or CountingMeter(),
            save_credentials=self.saved.append,
            deadline=deadline,
            now=self.clock.now,
        )
        self._open.callback(connector.close)
        return connector

    def close(self) -> None:
        self._open.close()

    def wrong_credentials(self) -> Mapping[str, str]:
        return {"access_token": "pat-na1-of-somebody-else"}

    def add_people(self, n: int, **fields: Any) -> list[str]:
        numbers = itertools.islice(self._numbers, n)
        people = [{"lastname": f"Person {k}", "email": f"person{k}@example.com", **fields} for k in numbers]
        return self.portal.seed("contacts", [{"properties": person} for person in people])

    def touch(self, ids: Sequence[str], at: datetime | None = None) -> None:
        for id in ids:
            self.act("edit", id=id, properties={"jobtitle": f"Title {next(self._numbers)}"})
        if at is not None:
            self.tie(ids, at)

    def tie(self, ids: Sequence[str], at: datetime) -> None:
        self.act("restamp", ids=list(ids), at=at.isoformat())

    def delete(self, id: str) -> None:
        self.act("archive", id=id)

    def merge(self, loser: str, winner: str) -> str:
        return str(self.act("merge", primary=winner, secondary=loser)["id"])

    def convert(self, id: str) -> str | None:
        return None

    def value(self, id: str, field: str) -> Any:
        found = self.portal.get("contacts", id)
        assert found is not None
        return found["properties"].get(field)

    def refuse(self, id: str) -> None:
        self.act("plan_row_fault", id=id, kind="rule")

    def hide(self, id: str, *, seconds: float) -> None:
        self.act("hide_from_index", ids=[id], seconds=seconds)
        self.touch([id])

    def expire_sessions(self) -> None:
        self.act("expire_token")

    def limit(self, calls: int) -> None:
        self.act("set_limits", daily=DAY, used=DAY - calls, enforce=True)

    def write_path(self) -> str:
        return "/contacts/batch/update"

    def change_path(self) -> str:
        return r"/contacts(/search|\?)"

    def act(self, do: str, **what: Any) -> dict[str, Any]:
        """What somebody does to the portal, to contacts unless `object` says otherwise."""
        return self.portal.act({"do": do, "object": "contacts", **what})
