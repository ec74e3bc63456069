"""What becomes of rows: the Recycle Bin and back, purge, merge and conversion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crm_sync.sandbox.salesforce.access import Access
from crm_sync.sandbox.salesforce.automation import Automation
from crm_sync.sandbox.salesforce.refusals import Refusal, invalid_cross_reference, no_access
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row
from crm_sync.sandbox.salesforce.writes import Actor, Writer

_SAME_NAME = ("Salutation", "FirstName", "LastName", "Title", "Email", "Phone", "MobilePhone", "Fax", "LeadSource",
              "HasOptedOutOfEmail", "HasOptedOutOfFax", "DoNotCall", "IndividualId", "Description")  # fmt: skip
_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")
_COMPANY = ("Website", "Industry", "AnnualRevenue", "NumberOfEmployees", "Phone")


class Lives:
    def __init__(self, store: Store, access: Access, automation: Automation, writer: Writer) -> None:
        self._store = store
        self._access = access
        self._automation = automation
        self._writer = writer
        self._deleted_with: dict[str, str] = {}

    def delete(self, kind: ObjectType, record_id: str, actor: Actor) -> None:
        """Put a row and what belongs to it into the Recycle Bin; an object without one loses it at once."""
        if not self._access.object(kind, actor.rights_of).delete:
            raise no_access()
        row = self._writer.existing(kind, record_id)
        if not actor.by_hand:
            self._automation.strike(kind.name, row["Id"])
        with self._store.unit():
            self._delete(kind, row, actor, root=row["Id"])
        self._access.changed()

    def _delete(self, kind: ObjectType, row: Row, actor: Actor, root: str) -> None:
        for child_kind, child in list(self._belongings(kind, row["Id"])):
            if not child.get("IsDeleted"):
                self._delete(child_kind, child, actor, root)
        if not kind.soft_deletes:
            if "history" not in kind.traits:
                self._note(kind, row, "Id", row["Id"], None, actor)
                self._store.remove(kind.name, row["Id"])
            return
        self._note(kind, row, "IsDeleted", False, True, actor)
        self._store.put(kind.name, {**row, "IsDeleted": True, **self._stamps(actor)})
        self._log_deletion(kind, row["Id"], actor)
        self._store.afterwards(lambda: self._deleted_with.update({row["Id"]: root}))

    def undelete(self, kind: ObjectType, record_id: str, actor: Actor) -> None:
        """Bring a row back with everything that was deleted along with it."""
        row = self._store.row(kind.name, record_id)
        if row is None or not row.get("IsDeleted") or "bin" not in kind.traits or row.get("MasterRecordId"):
            raise Refusal("UNDELETE_FAILED", "entity is not in the recycle bin")
        with self._store.unit():
            for together in [i for i, root in self._deleted_with.items() if root == row["Id"]]:
                found = self._store.find(together)
                if found is not None:
                    self._revive(*found, actor)
                del self._deleted_with[together]

    def _revive(self, kind: ObjectType, row: Row, actor: Actor) -> None:
        self._note(kind, row, "IsDeleted", True, False, actor)
        self._store.put(kind.name, {**row, "IsDeleted": False, **self._stamps(actor)})
        deleted_at = self._store.table(kind.name).deleted_at
        self._store.afterwards(lambda: deleted_at.pop(row["Id"], None))

    def purge(self, kind: ObjectType, record_id: str, actor: Actor) -> None:
        """Remove a row for good, out of the bin or straight away. Only `deleted` still tells of it."""
        row = self._store.row(kind.name, record_id)
        if row is None:
            raise invalid_cross_reference()
        for child_kind, child in list(self._belongings(kind, row["Id"])):
            self.purge(child_kind, child["Id"], actor)
        self._note(kind, row, "Id", row["Id"], None, actor)
        if row["Id"] not in self._store.table(kind.name).deleted_at:
            self._log_deletion(kind, row["Id"], actor)
        self._store.remove(kind.name, row["Id"])
        self._deleted_with.pop(row["Id"], None)

    def merge(
        self, kind: ObjectType, winner: str, losers: Sequence[str], fields: Mapping[str, Any], actor: Actor
    ) -> None:
        """Delete the losers in favour of the winner, who takes over what belonged to them.

        Source: SOAP API guide, merge(): up to three records of one object; losers carry MasterRecordId.
        """
        if "merge" not in kind.traits or not 1 <= len(losers) <= 2 or winner in losers:
            raise Refusal("INVALID_OPERATION", "merge takes a master and one or two other records of one object")
        with self._store.unit():
            self._writer.update(kind, winner, fields, actor)
            for loser in losers:
                row = self._writer.existing(kind, loser)
                self._move_belongings(kind, loser, winner, actor)
                self._note(kind, row, "MasterRecordId", None, winner, actor)
                gone = {**row, "IsDeleted": True, "MasterRecordId": winner, **self._stamps(actor)}
                self._store.put(kind.name, gone)
                self._log_deletion(kind, loser, actor)

    def _move_belongings(self, kind: ObjectType, loser: str, winner: str, actor: Actor) -> None:
        for other, column in list(self._store.schema.referrers(kind)):
            if column.name in ("MasterRecordId", "ConvertedContactId", "ConvertedAccountId"):
                continue
            for found in self._store.table(other.name).with_value(column.name, loser):
                row = self._store.table(other.name).rows[found]
                self._repoint(other, row, {column.name: winner}, actor)

    def _repoint(self, kind: ObjectType, row: Row, changes: Row, actor: Actor) -> None:
        """Change references as the system does: SystemModstamp moves, LastModifiedDate doesn't."""
        for name, value in changes.items():
            self._note(kind, row, name, row.get(name), value, actor)
        stamped = {} if "history" in kind.traits else {"SystemModstamp": self._store.now()}
        self._store.put(kind.name, {**row, **changes, **stamped})

    def convert(
        self,
        lead_id: str,
        actor: Actor,
        *,
        account: str | None = None,
        contact: str | None = None,
        opportunity: str | None = None,
        make_opportunity: bool = True,
        status: str | None = None,
    ) -> dict[str, str | None]:
        """Turn a lead into an account, a contact and an opportunity; given ids are used instead of new rows.

        Source: SOAP API guide, convertLead(); facts on conversion.
        """
        kinds = self._store.schema.objects
        lead = self._writer.existing(kinds["Lead"], lead_id)
        if lead.get("IsConverted"):
            raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        with self._store.unit():
            owner = self._owner(lead, actor)
            account = account or self._new(kinds["Account"], self._account_of(lead, owner), actor)
            contact = contact or self._new(kinds["Contact"], self._contact_of(lead, account, owner), actor)
            if opportunity is None and make_opportunity:
                opportunity = self._new(kinds["Opportunity"], self._opportunity_of(lead, account, owner), actor)
                role = {"OpportunityId": opportunity, "ContactId": contact, "IsPrimary": True}
                self._new(kinds["OpportunityContactRole"], role, actor)
            self._close(lead, status, account, contact, opportunity, actor)
            self._move_activities(lead["Id"], account, contact, opportunity, actor)
        return {"lead": lead["Id"], "account": account, "contact": contact, "opportunity": opportunity}

    def _new(self, kind: ObjectType, fields: Row, actor: Actor) -> str:
        return self._writer.create(kind, {k: v for k, v in fields.items() if v is not None}, actor)

    def _owner(self, lead: Row, actor: Actor) -> str:
        """A queue can't own what conversion makes; the converting user then does."""
        owner = self._store.row("User", lead.get("OwnerId"))
        return str(owner["Id"]) if owner is not None and owner.get("IsActive") else actor.user

    def _account_of(self, lead: Row, owner: str) -> Row:
        billing = {f"Billing{part}": lead.get(part) for part in _ADDRESS}
        return {"Name": lead.get("Company"), "OwnerId": owner, **billing, **{f: lead.get(f) for f in _COMPANY}}

    def _contact_of(self, lead: Row, account: str, owner: str) -> Row:
        mailing = {f"Mailing{part}": lead.get(part) for part in _ADDRESS}
        mapped = {target: lead.get(source) for source, target in self._automation.conversion_mapping.items()}
        same = {field: lead.get(field) for field in _SAME_NAME}
        return {**same, **mailing, **mapped, "AccountId": account, "OwnerId": owner}

    def _opportunity_of(self, lead: Row, account: str, owner: str) -> Row:
        day = self._store.clock.now().date()
        # The close date that Salesforce gives: the last day of the current quarter.
        quarter_end = {1: "03-31", 2: "06-30", 3: "09-30", 4: "12-31"}[(day.month - 1) // 3 + 1]
        return {
            "Name": f"{lead.get('Company')}-",
            "AccountId": account,
            "StageName": "Prospecting",
            "CloseDate": f"{day.year}-{quarter_end}",
            "LeadSource": lead.get("LeadSource"),
            "OwnerId": owner,
        }

    def _close(
        self, lead: Row, status: str | None, account: str, contact: str, opportunity: str | None, actor: Actor
    ) -> None:
        kind = self._store.schema.objects["Lead"]
        values = {
            "IsConverted": True,
            "Status": status or self._converted_status(),
            "ConvertedDate": (actor.at or self._store.now())[:10],
            "ConvertedAccountId": account,
            "ConvertedContactId": contact,
            "ConvertedOpportunityId": opportunity,
            "IsUnreadByOwner": False,
        }
        for name, value in values.items():
            self._note(kind, lead, name, lead.get(name), value, actor)
        if lead.get("Status") != values["Status"]:
            self._writer.add_history(kind, lead["Id"], "Status", lead.get("Status"), values["Status"], actor)
        self._writer.add_history(kind, lead["Id"], "leadConverted", None, None, actor)
        self._store.put("Lead", {**lead, **values, **self._stamps(actor)})

    def _converted_status(self) -> str:
        statuses = self._store.table("LeadStatus").rows.values()
        found = next((s["ApiName"] for s in statuses if s.get("IsConverted")), "Closed - Converted")
        return str(found)

    def _move_activities(self, lead: str, account: str, contact: str, opportunity: str | None, actor: Actor) -> None:
        """Tasks and events follow the person; campaign members keep their LeadId and gain the contact."""
        kinds = self._store.schema.objects
        for name in ("Task", "Event"):
            table = self._store.table(name)
            for found in table.with_value("WhoId", lead):
                moved = {"WhoId": contact, "AccountId": account}
                if opportunity and not table.rows[found].get("WhatId"):
                    moved["WhatId"] = opportunity
                self._repoint(kinds[name], table.rows[found], moved, actor)
        members = self._store.table("CampaignMember")
        for found in members.with_value("LeadId", lead):
            self._repoint(kinds["CampaignMember"], members.rows[found], {"ContactId": contact}, actor)

    def _log_deletion(self, kind: ObjectType, record_id: str, actor: Actor) -> None:
        """For getDeleted, which tells of purged rows too."""
        deleted_at = self._store.table(kind.name).deleted_at
        at = actor.at or self._store.now()
        self._store.afterwards(lambda: deleted_at.update({record_id: at}))

    def _belongings(self, kind: ObjectType, record_id: str) -> Iterator[tuple[ObjectType, Row]]:
        """Rows that go with this one when it is deleted."""
        for other, column in self._store.schema.referrers(kind):
            if column.cascade:
                table = self._store.table(other.name)
                for found in table.with_value(column.name, record_id):
                    yield other, table.rows[found]

    def _stamps(self, actor: Actor) -> Row:
        now = actor.at or self._store.now()
        return {"LastModifiedDate": now, "LastModifiedById": actor.user, "SystemModstamp": now}

    def _note(self, kind: ObjectType, row: Row, field: str, before: Any, after: Any, actor: Actor) -> None:
        self._store.note(
            call=actor.call,
            actor=actor.user,
            object=kind.name,
            record_id=row["Id"],
            field=field,
            before=before,
            after=after,
            no_op=before == after,
        )
