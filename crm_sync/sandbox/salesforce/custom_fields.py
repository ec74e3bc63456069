"""Custom fields as the Metadata and Tooling APIs speak of them, and as columns of an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.sandbox.salesforce.access import Access
from crm_sync.sandbox.salesforce.fields import Field, label_of
from crm_sync.sandbox.salesforce.refusals import Refusal, not_found, unknown_type
from crm_sync.sandbox.salesforce.store import Store

TYPES = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Html": "textarea",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Checkbox": "boolean",
    "Date": "date",
    "DateTime": "datetime",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
    "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist",
    "Lookup": "reference",
}
"""Metadata type to describe type. Source: Metadata API guide, FieldType."""

_LENGTHS = {"TextArea": 255, "Html": 32_768, "Email": 80, "Phone": 40, "Url": 255, "Picklist": 255, "Lookup": 18}
LONGEST = 131_072


class CustomFields:
    """Makes, changes and drops custom fields, and keeps a row of each for the Tooling API."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def create(self, full_name: str, metadata: Mapping[str, Any], *, granted: bool) -> str:
        """Make `Lead.Score__c`. Unless `granted`, nobody sees it before a permission set says so. Returns its id."""
        object, _, name = full_name.partition(".")
        kind = self._store.schema.find(object)
        if kind is None or "tooling" in kind.traits:
            raise unknown_type(object)
        if not name.endswith("__c") or not name.removesuffix("__c").isidentifier():
            raise _bad("The Name field can only contain underscores and alphanumeric characters.", "FullName")
        if kind.find(name) is not None:
            message = f"There is already a field named {name.removesuffix('__c')} on {object}."
            raise Refusal("DUPLICATE_DEVELOPER_NAME", message, fields=["DeveloperName"])
        field_id = self._store.mint.new("00N")
        self._store.schema.set_field(kind.name, column_of(name, metadata, granted=granted, field_id=field_id))
        self._access.forget_field(kind.name, name)
        now = self._store.now()
        self._store.put(
            "CustomField",
            {
                "Id": field_id,
                "DeveloperName": name.removesuffix("__c"),
                "TableEnumOrId": kind.name,
                "NamespacePrefix": None,
                "ManageableState": "unmanaged",
                "FullName": f"{kind.name}.{name}",
                "Metadata": {**metadata},
                "CreatedDate": now,
                "LastModifiedDate": now,
                "SystemModstamp": now,
            },
        )
        return field_id

    def change(self, field_id: str, metadata: Mapping[str, Any]) -> None:
        row = self._row(field_id)
        object, _, name = str(row["FullName"]).partition(".")
        before = self._store.schema.objects[object].fields[name]
        column = column_of(name, metadata, granted=before.granted, field_id=field_id)
        if column.type != before.type:
            raise _bad("Cannot change the type of this field through the API.", "Type")
        self._store.schema.set_field(object, column)
        self._store.put("CustomField", {**row, "Metadata": {**metadata}, "SystemModstamp": self._store.now()})

    def drop(self, full_name: str) -> None:
        """Take a custom field away with its values' visibility and its grants."""
        object, _, name = full_name.partition(".")
        kind = self._store.schema.find(object)
        column = kind.find(name) if kind else None
        if kind is None or column is None:
            raise not_found()
        self._store.schema.drop_field(kind.name, column.name)
        self._access.forget_field(kind.name, column.name)
        if column.id:
            self._store.remove("CustomField", column.id)
        grants = self._store.table("FieldPermissions")
        for found in grants.with_value("Field", f"{kind.name}.{column.name}"):
            self._store.remove("FieldPermissions", found)
        self._forget_values(kind.name, column.name)

    def drop_by_id(self, field_id: str) -> None:
        self.drop(str(self._row(field_id)["FullName"]))

    def exists(self, full_name: str) -> bool:
        """Whether there is a custom field of this name, made by whichever way."""
        return bool(self._store.table("CustomField").with_value("FullName", full_name))

    def find(self, full_name: str) -> str:
        """The id of `Lead.Score__c`; raises Refusal where there is none."""
        found = next(iter(self._store.table("CustomField").with_value("FullName", full_name)), None)
        if found is None:
            message = f"In field: fullName - no CustomField named {full_name} found"
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", message)
        return found

    def metadata(self, full_name: str) -> dict[str, Any]:
        return dict(self._row(self.find(full_name))["Metadata"])

    def _row(self, field_id: str) -> dict[str, Any]:
        row = self._store.row("CustomField", field_id)
        if row is None:
            raise not_found()
        return row

    def _forget_values(self, object: str, name: str) -> None:
        """A field made again under the same name starts empty."""
        for row in list(self._store.table(object).rows.values()):
            if name in row:
                self._store.put(object, {key: value for key, value in row.items() if key != name})


