"""What people and admins do in the org by hand, as JSON: `{"do": "edit", "object": "Lead", "id": …, "fields": {…}}`.

Each verb is a method of Actions; its docstring lists the keys. `as` names the acting user, else the admin acts.
What the org refuses raises Refusal, with the org's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from crm_sync.sandbox.salesforce.access import FieldRight
from crm_sync.sandbox.salesforce.allowance import HEADER_FORMS
from crm_sync.sandbox.salesforce.automation import (
    AssignmentRule,
    DuplicateRule,
    RowFault,
    Trigger,
    ValidationRule,
)
from crm_sync.sandbox.salesforce.ids import full_id
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.stamps import as_stamp
from crm_sync.sandbox.salesforce.transactions import OpenTransaction
from crm_sync.sandbox.salesforce.writes import Actor

if TYPE_CHECKING:
    from crm_sync.sandbox.salesforce.org import SalesforceOrg

Action = Mapping[str, Any]
Result = dict[str, Any]


class Actions:
    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org
        self._verbs: dict[str, Callable[[Action], Result]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def act(self, action: Action) -> Result:
        """Do one thing; raises ValueError for an unknown verb and Refusal for what the org won't do."""
        verb = self._verbs.get(str(action.get("do")))
        if verb is None:
            raise ValueError(f"unknown action {action.get('do')!r}; known: {', '.join(sorted(self._verbs))}")
        return verb(action)

    def _actor(self, action: Action) -> Actor:
        at = action.get("at")
        user = action.get("as")
        return Actor(user=full_id(user) if user else self._org.admin_id, by_hand=True, at=as_stamp(at) if at else None)

    def _kind(self, action: Action) -> ObjectType:
        return self._org.store.schema.object(str(action["object"]))

    def _chosen(self, action: Action) -> list[str]:
        """Ids by `id`, `ids` or `where` (a SOQL condition); all rows where none is given."""
        if "id" in action:
            return [full_id(action["id"])]
        if "ids" in action:
            return [full_id(one) for one in action["ids"]]
        rows = self._org.store.table(self._kind(action).name).rows
        if not action.get("where"):
            return list(rows)
        test = self._org.queries.test(self._kind(action).name, action["where"])
        return [record_id for record_id, row in rows.items() if test(row)]

    def do_create(self, action: Action) -> Result:
        """object, fields, [as, at]: a person enters a record."""
        return {"id": self._org.writer.create(self._kind(action), action.get("fields", {}), self._actor(action))}

    def do_edit(self, action: Action) -> Result:
        """object, id or ids or where, fields, [as, at]: a person saves a record."""
        ids = self._chosen(action)
        for record_id in ids:
            self._org.writer.update(self._kind(action), record_id, action["fields"], self._actor(action))
        return {"ids": ids}

    def do_delete(self, action: Action) -> Result:
        """object, id or ids: into the Recycle Bin, with what belongs to it."""
        for record_id in self._chosen(action):
            self._org.lives.delete(self._kind(action), record_id, self._actor(action))
        return {}

    def do_undelete(self, action: Action) -> Result:
        """object, id or ids: out of the Recycle Bin, with what went along."""
        for record_id in self._chosen(action):
            self._org.lives.undelete(self._kind(action), record_id, self._actor(action))
        return {}

    def do_purge(self, action: Action) -> Result:
        """object, id or ids: gone for good; no query shows it."""
        for record_id in self._chosen(action):
            self._org.lives.purge(self._kind(action), record_id, self._actor(action))
        return {}

    def do_merge(self, action: Action) -> Result:
        """[object = Lead], winner, losers, [fields, as]: losers are deleted and point at the winner."""
        kind = self._org.store.schema.object(str(action.get("object", "Lead")))
        winner, losers = full_id(action["winner"]), [full_id(one) for one in action["losers"]]
        self._org.lives.merge(kind, winner, losers, action.get("fields", {}), self._actor(action))
        return {"id": winner}

    def do_convert(self, action: Action) -> Result:
        """lead, [account, contact, opportunity, status, as]: given ids are used; `opportunity` null makes none."""
        given = {key: full_id(action[key]) for key in ("account", "contact", "opportunity") if action.get(key)}
        make = "opportunity" not in action or action["opportunity"] is not None
        return dict(
            self._org.lives.convert(
                full_id(action["lead"]),
                self._actor(action),
                **given,
                make_opportunity=make,
                status=action.get("status"),
            )
        )

    def do_late_commit(self, action: Action) -> Result:
        """object, visible_after_seconds, and id + fields (an edit) or fields alone (a create).

        The save is stamped now; nobody sees it, and nobody else can write the row, before it becomes visible.
        """
        kind, fields = self._kind(action), dict(action.get("fields", {}))
        actor, now = self._actor(action), self._org.clock.now()
        record_id = full_id(action["id"]) if action.get("id") else None

        def commit(began: str) -> None:
            late = Actor(user=actor.user, by_hand=True, at=began)
            # A save that can no longer be made, because its row has gone, is rolled back and nobody hears of it.
            with suppress(Refusal):
                if record_id is None:
                    self._org.writer.create(kind, fields, late)
                else:
                    self._org.writer.update(kind, record_id, fields, late)

        locks = frozenset([record_id]) if record_id else frozenset[str]()
        visible_at = now + timedelta(seconds=float(action["visible_after_seconds"]))
        self._org.transactions.begin(OpenTransaction(began=now, visible_at=visible_at, locks=locks, commit=commit))
        return {}

    def do_restamp(self, action: Action) -> Result:
        """object, ids or where (none: all), [at = now]: a system job moves SystemModstamp and nothing else."""
        kind = self._kind(action)
        at = as_stamp(action["at"]) if action.get("at") else self._org.store.now()
        table = self._org.store.table(kind.name)
        ids = self._chosen(action)
        table.load([{**table.rows[record_id], kind.stamp_field: at} for record_id in ids])
        return {"count": len(ids)}

    do_tie = do_restamp

    def do_set_values(self, action: Action) -> Result:
        """object, id or ids or where, fields: values change under the hood, without stamp, rule or history."""
        kind, ids = self._kind(action), self._chosen(action)
        rows = self._org.store.table(kind.name).rows
        self._org.seed(kind.name, [{**rows[record_id], **action["fields"]} for record_id in ids])
        return {"count": len(ids)}

    def do_add_field(self, action: Action) -> Result:
        """object, name, metadata {type, label, length, precision, scale, valueSet …}, [visible = true]: by hand."""
        full_name = f"{self._kind(action).name}.{action['name']}"
        granted = bool(action.get("visible", True))
        return {"id": self._org.custom_fields.create(full_name, action["metadata"], granted=granted)}

    def do_drop_field(self, action: Action) -> Result:
        """object, field: an admin deletes a custom field."""
        self._org.custom_fields.drop(f"{self._kind(action).name}.{action['field']}")
        return {}

    def do_set_picklist(self, action: Action) -> Result:
        """object, field, values, [restricted]: rows that hold other values keep them."""
        kind = self._kind(action)
        column = kind.field(action["field"])
        restricted = bool(action.get("restricted", column.restricted))
        values = tuple(action["values"])
        self._org.store.schema.change_field(kind.name, column.name, values=values, restricted=restricted)
        return {}

    def do_change_field(self, action: Action) -> Result:
        """object, field, and any of length, precision, scale, required, updateable, filterable, tracked, label."""
        kind = self._kind(action)
        allowed = ("length", "precision", "scale", "required", "updateable", "filterable", "tracked", "label")
        changes = {key: action[key] for key in allowed if key in action}
        self._org.store.schema.change_field(kind.name, kind.field(action["field"]).name, **changes)
        return {}

    def do_set_field_security(self, action: Action) -> Result:
        """object, field, [user = everybody], [read = true, edit = read]."""
        kind = self._kind(action)
        read = bool(action.get("read", True))
        right = FieldRight(read, bool(action.get("edit", read)))
        user = full_id(action["user"]) if action.get("user") else None
        self._org.access.set_field(kind.name, kind.field(action["field"]).name, user, right)
        return {}

    def do_set_object_permission(self, action: Action) -> Result:
        """object, [user = everybody], and any of read, create, edit, delete."""
        user = full_id(action["user"]) if action.get("user") else None
        changes = {key: bool(action[key]) for key in ("read", "create", "edit", "delete") if key in action}
        self._org.access.set_object(self._kind(action).name, user, **changes)
        return {}

    def do_set_rights(self, action: Action) -> Result:
        """user, and any of api_enabled, customize, view_setup, edit_converted_leads."""
        keys = ("api_enabled", "customize", "view_setup", "edit_converted_leads")
        changes = {key: bool(action[key]) for key in keys if key in action}
        self._org.access.set_rights(full_id(action["user"]), **changes)
        return {}

    def do_set_feature(self, action: Action) -> Result:
        """object, on: an object whose feature is off (Individual, Campaign …) is unknown to the API."""
        name = str(action["object"])
        hidden = self._org.store.schema.hidden
        (hidden.discard if action["on"] else hidden.add)(name)
        self._org.store.schema.version += 1
        return {}

    def do_set_user(self, action: Action) -> Result:
        """id, and any of active, name (last name), time_zone, user_type."""
        names = {"active": "IsActive", "name": "LastName", "time_zone": "TimeZoneSidKey", "user_type": "UserType"}
        user = full_id(action["id"])
        row = self._org.store.row("User", user) or {}
        changes = {field: action[key] for key, field in names.items() if key in action}
        now = self._org.store.now()
        self._org.store.put("User", {**row, **changes, "LastModifiedDate": now, "SystemModstamp": now})
        return {"id": user}

    def do_define_validation_rule(self, action: Action) -> Result:
        """object, fails_when (a SOQL condition on the row as it would be), message, [field, name]."""
        kind = self._kind(action)
        rule = ValidationRule(
            name=str(action.get("name", f"rule {len(self._org.automation.validations) + 1}")),
            object=kind.name,
            fails=self._org.queries.test(kind.name, action["fails_when"]),
            message=str(action.get("message", "This value is not allowed.")),
            field=str(action.get("field") or ""),
        )
        self._org.automation.validations.append(rule)
        return {"name": rule.name}

    def do_drop_validation_rule(self, action: Action) -> Result:
        """[name = all of them]."""
        rules = self._org.automation.validations
        rules[:] = [rule for rule in rules if "name" in action and rule.name != action["name"]]
        return {}

    def do_define_trigger(self, action: Action) -> Result:
        """object, set {field: value}, [when = list of fields whose change fires it, name]."""
        trigger = Trigger(
            name=str(action.get("name", f"trigger {len(self._org.automation.triggers) + 1}")),
            object=self._kind(action).name,
            watches=frozenset(action.get("when", ())),
            values=dict(action["set"]),
        )
        self._org.automation.triggers.append(trigger)
        return {"name": trigger.name}

    def do_drop_trigger(self, action: Action) -> Result:
        """[name = all of them]."""
        triggers = self._org.automation.triggers
        triggers[:] = [trigger for trigger in triggers if "name" in action and trigger.name != action["name"]]
        return {}

    def do_define_duplicate_rule(self, action: Action) -> Result:
        """object, field, [blocks = false: it alerts, and gives way to allowSave]."""
        kind = self._kind(action)
        rule = DuplicateRule(
            object=kind.name, field=kind.field(action["field"]).name, blocks=bool(action.get("blocks"))
        )
        self._org.automation.duplicates.append(rule)
        return {}

    def do_set_assignment_rule(self, action: Action) -> Result:
        """active, [owner, default_owner]: whom leads written without Sforce-Auto-Assign: FALSE are given to."""
        owners = {key: full_id(action[key]) for key in ("owner", "default_owner") if action.get(key)}
        self._org.automation.assignment = AssignmentRule(active=bool(action.get("active")), **owners)
        return {}

    def do_set_conversion_mapping(self, action: Action) -> Result:
        """fields {lead field: contact field}: custom fields that conversion carries over."""
        self._org.automation.conversion_mapping = dict(action["fields"])
        return {}

    def do_set_limits(self, action: Action) -> Result:
        """Any of max, used, header (standard, bursts, per_app or absent)."""
        allowance = self._org.allowance
        if action.get("header", "standard") not in HEADER_FORMS:
            raise ValueError(f"header is one of {', '.join(HEADER_FORMS)}, not {action['header']!r}")
        allowance.maximum = int(action.get("max", allowance.maximum))
        allowance.header = str(action.get("header", allowance.header))
        if "used" in action:
            allowance.set_used(int(action["used"]), self._org.clock.now())
        return {"max": allowance.maximum, "used": allowance.used(self._org.clock.now())}

    def do_expire_sessions(self, action: Action) -> Result:
        """now = true (all tokens end), after_seconds (how long each lives), not_for_rest (refused for good)."""
        sessions = self._org.sessions
        if "after_seconds" in action:
            sessions.lifetime = timedelta(seconds=float(action["after_seconds"]))
        if action.get("now"):
            sessions.revoke_all()
        sessions.not_for_rest = bool(action.get("not_for_rest", sessions.not_for_rest))
        return {}

    def do_refuse_sign_in(self, action: Action) -> Result:
        """error, [description]: every sign-in is refused with it; error null lets people in again."""
        error = action.get("error")
        self._org.sign_in_refusal = (str(error), str(action.get("description", error))) if error else None
        return {}

    def do_register_key(self, action: Action) -> Result:
        """public_key: PEM of the RSA key or certificate that JWT assertions are checked with."""
        self._org.public_key = str(action["public_key"])
        return {}

    def do_plan_row_fault(self, action: Action) -> Result:
        """object, code, message, [field], and id or every_nth or share; [times]. Meets API writes only."""
        faults = self._org.automation.faults
        fault = RowFault(
            number=len(faults) + 1,
            object=self._kind(action).name,
            code=str(action["code"]),
            message=str(action.get("message", action["code"])),
            fields=(str(action["field"]),) if action.get("field") else (),
            id=full_id(action["id"]) if action.get("id") else None,
            every_nth=action.get("every_nth"),
            share=action.get("share"),
            times=action.get("times"),
        )
        faults.append(fault)
        return {"fault": fault.number}

    def do_clear_row_faults(self, _: Action) -> Result:
        """Forget all planned row faults. Tells how often they struck."""
        fired = sum(fault.fired for fault in self._org.automation.faults)
        self._org.automation.faults.clear()
        return {"fired": fired}

    def do_set_locator_lifetime(self, action: Action) -> Result:
        """seconds: how long query locators live from now on, those that are open too."""
        self._org.cursors.lifetime = timedelta(seconds=float(action["seconds"]))
        return {}

    def do_set_page_sizes(self, action: Action) -> Result:
        """sizes: pages take these sizes in turn; an empty list ends that."""
        self._org.cursors.set_page_sizes([int(size) for size in action["sizes"]])
        return {}
