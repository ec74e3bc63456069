"""The property catalogue, and our own properties: checked, created, removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.hubspot.errors import Refusal, complaints, words
from connectors.hubspot.session import Session
from crm_sync.domain.fields import Catalogue, CatalogueField, FieldType, OwnField
from crm_sync.errors import ConfigError, TransientError
from crm_sync.ports import Check

GROUP = "crm_sync"
GROUP_LABEL = "CRM sync"
FRESH = timedelta(hours=1)
LONGEST_TEXT = 65_536

# Declared `number` or `enumeration`, yet names of other records: they stay text.
# Source: HubSpot owners and properties guides; `hs_object_id` counts in 12 digits.
_NAMES_OF_RECORDS = frozenset({"hs_object_id", "associatedcompanyid", "hubspot_owner_id", "hubspot_team_id"})

_TYPES: Mapping[str, FieldType] = {
    "string": FieldType.TEXT,
    "phone_number": FieldType.TEXT,
    "number": FieldType.NUMBER,
    "bool": FieldType.BOOLEAN,
    "enumeration": FieldType.PICKLIST,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
}

_OWN_SHAPES: Mapping[FieldType, tuple[str, str]] = {
    FieldType.TEXT: ("string", "text"),
    FieldType.LONG_TEXT: ("string", "textarea"),
    FieldType.NUMBER: ("number", "number"),
    FieldType.BOOLEAN: ("bool", "booleancheckbox"),
    FieldType.DATE: ("date", "date"),
    FieldType.DATETIME: ("datetime", "date"),
    FieldType.PICKLIST: ("enumeration", "select"),
}

# Owners are no CRM object: they have no property catalogue, but these members.
OWNER_FIELDS = ("email", "firstName", "lastName", "type", "userId", "userIdIncludingInactive", "archived", "teams")


class Catalogues:
    """The catalogues of a portal by object, read when first needed and again once they are an hour old."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: dict[str, tuple[datetime, Catalogue]] = {}
        self._left_out: dict[str, set[str]] = {}

    def of(self, object: str) -> Catalogue:
        kept = self._kept.get(object)
        if kept is not None and kept[0] + FRESH > self._session.now():
            return kept[1]
        return self.read(object)

    def known(self, object: str) -> bool:
        return object in self._kept

    def forget(self, object: str) -> None:
        self._kept.pop(object, None)

    def read(self, object: str) -> Catalogue:
        """The catalogue as it is now: one call (none for owners)."""
        found = OWNERS if object == "owners" else catalogue(properties(self._session, object))
        self._kept[object] = (self._session.now(), found)
        self._left_out[object] = set()
        return found

    def require(self, object: str, fields: Sequence[str]) -> None:
        """Raise ConfigError naming those of `fields` that the portal doesn't have.

        HubSpot itself leaves an unknown property out without a word, on lists and searches alike.
        """
        if self._missing(self.of(object), fields):
            self._refuse_missing(object, self._missing(self.read(object), fields))

    def explain_absence(self, object: str, fields: Sequence[str]) -> None:
        """Rows came without these: raise ConfigError naming those that the portal doesn't have any more.

        What it does have, and leaves out for another reason, is not looked up again until the next hour.
        """
        left_out = self._left_out.get(object, set())
        if set(fields) <= left_out:
            return
        self._refuse_missing(object, self._missing(self.read(object), fields))
        self._left_out[object] = left_out | set(fields)

    @staticmethod
    def _refuse_missing(object: str, missing: Sequence[str]) -> None:
        if missing:
            names = ", ".join(missing)
            raise ConfigError(
                f"HubSpot has no property {names} on {object}: correct the mapping or create it.",
                code="PROPERTY_DOESNT_EXIST",
                field=missing[0],
            )

    @staticmethod
    def _missing(catalogue: Catalogue, fields: Iterable[str]) -> list[str]:
        return [name for name in fields if name not in catalogue]


