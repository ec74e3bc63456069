"""What people, admins and HubSpot itself do to a portal, as JSON in and out.

Each action is a mapping with `do` and the arguments that its function names; `as` says who did it (`userId:771201`
where it is missing). Nonsense raises ValueError, and what HubSpot would refuse a person too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from crm_sync.sandbox.hubspot import merging, writing
from crm_sync.sandbox.hubspot.authors import named_author
from crm_sync.sandbox.hubspot.records import Record, Table
from crm_sync.sandbox.hubspot.refusals import Refusal
from crm_sync.sandbox.hubspot.sign_in import ALL_SCOPES, App
from crm_sync.sandbox.hubspot.stamps import iso, parse_ms
from crm_sync.sandbox.hubspot.values import stored

if TYPE_CHECKING:
    from crm_sync.sandbox.hubspot.portal import HubSpotPortal

Action = Mapping[str, Any]
Answer = dict[str, Any]


def act(portal: HubSpotPortal, action: Action) -> Answer:
    name = str(action.get("do", ""))
    if name not in ACTIONS:
        raise ValueError(f"There is no action {name!r}; there are {', '.join(sorted(ACTIONS))}.")
    try:
        return ACTIONS[name](portal, _Given(action))
    except (Refusal, writing.PropertiesRefused) as refused:
        raise ValueError(f"The action {name} is refused: {refused}") from refused


class _Given(dict[str, Any]):
    """An action's arguments; asking for one that is missing says so."""

    def __missing__(self, key: str) -> Any:
        raise ValueError(f"The action {self['do']} needs {key!r}.")


def _edit(portal: HubSpotPortal, action: Action) -> Answer:
    """object, id, properties; `at`, a moment to be stamped with."""
    table, record = _named(portal, action)
    author = named_author(action.get("as"))
    values = writing.check(portal, table, action["properties"], record, author)
    writing.apply(portal, table, record, values, author, _at(portal, action))
    return {"id": str(record.id), "modified": iso(record.modified)}


def _create(portal: HubSpotPortal, action: Action) -> Answer:
    """object, properties; `associations`: a list of {"object", "id"}."""
    table = portal.table(action["object"])
    at = _at(portal, action)
    ties = [_default_tie(portal, table, tie) for tie in action.get("associations", ())]
    author = named_author(action.get("as"))
    record = writing.create(portal, table, action["properties"], author, at, ties)
    return {"id": str(record.id), "modified": iso(record.modified)}


def _archive(portal: HubSpotPortal, action: Action) -> Answer:
    """object, id"""
    table, record = _named(portal, action)
    table.archive(record, portal.now())
    return {"id": str(record.id)}


def _restore(portal: HubSpotPortal, action: Action) -> Answer:
    """object, id: back from the recycle bin, which moves the stamp."""
    table, record = _named(portal, action, archived=True)
    at = portal.now()
    table.restore(record)
    table.index.about_to_change(record, new=True)
    record.modified = at
    table.index.changed(record, at)
    return {"id": str(record.id), "modified": iso(at)}


def _merge(portal: HubSpotPortal, action: Action) -> Answer:
    """object, primary, secondary; answers the survivor's new id."""
    table = portal.table(action["object"])
    primary, secondary = (_found(table, action[which]) for which in ("primary", "secondary"))
    survivor = merging.merge(portal, table, primary, secondary, portal.now())
    return {"id": str(survivor.id)}


def _gdpr_delete(portal: HubSpotPortal, action: Action) -> Answer:
    """id of a contact; the erasure can't be undone."""
    table = portal.tables["contacts"]
    record = table.resolve(str(action["id"])) or table.resolve(str(action["id"]), archived=True)
    if record is None:
        raise ValueError(f"There is no contact {action['id']}.")
    merging.erase(portal, record, portal.now())
    return {}


def _recalculate(portal: HubSpotPortal, action: Action) -> Answer:
    """object, id, property, value: a calculated property gets another value, and no stamp moves."""
    table, record = _named(portal, action)
    portal.schema.get(table.type.name, action["property"])
    writing.recalculate(portal, table, record, {action["property"]: stored(action["value"])}, portal.now())
    return {"id": str(record.id), "modified": iso(record.modified)}


