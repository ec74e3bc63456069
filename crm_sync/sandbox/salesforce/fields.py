"""One field of an object: what it holds, who may set it, and how describe shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
    "anyType": "xsd:anyType",
    "complexvalue": "mns:CustomField",
}
NUMBERS = frozenset({"double", "currency", "percent"})
TEXTS = frozenset(
    {"string", "textarea", "email", "phone", "url", "picklist", "multipicklist", "combobox", "encryptedstring"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column. `granted` is false for a field made through the API: nobody sees it until a permission set says so.

    `computed` fields are worked out when read and hold nothing; `formula` is the text that describe shows.
    """

    name: str
    type: str
    label: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    createable: bool = True
    updateable: bool = True
    computed: bool = False
    formula: str | None = None
    filterable: bool = True
    name_field: bool = False
    lookup: bool = False
    owner: bool = False
    cascade: bool = False
    tracked: bool = False
    unique: bool = False
    external_id: bool = False
    restricted: bool = False
    granted: bool = True
    default: Any = None
    values: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    relationship: str | None = None
    children: str | None = None
    help: str | None = None
    id: str = ""

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def long_text(self) -> bool:
        return self.type == "textarea" and self.length > 255

    @property
    def nillable(self) -> bool:
        return not self.required and self.type not in ("id", "boolean")

    @property
    def permissionable(self) -> bool:
        """Whether field-level security exists for it: system and required fields are always seen."""
        return not self.required and not self.name_field and self.name not in UNGUARDED

    @property
    def empty(self) -> Any:
        """What a row shows that holds nothing here."""
        return False if self.type == "boolean" else None

    def describe(self, *, updateable: bool) -> dict[str, Any]:
        """The field as sObject describe lists it. Source: dumped describes; facts on describe."""
        text = self.type in TEXTS
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "soapType": SOAP_TYPES.get(self.type, "xsd:string"),
            "length": self.length if text or self.type in ("id", "reference") else 0,
            "byteLength": self.length * 3 if text else self.length,
            "precision": self.precision if self.type in NUMBERS else 0,
            "scale": self.scale,
            "digits": self.precision if self.type == "int" else 0,
            "nillable": self.nillable,
            "createable": self.createable and not self.computed and updateable,
            "updateable": self.updateable and not self.computed and updateable,
            "calculated": self.formula is not None,
            "calculatedFormula": self.formula,
            "autoNumber": False,
            "custom": self.custom,
            "externalId": self.external_id,
            "idLookup": self.type == "id" or self.lookup or self.external_id,
            "unique": self.unique,
            "caseSensitive": False,
            "nameField": self.name_field,
            "filterable": self.filterable,
            "sortable": self.filterable and self.type != "multipicklist",
            "groupable": self.filterable and self.type not in NUMBERS and self.type != "datetime",
            "aggregatable": self.filterable and self.type != "boolean",
            "defaultedOnCreate": self.default is not None or self.owner or self.type == "boolean",
            "defaultValue": False if self.type == "boolean" and self.default is None else self.default,
            "defaultValueFormula": None,
            "picklistValues": [self._picklist_entry(value) for value in self.values],
            "restrictedPicklist": self.restricted,
            "dependentPicklist": False,
            "controllerName": None,
            "referenceTo": list(self.references),
            "relationshipName": self.relationship,
            "relationshipOrder": None,
            "polymorphicForeignKey": len(self.references) > 1,
            "namePointing": len(self.references) > 1,
            "cascadeDelete": self.cascade,
            "restrictedDelete": False,
            "writeRequiresMasterRead": False,
            "compoundFieldName": None,
            "encrypted": False,
            "extraTypeInfo": "plaintextarea" if self.type == "textarea" else None,
            "htmlFormatted": False,
            "permissionable": self.permissionable,
            "inlineHelpText": self.help,
            "deprecatedAndHidden": False,
        }

    def _picklist_entry(self, value: str) -> dict[str, Any]:
        return {
            "active": True,
            "defaultValue": value == self.default,
            "label": value,
            "validFor": None,
            "value": value,
        }


UNGUARDED = frozenset(
    {
        "Id",
        "IsDeleted",
        "CreatedDate",
        "CreatedById",
        "LastModifiedDate",
        "LastModifiedById",
        "SystemModstamp",
        "OwnerId",
        "MasterRecordId",
        "IsConverted",
        "RecordTypeId",
    }
)


def label_of(name: str) -> str:
    """`NumberOfEmployees` as people read it: `Number Of Employees`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removesuffix("__c").replace("_", " "))
    return re.sub(r" Id$", " ID", words)
