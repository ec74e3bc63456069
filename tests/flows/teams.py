"""Who sells in a CRM: users and a queue that leads arrive in, and the routing rules that share leads out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crm_sync.domain.changes import Walk
from crm_sync.domain.records import CrmKind
from tests.flows.sites import Site

ANNA, TOM, MEI = "Anna Berg", "Tom Hill", "Mei Lin"
INBOUND = "Inbound"


@dataclass
class Team:
    """Three people and a queue; `ids` by name. Leads arrive owned by the queue, or by nobody in HubSpot."""

    site: Site
    ids: dict[str, str] = field(default_factory=dict)

    def hire(self, name: str) -> str:
        first, last = name.split(" ")
        if self.site.kind is CrmKind.SALESFORCE:
            user = {"Username": f"{first}.{last}@ours.example", "FirstName": first, "LastName": last, "Name": name}
            [id] = self.org.seed("User", [{**user, "IsActive": True, "UserType": "Standard"}])
        else:
            id = self.site.act("add_owner", email=f"{first}@ours.example", firstName=first, lastName=last)["id"]
        self.ids[name] = id
        return str(id)

    def add_queue(self, name: str) -> None:
        if self.site.kind is CrmKind.SALESFORCE:
            [id] = self.org.seed("Group", [{"Name": name, "DeveloperName": name, "Type": "Queue"}])
            self.org.seed("QueueSobject", [{"QueueId": id, "SobjectType": "Lead"}])
        else:
            id = self.site.act("add_owner", firstName=name, type="QUEUE")["id"]
        self.ids[name] = id

    def leaves(self, name: str) -> None:
        """Somebody leaves the company; their records stay theirs."""
        if self.site.kind is CrmKind.SALESFORCE:
            self.site.act("edit", object="User", id=self.ids[name], fields={"IsActive": False})
        else:
            self.site.act("archive_owner", id=self.ids[name])

    def returns(self, name: str) -> None:
        if self.site.kind is CrmKind.SALESFORCE:
            self.site.act("edit", object="User", id=self.ids[name], fields={"IsActive": True})
        else:
            self.site.act("restore_owner", id=self.ids[name])

    def takes(self, lead: str, name: str) -> None:
        """Somebody makes a lead theirs, by hand."""
        self.site.edit(lead, owner_id=self.ids[name])

    def lead(self, **columns: Any) -> str:
        """A lead that nobody owns yet."""
        nobody = {"owner_id": self.ids[INBOUND]} if self.site.kind is CrmKind.SALESFORCE else {}
        [id] = self.site.add(1, **nobody | columns)
        return id

    def leads(self, n: int, **columns: Any) -> list[str]:
        return [self.lead(**columns) for _ in range(n)]

    def owner(self, lead: str) -> str:
        """The name of a lead's owner as it stands in the CRM, its id where nobody knows it."""
        id = self.site.value(lead, self.site.mapping.sources_of(self.site.object)["owner_id"][0])
        return next((name for name, known in self.ids.items() if known == id), id or "")

    def owners(self, leads: list[str]) -> list[str]:
        return [self.owner(lead) for lead in leads]

    def read_users(self) -> None:
        self.site.pull(Walk.FULL)

    @property
    def org(self) -> Any:
        return self.site.world.org  # type: ignore[attr-defined]

    def owner_writes(self, since: int = 0) -> list[tuple[str, Any]]:
        """Owners that came by API, as (record, owner), every write of the field."""
        name = self.site.mapping.sources_of(self.site.object)["owner_id"][0]
        return [(w.record_id, w.after) for w in self.site.written(since=since) if w.field == name]

    def assignments(self, lead: str) -> list[Any]:
        return self.site.office.ask(
            "SELECT * FROM assignment WHERE record_id = :record ORDER BY id", record=self.site.record(lead).id
        )

    def turns(self) -> dict[str, int]:
        """How many leads each member has been given and kept, over all pools."""
        found = self.site.office.ask(
            "SELECT member, sum(taken) AS n FROM pool_member JOIN pool ON pool.id = pool_id "
            "WHERE connection_id = :connection GROUP BY member",
            connection=self.site.id,
        )
        return {row.member: int(row.n) for row in found}


def a_team(site: Site) -> Team:
    team = Team(site)
    for name in (ANNA, TOM, MEI):
        team.hire(name)
    team.add_queue(INBOUND)
    return team


def routed(*teams: Team, since: datetime | None = None, **routing: Any) -> dict[str, Any]:
    """Sections of a policy that share the teams' leads out: Anna and Tom take turns, what is left goes to Inbound."""
    # A lead of this very second counts: Salesforce stamps whole seconds.
    begins = {team.site.name: (since or team.site.now).replace(microsecond=0).isoformat() for team in teams}
    connections = {name: {"since": at, "fallback": INBOUND} for name, at in begins.items()}
    pools = {f"{team.site.name} sales": {"connection": team.site.name, "members": [ANNA, TOM]} for team in teams}
    rules = [{"name": name, "to": {"pool": name}} for name in pools]
    everything = {"connections": connections, "pools": pools, "rules": rules} | routing
    everything["rules"] = [*everything["rules"], {"name": "rest", "to": "fallback"}]
    return {"owners": {"unassigned": [INBOUND]}, "routing": everything}


def publish(*teams: Team, **routing: Any) -> None:
    """Put routing in force, on top of the shipped policy."""
    site = teams[0].site
    site.office.publish_policy(site.now, **routed(*teams, **routing))
