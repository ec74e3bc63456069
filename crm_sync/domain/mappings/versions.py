"""A mapping version: what RevOps publishes, immutable and named by its content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crm_sync.domain import documents
from crm_sync.domain.changes import Role
from crm_sync.domain.columns import (
    CONSENT_COLUMNS,
    DEAL_COLUMNS,
    MAPPED_ACCOUNT_COLUMNS,
    PERSON_COLUMNS,
    SCORE_CONSENT_COLUMNS,
    Direction,
    Kind,
    Shape,
)
from crm_sync.domain.documents import Part
from crm_sync.domain.fields import OWN_FIELDS, Catalogue
from crm_sync.domain.records import CrmKind

AS_THE_CONNECTOR_SPELLS = "default"
"""Stands for the connector's own spelling of one of our fields."""

ASSUMED_STATIC = (
    "email",
    "title",
    "company",
    "website",
    "industry",
    "employees",
    "revenue",
    "country",
    "region",
    "city",
    "lead_source",
)
"""Columns that are usually filled in when a record is made and seldom changed later. Phone numbers are not: they are
often asked for once somebody is interested."""

MAPPED_PERSON_COLUMNS = {name: shape for name, shape in PERSON_COLUMNS.items() if name != "is_converted"}


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


FieldName = Annotated[str, Field(min_length=1)]
Source = Annotated[tuple[FieldName, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One CRM field, or several of which the first with a value counts."""


def _one_of(names: Iterable[str], what: str) -> AfterValidator:
    """Refuses a key that is none of `names`."""
    known = list(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"{name} is not {what}; {documents.did_you_mean(name, known)}")
        return name

    return AfterValidator(check)


def _extra_name(name: str) -> str:
    if not re.fullmatch(r"x_[a-z0-9_]{1,60}", name):
        raise ValueError(f"{name}: an extra column is named x_ and then small letters, digits or _.")
    return name


CanonicalColumn = Annotated[str, _one_of(MAPPED_PERSON_COLUMNS, "a canonical column")]
AccountColumn = Annotated[str, _one_of(MAPPED_ACCOUNT_COLUMNS, "a column of an account")]
ConsentColumn = Annotated[str, _one_of(CONSENT_COLUMNS, "a column of consent")]
DealColumn = Annotated[str, _one_of(DEAL_COLUMNS, "a column of a deal")]
ExtraName = Annotated[str, AfterValidator(_extra_name)]
OwnFieldName = Annotated[str, _one_of((field.name for field in OWN_FIELDS), "one of our own fields")]


class Extra(Part):
    """A further column that the mapping brings in: a number or a text, named `x_…`."""

    field: Source
    type: Literal["number", "text"]

    @property
    def shape(self) -> Shape:
        return Shape(self.type)


class PersonObject(Part):
    """An object whose records are people: Lead, Contact, contacts."""

    fields: dict[CanonicalColumn, Source]
    extra: dict[ExtraName, Extra] = Field(default_factory=dict)
    own_fields: dict[OwnFieldName, str] = Field(
        default_factory=lambda: {field.name: AS_THE_CONNECTOR_SPELLS for field in OWN_FIELDS}
    )


class AccountObject(Part):
    """An object whose records are companies; what it says fills what the person's own records leave open."""

    fields: dict[AccountColumn, Source]


class ConsentObject(Part):
    """An object that holds what people allowed: Salesforce's Individual. Its refusals bind the person."""

    fields: dict[ConsentColumn, Source]


class DealObject(Part):
    """An object whose records are deals."""

    fields: dict[DealColumn, Source]


class KindChoice(Part):
    """A kind that depends on a CRM field: that of the word which the field holds, whatever its case, or `otherwise`.

    A word that ends in `*` stands for every text that begins so.
    """

    field: Source
    values: dict[str, Kind]
    otherwise: Kind | None = None


class DirectionChoice(Part):
    """A direction that depends on a CRM field, in the same way."""

    field: Source
    values: dict[str, Direction]
    otherwise: Direction | None = None


Choice = KindChoice | DirectionChoice


class OnlyWhen(Part):
    """Records count only where `field` is one of `one_of` or, if that is not given, isn't one of `none_of`."""

    field: FieldName
    one_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_list(self) -> OnlyWhen:
        if bool(self.one_of) == bool(self.none_of):
            raise ValueError("give either one_of or none_of, with at least one value.")
        return self


class ActivityObject(Part):
    """An object whose records are activities. They are known from the moment the CRM created them, never earlier.

    Of several choices of a kind the first that decides counts.
    """

    kind: Kind | KindChoice | tuple[KindChoice, ...]
    direction: Direction | DirectionChoice | None = None
    occurred_at: Source
    outcome: Source | None = None
    only_when: tuple[OnlyWhen, ...] = ()

    def sources(self) -> list[str]:
        return _unique(
            *(name for choice in self.choices() for name in choice.field),
            *self.occurred_at,
            *(self.outcome or ()),
            *(condition.field for condition in self.only_when),
        )

    def choices(self) -> list[Choice]:
        """Every choice that reads a CRM field."""
        kinds = self.kind if isinstance(self.kind, tuple) else (self.kind,)
        return [part for part in (*kinds, self.direction) if isinstance(part, Choice)]


class Milestone(Part):
    """Records of `object` whose `field` holds one of `one_of` have come to an end, at the time in `at`."""

    object: FieldName
    field: FieldName
    one_of: Annotated[tuple[str, ...], Field(min_length=1)]
    at: FieldName | None = None


class MappingVersion(Part):
    """Everything a mapping says about one CRM. Equal content has an equal `content_hash`."""

    crm: CrmKind
    people: Annotated[dict[str, PersonObject], Field(min_length=1)]
    accounts: dict[str, AccountObject] = Field(default_factory=dict)
    consents: dict[str, ConsentObject] = Field(default_factory=dict)
    deals: dict[str, DealObject] = Field(default_factory=dict)
    activities: dict[str, ActivityObject] = Field(default_factory=dict)
    conversion: tuple[Milestone, ...] = ()
    lost: tuple[Milestone, ...] = ()
    static: tuple[str, ...] = ASSUMED_STATIC
    reread: dict[str, Annotated[int, Field(ge=1, le=8_760)]] = Field(default_factory=dict)
    candidates: dict[str, tuple[FieldName, ...]] = Field(default_factory=dict)
    deny: dict[str, tuple[FieldName, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _each_object_once(self) -> MappingVersion:
        seen: set[str] = set()
        for objects in (self.people, self.accounts, self.consents, self.deals, self.activities):
            again = seen & set(objects)
            if again:
                raise ValueError(f"{', '.join(sorted(again))} stands in two sections; an object has one role.")
            seen |= set(objects)
        sections: dict[str, Iterable[str]] = {
            "candidates": self.candidates,
            "conversion": [milestone.object for milestone in self.conversion],
            "lost": [milestone.object for milestone in self.lost],
        }
        for section, names in sections.items():
            unknown = sorted(set(names) - seen)
            if unknown:
                raise ValueError(
                    f"{section}: {', '.join(unknown)} is not mapped; add it to people, deals or another section."
                )
        if strange := sorted(set(sections["lost"]) - set(self.people)):
            raise ValueError(f"lost: {', '.join(strange)} holds no people; only objects under people can be lost.")
        return self

    @model_validator(mode="after")
    def _read_again(self) -> MappingVersion:
        may = [*self.people, *self.accounts]
        for name in self.reread:
            if name not in may:
                raise ValueError(
                    f"reread: only people and accounts are read again; {documents.did_you_mean(name, may)}"
                )
        return self

    @model_validator(mode="after")
    def _static_columns(self) -> MappingVersion:
        known = [*MAPPED_PERSON_COLUMNS, *self.extras]
        for name in self.static:
            if name not in known:
                raise ValueError(
                    f"static: {name} is no column of people in this mapping; {documents.did_you_mean(name, known)}"
                )
        return self

    @cached_property
    def content_hash(self) -> str:
        return documents.content_hash(self)

    @cached_property
    def roles(self) -> dict[str, Role]:
        """Each mapped object and what its records are to us."""
        return {
            **dict.fromkeys(self.people, Role.PERSON),
            **dict.fromkeys(self.accounts, Role.ACCOUNT),
            **dict.fromkeys(self.consents, Role.CONSENT),
            **dict.fromkeys(self.deals, Role.DEAL),
            **dict.fromkeys(self.activities, Role.ACTIVITY),
        }

    @cached_property
    def extras(self) -> dict[str, Shape]:
        """Every extra column of any person object, by name."""
        return {name: extra.shape for person in self.people.values() for name, extra in sorted(person.extra.items())}

    def sources_of(self, object: str) -> dict[str, Source]:
        """Column to CRM fields, extra columns included; empty for activities and objects that are not mapped."""
        if object in self.people:
            person = self.people[object]
            return {**person.fields, **{name: extra.field for name, extra in person.extra.items()}}
        for objects in (self.accounts, self.consents, self.deals):
            if object in objects:
                return objects[object].fields
        return {}

    def fields_of(self, object: str, own_names: Mapping[str, str] | None = None) -> list[str]:
        """The CRM fields of `object` to pull: mapped, consent, guard, candidates and our own, minus the deny-list.

        `own_names` are our own fields as the connector spells them; without it only those named in the mapping are in.
        """
        activity = self.activities.get(object)
        mapped = (
            activity.sources() if activity else [name for source in self.sources_of(object).values() for name in source]
        )
        ends = (m for m in (*self.conversion, *self.lost) if m.object == object)
        ended = [name for m in ends for name in (m.field, m.at) if name]
        own = self.own_fields_of(object, own_names or {}).values()
        denied = self.deny.get(object, ())
        return [name for name in _unique(*mapped, *ended, *self.candidates.get(object, ()), *own) if name not in denied]

    def guard_fields_of(self, object: str, own_names: Mapping[str, str] | None = None) -> list[str]:
        """The CRM fields of a person object to read again before a write (law 13): consent, owner, conversion, own."""
        person = self.people[object]
        guarded = (person.fields.get(column, ()) for column in (*CONSENT_COLUMNS, "owner_id"))
        converted = (c.field for c in self.conversion if c.object == object)
        own = self.own_fields_of(object, own_names or {}).values()
        return _unique(*(name for source in guarded for name in source), *converted, *own)

    def own_fields_of(self, object: str, own_names: Mapping[str, str]) -> dict[str, str]:
        """Neutral name to CRM name of each own field that is written to `object`; empty where none is."""
        person = self.people.get(object)
        if person is None:
            return {}
        spelled = {
            name: own_names.get(name, "") if written == AS_THE_CONNECTOR_SPELLS else written
            for name, written in person.own_fields.items()
        }
        return {name: crm_name for name, crm_name in spelled.items() if crm_name}

    def score_consents_of(self, object: str) -> list[str]:
        """The CRM fields of `object` that decide whether its person may be scored."""
        sources = self.sources_of(object)
        return _unique(*(name for column in SCORE_CONSENT_COLUMNS if column in sources for name in sources[column]))

    def problems(self, catalogues: Mapping[str, Catalogue], own_names: Mapping[str, str] | None = None) -> list[str]:
        """What stands between this mapping and the CRM as its `catalogues` show it; empty where it may be published.

        `own_names` are our own fields as the connector spells them. No own field is looked for without it, unless
        the mapping names it.
        """
        from crm_sync.domain.mappings.problems import problems_of  # it reads this module's classes

        return problems_of(self, catalogues, own_names or {})


def parse_mapping(text: str) -> MappingVersion:
    """A mapping from its YAML text. Raises ConfigError with every problem in one message."""
    return documents.parse(MappingVersion, text, what="mapping")


def _unique(*names: str) -> list[str]:
    return list(dict.fromkeys(names))


def all_sources(fields: Mapping[str, Source]) -> Iterable[tuple[str, str]]:
    """Each (column, CRM field) pair."""
    return ((column, name) for column, source in fields.items() for name in source)
