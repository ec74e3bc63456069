"""What each user may see and set: objects, fields and a few org-wide rights.

A field of the standard set, or one that an admin made by hand, is open to all until `set_field_security` says
otherwise. A field made through the API is open to nobody until a permission set that the user holds grants it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from crm_sync.sandbox.salesforce.fields import Field
from crm_sync.sandbox.salesforce.refusals import Refusal, no_access, no_such_column, unknown_type
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row

SYSTEM = ""
"""The org itself: sees and sets everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Org-wide permissions of one user."""

    api_enabled: bool = True
    customize: bool = False
    view_setup: bool = True
    edit_converted_leads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRight:
    read: bool = True
    create: bool = True
    edit: bool = True
    delete: bool = True


@dataclass(frozen=True, slots=True)
class FieldRight:
    read: bool
    edit: bool


@dataclass(frozen=True, slots=True)
class Visible:
    """The fields of one object that one user may read, and those of them that the user may set."""

    readable: frozenset[str]
    editable: frozenset[str]


class Access:
    """Answers may-I questions. Derived answers are kept until rights or schema change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rights: dict[str, Rights] = {}
        self._objects: dict[tuple[str, str | None], ObjectRight] = {}
        self._fields: dict[tuple[str, str, str | None], FieldRight] = {}
        self._visible: dict[tuple[str, str], Visible] = {}
        self._derived_from = (-1, -1)

    def rights(self, user: str) -> Rights:
        return self._rights.get(user, Rights())

    def set_rights(self, user: str, **changes: Any) -> None:
        self._rights[user] = replace(self.rights(user), **changes)
        self.changed()

    def set_object(self, object: str, user: str | None, **changes: bool) -> None:
        self._objects[object, user] = replace(self._objects.get((object, user), ObjectRight()), **changes)
        self.changed()

    def set_field(self, object: str, field: str, user: str | None, right: FieldRight) -> None:
        """Set field-level security by hand; for all users where `user` is None."""
        if not self._store.schema.object(object).field(field).permissionable:
            raise Refusal("FIELD_INTEGRITY_EXCEPTION", f"{object}.{field} is seen by all who see the object")
        if user is None:
            self.forget_field(object, field)
        self._fields[object, field, user] = right
        self.changed()

    def grant(self, permission: Row) -> None:
        """Check a row of FieldPermissions, and let permission sets speak for its field again."""
        object, _, name = str(permission["Field"]).partition(".")
        kind = self._store.schema.find(object)
        column = kind.find(name) if kind else None
        if kind is None or column is None or object != permission["SobjectType"] or not column.permissionable:
            message = f"Field Name: bad value for restricted picklist field: {permission['Field']}"
            raise Refusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, fields=["Field"])
        if permission.get("PermissionsEdit") and not permission.get("PermissionsRead"):
            message = "You cannot grant edit access without read access."
            raise Refusal("FIELD_INTEGRITY_EXCEPTION", message, fields=["PermissionsEdit"])
        self.forget_field(kind.name, column.name)

    def forget_field(self, object: str, field: str) -> None:
        for key in [k for k in self._fields if k[:2] == (object, field)]:
            del self._fields[key]
        self.changed()

    def changed(self) -> None:
        self._visible.clear()

    def object(self, kind: ObjectType, user: str) -> ObjectRight:
        own = self._objects.get((kind.name, user)) or self._objects.get((kind.name, None), ObjectRight())
        if "setup" in kind.traits and user != SYSTEM and not self.rights(user).customize:
            return replace(own, create=False, edit=False, delete=False)
        return own

    def readable_object(self, name: str, user: str) -> ObjectType:
        """The object, or INVALID_TYPE where the user may not read it: Salesforce doesn't tell it from an unknown."""
        kind = self._store.schema.object(name)
        if user != SYSTEM and not self.object(kind, user).read:
            raise unknown_type(name)
        return kind

    def require_customize(self, user: str) -> None:
        if user != SYSTEM and not self.rights(user).customize:
            raise no_access()

    def require_api(self, user: str) -> None:
        if not self.rights(user).api_enabled:
            raise Refusal("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", status=403)

    def column(self, kind: ObjectType, name: str, user: str) -> Field:
        """A field that the user may read, or INVALID_FIELD: hidden and missing are the same to the API."""
        column = kind.find(name)
        if column is None or not self.may_read(kind, column, user):
            raise no_such_column(name, kind.name)
        return column

    def may_read(self, kind: ObjectType, column: Field, user: str) -> bool:
        return user == SYSTEM or column.name in self.visible(kind, user).readable

    def may_edit(self, kind: ObjectType, column: Field, user: str) -> bool:
        return user == SYSTEM or column.name in self.visible(kind, user).editable

    def visible(self, kind: ObjectType, user: str) -> Visible:
        derived_from = (self._store.schema.version, self._store.taken_back)
        if self._derived_from != derived_from:
            self._visible.clear()
            self._derived_from = derived_from
        key = (kind.name, user)
        if key not in self._visible:
            self._visible[key] = self._look(kind, user)
        return self._visible[key]

    def _look(self, kind: ObjectType, user: str) -> Visible:
        granted = self._grants(kind, user)
        rights = {name: self._field_right(kind, column, user, granted) for name, column in kind.fields.items()}
        return Visible(
            frozenset(name for name, right in rights.items() if right.read),
            frozenset(name for name, right in rights.items() if right.read and right.edit),
        )

    def _field_right(self, kind: ObjectType, column: Field, user: str, granted: dict[str, FieldRight]) -> FieldRight:
        if not column.permissionable:
            return FieldRight(True, True)
        for whose in (user, None):
            by_hand = self._fields.get((kind.name, column.name, whose))
            if by_hand is not None:
                return by_hand
        if column.granted:
            return FieldRight(True, True)
        return granted.get(column.name, FieldRight(False, False))

    def _grants(self, kind: ObjectType, user: str) -> dict[str, FieldRight]:
        """What the user's permission sets grant on this object, the widest of them."""
        found: dict[str, FieldRight] = {}
        assignments = self._store.table("PermissionSetAssignment")
        permissions = self._store.table("FieldPermissions")
        for assignment in assignments.with_value("AssigneeId", user):
            held = assignments.rows[assignment]["PermissionSetId"]
            for permission in permissions.with_value("ParentId", held):
                row = permissions.rows[permission]
                object, _, field = row["Field"].partition(".")
                if object == kind.name:
                    before = found.get(field, FieldRight(False, False))
                    found[field] = FieldRight(
                        before.read or bool(row.get("PermissionsRead")), before.edit or bool(row.get("PermissionsEdit"))
                    )
        return found
