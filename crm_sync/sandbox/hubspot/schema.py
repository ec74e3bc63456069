"""Property definitions and groups of every object type: what exists, its type, options and rules.

Source: HubSpot CRM properties guide and its published API description.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.objects import OBJECT_TYPES
from crm_sync.sandbox.hubspot.stamps import iso

FIELD_TYPES: Mapping[str, frozenset[str]] = {
    "bool": frozenset({"booleancheckbox", "calculation_equation"}),
    "enumeration": frozenset({"booleancheckbox", "checkbox", "radio", "select", "calculation_equation"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"date"}),
    "string": frozenset({"file", "text", "textarea", "calculation_equation", "html", "phonenumber"}),
    "number": frozenset({"number", "calculation_equation"}),
    "phone_number": frozenset({"phonenumber"}),
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
STANDARD_SINCE = "2019-08-06T02:41:08.029Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    value: str
    label: str
    display_order: int = -1
    hidden: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One definition. `rules` are the account's own validation rules (`MAX_NUMBER` and its like) for its values.

    `read_time` marks values that are calculated whenever they are read.
    """

    name: str
    label: str
    type: str
    field_type: str
    group: str
    description: str = ""
    options: tuple[Option, ...] = ()
    hubspot_defined: bool = False
    read_only: bool = False
    calculated: bool = False
    read_time: bool = False
    external_options: bool = False
    unique: bool = False
    hidden: bool = False
    form_field: bool = False
    display_order: int = -1
    referenced: str | None = None
    rules: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = STANDARD_SINCE
    updated_at: str = STANDARD_SINCE
    archived_at: str | None = None

    @property
    def multiple(self) -> bool:
        return self.field_type == "checkbox"

    def describe(self) -> dict[str, Any]:
        """The definition as HubSpot's property object."""
        shown: dict[str, Any] = {
            "updatedAt": self.updated_at,
            "createdAt": self.created_at,
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": [_describe_option(o) for o in self.options],
            "displayOrder": self.display_order,
            "calculated": self.calculated,
            "externalOptions": self.external_options,
            "archived": self.archived_at is not None,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "hubspotDefined": self.hubspot_defined,
            "modificationMetadata": {
                "archivable": not self.hubspot_defined,
                "readOnlyDefinition": self.hubspot_defined,
                "readOnlyOptions": self.hubspot_defined and self.type == "enumeration",
                "readOnlyValue": self.read_only,
            },
            "formField": self.form_field,
            "dataSensitivity": "non_sensitive",
        }
        if self.referenced:
            shown["referencedObjectType"] = self.referenced
        if self.archived_at:
            shown["archivedAt"] = self.archived_at
        return shown


def _describe_option(option: Option) -> dict[str, Any]:
    return {
        "label": option.label,
        "value": option.value,
        "displayOrder": option.display_order,
        "hidden": option.hidden,
        "description": option.description,
    }


def options_from(raw: Any) -> tuple[Option, ...]:
    """Options as a client or a test gives them: dicts as on the wire, or plain values that are their own label."""
    if raw is not None and not isinstance(raw, (list, tuple)):
        raise refusals.malformed("Cannot deserialize value of options: a list was expected.")
    found: list[Option] = []
    for order, item in enumerate(raw or ()):
        if not isinstance(item, Mapping):
            found.append(Option(value=str(item), label=str(item), display_order=order))
            continue
        if item.get("label") is None or item.get("value") is None:
            raise refusals.fields_missing(f"options[{order}].label", f"options[{order}].value")
        found.append(
            Option(
                value=str(item["value"]),
                label=str(item["label"]),
                display_order=_order(item, order),
                hidden=bool(item.get("hidden", False)),
                description=str(item.get("description") or ""),
            )
        )
    values = [o.value for o in found]
    if len(values) != len(set(values)):
        raise refusals.invalid("Property options must have unique values.")
    return tuple(found)


def _order(raw: Mapping[str, Any], default: int) -> int:
    order = raw.get("displayOrder")
    if order is None:
        return default
    if not isinstance(order, int):
        raise refusals.malformed("Cannot deserialize value of displayOrder: an integer was expected.")
    return order


