"""sObject Collections: up to 200 records a call, an answer for each in the same order.

Source: REST API guide, sObject Collections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crm_sync.sandbox.salesforce.ids import full_id, is_id
from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal, invalid_cross_reference, malformed_body
from crm_sync.sandbox.salesforce.rest.records import external, kind_of, shown, upsert_one
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.wire import Reply, Request

MAX_RECORDS = 200
MAX_RETRIEVED = 2_000
MAX_RUNS = 10
"""Records of different objects are saved in runs of one object each."""

Record = dict[str, Any]
Save = Callable[[Record], dict[str, Any]]


class _TakeBack(Exception):
    """Ends an allOrNone call in which some record failed."""


def update(org: SalesforceOrg, request: Request) -> Reply:
    seen: set[str] = set()

    def save(record: Record) -> dict[str, Any]:
        kind, record_id = _kind(org, request, record), _id(record)
        if record_id in seen:
            raise Refusal("DUPLICATE_VALUE", f"duplicate id in list: {record_id}", fields=["Id"])
        seen.add(record_id)
        org.writer.update(kind, record_id, _values(record), request.actor())
        return {"id": record_id, "success": True, "errors": []}

    return _save_all(org, request, save)


def create(org: SalesforceOrg, request: Request) -> Reply:
    def save(record: Record) -> dict[str, Any]:
        record_id = org.writer.create(_kind(org, request, record), _values(record), request.actor())
        return {"id": record_id, "success": True, "errors": []}

    return _save_all(org, request, save)


def upsert(org: SalesforceOrg, request: Request, object: str, field: str) -> Reply:
    kind = kind_of(org, request, object)
    column = external(org, request, kind, field)

    def save(record: Record) -> dict[str, Any]:
        value = record.get(column.name)
        if value is None:
            raise Refusal("MISSING_ARGUMENT", f"{column.name} not specified", fields=[column.name])
        record_id, created = upsert_one(org, request, kind, column, value, _values(record, without=column.name))
        return {"id": record_id, "success": True, "errors": [], "created": created}

    return _save_all(org, request, save)


def delete(org: SalesforceOrg, request: Request) -> Reply:
    ids = _ids(request.parameter("ids").split(","), MAX_RECORDS)
    all_or_none = request.query.get("allOrNone", "false").lower() == "true"

    def save(record: Record) -> dict[str, Any]:
        found = org.store.find(record["id"])
        if found is None:
            raise invalid_cross_reference()
        org.lives.delete(found[0], record["id"], request.actor())
        return {"id": record["id"], "success": True, "errors": []}

    objects = _objects([found[0].name for one in ids if (found := org.store.find(one)) is not None])
    results = _results(org, [{"id": one} for one in ids], save, all_or_none=all_or_none)
    return Reply(body=results, object=objects, records=len(ids))


def retrieve(org: SalesforceOrg, request: Request, object: str) -> Reply:
    """Rows by id in the order asked for; null where there is none. By GET, or by POST with the lists in the body."""
    kind = kind_of(org, request, object)
    if request.method == "POST":
        body = request.object()
        ids, names, most = list(body.get("ids") or ()), list(body.get("fields") or ()), MAX_RETRIEVED
    else:
        ids, names = request.parameter("ids").split(","), request.parameter("fields").split(",")
        most = MAX_RETRIEVED
    ids = _ids(ids, most)
    columns = [org.access.column(kind, name.strip(), request.user) for name in names]
    rows = (org.store.row(kind.name, one) for one in ids)
    found = [None if row is None or row.get("IsDeleted") else shown(org, request, kind, row, columns) for row in rows]
    return Reply(body=found, object=kind.name, records=len(found))


def _ids(given: Sequence[str], most: int) -> list[str]:
    if len(given) > most:
        raise _too_many(most)
    bad = next((one for one in given if not is_id(one)), None)
    if bad is not None:
        raise Refusal("MALFORMED_ID", f"malformed id {bad}")
    return [full_id(one) for one in given]


def _too_many(most: int) -> Refusal:
    message = f"record limit reached. cannot submit more than {most} records into this call"
    return Refusal("EXCEEDED_ID_LIMIT", message)


def _save_all(org: SalesforceOrg, request: Request, save: Save) -> Reply:
    body = request.object()
    records = body.get("records")
    if not isinstance(records, list) or not records or not all(isinstance(one, dict) for one in records):
        raise malformed_body("The 'records' property is missing or empty at [line:1, column:1]")
    if len(records) > MAX_RECORDS:
        raise _too_many(MAX_RECORDS)
    names = [_type(record) for record in records]
    if sum(1 for n, name in enumerate(names) if n == 0 or name != names[n - 1]) > MAX_RUNS:
        raise Refusal("INVALID_INPUT", f"Cannot process more than {MAX_RUNS} chunks of objects in one request.")
    # What is wrong with the body as a whole takes back the records that were saved before it was met.
    with org.store.unit():
        results = _results(org, records, save, all_or_none=bool(body.get("allOrNone")))
    return Reply(body=results, object=_objects(names), records=len(records))


def _results(org: SalesforceOrg, records: Sequence[Record], save: Save, *, all_or_none: bool) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    try:
        with org.store.unit():
            results += [_result(save, record) for record in records]
            if all_or_none and not all(result["success"] for result in results):
                raise _TakeBack
    except _TakeBack:
        return [_rolled_back() if result["success"] else result for result in results]
    return results


def _result(save: Save, record: Record) -> dict[str, Any]:
    try:
        return save(record)
    except Refusal as refusal:
        if refusal.whole_request:
            raise
        return refusal.as_result(record.get("id") or record.get("Id"))


def _rolled_back() -> dict[str, Any]:
    message = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    return Refusal("ALL_OR_NONE_OPERATION_ROLLED_BACK", message).as_result()


def _type(record: Record) -> str:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
        raise malformed_body("The 'attributes.type' property is required on every record at [line:1, column:1]")
    return name


def _objects(names: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(names))


def _kind(org: SalesforceOrg, request: Request, record: Record) -> ObjectType:
    return org.access.readable_object(_type(record), request.user)


def _id(record: Record) -> str:
    given = record.get("id") or record.get("Id")
    if not isinstance(given, str):
        raise Refusal("MISSING_ARGUMENT", "Id not specified in an update call")
    return full_id(given)


def _values(record: Record, without: str = "") -> Record:
    return {name: value for name, value in record.items() if name not in ("attributes", "id", "Id", without)}
