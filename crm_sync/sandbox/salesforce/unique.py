"""What may be there only once: unique fields, names of permission sets, grants and campaign members."""

from __future__ import annotations

from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row

TOGETHER: dict[str, tuple[tuple[str, ...], ...]] = {
    "FieldPermissions": (("ParentId", "Field"),),
    "ObjectPermissions": (("ParentId", "SobjectType"),),
    "PermissionSetAssignment": (("AssigneeId", "PermissionSetId"),),
    "CampaignMember": (("CampaignId", "LeadId"), ("CampaignId", "ContactId")),
    "QueueSobject": (("QueueId", "SobjectType"),),
    "GroupMember": (("GroupId", "UserOrGroupId"),),
}


def check_unique(store: Store, kind: ObjectType, row: Row, changed: set[str]) -> None:
    """Refuse `row` where another live row holds the same value, or the same values together."""
    keys = [(column.name,) for column in kind.fields.values() if column.unique]
    for fields in (*keys, *TOGETHER.get(kind.name, ())):
        if changed.isdisjoint(fields) or any(row.get(field) is None for field in fields):
            continue
        other = _same(store, kind, row, fields)
        if other is not None:
            raise _duplicate(kind, fields, other)


def _same(store: Store, kind: ObjectType, row: Row, fields: tuple[str, ...]) -> Row | None:
    table = store.table(kind.name)
    for found in table.with_value(fields[-1], row[fields[-1]]):
        other = table.rows[found]
        alike = all(other.get(field) == row[field] for field in fields)
        if alike and found != row["Id"] and not other.get("IsDeleted"):
            return other
    return None


def _duplicate(kind: ObjectType, fields: tuple[str, ...], other: Row) -> Refusal:
    if kind.name == "PermissionSet":
        message = f"The permission set name you entered is already in use: {other.get('Name')}"
        return Refusal("DUPLICATE_DEVELOPER_NAME", message, fields=["Name"])
    if kind.name == "CampaignMember":
        return Refusal("DUPLICATE_VALUE", "Already a campaign member.")
    message = f"duplicate value found: {', '.join(fields)} duplicates value on record with id: {other['Id'][:15]}"
    return Refusal("DUPLICATE_VALUE", message)
