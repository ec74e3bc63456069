"""A history as the blocks that the seed route takes: field definitions, rows and associations of one CRM.

Ids follow from the load file's title and the order of rows, so loading a file again replaces its own rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crm_sync.sandbox.load.history import Deed, History, Person
from crm_sync.sandbox.load.loadfile import Crm, LoadFile, LoadProblem
from crm_sync.sandbox.load.source import Value
from crm_sync.sandbox.population.salesforce_ids import record_id

Row = dict[str, Any]
Block = dict[str, Any]
SIZE = 2_000  # rows of a block
OPEN, CONVERTED, LOST = "Open - Not Contacted", "Closed - Converted", "Closed - Not Converted"
HUBSPOT_FIRST_ID = 110_000_000_000


def blocks(crm: Crm, loadfile: LoadFile, history: History) -> Iterator[Block]:
    """Everything to be seeded into `crm`, in an order in which references point backwards."""
    writer = _SalesforceBlocks(loadfile, history) if crm == "salesforce" else _HubSpotBlocks(loadfile, history)
    return writer.all()


class _Blocks:
    """What both CRMs have in common: fields, constants, and cutting rows into blocks."""

    crm: Crm
    object: str

    def __init__(self, loadfile: LoadFile, history: History) -> None:
        self._loadfile = loadfile
        self._people = history.people
        self._fields = [(name, field, c) for name, c in loadfile.columns.items() if (field := c.field(self.crm))]
        self._number = zlib.crc32(loadfile.title.encode())

    def _definitions(self) -> Block:
        fields = [
            {
                "name": field,
                "label": (column.name or name).replace("_", " ")[:40],
                "type": column.type,
                "length": column.length,
            }
            for name, field, column in self._fields
            # Standard fields are there in Salesforce; HubSpot's are recognised by name and left alone.
            if self.crm == "hubspot" or field.endswith("__c")
        ]
        return {"define": self.object, "fields": fields}

    def _values(self, person: Person) -> dict[str, Value]:
        return {field: found for name, field, _ in self._fields if (found := person.values[name]) is not None}

    def _constants(self, person: Person) -> dict[str, str]:
        try:
            return {
                field: text.format(key=person.key, number=person.number)
                for field, text in self._loadfile.constants.get(self.crm, {}).items()
            }
        except (KeyError, IndexError, ValueError) as error:
            raise LoadProblem(
                f"constants of {self.crm} may use {{key}} and {{number}}, nothing else ({error})."
            ) from error

    def _cut(self, object: str, rows: Sequence[Row]) -> Iterator[Block]:
        for start in range(0, len(rows), SIZE):
            yield {"object": object, "rows": rows[start : start + SIZE]}


class _SalesforceBlocks(_Blocks):
    """Leads; an account, a contact and perhaps an opportunity for each conversion; history, tasks and events."""

    crm = "salesforce"
    object = "Lead"

    def all(self) -> Iterator[Block]:
        yield self._definitions()
        converted = [p for p in self._people if p.converted]
        yield from self._cut("Account", [self._account(p) for p in converted])
        yield from self._cut("Contact", [self._contact(p) for p in converted])
        if self._loadfile.converted and self._loadfile.converted.deal:
            yield from self._cut("Opportunity", [self._opportunity(p) for p in converted])
            yield from self._cut("OpportunityContactRole", [self._role(p) for p in converted])
        yield from self._cut("Lead", [self._lead(p) for p in self._people])
        yield from self._cut("LeadHistory", [row for p in self._people for row in self._changes(p)])
        deeds = [(p, deed) for p in self._people for deed in p.deeds]
        tasks = [self._task(n, p, d) for n, (p, d) in enumerate(deeds, start=1) if d.kind != "meeting"]
        yield from self._cut("Task", tasks)
        yield from self._cut(
            "Event", [self._event(n, p, d) for n, (p, d) in enumerate(deeds, start=1) if d.kind == "meeting"]
        )

    def _id(self, object: str, number: int) -> str:
        return record_id(object, self._number % 9_000 * 1_000_000 + number, "LF")

    def _who(self, person: Person) -> str:
        return self._id("Contact" if person.converted else "Lead", person.number)

    def _name(self, person: Person) -> dict[str, Any]:
        fields = self._constants(person) | self._values(person)
        return {"LastName": fields.get("LastName", person.key), "Email": fields.get("Email")}

    def _account(self, person: Person) -> Row:
        firm = (self._constants(person) | self._values(person)).get("Company", person.key)
        return {"Id": self._id("Account", person.number), "Name": firm, "CreatedDate": _stamp(person.converted)}

    def _contact(self, person: Person) -> Row:
        return {
            "Id": self._id("Contact", person.number),
            "AccountId": self._id("Account", person.number),
            **self._name(person),
            "CreatedDate": _stamp(person.converted),
            "SystemModstamp": _stamp(max([person.converted or person.created, *(d.at for d in person.deeds)])),
        }

    def _opportunity(self, person: Person) -> Row:
        assert person.converted is not None
        return {
            "Id": self._id("Opportunity", person.number),
            "Name": f"{self._loadfile.title} {person.number}",
            "AccountId": self._id("Account", person.number),
            "ContactId": self._id("Contact", person.number),
            "StageName": "Closed Won",
            "IsClosed": True,
            "IsWon": True,
            "Probability": 100.0,
            "CloseDate": person.converted.date().isoformat(),
            "CreatedDate": _stamp(person.converted),
        }

    def _role(self, person: Person) -> Row:
        return {
            "OpportunityId": self._id("Opportunity", person.number),
            "ContactId": self._id("Contact", person.number),
            "IsPrimary": True,
            "CreatedDate": _stamp(person.converted),
        }

    def _lead(self, person: Person) -> Row:
        changed = person.converted or person.lost or person.created
        latest = max([changed, *(d.at for d in person.deeds)])
        row: Row = {
            "LastName": person.key,
            "Company": "[not provided]",
            "Status": LOST if person.lost else OPEN,
            "IsConverted": False,
            **self._constants(person),
            **self._values(person),
            "Id": self._id("Lead", person.number),
            "CreatedDate": _stamp(person.created),
            "LastModifiedDate": _stamp(changed),
            "SystemModstamp": _stamp(latest),
        }
        if person.deeds:
            row["LastActivityDate"] = max(d.at for d in person.deeds).date().isoformat()
        if person.converted:
            with_deal = self._loadfile.converted is not None and self._loadfile.converted.deal
            row |= {
                "Status": CONVERTED,
                "IsConverted": True,
                "ConvertedDate": person.converted.date().isoformat(),
                "ConvertedAccountId": self._id("Account", person.number),
                "ConvertedContactId": self._id("Contact", person.number),
                "ConvertedOpportunityId": self._id("Opportunity", person.number) if with_deal else None,
            }
        return row

    def _changes(self, person: Person) -> Iterator[Row]:
        at = person.converted or person.lost
        if at is None:
            return
        lead, status = self._id("Lead", person.number), CONVERTED if person.converted else LOST
        steps = [("Status", OPEN, status)] + ([("leadConverted", None, None)] if person.converted else [])
        for place, (field, old, new) in enumerate(steps):
            yield {
                "Id": self._id("LeadHistory", 2 * person.number + place),
                "LeadId": lead,
                "Field": field,
                "OldValue": old,
                "NewValue": new,
                "CreatedDate": _stamp(at),
            }

    def _task(self, number: int, person: Person, deed: Deed) -> Row:
        subtype = {"call": "Call", "email": "Email"}.get(deed.kind.partition("_")[0], "Task")
        prefix = {"email_in": "Email: Re: ", "email_out": "Email: "}.get(deed.kind, "")
        row: Row = {
            "Id": self._id("Task", number),
            "WhoId": self._who(person),
            "Subject": (prefix + deed.subject or deed.kind.capitalize())[:255],
            "TaskSubtype": subtype,
            "Status": "Completed",
            "ActivityDate": deed.at.date().isoformat(),
            "CompletedDateTime": _stamp(deed.at),
            "CreatedDate": _stamp(deed.at),
        }
        if subtype == "Call":
            row["CallType"] = "Inbound" if deed.kind == "call_in" else "Outbound"
        return row

    def _event(self, number: int, person: Person, deed: Deed) -> Row:
        return {
            "Id": self._id("Event", number),
            "WhoId": self._who(person),
            "Subject": deed.subject[:255] or "Meeting",
            "StartDateTime": _stamp(deed.at),
            "EndDateTime": _stamp(deed.at),
            "DurationInMinutes": 0,
            "ActivityDate": deed.at.date().isoformat(),
            "CreatedDate": _stamp(deed.at),
        }


class _HubSpotBlocks(_Blocks):
    """Contacts with the history of their lifecycle stage; deals where outcomes are deals; engagements."""

    crm = "hubspot"
    object = "contacts"
    _places: Mapping[str, int] = {
        "contacts": 0,
        "deals": 1,
        "calls": 2,
        "emails": 3,
        "meetings": 4,
        "notes": 5,
        "tasks": 6,
    }

    def all(self) -> Iterator[Block]:
        yield self._definitions()
        yield from self._cut("contacts", [self._contact(p) for p in self._people])
        if self._loadfile.converted and self._loadfile.converted.deal:
            won = [p for p in self._people if p.converted]
            yield from self._cut("deals", [self._deal(p) for p in won])
            yield from self._tie("deals", [(self._id("deals", p.number), self._id("contacts", p.number)) for p in won])
        found: dict[str, list[Row]] = {}
        pairs: dict[str, list[tuple[str, str]]] = {}
        for person in self._people:
            for deed in person.deeds:
                type, properties = _engagement(deed)
                rows = found.setdefault(type, [])
                id = self._id(type, len(rows) + 1)
                rows.append({"id": id, "properties": properties, "created": deed.at})
                pairs.setdefault(type, []).append((id, self._id("contacts", person.number)))
        for type, rows in found.items():
            yield from self._cut(type, rows)
            yield from self._tie(type, pairs[type])

    def _id(self, type: str, number: int) -> str:
        return str(HUBSPOT_FIRST_ID + (self._number % 9_000 * 10 + self._places[type]) * 1_000_000 + number)

    def _tie(self, type: str, pairs: Sequence[tuple[str, str]]) -> Iterator[Block]:
        for start in range(0, len(pairs), SIZE):
            yield {"associate": [type, "contacts"], "pairs": pairs[start : start + SIZE]}

    def _contact(self, person: Person) -> Row:
        stages = [("lead", person.created, "IMPORT", self._loadfile.title)]
        if person.converted:
            stage = "customer" if self._loadfile.converted and self._loadfile.converted.deal else "opportunity"
            stages.append((stage, person.converted, "CRM_UI", "userId:771200"))
        history = {"lifecyclestage": _versions(stages)}
        properties = {
            "lastname": person.key,
            "lifecyclestage": stages[-1][0],
            **{f"hs_lifecyclestage_{stage}_date": _iso(at) for stage, at, _, _ in stages},
            **self._constants(person),
            **{name: _text(found) for name, found in self._values(person).items()},
        }
        if person.lost:
            properties["hs_lead_status"] = "UNQUALIFIED"
            history["hs_lead_status"] = _versions([("UNQUALIFIED", person.lost, "CRM_UI", "userId:771200")])
        changed = person.converted or person.lost or person.created
        return {
            "id": self._id("contacts", person.number),
            "properties": properties,
            "created": person.created,
            "modified": max([changed, *(d.at for d in person.deeds)]),
            "history": history,
        }

    def _deal(self, person: Person) -> Row:
        assert person.converted is not None
        return {
            "id": self._id("deals", person.number),
            "properties": {
                "dealname": f"{self._loadfile.title} {person.number}",
                "pipeline": "default",
                "dealstage": "closedwon",
                "closedate": _iso(person.converted),
                "hs_is_closed": "true",
                "hs_is_closed_won": "true",
            },
            "created": person.converted,
        }


def _engagement(deed: Deed) -> tuple[str, dict[str, str]]:
    """The object type and properties of one activity."""
    at = {"hs_timestamp": _iso(deed.at)}
    match deed.kind:
        case "call_in" | "call_out":
            direction = "INBOUND" if deed.kind == "call_in" else "OUTBOUND"
            return "calls", {**at, "hs_call_direction": direction, "hs_call_title": deed.subject}
        case "email_in" | "email_out":
            direction = "INCOMING_EMAIL" if deed.kind == "email_in" else "EMAIL"
            return "emails", {**at, "hs_email_direction": direction, "hs_email_subject": deed.subject}
        case "meeting":
            return "meetings", {**at, "hs_meeting_title": deed.subject, "hs_meeting_start_time": _iso(deed.at)}
        case "note":
            return "notes", {**at, "hs_note_body": deed.subject}
        case "task":
            return "tasks", {**at, "hs_task_subject": deed.subject, "hs_task_status": "COMPLETED"}


def _versions(steps: Sequence[tuple[str, datetime, str, str]]) -> list[dict[str, str]]:
    return [
        {"value": value, "timestamp": _iso(at), "sourceType": kind, "sourceId": source}
        for value, at, kind, source in reversed(steps)
    ]


def _stamp(moment: datetime | None) -> str | None:
    """As Salesforce writes it, which is also what it reads fastest."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000" if moment else None


def _text(value: Value) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
