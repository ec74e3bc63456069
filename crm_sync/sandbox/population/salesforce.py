"""A population as a Salesforce org would hold it: rows for `seed`, with ids and stamps.

Source: Salesforce object reference, for Lead, Contact, Account, Opportunity, LeadHistory and Individual.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from crm_sync.sandbox.population import dirt, words
from crm_sync.sandbox.population.companies import INDUSTRIES
from crm_sync.sandbox.population.interest import CAMPAIGN, MEETING
from crm_sync.sandbox.population.people import DAY, HISTORY_DAYS
from crm_sync.sandbox.population.salesforce_activities import Campaigns, event, task
from crm_sync.sandbox.population.salesforce_ids import record_id
from crm_sync.sandbox.population.world import World, moment

Row = dict[str, Any]
OPEN, WORKING, QUALIFIED = "Open - Not Contacted", "Working - Contacted", "Qualified"
CONVERTED, LOST = "Closed - Converted", "Closed - Not Converted"
OPEN_STAGES = (
    ("Prospecting", 10),
    ("Qualification", 20),
    ("Needs Analysis", 30),
    ("Proposal/Price Quote", 65),
    ("Negotiation/Review", 85),
)
QUEUES = ("Inbound EMEA", "Inbound Americas", "Partner leads")


class SalesforceRows:
    """Writes one world down. `rows` is by object, in an order in which every reference points backwards."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.generator(1)
        self.rows: dict[str, list[Row]] = {}
        self.converted = 0
        self.lead_of: dict[int, str] = {}  # person to lead id
        self.contact_of: dict[int, str] = {}
        self._account_of: dict[int, str] = {}  # company to account id
        self._who: dict[int, str] = {}  # person to the record that activities hang on
        self._twin_of: dict[int, str] = {}
        self._individual_of: dict[int, str] = {}
        self._opportunity_of: dict[int, str] = {}
        self._changes: list[Row] = []

    def write(self) -> dict[str, list[Row]]:
        here = np.flatnonzero(self._world.people.in_salesforce).tolist()
        share = self._rng.random(len(here)).tolist()
        # Where Salesforce is the only CRM, everybody starts as a lead: that is what benchmarks count.
        direct = 0.0 if not self._world.people.in_hubspot.any() else 0.10
        leads = [p for p, draw in zip(here, share, strict=True) if draw >= direct]
        contacts = [p for p, draw in zip(here, share, strict=True) if draw < direct]
        self._users()
        self._individuals(here)
        self._accounts(leads, contacts)
        self._contacts(leads, contacts)
        self._opportunities(leads, contacts)
        self._leads(leads)
        self._activities()
        return self.rows

    def _users(self) -> None:
        world = self._world
        since = moment(world.now - (HISTORY_DAYS + 30) * DAY)
        self.rows["User"] = [
            {
                "Id": record_id("User", n),
                "Username": rep.email,
                "Email": rep.email,
                "FirstName": rep.first,
                "LastName": rep.last,
                "Name": f"{rep.first} {rep.last}",
                "IsActive": rep.active,
                "UserType": "Standard",
                "TimeZoneSidKey": rep.zone,
                "CreatedDate": since,
            }
            for n, rep in enumerate(world.reps, start=1)
        ]
        # Seeded beside the org's own statuses: the one that reps tick when a lead is about to be converted.
        self.rows["LeadStatus"] = [
            {"MasterLabel": QUALIFIED, "ApiName": QUALIFIED, "SortOrder": 2, "CreatedDate": since}
        ]
        groups = [(name, "Queue") for name in QUEUES] + [(name, "Regular") for name in words.TEAMS]
        self.rows["Group"] = [
            {
                "Id": record_id("Group", n),
                "Name": name,
                "DeveloperName": name.replace(" & ", "_").replace(" ", "_"),
                "Type": kind,
                "CreatedDate": since,
            }
            for n, (name, kind) in enumerate(groups, start=1)
        ]
        self.rows["QueueSobject"] = [
            {"QueueId": record_id("Group", n), "SobjectType": "Lead", "CreatedDate": since}
            for n in range(1, len(QUEUES) + 1)
        ]
        self.rows["GroupMember"] = [
            {"GroupId": record_id("Group", len(QUEUES) + 1 + rep.team), "UserOrGroupId": record_id("User", n)}
            for n, rep in enumerate(world.reps, start=1)
        ] + [
            {"GroupId": record_id("Group", 1 + n % len(QUEUES)), "UserOrGroupId": record_id("User", n)}
            for n, rep in enumerate(world.reps, start=1)
            if rep.active
        ]

    def _individuals(self, here: list[int]) -> None:
        people = self._world.people
        rows: list[Row] = []
        flags = {
            "HasOptedOutTracking": people.no_tracking.tolist(),
            "HasOptedOutProfiling": people.no_profiling.tolist(),
            "HasOptedOutProcessing": people.no_processing.tolist(),
            "ShouldForget": people.forget.tolist(),
        }
        created = people.created.tolist()
        for person, draw in zip(here, self._rng.random(len(here)).tolist(), strict=True):
            refused = {name: at[person] for name, at in flags.items() if at[person] == at[person]}
            if not refused and draw > 0.03:
                continue
            row: Row = {
                "Id": record_id("Individual", len(rows) + 1),
                "FirstName": people.first[person],
                "LastName": people.last[person],
                **{name: name in refused for name in flags},
                "CreatedDate": moment(created[person]),
                "LastModifiedDate": moment(max([created[person], *refused.values()])),
            }
            row["SystemModstamp"] = row["LastModifiedDate"]
            rows.append(row)
            self._individual_of[person] = row["Id"]
        self.rows["Individual"] = rows

    def _accounts(self, leads: list[int], contacts: list[int]) -> None:
        """Customers and prospects with a contact, and some firms that are only wished for."""
        world, firms = self._world, self._world.companies
        converted = world.conversions.recorded
        first: dict[int, float] = {}
        company, created = world.people.company.tolist(), world.people.created.tolist()
        for person in contacts:
            first[company[person]] = min(first.get(company[person], math.inf), created[person] - DAY)
        for person in leads:
            if converted[person] == converted[person]:
                at = float(converted[person])
                first[company[person]] = min(first.get(company[person], math.inf), at)
        draws = self._rng.random((len(firms), 4)).tolist()
        for firm in range(len(firms)):
            if firm not in first and draws[firm][0] < 0.2:
                first[firm] = world.now - HISTORY_DAYS * DAY * draws[firm][1]
        rows: list[Row] = []
        for firm in sorted(first, key=lambda f: (first[f], f)):
            made = moment(math.floor(first[firm]))
            self._account_of[firm] = record_id("Account", len(rows) + 1)
            place = words.COUNTRIES[int(firms.country[firm])]
            rows.append(
                {
                    "Id": self._account_of[firm],
                    "Name": dirt.typed(firms.name[firm], draws[firm][2], 0.03),
                    "Website": f"https://www.{firms.domain[firm]}" if draws[firm][3] < 0.8 else None,
                    "Industry": INDUSTRIES[int(firms.industry[firm])] if draws[firm][1] < 0.85 else None,
                    "NumberOfEmployees": int(firms.employees[firm]) if draws[firm][2] < 0.8 else None,
                    "AnnualRevenue": float(firms.revenue[firm]) if draws[firm][3] < 0.6 else None,
                    "BillingCountry": place.name,
                    "BillingCity": firms.city[firm],
                    "Type": "Customer" if draws[firm][0] < 0.3 else "Prospect",
                    "OwnerId": record_id("User", 1 + firm % len(world.reps)),
                    "CreatedDate": made,
                }
            )
        for firm, account in self._account_of.items():
            parent = self._account_of.get(int(firms.parent[firm])) if firms.parent[firm] >= 0 else None
            rows[int(account[5:15]) - 1]["ParentId"] = parent
        self.rows["Account"] = rows

    def _contacts(self, leads: list[int], contacts: list[int]) -> None:
        world, people = self._world, self._world.people
        recorded = world.conversions.recorded.tolist()
        born = [(people.created[p], p) for p in contacts]
        born += [(recorded[p], p) for p in leads if recorded[p] == recorded[p]]
        born.sort()
        rows: list[Row] = []
        for (at, person), draws in zip(born, self._rng.random((len(born), 6)).tolist(), strict=True):
            self.contact_of[person] = record_id("Contact", len(rows) + 1)
            firm = int(people.company[person])
            last = world.last_activity[person]
            touched = max(at, last) if last == last else at
            rows.append(
                {
                    "Id": self.contact_of[person],
                    "AccountId": self._account_of[firm],
                    **self._person(person, draws),
                    "MailingCountry": dirt.country(int(people.country[person]), draws[5]) or None,
                    "CreatedDate": moment(math.floor(at)),
                    "LastModifiedDate": moment(math.floor(self._refused_by(person, at))),
                    "SystemModstamp": moment(math.floor(self._refused_by(person, touched))),
                    "LastActivityDate": moment(last).date().isoformat() if last == last else None,
                }
            )
        self.rows["Contact"] = rows

    def _person(self, person: int, draws: list[float]) -> Row:
        """What a lead and a contact hold alike; `draws` are this record's own."""
        people, world = self._world.people, self._world
        first, last = people.first[person], people.last[person]
        if draws[0] > 0.99:
            first, last = words.JUNK_NAMES[int(draws[1] * len(words.JUNK_NAMES))]
        owner = record_id("User", int(world.rep_of[person]) + 1)
        return {
            "FirstName": dirt.typed(first, draws[0]) or None,
            "LastName": dirt.typed(last, draws[1], 0.04),
            "Title": dirt.typed(people.title[person], draws[2])[:128] or None,
            "Email": people.email[person][:80] or None,
            "Phone": people.phone[person] or None,
            "LeadSource": words.SOURCES[int(people.source[person])][0] if draws[3] < 0.93 else None,
            # A newsletter's unsubscribe link tells HubSpot; in four of ten cases nobody told Salesforce.
            "HasOptedOutOfEmail": bool(people.no_email[person] == people.no_email[person])
            and not (people.in_hubspot[person] and draws[4] > 0.6),
            "DoNotCall": bool(people.no_phone[person] == people.no_phone[person]),
            "IndividualId": self._individual_of.get(person),
            "OwnerId": owner,
        }

    def _refused_by(self, person: int, at: float) -> float:
        """`at`, or later where a refusal of e-mail or calls touched the record afterwards."""
        people = self._world.people
        stamps = [at, float(people.no_email[person]), float(people.no_phone[person])]
        return max(stamp for stamp in stamps if stamp == stamp)

    def _leads(self, leads: list[int]) -> None:
        people = self._world.people
        order = sorted(leads, key=lambda p: (people.created[p], p))
        rows: list[Row] = []
        for person, draws in zip(order, self._rng.random((len(order), 14)).tolist(), strict=True):
            lead = record_id("Lead", len(rows) + 1)
            self.lead_of[person] = lead
            self._who[person] = self.contact_of.get(person, lead)
            rows.append(self._lead(person, lead, draws))
        self._who.update({p: c for p, c in self.contact_of.items() if p not in self._who})
        self._twins(order, rows)
        self.rows["Lead"] = rows
        self.rows["LeadHistory"] = self._changes

    def _lead(self, person: int, lead: str, draws: list[float]) -> Row:
        world, people, firms = self._world, self._world.people, self._world.companies
        firm, created = int(people.company[person]), float(people.created[person])
        status, changed = self._status(person, lead, draws)
        last = float(world.last_activity[person])
        row = {
            "Id": lead,
            **self._person(person, draws),
            "Company": dirt.typed(firms.name[firm] if draws[0] <= 0.99 else "test", draws[4], 0.05),
            "Website": f"www.{firms.domain[firm]}" if draws[5] < 0.55 else None,
            "Country": dirt.country(int(people.country[person]), draws[6]) or None,
            "City": firms.city[firm] if draws[7] < 0.5 else None,
            "Industry": INDUSTRIES[int(firms.industry[firm])] if draws[8] < 0.65 else None,
            "NumberOfEmployees": int(firms.employees[firm]) if draws[9] < 0.55 else None,
            "AnnualRevenue": float(firms.revenue[firm]) if draws[10] < 0.3 else None,
            "Status": status,
            "Rating": _rating(status, draws[11]),
            "IsConverted": False,
            "IsDeleted": draws[12] > 0.997,
            "CreatedDate": moment(created),
            "LastModifiedDate": moment(changed),
            "SystemModstamp": moment(max(changed, last) if last == last else changed),
            "LastActivityDate": moment(last).date().isoformat() if last == last else None,
        }
        if draws[13] < 0.08 and status == OPEN:
            row["OwnerId"] = record_id("Group", 1 + person % len(QUEUES))
        contact = self.contact_of.get(person)
        if contact is not None:
            self.converted += 1
            recorded = float(world.conversions.recorded[person])
            row |= {
                "IsConverted": True,
                "IsDeleted": False,
                "ConvertedDate": moment(recorded).date().isoformat(),
                "ConvertedContactId": contact,
                "ConvertedAccountId": self._account_of[firm],
                "ConvertedOpportunityId": self._opportunity_of.get(person),
            }
        return row

    def _status(self, person: int, lead: str, draws: list[float]) -> tuple[str, float]:
        """The status a lead ended with and when it was last changed; each step leaves a row of history."""
        world = self._world
        status, at = OPEN, float(world.people.created[person])
        steps: list[tuple[str, float]] = []
        end = float(world.conversions.recorded[person])
        lost = float(world.conversions.given_up[person])
        worked = float(world.first_contact[person])
        if worked == worked and not worked >= min(x for x in (end, lost, math.inf) if x == x):
            steps.append((WORKING, worked + 30))
        if end == end:
            # Many reps tick "Qualified" only when they convert: a status that knows the outcome.
            steps += [(QUALIFIED, end - 60), (CONVERTED, end)] if draws[11] < 0.6 else [(CONVERTED, end)]
        elif lost == lost:
            steps.append((LOST, lost))
        elif steps and draws[11] > 0.985:
            steps.append((QUALIFIED, steps[-1][1] + 3 * DAY))
        rep = record_id("User", int(world.rep_of[person]) + 1)
        for value, changed in steps:
            if changed >= world.now or changed < at:
                continue
            self._history(lead, "Status", status, value, changed, rep)
            status, at = value, changed
        if end == end:
            self._history(lead, "leadConverted", None, None, at, rep)
        elif draws[12] < 0.12:
            moved = at + (world.now - at) * draws[13]
            self._history(lead, "Owner", record_id("Group", 1 + person % len(QUEUES)), rep, math.floor(moved), rep)
            at = math.floor(moved)
        return status, math.floor(self._refused_by(person, at))

    def _history(self, lead: str, field: str, old: str | None, new: str | None, at: float, by: str) -> None:
        rows = self._changes
        rows.append(
            {
                "Id": record_id("LeadHistory", len(rows) + 1),
                "LeadId": lead,
                "Field": field,
                "OldValue": old,
                "NewValue": new,
                "CreatedDate": moment(math.floor(at)),
                "CreatedById": by,
            }
        )

    def _twins(self, order: list[int], rows: list[Row]) -> None:
        """One lead in 25 was entered again, some weeks later and by somebody else."""
        world = self._world
        chosen = [p for p, draw in zip(order, self._rng.random(len(order)).tolist(), strict=True) if draw < 0.04]
        for person, draws in zip(chosen, self._rng.random((len(chosen), 8)).tolist(), strict=True):
            again = float(world.people.created[person]) + 90 * DAY * draws[0]
            if again >= world.now or (person in self.contact_of and draws[1] < 0.5):
                continue
            original = rows[int(self.lead_of[person][5:15]) - 1]
            people = world.people
            first, last, email, phone = dirt.twin(
                people.first[person], people.last[person], people.email[person], people.phone[person], draws[2]
            )
            lead = record_id("Lead", len(rows) + 1)
            self._twin_of[person] = lead
            rows.append(
                {
                    **original,
                    "Id": lead,
                    "FirstName": first,
                    "LastName": last,
                    "Email": email or None,
                    "Phone": phone or None,
                    "Status": OPEN,
                    "Rating": None,
                    "IsConverted": False,
                    "IsDeleted": False,
                    "ConvertedDate": None,
                    "ConvertedContactId": None,
                    "ConvertedAccountId": None,
                    "ConvertedOpportunityId": None,
                    "IndividualId": None,
                    "HasOptedOutOfEmail": original["HasOptedOutOfEmail"] and draws[5] < 0.5,
                    "LeadSource": words.SOURCES[int(draws[3] * len(words.SOURCES))][0],
                    "OwnerId": record_id("User", 1 + int(draws[4] * len(world.reps))),
                    "LastActivityDate": None,
                    "CreatedDate": moment(math.floor(again)),
                    "LastModifiedDate": moment(math.floor(again)),
                    "SystemModstamp": moment(math.floor(again)),
                }
            )

    def _opportunities(self, leads: list[int], contacts: list[int]) -> None:
        world, deals = self._world, self._world.conversions
        rows: list[Row] = []
        roles: list[Row] = []
        recorded = deals.recorded.tolist()
        sold = [p for p in (*leads, *contacts) if deals.with_deal[p] and p in self.contact_of]
        for person in sorted(sold, key=lambda p: (recorded[p], p)):
            opportunity = self._opportunity_of[person] = record_id("Opportunity", len(rows) + 1)
            made, closed = recorded[person], float(deals.closed[person])
            firm = int(world.people.company[person])
            stage, odds = OPEN_STAGES[person % len(OPEN_STAGES)]
            if closed == closed:
                stage, odds = ("Closed Won", 100) if deals.won[person] else ("Closed Lost", 0)
            due = closed if closed == closed else world.now + (person % 90) * DAY
            rows.append(
                {
                    "Id": opportunity,
                    "Name": f"{world.companies.name[firm]} {moment(made).year}",
                    "AccountId": self._account_of[firm],
                    "ContactId": self.contact_of[person],
                    "StageName": stage,
                    "Probability": float(odds),
                    "IsClosed": closed == closed,
                    "IsWon": closed == closed and bool(deals.won[person]),
                    "Amount": float(deals.amount[person]),
                    "CloseDate": moment(due).date().isoformat(),
                    "LeadSource": words.SOURCES[int(world.people.source[person])][0],
                    "OwnerId": record_id("User", int(world.rep_of[person]) + 1),
                    "CreatedDate": moment(made),
                    "LastModifiedDate": moment(closed if closed == closed else made),
                    "SystemModstamp": moment(closed if closed == closed else made),
                }
            )
            roles.append(
                {
                    "OpportunityId": opportunity,
                    "ContactId": self.contact_of[person],
                    "Role": "Decision Maker",
                    "IsPrimary": True,
                    "CreatedDate": moment(made),
                }
            )
        self.rows["Opportunity"], self.rows["OpportunityContactRole"] = rows, roles

    def _activities(self) -> None:
        world, done = self._world, self._world.activities
        mine = world.people.in_salesforce[done.person]
        mine &= ~world.people.in_hubspot[done.person] | (world.activity_draws < 0.5)
        campaigns = Campaigns(world)
        tasks: list[Row] = []
        events: list[Row] = []
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
            who = self._twin_of[person] if a < 0.15 and person in self._twin_of else self._who[person]
            if kind == CAMPAIGN and campaigns.respond(
                person, self.lead_of.get(person), self.contact_of.get(person), recorded
            ):
                continue
            owner = record_id("User", int(world.rep_of[person]) + 1)
            if kind == MEETING:
                events.append(event(len(events) + 1, who, owner, at, recorded, b))
            else:
                tasks.append(task(len(tasks) + 1, kind, who, owner, at, recorded, world.now, b, c))
        self.rows |= campaigns.rows()
        self.rows["Task"], self.rows["Event"] = tasks, events


def _rating(status: str, draw: float) -> str | None:
    """Reps rate what they know already: a field that leaks the outcome, and is mostly empty."""
    if status in (CONVERTED, QUALIFIED):
        return "Hot" if draw < 0.55 else "Warm" if draw < 0.7 else None
    if status == LOST:
        return "Cold" if draw < 0.4 else None
    return "Hot" if draw < 0.03 else "Warm" if draw < 0.12 else "Cold" if draw < 0.18 else None
