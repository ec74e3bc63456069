"""Writing properties: what is refused, what is stored, and which stamps and histories move.

Every write moves the modification stamp, also one that changes nothing; history grows only where a value changes.
Source: HubSpot object guides; stamps and refusals as users of large accounts recorded them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.authors import PORTAL, Author
from crm_sync.sandbox.hubspot.derived import activity_values, derived_values
from crm_sync.sandbox.hubspot.pipelines import PIPELINE_PROPERTIES
from crm_sync.sandbox.hubspot.records import Record, Table, first_version
from crm_sync.sandbox.hubspot.schema import Property
from crm_sync.sandbox.hubspot.values import ValueRefused, written

if TYPE_CHECKING:
    from crm_sync.sandbox.hubspot.portal import HubSpotPortal

Values = dict[str, str | None]
Problem = dict[str, Any]


class PropertiesRefused(Exception):
    """Some values of one record can't be written; each problem has `name`, `code` and `message`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(p["message"] for p in problems))
        self.problems = list(problems)


def check(portal: HubSpotPortal, table: Table, raw: Mapping[str, Any], record: Record | None, author: Author) -> Values:
    """What writing `raw` to `record` (None: a new one) would store; nothing is changed.

    Raises PropertiesRefused for values that can't stand, Refusal (409) where another record holds a unique value.
    """
    held = {} if record is None else record.properties
    values: Values = {}
    problems: list[Problem] = []
    for name, wanted in raw.items():
        try:
            values[name] = _checked(portal, table, name, wanted, raw, held, author)
        except ValueRefused as refused:
            problems.append({"name": name, "code": refused.code, "message": refused.message})
    if problems:
        raise PropertiesRefused(problems)
    _check_unique(portal, table, values, record)
    return values


def apply(portal: HubSpotPortal, table: Table, record: Record, values: Values, author: Author, at: int) -> None:
    """Store checked values and move the stamp to `at`."""
    table.index.about_to_change(record)
    _store(portal, table, record, values, author, at)
    if author.user_id is not None:
        record.properties["hs_updated_by_user_id"] = str(author.user_id)
    record.modified = at
    table.index.changed(record, portal.now())


def recalculate(portal: HubSpotPortal, table: Table, record: Record, values: Values, at: int) -> None:
    """Store calculated values: history follows, the stamp doesn't move."""
    table.index.about_to_change(record)
    _store(portal, table, record, values, PORTAL, at)
    table.index.changed(record, portal.now())


def create(
    portal: HubSpotPortal,
    table: Table,
    raw: Mapping[str, Any],
    author: Author,
    at: int,
    associations: Sequence[Mapping[str, Any]] = (),
) -> Record:
    """Add a record; raises like `check`, and Refusal where something required is missing."""
    values = check(portal, table, raw, None, author)
    ties = [_tie(portal, table, a) for a in associations]
    _check_required(table, values, [pair for pair, _, _ in ties])
    record = Record(portal.numbers.next(), _origin(author), at, at)
    if table.type.name == "deals" and "pipeline" not in values:
        values["pipeline"] = "default"
    table.index.about_to_change(record, new=True)
    table.add(record)
    _store(portal, table, record, values, author, at)
    table.index.changed(record, portal.now())
    for pair, there, type_id in ties:
        associate(portal, pair, record.id, there, at, type_id=type_id)
    return record


def associate(
    portal: HubSpotPortal, pair: tuple[str, str], here: int, there: int, at: int, *, type_id: int | None = None
) -> None:
    """Tie two live records; logging an engagement moves the stamp of the record that it is logged on."""
    ties = portal.associations
    new = there not in ties.of(pair, here)
    type = None if type_id is None else ties.find_type(pair, type_id)
    if type is None or type == ties.default_type(pair):
        ties.add_default(pair, here, there)
    else:
        ties.add(pair, here, there, type)
    follow_primary(portal, pair, here, there, at)
    if new:
        _log_activity(portal, pair, here, there, at)


