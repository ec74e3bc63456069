"""What stands between a mapping and the CRM that it is meant for, one sentence each."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from crm_sync.domain.columns import (
    CONSENT_COLUMNS,
    DEAL_COLUMNS,
    MAPPED_ACCOUNT_COLUMNS,
    PERSON_COLUMNS,
    PROTECTED,
    Shape,
)
from crm_sync.domain.documents import did_you_mean
from crm_sync.domain.fields import OWN_FIELDS, Catalogue, CatalogueField, FieldType, OwnField
from crm_sync.domain.mappings.translation import FALSE_WORDS, TRUE_WORDS
from crm_sync.domain.mappings.versions import MappingVersion, PersonObject, all_sources

FITTING: dict[Shape, frozenset[FieldType]] = {
    Shape.TEXT: frozenset(FieldType),
    Shape.NUMBER: frozenset({FieldType.NUMBER}),
    Shape.TRUTH: frozenset({FieldType.BOOLEAN, FieldType.PICKLIST}),
    Shape.TIME: frozenset({FieldType.DATE, FieldType.DATETIME}),
}
WRITABLE_INTO: dict[FieldType, frozenset[FieldType]] = {
    FieldType.NUMBER: frozenset({FieldType.NUMBER}),
    FieldType.PICKLIST: frozenset({FieldType.PICKLIST, FieldType.TEXT}),
    FieldType.TEXT: frozenset({FieldType.TEXT, FieldType.LONG_TEXT}),
    FieldType.LONG_TEXT: frozenset({FieldType.LONG_TEXT, FieldType.TEXT}),
    FieldType.DATETIME: frozenset({FieldType.DATETIME}),
}
MISSPELLED = 0.8
"""How alike two values are that are likely meant for one: CANCELLED and CANCELED. Where one holds the other, as
RESCHEDULED holds SCHEDULED, they are two."""
NOT_SEEN = "isn't there, or is hidden from our user."

OWN_SPELLING = re.compile(r"crm_?sync_?(" + "|".join(field.name.replace("_", "_?") for field in OWN_FIELDS) + ")")


def problems_of(
    mapping: MappingVersion, catalogues: Mapping[str, Catalogue], own_names: Mapping[str, str]
) -> list[str]:
    """Every problem, in the order of the document."""
    found = [
        *_objects(mapping, catalogues),
        *_inputs(mapping, catalogues, own_names),
        *_activities(mapping, catalogues),
    ]
    for object, person in mapping.people.items():
        found += _people(object, person)
        if object in catalogues:
            found += _own_fields(object, mapping.own_fields_of(object, own_names), catalogues[object])
    return [*found, *_milestones(mapping, catalogues), *_candidates(mapping, catalogues), *_denied(mapping, own_names)]


def _objects(mapping: MappingVersion, catalogues: Mapping[str, Catalogue]) -> Iterator[str]:
    for object in mapping.roles:
        if object not in catalogues:
            yield f"{object}: our user doesn't see this object; grant access to it or take it out of the mapping."


def _shapes(mapping: MappingVersion, object: str) -> Mapping[str, Shape]:
    if object in mapping.people:
        return {**PERSON_COLUMNS, **{name: extra.shape for name, extra in mapping.people[object].extra.items()}}
    if object in mapping.accounts:
        return MAPPED_ACCOUNT_COLUMNS
    return CONSENT_COLUMNS if object in mapping.consents else DEAL_COLUMNS


def _inputs(
    mapping: MappingVersion, catalogues: Mapping[str, Catalogue], own_names: Mapping[str, str]
) -> Iterator[str]:
    for object in mapping.roles:
        if object not in catalogues:
            continue
        shapes, own = _shapes(mapping, object), set(mapping.own_fields_of(object, own_names).values())
        for column, name in all_sources(mapping.sources_of(object)):
            where = f"{object}.{column}"
            field = catalogues[object].get(name)
            if name in own or OWN_SPELLING.search(name.lower()):
                yield f"{where}: {name} is written by crm-sync, so it can't be an input; map another field."
            elif field is None:
                yield f"{where}: {_no_such_field(object, name, catalogues[object])}"
            elif not _fits(field, shapes[column]):
                yield (
                    f"{where}: {name} is a {_words(field.type)} field, but {column} is a {shapes[column]}; "
                    f"map a field of that type."
                )


def _fits(field: CatalogueField, shape: Shape) -> bool:
    if shape is Shape.TRUTH and field.type is FieldType.PICKLIST:
        return all(_is_truth_word(option) for option in field.options)
    return field.type in FITTING[shape]


def _is_truth_word(option: str) -> bool:
    return option.strip().lower() in TRUE_WORDS | FALSE_WORDS


def _no_such_field(object: str, name: str, catalogue: Catalogue) -> str:
    near = difflib.get_close_matches(name, list(catalogue), n=1)
    hint = f"Did you mean {near[0]}?" if near else "Check its spelling, or grant our user the right to read it."
    return f"{object} has no field {name} that our user may read. {hint}"


def _words(type: FieldType) -> str:
    return type.value.replace("_", " ")


def _people(object: str, person: PersonObject) -> Iterator[str]:
    if not {"email", "phone", "mobile"} & set(person.fields):
        yield f"{object}: map email or phone; without one nobody can be recognised or contacted."
    for name, extra in person.extra.items():
        protected = [word for word in (name, *extra.field) if PROTECTED.search(word.lower())]
        if protected:
            yield f"{object}.{name}: {protected[0]} is a protected attribute and can't be an input; take it out."
    names = Counter(name for name in person.own_fields.values() if name != "default")
    for name, times in names.items():
        if times > 1:
            yield f"{object}.own_fields: {times} of our fields are written into {name}; give each its own."


def own_field_faults(names: Mapping[str, str], catalogue: Catalogue) -> dict[str, list[str]]:
    """What is wrong with each of our own fields, by neutral name; an empty list where nothing is.

    `names` are neutral and CRM names of those that are written. A fault is a sentence without its subject, which is
    the field's CRM name; a field that our user doesn't see has the one fault NOT_SEEN.
    """
    written = [(own, names[own.name]) for own in OWN_FIELDS if own.name in names]
    return {
        own.name: list(_misfits(own, catalogue[name])) if name in catalogue else [NOT_SEEN] for own, name in written
    }


def _own_fields(object: str, names: Mapping[str, str], catalogue: Catalogue) -> Iterator[str]:
    for own, faults in own_field_faults(names, catalogue).items():
        where = f"{object}.own_fields.{own}"
        for fault in faults:
            if fault == NOT_SEEN:
                yield f"{where}: our user sees no field {names[own]}; install our fields first."
            else:
                yield f"{where}: {names[own]} {fault}"


def _misfits(own: OwnField, field: CatalogueField) -> Iterator[str]:
    if field.calculated:
        yield "is calculated by the CRM and can't be written; choose another field."
    elif not field.writable:
        yield "can't be edited by our user; grant the right to edit it."
    if field.type not in WRITABLE_INTO[own.type]:
        yield f"is a {_words(field.type)} field; we need {_words(own.type)}."
        return
    if own.length and field.length and field.length < own.length:
        yield f"holds {field.length} characters; make it at least {own.length} long."
    if own.precision is not None and field.precision is not None:
        digits = field.precision - (field.scale or 0)
        if digits < own.precision - (own.scale or 0):
            yield f"holds {digits} digits before the point; we need {own.precision - (own.scale or 0)}."
    missing = [option for option in own.options if field.options and option not in field.options]
    if missing or (own.options and field.restricted and not field.options):
        yield f"lacks the values {', '.join(missing or own.options)}; add them to the picklist."


def _activities(mapping: MappingVersion, catalogues: Mapping[str, Catalogue]) -> Iterator[str]:
    for object, activity in mapping.activities.items():
        catalogue = catalogues.get(object)
        if catalogue is None:
            continue
        for name in activity.sources():
            if name not in catalogue:
                yield f"activities.{object}: {_no_such_field(object, name, catalogue)}"
        for name in activity.occurred_at:
            field = catalogue.get(name)
            if field is not None and field.type not in FITTING[Shape.TIME]:
                yield f"activities.{object}.occurred_at: {name} is a {_words(field.type)} field; choose a date or time."
        for choice in activity.choices():
            yield from _unknown_options(f"activities.{object}", choice.field[0], tuple(choice.values), catalogue)
        for condition in activity.only_when:
            where = f"activities.{object}.only_when"
            yield from _unknown_options(where, condition.field, condition.one_of, catalogue)
            yield from _misspelled_options(where, condition.field, condition.none_of, catalogue)


def _unknown_options(where: str, name: str, values: tuple[str, ...], catalogue: Catalogue) -> Iterator[str]:
    field = catalogue.get(name)
    if field is None or not field.restricted or not field.options:
        return
    options = {option.lower() for option in field.options}
    for value in values:
        if value.lower() not in options and not value.endswith("*"):
            yield f"{where}: {name} has no value {value}; {did_you_mean(value, field.options)}"


def _misspelled_options(where: str, name: str, values: tuple[str, ...], catalogue: Catalogue) -> Iterator[str]:
    """Leaving out a value that the CRM doesn't offer does no harm, unless it is meant for one that it does offer."""
    options = catalogue[name].options if name in catalogue else ()
    misspelled = tuple(value for value in values if any(_is_meant_for(value.lower(), o.lower()) for o in options))
    yield from _unknown_options(where, name, misspelled, catalogue)