class Schema:
    """The definitions of one portal, standard ones first. Custom names that were archived come back when created."""

    def __init__(self) -> None:
        self.properties: dict[str, dict[str, Property]] = {t.name: {} for t in OBJECT_TYPES}
        self.archived: dict[str, dict[str, Property]] = {t.name: {} for t in OBJECT_TYPES}
        self.groups: dict[str, dict[str, dict[str, Any]]] = {t.name: {} for t in OBJECT_TYPES}
        for object_name, definition in _standard():
            self.properties[object_name][definition.name] = definition
            self.groups[object_name].setdefault(definition.group, _standard_group(definition.group))

    def find(self, object_name: str, name: str) -> Property | None:
        return self.properties[object_name].get(name)

    def get(self, object_name: str, name: str, *, archived: bool = False) -> Property:
        found = (self.archived if archived else self.properties)[object_name].get(name)
        if found is None:
            raise refusals.error(
                404,
                "OBJECT_NOT_FOUND",
                f'Property "{name}" does not exist',
                context={"propertyName": [name]},
            )
        return found

    def create(self, object_name: str, raw: Mapping[str, Any], now: int) -> Property:
        """Add a custom property, or bring back the archived one of that name with the new definition."""
        definition = self._parse(object_name, raw, now)
        if definition.name in self.properties[object_name]:
            raise refusals.conflict(f'A property named "{definition.name}" already exists.', "OBJECT_ALREADY_EXISTS")
        self.archived[object_name].pop(definition.name, None)
        self.properties[object_name][definition.name] = definition
        return definition

    def update(self, object_name: str, name: str, raw: Mapping[str, Any], now: int) -> Property:
        """Change a custom property as an app may: label, group, description, options, type."""
        old = self.get(object_name, name)
        if old.hubspot_defined:
            raise refusals.error(
                400, "VALIDATION_ERROR", f'"{name}" is a HubSpot-defined property; it cannot be changed.'
            )
        new = self._changed(old, raw, now)
        self._check(object_name, new)
        self.properties[object_name][name] = new
        return new

    def put(self, object_name: str, name: str, raw: Mapping[str, Any], now: int) -> Property:
        """Make or change any property as an admin or HubSpot itself can: options, rules, readOnly, hidden and so on."""
        old = self.properties[object_name].get(name)
        if old is None:
            made: dict[str, Any] = {"label": name, "type": "string", "groupName": self._any_group(object_name)}
            made |= {"name": name, **raw}
            made.setdefault("fieldType", _DEFAULT_FIELD_TYPE.get(str(made["type"]), "text"))
            old = self.create(object_name, made, now)
        new = self._changed(old, raw, now)
        self.properties[object_name][name] = replace(
            new,
            rules=dict(raw.get("rules", new.rules)),
            read_only=bool(raw.get("readOnly", new.read_only)),
            calculated=bool(raw.get("calculated", new.calculated)),
            external_options=bool(raw.get("externalOptions", new.external_options)),
            unique=bool(raw.get("hasUniqueValue", new.unique)),
        )
        return self.properties[object_name][name]

    def archive(self, object_name: str, name: str, now: int, *, forced: bool = False) -> None:
        """Take a property away; its values are kept unseen. A standard one only goes when `forced`."""
        old = self.get(object_name, name)
        if old.hubspot_defined and not forced:
            raise refusals.invalid(f'"{name}" is a HubSpot-defined property; it cannot be deleted.')
        del self.properties[object_name][name]
        self.archived[object_name][name] = replace(old, archived_at=iso(now))

    def create_group(self, object_name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        missing = [key for key in ("name", "label") if not raw.get(key)]
        if missing:
            raise refusals.fields_missing(*missing)
        if raw["name"] in self.groups[object_name]:
            raise refusals.conflict(f'A property group named "{raw["name"]}" already exists.', "OBJECT_ALREADY_EXISTS")
        group = {"name": raw["name"], "label": raw["label"], "displayOrder": raw.get("displayOrder", -1)}
        self.groups[object_name][raw["name"]] = group | {"archived": False}
        return self.groups[object_name][raw["name"]]

    def get_group(self, object_name: str, name: str) -> dict[str, Any]:
        if name not in self.groups[object_name]:
            raise refusals.not_found()
        return self.groups[object_name][name]

    def archive_group(self, object_name: str, name: str) -> None:
        self.get_group(object_name, name)
        if any(p.group == name for p in self.properties[object_name].values()):
            raise refusals.invalid(f'Property group "{name}" still contains properties.')
        del self.groups[object_name][name]

    def _any_group(self, object_name: str) -> str:
        return next(iter(self.groups[object_name]))

    def _parse(self, object_name: str, raw: Mapping[str, Any], now: int) -> Property:
        missing = [key for key in ("name", "label", "groupName", "type", "fieldType") if not raw.get(key)]
        if missing:
            raise refusals.fields_missing(*missing)
        definition = Property(
            name=str(raw["name"]).lower(),
            label=str(raw["label"]),
            type=str(raw["type"]),
            field_type=str(raw["fieldType"]),
            group=str(raw["groupName"]),
            description=str(raw.get("description") or ""),
            options=options_from(raw.get("options")),
            unique=bool(raw.get("hasUniqueValue", False)),
            hidden=bool(raw.get("hidden", False)),
            form_field=bool(raw.get("formField", False)),
            display_order=_order(raw, -1),
            external_options=bool(raw.get("externalOptions", False)),
            referenced=raw.get("referencedObjectType"),
            created_at=iso(now),
            updated_at=iso(now),
        )
        self._check(object_name, definition)
        return definition

    def _check(self, object_name: str, definition: Property) -> None:
        if not _NAME.fullmatch(definition.name):
            raise refusals.invalid(f'Property name "{definition.name}" is not valid.')
        if definition.group not in self.groups[object_name]:
            raise refusals.invalid(f'Property group "{definition.group}" does not exist.')
        if definition.field_type not in FIELD_TYPES.get(definition.type, frozenset()):
            raise refusals.invalid(
                f'Invalid field type "{definition.field_type}" for property type "{definition.type}".'
            )
        free = definition.options or definition.external_options or definition.field_type == "booleancheckbox"
        if definition.type == "enumeration" and not free:
            raise refusals.invalid("Enumeration properties need at least one option.")

    def _changed(self, old: Property, raw: Mapping[str, Any], now: int) -> Property:
        return replace(
            old,
            label=str(raw.get("label", old.label)),
            type=str(raw.get("type", old.type)),
            field_type=str(raw.get("fieldType", old.field_type)),
            group=str(raw.get("groupName", old.group)),
            description=str(raw.get("description", old.description) or ""),
            options=options_from(raw["options"]) if raw.get("options") is not None else old.options,
            hidden=bool(raw.get("hidden", old.hidden)),
            form_field=bool(raw.get("formField", old.form_field)),
            display_order=_order(raw, old.display_order),
            updated_at=iso(now),
        )


_DEFAULT_FIELD_TYPE = {
    "string": "text",
    "number": "number",
    "date": "date",
    "datetime": "date",
    "bool": "booleancheckbox",
    "enumeration": "select",
    "phone_number": "phonenumber",
}


def _standard_group(name: str) -> dict[str, Any]:
    label = {"contactinformation": "Contact information", "companyinformation": "Company information"}.get(name, name)
    return {"name": name, "label": label, "displayOrder": 0, "archived": False}


@cache
def _standard() -> tuple[tuple[str, Property], ...]:
    return tuple(_read_standard())


def _read_standard() -> Iterator[tuple[str, Property]]:
    """The definitions in properties.csv; `flags` is a comma list of ro, calc, readtime, ext, unique, hidden, ref=X."""
    with resources.files(__package__).joinpath("properties.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            flags = set(filter(None, row["flags"].split(",")))
            referenced = next((f.removeprefix("ref=") for f in flags if f.startswith("ref=")), None)
            yield (
                row["object"],
                Property(
                    name=row["name"],
                    label=row["label"],
                    type=row["type"],
                    field_type=row["field_type"],
                    group=row["group"],
                    options=_standard_options(row["options"]),
                    hubspot_defined=True,
                    read_only=bool(flags & {"ro", "calc"}),
                    calculated="calc" in flags,
                    read_time="readtime" in flags,
                    external_options="ext" in flags,
                    unique="unique" in flags,
                    hidden="hidden" in flags,
                    referenced=referenced,
                ),
            )


def _standard_options(text: str) -> tuple[Option, ...]:
    pairs = [item.partition("=") for item in text.split(";") if item]
    return tuple(
        Option(value=value, label=label or value, display_order=order) for order, (value, _, label) in enumerate(pairs)
    )
