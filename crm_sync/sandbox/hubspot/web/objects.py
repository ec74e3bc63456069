"""Single records and pages of records: list, get, create, update, archive, merge, erase, search."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from crm_sync.sandbox.hubspot import merging, refusals, writing
from crm_sync.sandbox.hubspot.records import Record, Table
from crm_sync.sandbox.hubspot.representation import Viewer
from crm_sync.sandbox.hubspot.row_faults import FaultKind
from crm_sync.sandbox.hubspot.search import Search
from crm_sync.sandbox.hubspot.sign_in import scopes_needed
from crm_sync.sandbox.hubspot.web.call import Answer, Call, Endpoint, listed, required

MOST_LISTED, MOST_WITH_HISTORY = 100, 50
_MERGED = ("contacts", "companies", "deals")


def reading(call: Call) -> tuple[str, ...]:
    return scopes_needed(call.type().scopes, "read")


def changing(call: Call) -> tuple[str, ...]:
    return scopes_needed(call.type().scopes, "write")


def list_records(call: Call) -> Answer:
    table, archived = call.table(), call.flag("archived")
    most = MOST_WITH_HISTORY if call.names("propertiesWithHistory") else MOST_LISTED
    limit = call.whole("limit", 10, least=1, most=most)
    ids = table.archived if archived else table.live
    found = list(islice(ids.irange(minimum=call.whole("after", 0)), limit + 1))
    viewer = _viewer(call, table)
    body: dict[str, Any] = {"results": [viewer.show(table.rows[id]) for id in found[:limit]]}
    if len(found) > limit:
        query = [(k, v) for k, v in call.query.multi_items() if k != "after"] + [("after", str(found[limit]))]
        link = f"{call.url}{call.path}?{urlencode(query)}"
        body["paging"] = {"next": {"after": str(found[limit]), "link": link}}
    return Answer(body=body, records=len(body["results"]))


def get_record(call: Call) -> Answer:
    record = _addressed(call, archived=call.flag("archived"))
    return Answer(body=_viewer(call, call.table()).show(record), records=1)


def create_record(call: Call) -> Answer:
    table, body = call.table(), call.mapping()
    properties = properties_of(body)
    associations = listed(body, "associations")
    try:
        record = writing.create(call.portal, table, properties, call.author, call.portal.now(), associations)
    except writing.PropertiesRefused as refused:
        raise whole_refusal(call, refused.problems) from None
    shown = Viewer(call.portal, table, call.app, properties=record.properties).show(record)
    return Answer(body=shown, status=201, records=1)


def update_record(call: Call) -> Answer:
    table, record = call.table(), _addressed(call)
    properties = properties_of(call.mapping())
    at = call.portal.now()
    try:
        values = writing.check(call.portal, table, properties, record, call.author)
        _meet_fault(call, table, record, properties)
    except writing.PropertiesRefused as refused:
        raise whole_refusal(call, refused.problems) from None
    writing.apply(call.portal, table, record, values, call.author, at)
    viewer = Viewer(call.portal, table, call.app, properties=[*table.type.shown, *properties])
    return Answer(body=viewer.show(record), records=1)


def archive_record(call: Call) -> Answer:
    table = call.table()
    record = table.resolve(call.params["id"])
    if record is None and table.find(call.params["id"], archived=True) is None:
        raise refusals.not_found()
    if record is not None:
        table.archive(record, call.portal.now())
    return Answer(status=204, records=1)


def merge_records(call: Call) -> Answer:
    table, body = call.table(), call.mapping()
    if table.type.name not in _MERGED:
        raise refusals.error(405, "METHOD_NOT_ALLOWED", f"{table.type.name} can't be merged.")
    required(body, "primaryObjectId", "objectIdToMerge")
    pair = [table.resolve(str(body[name])) for name in ("primaryObjectId", "objectIdToMerge")]
    if pair[0] is None or pair[1] is None:
        raise refusals.not_found()
    survivor = merging.merge(call.portal, table, pair[0], pair[1], call.portal.now())
    return Answer(body=_viewer(call, table).show(survivor), records=1)


def erase_record(call: Call) -> Answer:
    """Always 204: an address that nobody has is block-listed too."""
    table, body = call.table(), call.mapping()
    required(body, "objectId")
    if table.type.name != "contacts":
        raise refusals.error(405, "METHOD_NOT_ALLOWED", f"{table.type.name} can't be erased.")
    wanted = str(body["objectId"])
    by_email = body.get("idProperty") == "email"
    record = table.holder("email", wanted) if by_email else table.resolve(wanted)
    if by_email and record is None:
        call.portal.blocked_emails.add(wanted.lower())
    if record is not None:
        merging.erase(call.portal, record, call.portal.now())
    return Answer(status=204, records=1)


def search_records(call: Call) -> Answer:
    table, body = call.table(), call.mapping()
    portal, name = call.portal, call.type().name
    table.index.catch_up(portal.now())
    search = Search(
        body,
        table.type,
        lambda wanted: portal.schema.find(name, wanted),
        lambda other, id: associated_with(call, name, other, id),
    )
    page = search.run(table.index)
    viewer = Viewer(portal, table, call.app, properties=[str(p) for p in listed(body, "properties")])
    answer: dict[str, Any] = {"total": page.total, "results": [viewer.show(table.rows[id]) for id in page.ids]}
    if page.next_after is not None:
        answer["paging"] = {"next": {"after": str(page.next_after)}}
    return Answer(body=answer, records=len(page.ids))


def associated_with(call: Call, name: str, other: str, id: str) -> set[int]:
    """Ids of records of type `name` that are tied to one record of type `other`."""
    try:
        partner = call.portal.table(other)
    except ValueError:
        raise refusals.no_such_object_type(other) from None
    if not id.isascii() or not id.isdigit():
        return set()
    return set(call.portal.associations.of((partner.type.name, name), int(id)))


def properties_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = body.get("properties")
    if properties is None:
        raise refusals.fields_missing("properties")
    if not isinstance(properties, Mapping):
        raise refusals.malformed("Cannot deserialize value of properties: an object was expected.")
    return properties


def whole_refusal(call: Call, problems: list[writing.Problem]) -> refusals.Refusal:
    """400 for everything that was sent; it names properties and values, never records."""
    texts = refusals.problem_texts(problems, call.portal.portal_id, form=call.portal.behaviour.validation_errors)
    return refusals.invalid(texts["message"], errors=texts.get("errors"))


def fault_problem(table: Table, kind: FaultKind, properties: Mapping[str, Any], named: str | None) -> writing.Problem:
    """The validation error that a planned fault stands for."""
    name = named or next(iter(properties), "hs_object_id")
    value = properties.get(name)
    if kind is FaultKind.OPTION:
        code, message = "INVALID_OPTION", f"{value} was not one of the allowed options: []"
    else:
        code, message = "VALIDATION_RULE", f"{value} does not meet a validation rule of {table.type.singular} {name}."
    return {"name": name, "code": code, "message": message}


def locked() -> refusals.Refusal:
    return refusals.error(423, "LOCKED", "The record is locked by another operation. Try again later.")


def _meet_fault(call: Call, table: Table, record: Record, properties: Mapping[str, Any]) -> None:
    fault = call.portal.row_faults.meet(table.type.name, record.id)
    if fault is None or fault.kind is FaultKind.SILENT:
        return
    match fault.kind:
        case FaultKind.LOCKED:
            raise locked()
        case FaultKind.NOT_FOUND:
            raise refusals.not_found()
        case FaultKind.CONFLICT:
            raise refusals.conflict("Another record holds this value.")
        case _:
            raise writing.PropertiesRefused([fault_problem(table, fault.kind, properties, fault.property)])


def _addressed(call: Call, *, archived: bool = False) -> Record:
    """The record that the path names by id, or by a unique property where idProperty says so."""
    table, id, by = call.table(), call.params["id"], call.query.get("idProperty") or "hs_object_id"
    if by == "hs_object_id":
        record = table.resolve(id, archived=archived)
    else:
        check_unique(call, by)
        record = table.holder(by, id)
    if record is None:
        raise refusals.not_found()
    return record


def check_unique(call: Call, name: str) -> None:
    definition = call.portal.schema.find(call.type().name, name)
    if definition is None or not definition.unique:
        raise refusals.invalid(
            f"Unable to perform update/upsert by non-unique {call.type().type_id} property {name}",
            context={"propertyName": [name]},
        )


def _viewer(call: Call, table: Table) -> Viewer:
    associations = []
    for word in call.names("associations"):
        try:
            associations.append(call.portal.table(word).type.name)
        except ValueError:
            raise refusals.no_such_object_type(word) from None
    return Viewer(
        call.portal,
        table,
        call.app,
        properties=call.names("properties"),
        history=call.names("propertiesWithHistory"),
        associations=associations,
        url=call.url,
    )


ENDPOINTS = (
    Endpoint(method="GET", path="/{type}", operation="list", answer=list_records, scopes=reading),
    Endpoint(method="POST", path="/{type}", operation="create", answer=create_record, scopes=changing),
    Endpoint(method="POST", path="/{type}/merge", operation="merge", answer=merge_records, scopes=changing),
    Endpoint(method="POST", path="/{type}/gdpr-delete", operation="gdpr_delete", answer=erase_record, scopes=changing),
    Endpoint(
        method="POST",
        path="/{type}/search",
        operation="search",
        answer=search_records,
        scopes=reading,
        search=True,
    ),
    Endpoint(method="GET", path="/{type}/{id}", operation="get", answer=get_record, scopes=reading),
    Endpoint(method="PATCH", path="/{type}/{id}", operation="update", answer=update_record, scopes=changing),
    Endpoint(method="DELETE", path="/{type}/{id}", operation="archive", answer=archive_record, scopes=changing),
)
