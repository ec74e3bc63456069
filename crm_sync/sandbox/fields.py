"""Makes custom fields in an org or portal from one neutral description, as an admin would before an import.

A description is `{"name", "label", "type", "length"}`: `name` as the CRM spells it, `type` one of text, long_text,
number, boolean, date and datetime, `length` of a text. What exists already is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_sync.sandbox.hubspot import HubSpotPortal
from crm_sync.sandbox.salesforce import SalesforceOrg

Description = dict[str, Any]
Define = Callable[[str, list[Description]], list[str]]
"""Object and descriptions in, names of the fields that were made out."""

# Source: Metadata API guide, CustomField; HubSpot CRM properties guide, types and field types.
SALESFORCE_METADATA: dict[str, dict[str, Any]] = {
    "text": {"type": "Text"},
    "long_text": {"type": "LongTextArea", "length": 32_768, "visibleLines": 4},
    "number": {"type": "Number", "precision": 18, "scale": 6},
    "boolean": {"type": "Checkbox", "defaultValue": "false"},
    "date": {"type": "Date"},
    "datetime": {"type": "DateTime"},
}
HUBSPOT_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "fieldType": "text"},
    "long_text": {"type": "string", "fieldType": "textarea"},
    "number": {"type": "number", "fieldType": "number"},
    "boolean": {
        "type": "enumeration",
        "fieldType": "booleancheckbox",
        "options": [{"label": "Yes", "value": "true"}, {"label": "No", "value": "false"}],
    },
    "date": {"type": "date", "fieldType": "date"},
    "datetime": {"type": "datetime", "fieldType": "date"},
}


def salesforce(org: SalesforceOrg) -> Define:
    """Fields made here are visible to everybody at once, as if the admin had ticked every profile."""

    def define(object: str, fields: list[Description]) -> list[str]:
        known = org.store.schema.object(object)
        missing = [field for field in fields if known.find(field["name"]) is None]
        for field in missing:
            metadata = {**SALESFORCE_METADATA[_type(field)], "label": field.get("label") or field["name"]}
            if field["type"] == "text":
                metadata["length"] = field.get("length", 255)
            org.act({"do": "add_field", "object": object, "name": field["name"], "metadata": metadata})
        return [field["name"] for field in missing]

    return define


def hubspot(portal: HubSpotPortal) -> Define:
    def define(object: str, fields: list[Description]) -> list[str]:
        name = portal.table(object).type.name
        missing = [field for field in fields if portal.schema.find(name, field["name"]) is None]
        for field in missing:
            made = {**HUBSPOT_TYPES[_type(field)], "name": field["name"], "label": field.get("label") or field["name"]}
            portal.act({"do": "set_property", "object": object, **made})
        return [field["name"] for field in missing]

    return define


def _type(field: Description) -> str:
    found = str(field.get("type"))
    if found not in HUBSPOT_TYPES:
        raise ValueError(f"{field.get('name')} has the type {found}; there are {', '.join(HUBSPOT_TYPES)}.")
    return found