def properties(session: Session, object: str) -> list[dict[str, Any]]:
    """Property definitions as HubSpot gives them; the list isn't paged."""
    told, _ = session.ask(session.properties.get_all, object, archived=False)
    results = told.get("results")
    if not isinstance(results, list) or not results:
        raise TransientError("HubSpot's answer can't be read: it lists no properties.", code="garbage")
    return results


def catalogue(definitions: Iterable[Mapping[str, Any]]) -> Catalogue:
    """Definitions by name, in our types."""
    return {field.name: field for field in map(_field, definitions)}


def own_names(fields: Sequence[OwnField]) -> Mapping[str, str]:
    return {field.name: f"{GROUP}_{field.name}" for field in fields}


def install(session: Session, object: str, fields: Sequence[OwnField]) -> list[Check]:
    """One Check for each of `fields`: created, already there, or different with what to do.

    One call where nothing is missing. A property of that name in the recycle bin comes back as HubSpot kept it.
    """
    there = {str(found["name"]): found for found in properties(session, object)}
    wanted = {name: field for field, name in zip(fields, own_names(fields).values(), strict=True)}
    absent = [name for name in wanted if name not in there]
    if absent:
        _create_group(session, object)
        refused = _create(session, object, {name: wanted[name] for name in absent})
        there = {str(found["name"]): found for found in properties(session, object)}
    else:
        refused = {}
    return [
        _compared(session, object, name, field, there.get(name), created=name in absent, refused=refused.get(name, ""))
        for name, field in wanted.items()
    ]


def remove(session: Session, object: str, fields: Sequence[OwnField]) -> list[Check]:
    """Put our properties, and then their group, into HubSpot's recycle bin. One Check for each of `fields`."""
    there = {str(found["name"]): found for found in properties(session, object)}
    checks = [_removed(session, object, name, there) for name in own_names(fields).values()]
    gone = {check.name for check in checks if check.passed}
    had_group = any(found.get("groupName") == GROUP for found in there.values())
    if had_group and not any(f.get("groupName") == GROUP for name, f in there.items() if name not in gone):
        _told(session, session.property_groups.archive, object, GROUP)
    return checks


def _field(found: Mapping[str, Any]) -> CatalogueField:
    name, shape = str(found.get("name") or ""), str(found.get("fieldType") or "")
    calculated = bool(found.get("calculated")) or shape.startswith("calculation_")
    limits = found.get("modificationMetadata")
    read_only = bool(limits.get("readOnlyValue")) if isinstance(limits, dict) else False
    options = tuple(str(option.get("value")) for option in found.get("options") or () if not option.get("hidden"))
    type = _type(name, shape, found)
    return CatalogueField(
        name=name,
        label=str(found.get("label") or name),
        type=type,
        length=LONGEST_TEXT if type in (FieldType.TEXT, FieldType.LONG_TEXT) else 0,
        writable=not calculated and not read_only,
        calculated=calculated,
        restricted=type is FieldType.PICKLIST and bool(options) and not found.get("externalOptions"),
        options=options,
        filterable=not name.startswith("hs_body_preview"),
    )


def _type(name: str, shape: str, found: Mapping[str, Any]) -> FieldType:
    if found.get("referencedObjectType") or name in _NAMES_OF_RECORDS:
        return FieldType.REFERENCE
    type = _TYPES.get(str(found.get("type") or ""), FieldType.OTHER)
    if type is FieldType.NUMBER and name.endswith("_id"):
        return FieldType.TEXT
    if type is FieldType.PICKLIST and shape == "booleancheckbox":
        return FieldType.BOOLEAN
    if type is FieldType.TEXT and shape in ("textarea", "html"):
        return FieldType.LONG_TEXT
    return type


OWNERS: Catalogue = {
    name: CatalogueField(name=name, label=name, type=FieldType.TEXT, writable=False, filterable=False)
    for name in OWNER_FIELDS
}


def _definition(name: str, field: OwnField) -> dict[str, Any]:
    type, shape = _OWN_SHAPES[field.type]
    definition: dict[str, Any] = {
        "name": name,
        "label": field.label,
        "groupName": GROUP,
        "type": type,
        "fieldType": shape,
        "description": field.help,
        "formField": False,
    }
    if field.options:
        definition["options"] = _options(field.options)
    return definition