def _bad(message: str, field: str) -> Refusal:
    return Refusal("FIELD_INTEGRITY_EXCEPTION", message, fields=[field])


def column_of(name: str, metadata: Mapping[str, Any], *, granted: bool, field_id: str) -> Field:
    """The column that CustomField metadata describes; raises FIELD_INTEGRITY_EXCEPTION for what doesn't fit."""
    kind = str(metadata.get("type") or "")
    if kind not in TYPES:
        raise _bad(f"Field type {kind or 'missing'} is not supported.", "Type")
    precision, scale = _digits(kind, metadata)
    values, restricted, starred = _options(kind, metadata)
    default = metadata.get("defaultValue")
    return Field(
        name=name,
        type=TYPES[kind],
        label=str(metadata.get("label") or label_of(name)),
        length=_length(kind, metadata),
        precision=precision,
        scale=scale,
        required=_truth(metadata.get("required")),
        filterable=kind not in ("LongTextArea", "Html"),
        unique=_truth(metadata.get("unique")),
        external_id=_truth(metadata.get("externalId")),
        restricted=restricted,
        granted=granted,
        default=_truth(default) if kind == "Checkbox" else default or starred,
        values=values,
        references=(str(metadata["referenceTo"]),) if kind == "Lookup" else (),
        relationship=name.removesuffix("__c") + "__r" if kind == "Lookup" else None,
        children=_children(kind, metadata),
        help=metadata.get("inlineHelpText"),
        id=field_id,
    )


def _truth(value: Any) -> bool:
    return str(value).lower() == "true"


def _children(kind: str, metadata: Mapping[str, Any]) -> str | None:
    name = metadata.get("relationshipName")
    return f"{name}__r" if kind == "Lookup" and name else None


def _length(kind: str, metadata: Mapping[str, Any]) -> int:
    if kind not in ("Text", "LongTextArea"):
        return _LENGTHS.get(kind, 4_099 if kind == "MultiselectPicklist" else 0)
    length = int(metadata.get("length") or 0)
    shortest, longest = (1, 255) if kind == "Text" else (256, LONGEST)
    if not shortest <= length <= longest:
        raise _bad(f"Field length must be between {shortest} and {longest}.", "Length")
    if kind == "LongTextArea" and not metadata.get("visibleLines"):
        raise _bad("Must specify a value for the field: visibleLines", "VisibleLines")
    return length


def _digits(kind: str, metadata: Mapping[str, Any]) -> tuple[int, int]:
    if kind not in ("Number", "Currency", "Percent"):
        return 0, 0
    precision, scale = int(metadata.get("precision") or 0), int(metadata.get("scale") or 0)
    if not 1 <= precision <= 18 or not 0 <= scale <= precision:
        raise _bad("Precision must be between 1 and 18, and scale no more than it.", "Precision")
    return precision, scale


def _options(kind: str, metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], bool, str | None]:
    if kind not in ("Picklist", "MultiselectPicklist"):
        return (), False, None
    value_set = metadata.get("valueSet") or {}
    entries = (value_set.get("valueSetDefinition") or {}).get("value") or []
    if not entries:
        raise _bad("A picklist needs a value set.", "ValueSet")
    names = [str(entry.get("fullName") or entry.get("valueName") or entry.get("label")) for entry in entries]
    starred = next((name for name, entry in zip(names, entries, strict=True) if _truth(entry.get("default"))), None)
    active = [n for n, e in zip(names, entries, strict=True) if _truth(e.get("isActive", True))]
    return tuple(active), _truth(value_set.get("restricted", False)), starred
