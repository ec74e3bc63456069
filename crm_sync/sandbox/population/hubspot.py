"""A population as a HubSpot portal would hold it: rows for `seed` and pairs for `associate`.

Source: HubSpot CRM object guides and the property names of the contacts, companies, deals and engagement objects.
Every value is text; moments have milliseconds. A contact that HubSpot's own Salesforce integration knows carries
`salesforceleadid` or `salesforcecontactid`; the others share only their address with Salesforce.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.random import Generator

from crm_sync.sandbox.population import dirt, words
from crm_sync.sandbox.population.companies import INDUSTRIES
from crm_sync.sandbox.population.hubspot_activities import activity
from crm_sync.sandbox.population.interest import CAMPAIGN, EMAIL_IN, EMAIL_OUT, KINDS, TASK
from crm_sync.sandbox.population.people import DAY, HISTORY_DAYS
from crm_sync.sandbox.population.world import World, moment

Row = dict[str, Any]
LEGAL_BASES = (
    "Legitimate interest – prospect/lead",
    "Legitimate interest – existing customer",
    "Performance of a contract",
    "Freely given consent from contact",
    "Not applicable",
)
DEAL_STAGES = (
    "appointmentscheduled",
    "qualifiedtobuy",
    "presentationscheduled",
    "decisionmakerboughtin",
    "contractsent",
)
LINKED = 0.6  # of the people in both CRMs; HubSpot's own integration keeps the Salesforce id
FIRST_ID = 90_000_000_000
_ID_BLOCKS = {"contacts": 0, "companies": 1, "deals": 2, "owners": 3, "calls": 4, "emails": 5, "meetings": 6, "notes": 7, "tasks": 8}  # fmt: skip  # noqa: E501


class Numbers:
    """Record ids: digits, shuffled within blocks of a thousand, so that a newer record may have a smaller id."""

    def __init__(self, rng: Generator) -> None:
        self._shuffle = rng.permutation(1000).tolist()

    def id(self, type: str, number: int) -> str:
        block, place = divmod(number, 1000)
        return str(FIRST_ID + _ID_BLOCKS[type] * 1_000_000_000 + block * 1000 + self._shuffle[place])


class HubSpotRows:
    """Writes one world down. `rows` is by object type; `pairs` by (from type, to type)."""

    def __init__(self, world: World, *, lead_of: Mapping[int, str], contact_of: Mapping[int, str]) -> None:
        self._world = world
        self._rng = world.generator(2)
        self._numbers = Numbers(self._rng)
        self._salesforce_lead, self._salesforce_contact = lead_of, contact_of
        self.rows: dict[str, list[Row]] = {}
        self.pairs: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        self.converted = 0
        self._owners = [str(96000 + n) for n in range(len(world.reps))]
        self._contact_of: dict[int, str] = {}
        self._twin_of: dict[int, str] = {}
        self._company_of: dict[int, str] = {}

    def write(self) -> dict[str, list[Row]]:
        here = np.flatnonzero(self._world.people.in_hubspot).tolist()
        here.sort(key=lambda p: (self._world.people.created[p], p))
        self._team()
        self._companies(here)
        self._contacts(here)
        self._deals(here)
        self._activities()
        return self.rows

    def _team(self) -> None:
        since = iso(self._world.now - (HISTORY_DAYS + 30) * DAY)
        self.rows["owners"] = [
            {
                "id": owner,
                "email": rep.email,
                "type": "PERSON",
                "firstName": rep.first,
                "lastName": rep.last,
                "userId": 771200 + n if rep.active else None,
                "userIdIncludingInactive": 771200 + n,
                "teams": [{"id": str(368 + rep.team), "name": words.TEAMS[rep.team], "primary": True}],
                "createdAt": since,
                "updatedAt": since,
                "archived": not rep.active,
            }
            for n, (owner, rep) in enumerate(zip(self._owners, self._world.reps, strict=True))
        ]

    def _companies(self, here: list[int]) -> None:
        world, firms = self._world, self._world.companies
        company = world.people.company.tolist()
        first: dict[int, float] = {}
        for person in here:
            first.setdefault(company[person], float(world.people.created[person]))
        rows: list[Row] = []
        for (firm, at), draws in zip(first.items(), self._rng.random((len(first), 5)).tolist(), strict=True):
            self._company_of[firm] = self._numbers.id("companies", len(rows))
            properties = {
                "name": dirt.typed(firms.name[firm], draws[0], 0.03),
                "domain": firms.domain[firm],
                "website": firms.domain[firm] if draws[1] < 0.8 else None,
                "industry": words.HUBSPOT_INDUSTRIES[INDUSTRIES[int(firms.industry[firm])]] if draws[2] < 0.7 else None,
                "numberofemployees": str(firms.employees[firm]) if draws[3] < 0.7 else None,
                "annualrevenue": str(int(firms.revenue[firm])) if draws[4] < 0.5 else None,
                "country": words.COUNTRIES[int(firms.country[firm])].name,
                "city": firms.city[firm],
                "hubspot_owner_id": self._owners[firm % len(self._owners)],
            }
            rows.append({"id": self._company_of[firm], "properties": _filled(properties), "created": at})
        for row in rows:
            row["created"] = stamp(row["created"])
        self.rows["companies"] = rows

    def _contacts(self, here: list[int]) -> None:
        rows: list[Row] = []
        counters = self._counters()
        addresses: set[str] = set()
        for person, draws in zip(here, self._rng.random((len(here), 16)).tolist(), strict=True):
            number = self._contact_of[person] = self._numbers.id("contacts", len(rows))
            row = self._contact(person, number, draws, counters)
            rows.append(row)
            # HubSpot holds one contact an address: whoever shares a mailbox with an older contact has none here.
            if (address := row["properties"].get("email")) in addresses:
                del row["properties"]["email"]
            elif address:
                addresses.add(address)
            self.pairs["contacts", "companies"].append(
                (number, self._company_of[int(self._world.people.company[person])])
            )
        self._twins(here, rows)
        self.rows["contacts"] = rows

    def _contact(self, person: int, number: str, draws: list[float], counters: Mapping[str, list[int]]) -> Row:
        world, people = self._world, self._world.people
        created = self._born(person, draws[15])
        history = self._stages(person, created, draws)
        first, last = people.first[person], people.last[person]
        if draws[0] > 0.99:
            first, last = words.JUNK_NAMES[int(draws[1] * len(words.JUNK_NAMES))]
        touched = [created, *(float(v["_at"]) for versions in history.values() for v in versions)]
        seen = float(world.last_activity[person])
        touched += [seen] if seen == seen else []
        properties = {
            "firstname": dirt.typed(first, draws[0]),
            "lastname": dirt.typed(last, draws[1], 0.04),
            "email": people.email[person].lower() if draws[2] < 0.98 else None,
            "jobtitle": dirt.typed(people.title[person], draws[3]),
            "phone": people.phone[person],
            "company": world.companies.name[int(people.company[person])] if draws[4] < 0.6 else None,
            "country": dirt.country(int(people.country[person]), draws[5]),
            "city": world.companies.city[int(people.company[person])] if draws[6] < 0.4 else None,
            "hs_analytics_source": words.SOURCES[int(people.source[person])][1],
            "hs_legal_basis": LEGAL_BASES[int(people.basis[person])] if people.basis[person] >= 0 else None,
            "hs_marketable_status": "true" if draws[7] < 0.7 else "false",
            **self._signals(person, draws, counters),
            **self._links(person, draws),
            **{name: versions[0]["value"] for name, versions in history.items()},
            # The portal keeps when each stage was entered; source: HubSpot, contact lifecycle stage properties.
            **{f"hs_lifecyclestage_{v['value']}_date": v["timestamp"] for v in history["lifecyclestage"]},
        }
        for versions in history.values():
            for version in versions:
                del version["_at"]
        return {
            "id": number,
            "properties": _filled(properties),
            "created": stamp(created),
            "modified": stamp(max(touched)),
            "history": history,
        }

    def _born(self, person: int, draw: float) -> float:
        """Marketing mostly knows of somebody some days before a rep enters the same person in Salesforce."""
        created = float(self._world.people.created[person])
        return created - 6 * DAY * draw * draw if self._world.people.in_salesforce[person] else created

    def _stages(self, person: int, created: float, draws: list[float]) -> dict[str, list[Row]]:
        """Property history, newest first. Lifecycle stages go forward; the owner comes when somebody first calls."""
        world, people, deals = self._world, self._world.people, self._world.conversions
        end = float(deals.recorded[person])
        worked, closed = float(world.first_contact[person]), float(deals.closed[person])
        lost = float(deals.given_up[person])
        form, rep = ("FORM", f"form-{person % 7}"), f"userId:{771200 + int(world.rep_of[person])}"
        stages = [("subscriber" if draws[8] < 0.4 else "lead", created, *form)]
        status: list[tuple[str, float, str, str]] = []
        limit = min(x for x in (end, world.now) if x == x)
        qualified = created + 6 * DAY * draws[9]
        if draws[8] < 0.25 and qualified < limit:
            stages.append(("marketingqualifiedlead", qualified, "AUTOMATION_PLATFORM", "workflow-12"))
        if worked < limit:
            status.append(("ATTEMPTED_TO_CONTACT", worked + 40, "CRM_UI", rep))
        if end == end:
            self.converted += 1
            status.append(("OPEN_DEAL" if deals.with_deal[person] else "CONNECTED", end, "CRM_UI", rep))
            if draws[10] < 0.5:  # set together with the outcome, so it tells nothing in advance
                stages.append(("salesqualifiedlead", end - 30, "CRM_UI", rep))
            stages.append(("opportunity", end, "CRM_UI", rep))
            if closed == closed and deals.won[person]:
                stages.append(("customer", closed, "CRM_UI", rep))
        elif lost == lost:
            status.append(("UNQUALIFIED", lost, "CRM_UI", rep))
        owner = [(self._owners[int(world.rep_of[person])], worked if worked == worked else created + 60, "CRM_UI", rep)]
        refusal = float(people.no_email[person])
        optout = [("true", refusal, "EMAIL", "unsubscribe")] if refusal == refusal else []
        found = {
            "lifecyclestage": stages,
            "hs_lead_status": status,
            "hubspot_owner_id": owner if draws[11] < 0.85 else [],
            "hs_email_optout": optout,
        }
        return {name: _versions(entries, world.now) for name, entries in found.items() if entries}

    def _counters(self) -> dict[str, list[int]]:
        """How many of each kind of activity every person has by now."""
        done, count = self._world.activities, len(self._world.people)
        return {
            kind: np.bincount(done.person[done.kind == n], minlength=count).tolist() for n, kind in enumerate(KINDS)
        } | {"driven": np.bincount(done.person[done.driven], minlength=count).tolist()}

    def _signals(self, person: int, draws: list[float], counters: Mapping[str, list[int]]) -> dict[str, str | None]:
        """Counters that HubSpot keeps by itself; nobody who refused tracking has web numbers after that."""
        world = self._world
        refusal = float(world.people.no_tracking[person])
        visits = 0 if refusal == refusal else int(counters["driven"][person] * (0.4 + 1.4 * draws[12]))
        forms = counters["campaign"][person]
        sent = counters["email_out"][person] + int(6 * draws[13])
        last = float(world.last_activity[person])
        return {
            "hs_analytics_num_visits": str(visits),
            "hs_analytics_num_page_views": str(int(visits * (1 + 3 * draws[14]))),
            "hs_analytics_last_visit_timestamp": iso(last) if visits and last == last else None,
            "num_conversion_events": str(forms) if forms else None,
            "recent_conversion_date": iso(last) if forms and last == last else None,
            "hs_email_delivered": str(sent),
            "hs_email_open": str(int(sent * draws[15] * 0.6)),
            "hs_email_click": str(int(sent * draws[15] * draws[14] * 0.3)),
            "hs_email_replied": str(counters["email_in"][person]),
            "num_notes": str(sum(counters[k][person] for k in ("call_in", "call_out", "meeting", "note"))),
            "notes_last_updated": iso(last) if last == last else None,
        }

    def _links(self, person: int, draws: list[float]) -> dict[str, str | None]:
        if draws[4] > LINKED:
            return {}
        return {
            "salesforceleadid": self._salesforce_lead.get(person),
            "salesforcecontactid": self._salesforce_contact.get(person),
        }

    def _twins(self, here: list[int], rows: list[Row]) -> None:
        """One contact in 25 exists twice. HubSpot refuses a second record with the same address, so theirs differ."""
        people, now = self._world.people, self._world.now
        addresses = {row["properties"].get("email") for row in rows}
        chosen = [(n, p) for n, (p, d) in enumerate(zip(here, self._rng.random(len(here)), strict=True)) if d < 0.04]
        for (place, person), draws in zip(chosen, self._rng.random((len(chosen), 4)).tolist(), strict=True):
            first, last, email, phone = dirt.twin(
                people.first[person], people.last[person], people.email[person], people.phone[person], draws[0]
            )
            created = float(people.created[person])
            again = created + min(120 * DAY, now - created) * draws[1]
            number = self._twin_of[person] = self._numbers.id("contacts", len(rows))
            properties = {
                **{
                    k: v
                    for k, v in rows[place]["properties"].items()
                    if k in ("jobtitle", "country", "city", "company")
                },
                "firstname": first,
                "lastname": last,
                "email": email.lower() if email.lower() not in addresses else None,
                "phone": phone,
                "lifecyclestage": "lead",
                "hs_analytics_source": "OFFLINE",
            }
            addresses.add(properties["email"])
            rows.append({"id": number, "properties": _filled(properties), "created": stamp(again)})

    def _deals(self, here: list[int]) -> None:
        """Deals of HubSpot's own people, and of half of those that Salesforce holds too."""
        world, deals = self._world, self._world.conversions
        rows: list[Row] = []
        shared = self._rng.random(len(here)).tolist()
        for person, draw in zip(here, shared, strict=True):
            if not deals.with_deal[person] or (world.people.in_salesforce[person] and draw < 0.5):
                continue
            made, closed = float(deals.recorded[person]), float(deals.closed[person])
            over = closed == closed
            stage = DEAL_STAGES[person % len(DEAL_STAGES)]
            stage = ("closedwon" if deals.won[person] else "closedlost") if over else stage
            firm = int(world.people.company[person])
            number = self._numbers.id("deals", len(rows))
            properties = {
                "dealname": f"{world.companies.name[firm]} {stamp(made).year}",
                "pipeline": "default",
                "dealstage": stage,
                "amount": str(int(deals.amount[person])),
                "closedate": iso(closed if over else world.now + (person % 90) * DAY),
                "hs_is_closed": "true" if over else "false",
                "hs_is_closed_won": "true" if over and deals.won[person] else "false",
                "closed_lost_reason": words.LOST_REASONS[person % len(words.LOST_REASONS)]
                if stage == "closedlost"
                else None,
                "hubspot_owner_id": self._owners[int(world.rep_of[person])],
            }
            rows.append(
                {
                    "id": number,
                    "properties": _filled(properties),
                    "created": stamp(made),
                    "modified": stamp(closed if over else made),
                }
            )
            self.pairs["deals", "contacts"].append((number, self._contact_of[person]))
            self.pairs["deals", "companies"].append((number, self._company_of[firm]))
        self.rows["deals"] = rows

    def _activities(self) -> None:
        """Form fills and campaign responses are counters here, so they become e-mails that somebody sent in."""
        world, done = self._world, self._world.activities
        mine = world.people.in_hubspot[done.person]
        mine &= ~world.people.in_salesforce[done.person] | (world.activity_draws >= 0.5)
        chosen = np.flatnonzero(mine)
        draws = self._rng.random((len(chosen), 3)).tolist()
        for person, kind, at, recorded, (a, b, c) in zip(
            done.person[chosen].tolist(),
            done.kind[chosen].tolist(),
            done.at[chosen].tolist(),
            done.recorded[chosen].tolist(),
            draws,
            strict=True,
        ):
            contact = self._twin_of[person] if a < 0.15 and person in self._twin_of else self._contact_of[person]
            type, properties = activity(EMAIL_IN if kind == CAMPAIGN else kind, at, b, c)
            rows = self.rows.setdefault(type, [])
            number = self._numbers.id(type, len(rows))
            properties["hubspot_owner_id"] = self._owners[int(world.rep_of[person])]
            if kind in (EMAIL_OUT, TASK) and b > 0.97:
                properties.pop("hubspot_owner_id")  # sequences and integrations log without an owner
            rows.append({"id": number, "properties": properties, "created": stamp(recorded)})
            self.pairs[type, "contacts"].append((number, contact))


def _versions(entries: list[tuple[str, float, str, str]], now: float) -> list[Row]:
    past = [entry for entry in entries if entry[1] < now] or entries[:1]
    return [
        {"value": value, "timestamp": iso(at), "sourceType": kind, "sourceId": source, "_at": at}
        for value, at, kind, source in sorted(past, key=lambda e: e[1], reverse=True)
    ]


def _filled(properties: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if value}


def stamp(seconds: float) -> datetime:
    return moment(math.floor(seconds) + (math.floor(seconds * 7) % 1000) / 1000)


def iso(seconds: float) -> str:
    return stamp(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")