def _restamp(portal: HubSpotPortal, action: Action) -> Answer:
    """object, ids (or "all"), at: many rows get one stamp, as by an import or a workflow; no value changes."""
    table = portal.table(action["object"])
    at = _at(portal, action)
    ids = list(table.live) if action["ids"] == "all" else action["ids"]
    records = [_found(table, id) for id in ids]
    now = portal.now()
    for record in records:
        table.index.about_to_change(record)
        record.modified = at
        table.index.changed(record, now)
    return {"rows": len(records), "modified": iso(at)}


def _associate(portal: HubSpotPortal, action: Action) -> Answer:
    """from, from_id, to, to_id; `label`"""
    pair, here, there = _pair(portal, action)
    label = action.get("label")
    type_id = None if label is None else portal.associations.labelled(pair, label).type_id
    writing.associate(portal, pair, here.id, there.id, portal.now(), type_id=type_id)
    return {}


def _dissociate(portal: HubSpotPortal, action: Action) -> Answer:
    """from, from_id, to, to_id"""
    pair, here, there = _pair(portal, action)
    writing.dissociate(portal, pair, here.id, there.id, portal.now())
    return {}


def _set_index_lag(portal: HubSpotPortal, action: Action) -> Answer:
    """seconds by which search lags behind from now on; `object` for one type only."""
    names = [portal.table(action["object"]).type.name] if action.get("object") else list(portal.tables)
    for name in names:
        portal.tables[name].index.lag = int(float(action["seconds"]) * 1000)
    return {}


def _hide_from_index(portal: HubSpotPortal, action: Action) -> Answer:
    """ids, seconds, and `object` (contacts): search doesn't find these rows until then, whatever happens to them."""
    table = portal.table(action.get("object", "contacts"))
    until = portal.now() + int(float(action["seconds"]) * 1000)
    table.index.hide([_found(table, id).id for id in action["ids"]], until)
    return {"until": iso(until)}


def _set_property(portal: HubSpotPortal, action: Action) -> Answer:
    """object, name, and what to make or change: the wire's names, `rules` ({"MAX_NUMBER": 50}), `readOnly`.

    `property` may hold them instead. Options may be plain values.
    """
    table = portal.table(action["object"])
    given = {**action.get("property", {}), **action}
    wanted = {key: given[key] for key in _PROPERTY_KEYS if key in given}
    made = portal.schema.put(table.type.name, str(given["name"]), wanted, portal.now())
    table.index.reloaded()
    return made.describe()


def _drop_property(portal: HubSpotPortal, action: Action) -> Answer:
    """object, name: the property is archived; its values are kept unseen."""
    name = portal.table(action["object"]).type.name
    portal.schema.archive(name, action["name"], portal.now(), forced=True)
    return {}


def _set_scopes(portal: HubSpotPortal, action: Action) -> Answer:
    """scopes, and `token` of a private app (without one: the OAuth app)."""
    portal.sign_in.app_of(action.get("token")).scopes = set(action["scopes"])
    return {}


def _add_private_app(portal: HubSpotPortal, action: Action) -> Answer:
    """token, app_id; `name`, `scopes`, `user_id`: another integration of the same portal."""
    app = App(
        app_id=int(action["app_id"]),
        name=str(action.get("name", "Another app")),
        user_id=int(action.get("user_id", 771_200)),
        private=True,
        scopes=set(action.get("scopes", ALL_SCOPES)),
    )
    portal.sign_in.add_private(str(action["token"]), app)
    return {"app_id": app.app_id}


def _expire_token(portal: HubSpotPortal, action: Action) -> Answer:
    """`token`; without one every access token that OAuth granted so far."""
    portal.sign_in.expire(action.get("token"), portal.now())
    return {}


def _revoke_refresh_token(portal: HubSpotPortal, action: Action) -> Answer:
    """`token`; without one all."""
    portal.sign_in.revoke_refresh(action.get("token"))
    return {}


def _set_limits(portal: HubSpotPortal, action: Action) -> Answer:
    """Any of burst, daily, search_per_second, enforce, retry_after, body_style, and `used` calls of the day."""
    allowance = portal.limits.allowance
    for field in fields(allowance):
        if field.name in action:
            setattr(allowance, field.name, action[field.name])
    if "used" in action:
        portal.limits.set_used(int(action["used"]), portal.now())
    return dict(portal.limits.usage(portal.now()))


