"""Creating and updating rows: who may, whether the values stand, what happens along with it, and how it is stamped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_sync.sandbox.salesforce.access import SYSTEM, Access
from crm_sync.sandbox.salesforce.automation import Automation
from crm_sync.sandbox.salesforce.derived import derived, label
from crm_sync.sandbox.salesforce.fields import Field
from crm_sync.sandbox.salesforce.ids import full_id, is_id
from crm_sync.sandbox.salesforce.refusals import (
    Refusal,
    entity_is_deleted,
    invalid_cross_reference,
    no_access,
    unknown_type,
)
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row
from crm_sync.sandbox.salesforce.transactions import Transactions
from crm_sync.sandbox.salesforce.unique import check_unique
from crm_sync.sandbox.salesforce.values import required_missing, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who writes, and how. `by_hand` is a person or admin in the browser: no field-level security, no assignment.

    `auto_assign` and `allow_duplicates` are what the Sforce- headers ask for. `at` stamps with another time than now.
    """

    user: str
    call: int = 0
    by_hand: bool = False
    auto_assign: bool = True
    allow_duplicates: bool = False
    at: str | None = None

    @property
    def rights_of(self) -> str:
        return SYSTEM if self.by_hand else self.user


class Writer:
    def __init__(self, store: Store, access: Access, automation: Automation, transactions: Transactions) -> None:
        self._store = store
        self._access = access
        self._automation = automation
        self._transactions = transactions

    def create(self, kind: ObjectType, fields: Mapping[str, Any], actor: Actor) -> str:
        """Store a new row and return its id; raises Refusal."""
        if not self._access.object(kind, actor.rights_of).create:
            raise no_access()
        given = self._checked(kind, fields, actor, creating=True)
        row = {**_defaults(kind, actor), **given, "Id": self._store.mint.new(kind.prefix)}
        missing = [f.name for f in kind.fields.values() if _must_be_given(f) and row.get(f.name) is None]
        if missing:
            raise required_missing(missing)
        self._check_references(kind, given)
        if not actor.by_hand:
            self._automation.strike(kind.name, row["Id"])
        with self._store.unit():
            self._save(kind, None, row, set(given), actor)
        return str(row["Id"])

    def update(self, kind: ObjectType, record_id: str, fields: Mapping[str, Any], actor: Actor) -> None:
        """Set values of one row; raises Refusal. Values that stood there already move the stamps all the same."""
        if not self._access.object(kind, actor.rights_of).edit:
            raise no_access()
        changes = self._checked(kind, fields, actor, creating=False)
        row = self.existing(kind, record_id)
        self._check_converted(kind, row, actor)
        if self._transactions.locks(row["Id"]):
            raise locked(row["Id"])
        if not actor.by_hand:
            self._automation.strike(kind.name, row["Id"])
        self._check_references(kind, changes)
        with self._store.unit():
            self._save(kind, row, {**row, **changes}, set(changes), actor)

    def existing(self, kind: ObjectType, record_id: str) -> Row:
        """The row to be written, or why it can't be."""
        if not is_id(record_id):
            raise Refusal("MALFORMED_ID", f"bad id {record_id}", fields=["Id"])
        row = self._store.row(kind.name, full_id(record_id))
        if row is None:
            raise invalid_cross_reference()
        if row.get("IsDeleted"):
            raise entity_is_deleted()
        return row

    def _check_converted(self, kind: ObjectType, row: Row, actor: Actor) -> None:
        allowed = actor.by_hand or self._access.rights(actor.user).edit_converted_leads
        if kind.name == "Lead" and row.get("IsConverted") and not allowed:
            raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")

    def _checked(self, kind: ObjectType, fields: Mapping[str, Any], actor: Actor, *, creating: bool) -> Row:
        """The values as they would be kept, after every check that a single value can fail."""
        columns = {name: self._column(kind, name, actor) for name in fields if name not in ("Id", "id", "attributes")}
        barred = [c.name for c in columns.values() if not self._may_set(kind, c, actor, creating=creating)]
        if barred:
            message = (
                f"Unable to create/update fields: {', '.join(barred)}. Please check the security settings of this "
                "field and verify that it is read/write for your profile or permission set."
            )
            raise Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=barred)
        return {column.name: stored(column, fields[name]) for name, column in columns.items()}

    def _column(self, kind: ObjectType, name: str, actor: Actor) -> Field:
        column = kind.find(name)
        if column is None or not self._access.may_read(kind, column, actor.rights_of):
            message = f"No such column '{name}' on sobject of type {kind.name}"
            raise Refusal("INVALID_FIELD", message, whole_request=True)
        return column

    def _may_set(self, kind: ObjectType, column: Field, actor: Actor, *, creating: bool) -> bool:
        if column.computed:
            return False
        if not (column.createable if creating else column.updateable):
            return False
        return self._access.may_edit(kind, column, actor.rights_of)

    def _check_references(self, kind: ObjectType, changes: Row) -> None:
        for name, value in changes.items():
            column = kind.fields[name]
            if column.type == "reference" and value is not None:
                self._check_reference(kind, column, value)

    def _check_reference(self, kind: ObjectType, column: Field, value: str) -> None:
        found = self._store.find(value)
        if found is None or found[0].name not in column.references or found[1].get("IsDeleted"):
            raise invalid_cross_reference([column.name])
        if not column.owner:
            return
        target, row = found
        if target.name == "Group":
            self._check_queue(kind, column, row)
        elif not row.get("IsActive"):
            message = f"operation performed with inactive user [{value[:15]}] as owner of {kind.label.lower()}"
            raise Refusal("INACTIVE_OWNER_OR_USER", message, fields=[column.name])
        elif row.get("UserType", "Standard") != "Standard":
            message = "operation attempted with user of invalid user type"
            raise Refusal("OP_WITH_INVALID_USER_TYPE_EXCEPTION", message, fields=[column.name])

    def _check_queue(self, kind: ObjectType, column: Field, group: Row) -> None:
        served = self._store.table("QueueSobject")
        objects = {served.rows[found]["SobjectType"] for found in served.with_value("QueueId", group["Id"])}
        if group.get("Type") != "Queue" or kind.name not in objects:
            message = "Queue not associated with this SObject type"
            raise Refusal("INVALID_OPERATION", message, fields=[column.name])

    def _save(self, kind: ObjectType, before: Row | None, row: Row, given: set[str], actor: Actor) -> None:
        """Put the row in place with all that goes along. `given` are the fields that the caller set."""
        if kind.name == "FieldPermissions":
            self._access.grant(row)
        row = self._with_triggers(kind, before, row, actor)
        for rule in self._automation.validations:
            if rule.object == kind.name:
                rule.check(row)
        self._check_duplicates(kind, before, row, actor)
        row = self._with_owner(kind, row, actor)
        self._stamp(kind, before, row, actor)
        row.update(derived(self._store, kind.name, row))
        self._store.put(kind.name, row)
        for name in sorted(given):
            self._note(kind, name, before, row, actor)
        self._write_history(kind, before, row, actor)
        self._touch_person(kind, row)
        if kind.name in ("FieldPermissions", "PermissionSetAssignment"):
            self._access.changed()

    def _with_triggers(self, kind: ObjectType, before: Row | None, row: Row, actor: Actor) -> Row:
        changed = {name for name in row if before is None or row[name] != before.get(name)}
        for trigger in self._automation.triggers:
            if trigger.object == kind.name and trigger.fires(changed):
                values = {name: stored(kind.field(name), value) for name, value in trigger.values.items()}
                row = {**row, **values}
                for name in values:
                    self._note(kind, name, before, row, actor, by=f"trigger {trigger.name}")
        return row

    def _check_duplicates(self, kind: ObjectType, before: Row | None, row: Row, actor: Actor) -> None:
        changed = {name for name in row if before is None or row[name] != before.get(name)}
        table = self._store.table(kind.name)
        for rule in self._automation.duplicates:
            if rule.object == kind.name:
                rule.check(row, changed, table, allow_save=actor.allow_duplicates)
        check_unique(self._store, kind, row, changed)

    def _with_owner(self, kind: ObjectType, row: Row, actor: Actor) -> Row:
        """The lead assignment rule runs on API creates and updates alike unless the header says FALSE."""
        if kind.name != "Lead" or actor.by_hand or not actor.auto_assign:
            return row
        owner = self._automation.assignment.choose()
        if owner is None or owner == row.get("OwnerId"):
            return row
        assigned = {**row, "OwnerId": owner}
        self._note(kind, "OwnerId", row, assigned, actor, by="assignment rule")
        return assigned

    def _stamp(self, kind: ObjectType, before: Row | None, row: Row, actor: Actor) -> None:
        now = actor.at or self._store.now()
        if before is None:
            row.update(CreatedDate=now, CreatedById=actor.user)
        elif "LastTransferDate" in kind.fields and row.get("OwnerId") != before.get("OwnerId"):
            row["LastTransferDate"] = now[:10]
        row.update(LastModifiedDate=now, LastModifiedById=actor.user, SystemModstamp=now)

    def _note(self, kind: ObjectType, field: str, before: Row | None, row: Row, actor: Actor, by: str = "") -> None:
        was, value = (before or {}).get(field), row.get(field)
        self._store.note(
            call=0 if by else actor.call,
            actor=by or actor.user,
            object=kind.name,
            record_id=row["Id"],
            field=field,
            before=was,
            after=value,
            no_op=before is not None and was == value,
        )

    def _write_history(self, kind: ObjectType, before: Row | None, row: Row, actor: Actor) -> None:
        if kind.history is None:
            return
        if before is None:
            self.add_history(kind, row["Id"], "created", None, None, actor)
            return
        for column in kind.fields.values():
            old, new = before.get(column.name), row.get(column.name)
            if column.tracked and old != new:
                name = "Owner" if column.owner else column.name
                if column.owner:
                    # An owner change is two rows: one with the names, one with the ids.
                    self.add_history(kind, row["Id"], name, label(self._store, old), label(self._store, new), actor)
                    self.add_history(kind, row["Id"], name, old, new, actor, data_type="EntityId")
                else:
                    self.add_history(kind, row["Id"], name, old, new, actor)

    def add_history(
        self, kind: ObjectType, record_id: str, field: str, old: Any, new: Any, actor: Actor, data_type: str = "Text"
    ) -> None:
        """One row of the object's history. Source: object reference, LeadHistory."""
        if kind.history is None:
            raise unknown_type(f"{kind.name}History")
        history = self._store.schema.objects[kind.history]
        parent = next(column.name for column in history.references() if kind.name in column.references)
        self._store.put(
            history.name,
            {
                "Id": self._store.mint.new(history.prefix),
                parent: record_id,
                "Field": field,
                "DataType": data_type,
                "OldValue": old,
                "NewValue": new,
                "CreatedDate": actor.at or self._store.now(),
                "CreatedById": actor.user,
            },
        )

    def _touch_person(self, kind: ObjectType, row: Row) -> None:
        """A closed activity moves the person's LastActivityDate: SystemModstamp moves, LastModifiedDate doesn't."""
        day = row.get("ActivityDate")
        done = kind.name == "Event" or row.get("IsClosed")
        if kind.name not in ("Task", "Event") or not row.get("WhoId") or not day or not done:
            return
        found = self._store.find(row["WhoId"])
        if found is None or (found[1].get("LastActivityDate") or "") >= day:
            return
        person, held = found
        self._store.put(person.name, {**held, "LastActivityDate": day, "SystemModstamp": row["SystemModstamp"]})


def locked(record_id: str) -> Refusal:
    message = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
    return Refusal("UNABLE_TO_LOCK_ROW", message)


def _must_be_given(column: Field) -> bool:
    return column.required and column.createable and not column.computed


def _defaults(kind: ObjectType, actor: Actor) -> Row:
    row = {f.name: f.default for f in kind.fields.values() if f.default is not None}
    if "OwnerId" in kind.fields and kind.fields["OwnerId"].owner:
        row["OwnerId"] = actor.user
    return row