def dissociate(portal: HubSpotPortal, pair: tuple[str, str], here: int, there: int, at: int) -> None:
    if portal.associations.remove(pair, here, there):
        follow_primary(portal, pair, here, there, at)


def follow_primary(portal: HubSpotPortal, pair: tuple[str, str], here: int, there: int, at: int) -> None:
    """Let a contact's associatedcompanyid be its primary company; a change of associations moves no stamp."""
    if set(pair) != {"contacts", "companies"}:
        return
    contact = portal.tables["contacts"].rows.get(here if pair[0] == "contacts" else there)
    if contact is None:
        return
    company = portal.associations.primary(("contacts", "companies"), contact.id)
    value = None if company is None else str(company)
    if contact.properties.get("associatedcompanyid") != value:
        recalculate(portal, portal.tables["contacts"], contact, {"associatedcompanyid": value}, at)


def _checked(
    portal: HubSpotPortal,
    table: Table,
    name: str,
    wanted: Any,
    raw: Mapping[str, Any],
    held: Mapping[str, str],
    author: Author,
) -> str | None:
    definition = portal.schema.find(table.type.name, name)
    if definition is None:
        raise ValueRefused("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
    if definition.read_only:
        raise ValueRefused("READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.')
    allowed = _allowed(portal, table, definition, raw, held)
    _check_stage(table, name, wanted, allowed)
    value = written(definition, wanted, before=held.get(name), allowed=allowed)
    if name == "lifecyclestage" and author.is_app and _goes_back(definition, held.get(name), value):
        if portal.behaviour.lifecycle_backwards == "refuse":
            raise ValueRefused("INVALID_OPTION", f"{value} is before the present lifecycle stage; clear it first.")
        return held.get(name)
    return value


def _allowed(
    portal: HubSpotPortal, table: Table, definition: Property, raw: Mapping[str, Any], held: Mapping[str, str]
) -> Collection[str] | None:
    """The values that an enumeration takes; None where anything goes."""
    if definition.type != "enumeration":
        return None
    if definition.referenced == "OWNER":
        return portal.owners.assignable()
    pipeline, stage = PIPELINE_PROPERTIES.get(table.type.name, ("", ""))
    if definition.name == pipeline:
        return [p["id"] for p in portal.pipelines.by_object[table.type.name]]
    if definition.name == stage:
        return portal.pipelines.stage_ids(table.type.name, raw.get(pipeline) or held.get(pipeline))
    return [o.value for o in definition.options] or None


def _check_stage(table: Table, name: str, wanted: Any, allowed: Collection[str] | None) -> None:
    stage = PIPELINE_PROPERTIES.get(table.type.name, ("", ""))[1]
    if name == stage and wanted not in (None, "") and allowed is not None and str(wanted) not in allowed:
        raise ValueRefused(
            "INVALID_OPTION", f"{wanted} is not a valid pipeline stage ID. Valid options are: {', '.join(allowed)}"
        )


def _goes_back(definition: Property, before: str | None, after: str | None) -> bool:
    order = [o.value for o in definition.options]
    return before in order and after in order and order.index(str(after)) < order.index(str(before))


def _check_unique(portal: HubSpotPortal, table: Table, values: Values, record: Record | None) -> None:
    for name, value in values.items():
        definition = portal.schema.find(table.type.name, name)
        if value is None or definition is None or not definition.unique:
            continue
        if name == "email" and value in portal.blocked_emails:
            raise refusals.invalid("This contact was permanently deleted and can't be created again.")
        holder = table.holder(name, value)
        if holder is None or (record is not None and holder.id == record.id):
            continue
        if name == "email" and table.type.name == "contacts":
            raise refusals.conflict(f"Contact already exists. Existing ID: {holder.id}")
        raise refusals.conflict(f"{name} must be unique. {holder.id} already has that value. Existing ID: {holder.id}")


def _store(portal: HubSpotPortal, table: Table, record: Record, values: Values, author: Author, at: int) -> None:
    before = {name: record.properties.get(name) for name in values}
    changed = [name for name, value in values.items() if before[name] != value]
    for name, value in values.items():
        _put(portal, table, record, name, value, author, at)
    for name, value in derived_values(portal, table, record, changed, at).items():
        _put(portal, table, record, name, value, PORTAL, at)


def _put(
    portal: HubSpotPortal, table: Table, record: Record, name: str, value: str | None, author: Author, at: int
) -> None:
    before = record.properties.get(name)
    portal.note_write(table, record, name, before, value, author)
    if before == value:
        return
    definition = portal.schema.find(table.type.name, name)
    unique = definition is not None and definition.unique
    if unique:
        table.release(record, name)
    _remember(record, name, before, author.version(value, at))
    if value is None:
        record.properties.pop(name, None)
    else:
        record.properties[name] = value
    if unique:
        table.claim(record, name)


def _remember(record: Record, name: str, before: str | None, version: dict[str, Any]) -> None:
    if record.history is None:
        record.history = {}
    versions = record.history.get(name)
    if versions is None:
        versions = record.history[name] = [] if before is None else [first_version(record, before)]
    versions.insert(0, version)


def _origin(author: Author) -> dict[str, str]:
    origin = {"hs_object_source": author.source_type, "hs_object_source_id": author.source_id}
    if author.label:
        origin |= {"hs_object_source_label": author.source_type, "hs_object_source_detail_1": author.label}
    if author.user_id is not None:
        origin |= {"hs_object_source_user_id": str(author.user_id), "hs_created_by_user_id": str(author.user_id)}
    return origin


def _tie(portal: HubSpotPortal, table: Table, raw: Mapping[str, Any]) -> tuple[tuple[str, str], int, int]:
    """Pair, other record and type id of one entry of `associations` in a create."""
    try:
        there, type_id = str(raw["to"]["id"]), int(raw["types"][0]["associationTypeId"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise refusals.fields_missing("associations[0].to.id", "associations[0].types") from None
    for partner in portal.associations.partners(table.type.name):
        pair = (table.type.name, partner)
        if portal.associations.find_type(pair, type_id) is not None:
            other = portal.tables[partner].resolve(there)
            if other is None:
                raise refusals.invalid(f"No {partner} record with ID {there} exists.", context={"id": [there]})
            return pair, other.id, type_id
    raise refusals.invalid(f"No association type {type_id} exists for {table.type.name}.")


def _check_required(table: Table, values: Values, ties: Sequence[tuple[str, str]]) -> None:
    required = ["hs_timestamp"] if table.type.is_engagement else ["hs_lead_name"] * (table.type.name == "leads")
    missing = [name for name in required if values.get(name) is None]
    if missing:
        raise refusals.invalid(
            f"Error creating {table.type.singular.upper()}. Some required properties were not set.",
            context={"properties": missing},
        )
    if table.type.name == "leads" and not any(partner in ("contacts", "companies") for _, partner in ties):
        raise refusals.invalid("A lead must be associated with a contact or a company when it is created.")


def _log_activity(portal: HubSpotPortal, pair: tuple[str, str], here: int, there: int, at: int) -> None:
    """Roll an engagement up to the contact, company or deal that it was logged on."""
    tables = portal.tables
    first, second = tables[pair[0]], tables[pair[1]]
    if first.type.is_engagement == second.type.is_engagement:
        return
    if not first.type.is_engagement:
        first, second, here, there = second, first, there, here
    engagement, record = first.rows.get(here), second.rows.get(there)
    if engagement is None or record is None:
        return
    known = portal.schema.properties[second.type.name]
    rolled = activity_values(record, engagement, first.type.name)
    values = {name: value for name, value in rolled.items() if name in known}
    if not values:
        return
    apply(portal, second, record, values, PORTAL, at)