def _is_meant_for(value: str, option: str) -> bool:
    alike = difflib.SequenceMatcher(None, value, option).ratio() >= MISSPELLED
    return alike and value not in option and option not in value


def _milestones(mapping: MappingVersion, catalogues: Mapping[str, Catalogue]) -> Iterator[str]:
    if not mapping.conversion:
        yield "conversion: name what counts as converted (object, field, values); without it nothing can be predicted."
    for where, milestones in (("conversion", mapping.conversion), ("lost", mapping.lost)):
        for milestone in milestones:
            catalogue = catalogues.get(milestone.object)
            if catalogue is None:
                continue
            for name in (milestone.field, milestone.at):
                if name and name not in catalogue:
                    yield f"{where}: {_no_such_field(milestone.object, name, catalogue)}"
            yield from _unknown_options(where, milestone.field, milestone.one_of, catalogue)


def _candidates(mapping: MappingVersion, catalogues: Mapping[str, Catalogue]) -> Iterator[str]:
    for object, names in mapping.candidates.items():
        for name in names:
            if object in catalogues and name not in catalogues[object]:
                yield f"candidates.{object}: {_no_such_field(object, name, catalogues[object])}"


def _denied(mapping: MappingVersion, own_names: Mapping[str, str]) -> Iterator[str]:
    for object, denied in mapping.deny.items():
        used = {name for _, name in all_sources(mapping.sources_of(object))}
        used |= {*mapping.candidates.get(object, ()), *mapping.own_fields_of(object, own_names).values()}
        activity = mapping.activities.get(object)
        used |= set(activity.sources()) if activity else set()
        used |= {m.field for m in (*mapping.conversion, *mapping.lost) if m.object == object}
        for name in denied:
            if name in used:
                yield f"deny.{object}: {name} is denied and used; take it out of one of the two."
