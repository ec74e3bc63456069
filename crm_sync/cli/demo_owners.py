"""Owners in the demo: rules that share new leads out, leads that come in through a web form, and who got them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_sync.cli.output import say, table
from crm_sync.domain.connections import Connection
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.records import CrmKind, Value
from crm_sync.sandbox.client import SandboxClient
from crm_sync.store import explanations
from crm_sync.store.engine import rows
from crm_sync.wiring import Installation

OBJECTS = {CrmKind.SALESFORCE: "Lead", CrmKind.HUBSPOT: "contacts"}
OWNERS = {CrmKind.SALESFORCE: "OwnerId", CrmKind.HUBSPOT: "hubspot_owner_id"}

FORM = [
    ("Dana", "Fox", "Head of IT Operations", "Brightleaf Instruments", "United States", 420),
    ("Luis", "Ortega", "Purchasing Manager", "Canyon Freight", "United States", 85),
    ("Priya", "Raman", "Chief Information Officer", "Northgate Health", "Canada", 2_300),
    ("Jonas", "Keller", "IT Director", "Rheintal Maschinenbau", "Germany", 610),
]
"""Who fills in the web form of each CRM. Jonas lives where profiling has to be agreed to, and nobody asked him yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Who sells in one CRM: three people, and the queue or person that new leads wait with (none in HubSpot)."""

    connection: Connection
    sellers: list[Any]
    inbound: str
    fallback: str


def teams(installation: Installation, joined: Mapping[CrmKind, Connection]) -> dict[CrmKind, Team]:
    """The first active users of each CRM, as the pull leg has read them."""
    found: dict[CrmKind, Team] = {}
    for kind, connection in joined.items():
        with installation.transaction() as session:
            users = rows(
                session,
                "SELECT crm_id, kind, name FROM crm_user WHERE connection_id = :connection AND active ORDER BY crm_id",
                connection=connection.id,
            )
        sellers = [user for user in users if user.kind == "user" and user.name]
        queues = [user.crm_id for user in users if user.kind == "queue"]
        inbound = queues[0] if queues else ""
        fallback = inbound or next((seller.crm_id for seller in sellers), "")
        found[kind] = Team(connection=connection, sellers=sellers[1:4], inbound=inbound, fallback=fallback)
    return found


def policy(example: str, of: Mapping[CrmKind, Team], since: datetime) -> str:
    """The example policy with routing switched on: the account's owner first, then turns by country, then a queue."""
    head = example[: example.index("\nowners:\n")]
    unassigned = ", ".join(repr(team.inbound) for team in of.values() if team.inbound)
    lines = [f"owners:\n  unassigned: [{unassigned}]\n\nrouting:\n  connections:"]
    lines += [
        f"    {team.connection.name}: {{since: {since.isoformat()}, fallback: '{team.fallback}'}}"
        for team in of.values()
    ]
    lines += ["  objects: [Lead, contacts]", "  pools:"]
    for kind, team in of.items():
        first, *others = [seller.crm_id for seller in team.sellers]
        members = ", ".join([f"{{who: '{first}', weight: 2}}", *(f"'{other}'" for other in others)])
        lines.append(f"    {kind} americas: {{connection: {team.connection.name}, members: [{members}]}}")
    lines += ["  rules:", "    - {name: account owner, to: account_owner}"]
    lines += [f"    - {{name: {k} americas, when: {{country_code: [US, CA]}}, to: {{pool: {k} americas}}}}" for k in of]
    lines += ["    - {name: everything else, to: fallback}\n"]
    return head + "\n" + "\n".join(lines)


@dataclass
class Newcomer:
    """One lead that came in through the web form, and the record as the CRM shows it."""

    who: str
    connection: Connection
    kind: CrmKind
    crm_id: str
    owner_before: str
    shown: Mapping[str, Value]
    seconds: float = 0.0

    def look(self, installation: Installation) -> bool:
        """Whether all three legs are through with it: scored or told why not, and owned."""
        connector = installation.connector(self.connection)
        names = {**connector.own_field_names(OWN_FIELDS), "owner": OWNERS[self.kind]}
        fields = connector.read(OBJECTS[self.kind], [self.crm_id], list(names.values())).fields[0]
        self.shown = {name: fields.get(api) for name, api in names.items()}
        return bool(self.shown["state"]) and self._is_settled(installation)

    def _is_settled(self, installation: Installation) -> bool:
        if (self.shown["owner"] or "") != self.owner_before:
            return True
        with installation.transaction() as session:  # the fallback may be the queue that it waits in already
            now = explanations.standing(session, self.connection.id, OBJECTS[self.kind], self.crm_id)
        return not now.under_way


def web_form(crms: Mapping[CrmKind, SandboxClient], of: Mapping[CrmKind, Team]) -> list[Newcomer]:
    """Leads come in: into the inbound queue of the org, to nobody in the portal."""
    came: list[Newcomer] = []
    for kind, team in of.items():
        for first, last, title, company, country, employees in FORM:
            email = f"{first}.{last}.{kind}@{company.split()[0]}.example".lower()
            if kind is CrmKind.SALESFORCE:
                fields = {"FirstName": first, "LastName": last, "Title": title, "Company": company, "Email": email}
                more = {"Country": country, "NumberOfEmployees": employees, "OwnerId": team.inbound}
                created = crms[kind].act({"do": "create", "object": "Lead", "fields": fields | more})
            else:
                properties = {"firstname": first, "lastname": last, "jobtitle": title, "company": company}
                properties |= {"email": email, "country": country}
                created = crms[kind].act({"do": "create", "object": "contacts", "properties": properties})
            who = f"{first} {last}, {country}"
            came.append(Newcomer(who, team.connection, kind, created["id"], team.inbound, {}))
    return came


def arrived(installation: Installation, missing: list[Newcomer], began: float) -> bool:
    """Take those out of `missing` whom all three legs are through with. Whether nobody is left."""
    for each in [each for each in missing if each.look(installation)]:
        each.seconds = time.monotonic() - began
        missing.remove(each)
    return not missing


def tell(installation: Installation, came: list[Newcomer], of: Mapping[CrmKind, Team]) -> None:
    """Who got each of them, by which rule."""
    lines = []
    for each in came:
        with installation.transaction() as session:
            given = explanations.assigned(session, each.connection.id, OBJECTS[each.kind], each.crm_id)
        score = each.shown["score"]
        stands = str(each.shown["state"]) if score is None else f"{float(score):.0f} {each.shown['bucket']}"
        owner, rule = (given.owner_name or given.owner, given.rule) if given else ("", "")
        lines.append([f"  {each.kind}", each.who, stands, owner, rule, f"{each.seconds:.0f} s"])
    table("", ["  CRM", "who came in", "score", "owner", "rule", "after"], lines)
    twice = " and ".join(f"{team.sellers[0].name} ({kind})" for kind, team in of.items())
    say(f"  Turns by weight: {twice} get twice as many as the others.")


def owner_writes(crms: Mapping[CrmKind, SandboxClient], of: Mapping[CrmKind, Team]) -> list[list[Any]]:
    """From each CRM's own journal: owners that we wrote, and how many of them over somebody's choice (law 9)."""
    lines: list[list[Any]] = []
    for kind, crm in crms.items():
        ours = [write for write in crm.journal("writes", field=OWNERS[kind]) if write["call"]]
        over = [write for write in ours if write["before"] not in (None, "", of[kind].inbound)]
        lines.append([kind.value, "owners written", len(ours), ""])
        lines.append([kind.value, "owners written over somebody's choice", len(over), "0"])
    return lines
