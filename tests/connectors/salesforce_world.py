"""A Salesforce org to test in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from connectors.registry import open_connector
from crm_sync.domain.records import CrmKind
from crm_sync.ports import Connector, Meter
from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.faults import FaultMiddleware, Faults
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.sessions import Credentials
from crm_sync.sandbox.salesforce.web import salesforce_app
from crm_sync.sandbox.web import LiveServer
from tests.connectors.world import CountingMeter, World

DAY = 100_000
KNOWN = Credentials()


def open_world() -> SalesforceWorld:
    return SalesforceWorld()


class SalesforceWorld(World):
    kind = CrmKind.SALESFORCE
    name_field = "Company"
    write_batch = 1000

    def __init__(self) -> None:
        self._open = ExitStack()
        self.clock, self.journal, self.faults = SandboxClock(), Journal(), Faults()
        self.org = SalesforceOrg(clock=self.clock, journal=self.journal)
        app = FaultMiddleware(
            salesforce_app(self.org), faults=self.faults, journal=self.journal, clock=self.clock, crm="salesforce"
        )
        self.url = self._open.enter_context(LiveServer(app)).url
        self.meter = CountingMeter()
        self.saved: list[Mapping[str, str]] = []
        self.connector = self.open(meter=self.meter)
        named = {feed.name: feed for feed in self.connector.feeds()}
        self.people, self.sweep = named["Lead"], named["Lead:sweep"]

    def open(
        self,
        *,
        base_url: str | None = None,
        credentials: Mapping[str, str] | None = None,
        deadline: timedelta = timedelta(seconds=60),
        meter: Meter | None = None,
    ) -> Connector:
        app = {
            "method": "client_credentials",
            "consumer_key": KNOWN.consumer_key,
            "consumer_secret": KNOWN.consumer_secret,
        }
        connector = open_connector(
            self.kind,
            base_url=base_url or self.url,
            credentials={**app, **(credentials or {})},
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
        return {"consumer_secret": "a-secret-of-somebody-else"}

    def add_people(self, n: int, **fields: Any) -> list[str]:
        start = sum(1 for _ in self.org.rows("Lead"))
        rows = [
            {"LastName": f"Person {k}", "Company": f"Company {k}", "Email": f"person{k}@example.com", **fields}
            for k in range(start, start + n)
        ]
        return self.org.seed("Lead", rows)

    def touch(self, ids: Sequence[str], at: datetime | None = None) -> None:
        for id in ids:
            self._edit(id, {"Title": f"Head of {id[-6:]}"})
        if at is not None:
            self.tie(ids, at)

    def tie(self, ids: Sequence[str], at: datetime) -> None:
        self.org.act({"do": "restamp", "object": "Lead", "ids": list(ids), "at": at.isoformat()})

    def delete(self, id: str) -> None:
        self.org.act({"do": "delete", "object": "Lead", "id": id})

    def merge(self, loser: str, winner: str) -> str:
        self.org.act({"do": "merge", "object": "Lead", "winner": winner, "losers": [loser]})
        return winner

    def convert(self, id: str) -> str | None:
        self.org.act({"do": "convert", "lead": id})
        contact = self.value(id, "ConvertedContactId")
        assert isinstance(contact, str)
        return contact

    def value(self, id: str, field: str) -> Any:
        row = self.org.get("Lead", id)
        assert row is not None
        return row[field]

    def refuse(self, id: str) -> None:
        self.org.act(
            {
                "do": "plan_row_fault",
                "object": "Lead",
                "id": id,
                "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                "message": "This lead is locked by a rule",
                "field": self.own("score"),
                "times": 100,
            }
        )

    def hide(self, id: str, *, seconds: float) -> None:
        self.org.act(
            {
                "do": "late_commit",
                "object": "Lead",
                "id": id,
                "fields": {"Title": "Seen late"},
                "visible_after_seconds": seconds,
            }
        )

    def expire_sessions(self) -> None:
        self.org.act({"do": "expire_sessions", "now": True})

    def limit(self, calls: int) -> None:
        self.org.act({"do": "set_limits", "max": DAY, "used": DAY - calls})

    def write_path(self) -> str:
        return "/composite/?$"

    def change_path(self) -> str:
        return "/queryAll"

    def _edit(self, id: str, fields: Mapping[str, Any]) -> None:
        self.org.act({"do": "edit", "object": "Lead", "id": id, "fields": dict(fields)})