def _set_behaviour(portal: HubSpotPortal, action: Action) -> Answer:
    """Any switch of Behaviour."""
    for field in fields(portal.behaviour):
        if field.name in action:
            setattr(portal.behaviour, field.name, action[field.name])
    return {field.name: getattr(portal.behaviour, field.name) for field in fields(portal.behaviour)}


def _set_portal(portal: HubSpotPortal, action: Action) -> Answer:
    """`portal_id`: from now on the same credentials lead to another portal, as far as a client can see."""
    portal.portal_id = int(action["portal_id"])
    portal.sign_in.portal_id = portal.portal_id
    return {"portal_id": portal.portal_id}


def _plan_row_fault(portal: HubSpotPortal, action: Action) -> Answer:
    """object, kind, and one of id, ids, every_nth, share; `times`, `property`."""
    portal.row_faults.add(portal.table(action["object"]).type.name, action)
    return {"planned": len(portal.row_faults.plan)}


def _clear_row_faults(portal: HubSpotPortal, _action: Action) -> Answer:
    portal.row_faults.clear()
    return {}


def _add_owner(portal: HubSpotPortal, action: Action) -> Answer:
    """The wire's owner fields, in `owner` or directly."""
    return {"id": portal.owners.add({**action, **action.get("owner", {})}, portal.now())}


def _archive_owner(portal: HubSpotPortal, action: Action) -> Answer:
    """id: the user left; records keep the owner, but nobody can be assigned to them any more."""
    return portal.owners.set_archived(str(action["id"]), True, portal.now())


def _restore_owner(portal: HubSpotPortal, action: Action) -> Answer:
    """id"""
    return portal.owners.set_archived(str(action["id"]), False, portal.now())


def _set_pipeline(portal: HubSpotPortal, action: Action) -> Answer:
    """object, id, label, stages ([{"id", "label", "metadata"}])"""
    return portal.pipelines.put(portal.table(action["object"]).type.name, action)


def _named(portal: HubSpotPortal, action: Action, *, archived: bool = False) -> tuple[Table, Record]:
    table = portal.table(action["object"])
    return table, _found(table, action["id"], archived=archived)


def _found(table: Table, id: Any, *, archived: bool = False) -> Record:
    record = table.resolve(str(id), archived=archived)
    if record is None:
        raise ValueError(f"There is no{' archived' if archived else ''} {table.type.singular} {id}.")
    return record


def _pair(portal: HubSpotPortal, action: Action) -> tuple[tuple[str, str], Record, Record]:
    here, there = portal.table(action["from"]), portal.table(action["to"])
    pair = (here.type.name, there.type.name)
    if not portal.associations.known(pair):
        raise ValueError(f"{pair[0]} and {pair[1]} can't be associated.")
    return pair, _found(here, action["from_id"]), _found(there, action["to_id"])


def _default_tie(portal: HubSpotPortal, table: Table, tie: Mapping[str, Any]) -> dict[str, Any]:
    pair = (table.type.name, portal.table(tie["object"]).type.name)
    type_id = portal.associations.default_type(pair).type_id
    return {"to": {"id": str(tie["id"])}, "types": [{"associationTypeId": type_id}]}


def _at(portal: HubSpotPortal, action: Action) -> int:
    at = portal.now() if action.get("at") is None else parse_ms(action["at"])
    if at is None:
        raise ValueError(f"{action['at']} is no moment: use ISO-8601 with a zone, or milliseconds.")
    return at


_PROPERTY_KEYS = (
    "label",
    "type",
    "fieldType",
    "groupName",
    "description",
    "options",
    "hidden",
    "formField",
    "displayOrder",
    "rules",
    "readOnly",
    "calculated",
    "externalOptions",
    "hasUniqueValue",
    "referencedObjectType",
)
ACTIONS: Mapping[str, Callable[[HubSpotPortal, Action], Answer]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _edit,
        _create,
        _archive,
        _restore,
        _merge,
        _gdpr_delete,
        _recalculate,
        _restamp,
        _associate,
        _dissociate,
        _set_index_lag,
        _hide_from_index,
        _set_property,
        _drop_property,
        _set_scopes,
        _add_private_app,
        _expire_token,
        _revoke_refresh_token,
        _set_limits,
        _set_behaviour,
        _set_portal,
        _plan_row_fault,
        _clear_row_faults,
        _add_owner,
        _archive_owner,
        _restore_owner,
        _set_pipeline,
    )
}
