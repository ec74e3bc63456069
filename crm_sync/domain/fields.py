"""Field catalogues of a CRM, and our own fields: what crm-sync installs and writes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FieldType(StrEnum):
    """The types that matter to a mapping; everything else is OTHER."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    PICKLIST = "picklist"
    REFERENCE = "reference"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueField:
    """One field as the CRM describes it to the user we signed in as.

    `length` is in characters (0: not stated), `precision` counts all digits and `scale` those behind the point
    (None: not stated). `options` are the active picklist values; `restricted` says that no other is accepted.
    """

    name: str
    label: str
    type: FieldType
    length: int = 0
    precision: int | None = None
    scale: int | None = None
    writable: bool = True
    calculated: bool = False
    restricted: bool = False
    options: tuple[str, ...] = ()
    filterable: bool = True


Catalogue = dict[str, CatalogueField]
"""The fields of one object by name. A field that is hidden from us is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnField:
    """One field that crm-sync owns in a CRM record.

    `name` is neutral; each connector spells it (`CrmSync_Score__c`, `crm_sync_score`).
    """

    name: str
    label: str
    type: FieldType
    help: str
    length: int = 0
    precision: int | None = None
    scale: int | None = None
    options: tuple[str, ...] = ()


OWN_FIELDS: tuple[OwnField, ...] = (
    OwnField(
        name="score",
        label="Lead score",
        type=FieldType.NUMBER,
        precision=3,
        scale=0,
        help="0 to 100: the probability of conversion, or the rule score until a model is in use.",
    ),
    OwnField(
        name="bucket",
        label="Lead bucket",
        type=FieldType.PICKLIST,
        options=("A", "B", "C", "D"),
        help="A is hot, D is cold; empty where there is no score.",
    ),
    OwnField(
        name="state",
        label="Lead score state",
        type=FieldType.TEXT,
        length=40,
        help="scored, or the reason why there is no score.",
    ),
    OwnField(
        name="fit",
        label="Lead fit",
        type=FieldType.NUMBER,
        precision=3,
        scale=0,
        help="0 to 100: how well the person and company match, whatever they did.",
    ),
    OwnField(
        name="engagement",
        label="Lead engagement",
        type=FieldType.NUMBER,
        precision=3,
        scale=0,
        help="0 to 100: what the person did lately, whoever they are.",
    ),
    OwnField(
        name="reasons",
        label="Lead score reasons",
        type=FieldType.TEXT,
        length=255,
        help="The main reasons in plain words.",
    ),
    OwnField(
        name="reasons_detail",
        label="Lead score reasons (detail)",
        type=FieldType.LONG_TEXT,
        length=32768,
        help="All reasons as JSON, for the score card.",
    ),
    OwnField(
        name="model_version",
        label="Lead score model",
        type=FieldType.TEXT,
        length=40,
        help="Which model or rule version gave the score.",
    ),
    OwnField(name="scored_at", label="Lead scored at", type=FieldType.DATETIME, help="When the score last changed."),
)
"""The contract with the CRM: what a rep's screen reads. The cards in plugins/ show nothing else."""