def _options(values: Iterable[str]) -> list[dict[str, Any]]:
    return [{"label": v, "value": v, "displayOrder": n, "hidden": False} for n, v in enumerate(values)]


def _create_group(session: Session, object: str) -> None:
    try:
        session.tell(session.property_groups.create, object, {"name": GROUP, "label": GROUP_LABEL, "displayOrder": -1})
    except Refusal as refusal:
        if refusal.status != 409:  # it exists
            raise session.error(refusal) from refusal


def _create(session: Session, object: str, wanted: Mapping[str, OwnField]) -> dict[str, str]:
    """What HubSpot said against those that it didn't create, by name; "" stands for all of them."""
    inputs = [_definition(name, field) for name, field in wanted.items()]
    try:
        told = session.tell(session.property_batches.create, object, {"inputs": inputs}).json()
    except Refusal as refusal:
        if refusal.status in (400, 409):
            return dict.fromkeys(wanted, words(complaints(refusal.body)[0]))
        raise session.error(refusal) from refusal
    said: dict[str, str] = {}
    for error in told.get("errors") or ():
        context = error.get("context") or {}
        for name in context.get("name") or context.get("propertyName") or wanted:
            said[str(name)] = words(complaints(error)[0])
    return said


def _compared(
    session: Session,
    object: str,
    name: str,
    field: OwnField,
    found: Mapping[str, Any] | None,
    *,
    created: bool,
    refused: str,
) -> Check:
    if found is None:
        return Check(
            name=name,
            passed=False,
            found="missing",
            advice=f"HubSpot didn't create it: {refused or 'no reason given'}",
        )
    type, shape = _OWN_SHAPES[field.type]
    found_type, found_shape = str(found.get("type")), str(found.get("fieldType"))
    if (found_type, found_shape) != (type, shape):
        return Check(
            name=name,
            passed=False,
            found=f"{found_type}/{found_shape}",
            advice=f"Needs to be {type}/{shape}: rename or remove the property in HubSpot and install again.",
        )
    if not _field(found).writable:
        return Check(name=name, passed=False, found="read-only", advice="Let values of this property be edited.")
    has = [str(option.get("value")) for option in found.get("options") or ()]
    lacking = [value for value in field.options if value not in has]
    if lacking:
        return _extended(session, object, name, found, lacking)
    return Check(name=name, passed=True, found="created" if created else "exists")


def _extended(session: Session, object: str, name: str, found: Mapping[str, Any], lacking: Sequence[str]) -> Check:
    """Missing options are added; HubSpot takes the whole list, so those that are there go along."""
    options = [*(found.get("options") or ()), *_options(lacking)]
    said = _told(session, session.properties.update, object, name, {"options": options})
    if said is not None:
        return Check(
            name=name,
            passed=False,
            found=f"lacks the options {', '.join(lacking)}",
            advice=f"Add them in HubSpot: {said}",
        )
    return Check(name=name, passed=True, found=f"added the options {', '.join(lacking)}")


def _removed(session: Session, object: str, name: str, there: Mapping[str, Any]) -> Check:
    if name not in there:
        return Check(name=name, passed=True, found="absent")
    said = _told(session, session.properties.archive, object, name)
    if said is not None:
        return Check(
            name=name,
            passed=False,
            found="in use",
            advice=f"Remove it from workflows, lists and forms first: {said}",
        )
    return Check(name=name, passed=True, found="removed")


def _told(session: Session, method: Any, *args: Any) -> str | None:
    """Make a change to the portal's set-up. None where it is done, HubSpot's words where it is refused."""
    try:
        session.tell(method, *args)
    except Refusal as refusal:
        if refusal.status == 404:
            return None
        if refusal.status in (400, 409):
            return words(complaints(refusal.body)[0])
        raise session.error(refusal) from refusal
    return None
