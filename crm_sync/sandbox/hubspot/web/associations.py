"""Associations over HTTP: the v4 paths, and the v3 batch read under its own shape.

Source: HubSpot associations v4 guide; recorded answers (207 is the normal one, toObjectId is a number).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.sandbox.hubspot import refusals, writing
from crm_sync.sandbox.hubspot.associations import Pair
from crm_sync.sandbox.hubspot.objects import ObjectType
from crm_sync.sandbox.hubspot.paging import offset_of, offset_token
from crm_sync.sandbox.hubspot.records import Record
from crm_sync.sandbox.hubspot.sign_in import scopes_needed
from crm_sync.sandbox.hubspot.stamps import iso
from crm_sync.sandbox.hubspot.web.call import Answer, Call, Endpoint, listed, required

MOST_READ, MOST_WRITTEN, PAGE = 1_000, 2_000, 500


def reading(call: Call) -> tuple[str, ...]:
    return scopes_needed(_types(call)[0].scopes, "read")


def changing(call: Call) -> tuple[str, ...]:
    return scopes_needed(_types(call)[0].scopes, "write")


def read_batch(call: Call) -> Answer:
    pair, inputs = _pair(call), call.inputs(MOST_READ)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for given in inputs:
        required(given, "id")
        page = _page(call, pair, str(given["id"]), given.get("after"), PAGE)
        if page is None:
            errors.append(_none_found(call, str(given["id"])))
        else:
            results.append({"from": {"id": str(given["id"])}, "to": page.pop("results"), **page})
    return _batch(call, results, errors, records=len(inputs))


def read_batch_v3(call: Call) -> Answer:
    """The older shape: `to` holds ids and type words."""
    pair, inputs = _pair(call), call.inputs(MOST_READ)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for given in inputs:
        required(given, "id")
        id = str(given["id"])
        ties = list(call.portal.v3_associations(pair, int(id))) if id.isascii() and id.isdigit() else []
        if ties:
            results.append({"from": {"id": id}, "to": ties})
        else:
            errors.append(_none_found(call, id))
    return _batch(call, results, errors, records=len(inputs))


def list_of_record(call: Call) -> Answer:
    pair = _pair(call)
    _record(call, pair[0], call.params["id"])
    limit = call.whole("limit", PAGE, least=1, most=PAGE)
    page = _page(call, pair, call.params["id"], call.query.get("after"), limit)
    return Answer(body=page or {"results": []}, records=len(page["results"]) if page else 0)


def put_default(call: Call) -> Answer:
    pair = _pair(call)
    here, there = _record(call, pair[0], call.params["id"]), _record(call, pair[1], call.params["to_id"])
    writing.associate(call.portal, pair, here.id, there.id, call.portal.now())
    types = call.portal.associations
    back = (pair[1], pair[0])
    results = [
        _default(str(here.id), str(there.id), types.default_type(pair).type_id),
        _default(str(there.id), str(here.id), types.default_type(back).type_id),
    ]
    return _batch(call, results, [], records=1)


def put_labelled(call: Call) -> Answer:
    pair = _pair(call)
    here, there = _record(call, pair[0], call.params["id"]), _record(call, pair[1], call.params["to_id"])
    labels = _tie(call, pair, here, there, call.body)
    return Answer(body=_labelled(call, here, there, labels), status=201, records=1)


def delete_tie(call: Call) -> Answer:
    pair = _pair(call)
    here, there = _record(call, pair[0], call.params["id"]), _record(call, pair[1], call.params["to_id"])
    writing.dissociate(call.portal, pair, here.id, there.id, call.portal.now())
    return Answer(status=204, records=1)


def create_batch(call: Call) -> Answer:
    pair, inputs = _pair(call), call.inputs(MOST_WRITTEN)
    results: list[dict[str, Any]] = []
    missing: list[str] = []
    for given in inputs:
        here, there = (_find(call, pair[n], given.get(end)) for n, end in enumerate(("from", "to")))
        if here is None or there is None:
            missing.append(str((given.get("from" if here is None else "to") or {}).get("id")))
            continue
        results.append(_labelled(call, here, there, _tie(call, pair, here, there, given.get("types"))))
    errors = [_not_found(missing)] if missing else []
    return _batch(call, results, errors, status=201, records=len(inputs))


def create_default_batch(call: Call) -> Answer:
    pair, inputs = _pair(call), call.inputs(MOST_WRITTEN)
    results: list[dict[str, Any]] = []
    missing: list[str] = []
    type_id = call.portal.associations.default_type(pair).type_id
    for given in inputs:
        here, there = (_find(call, pair[n], given.get(end)) for n, end in enumerate(("from", "to")))
        if here is None or there is None:
            missing.append(str((given.get("from" if here is None else "to") or {}).get("id")))
            continue
        writing.associate(call.portal, pair, here.id, there.id, call.portal.now())
        results.append(_default(str(here.id), str(there.id), type_id))
    return _batch(call, results, [_not_found(missing)] if missing else [], records=len(inputs))


def archive_batch(call: Call) -> Answer:
    """Ties that don't exist are passed over."""
    pair, inputs = _pair(call), call.inputs(MOST_WRITTEN)
    for given in inputs:
        here = _find(call, pair[0], given.get("from"))
        for end in listed(given, "to"):
            there = _find(call, pair[1], end)
            if here is not None and there is not None:
                writing.dissociate(call.portal, pair, here.id, there.id, call.portal.now())
    return Answer(status=204, records=len(inputs))


def list_labels(call: Call) -> Answer:
    types = call.portal.associations.types[_pair(call)]
    found = [{"category": t.category, "typeId": t.type_id, "label": t.label} for t in types]
    return Answer(body={"results": found}, records=len(found))


def _types(call: Call) -> tuple[ObjectType, ObjectType]:
    return call.type("from"), call.type("to")


def _pair(call: Call) -> Pair:
    here, there = _types(call)
    pair = (here.name, there.name)
    if not call.portal.associations.known(pair):
        raise refusals.invalid(f"No association types exist between {here.name} and {there.name}.")
    return pair


def _record(call: Call, name: str, id: str) -> Record:
    record = call.portal.tables[name].resolve(id)
    if record is None:
        raise refusals.not_found()
    return record


def _find(call: Call, name: str, end: Any) -> Record | None:
    if not isinstance(end, Mapping) or end.get("id") in (None, ""):
        raise refusals.fields_missing("inputs[0].from.id", "inputs[0].to.id")
    return call.portal.tables[name].resolve(str(end["id"]))


def _page(call: Call, pair: Pair, id: str, after: Any, limit: int) -> dict[str, Any] | None:
    """One page of what a record is tied to, by the other id; None where there is nothing."""
    table = call.portal.tables[pair[0]]
    record = table.find(id)
    partners = [] if record is None else call.portal.live_partners(pair, record.id)
    if record is None or not partners:
        return None
    start = offset_of(after)
    shown = [_tie_shown(call, pair, record.id, there) for there in partners[start : start + limit]]
    page: dict[str, Any] = {"results": shown}
    if start + limit < len(partners):
        token = offset_token(start + limit)
        page["paging"] = {"next": {"after": token, "link": f"{call.url}{call.path}?after={token}"}}
    return page


def _tie_shown(call: Call, pair: Pair, here: int, there: int) -> dict[str, Any]:
    ties = call.portal.associations
    types = [ties.find_type(pair, type_id) for type_id in reversed(ties.of(pair, here)[there])]
    shown = [{"category": t.category, "typeId": t.type_id, "label": t.label} for t in types if t is not None]
    return {"toObjectId": there, "associationTypes": shown}


def _tie(call: Call, pair: Pair, here: Record, there: Record, types: Any) -> list[str]:
    """Tie two records by the types of a request; answers their labels."""
    if not isinstance(types, list) or not types or not all(isinstance(t, Mapping) for t in types):
        raise refusals.fields_missing("types")
    labels: list[str] = []
    for given in types:
        required(given, "associationCategory", "associationTypeId")
        found = call.portal.associations.find_type(pair, int(given["associationTypeId"]))
        if found is None or found.category != given["associationCategory"]:
            raise refusals.invalid(
                f"Association type {given['associationTypeId']} doesn't exist between {pair[0]} and {pair[1]}."
            )
        writing.associate(call.portal, pair, here.id, there.id, call.portal.now(), type_id=found.type_id)
        labels += [found.label] if found.label else []
    return labels


def _labelled(call: Call, here: Record, there: Record, labels: list[str]) -> dict[str, Any]:
    here_type, there_type = _types(call)
    return {
        "fromObjectTypeId": here_type.type_id,
        "fromObjectId": here.id,
        "toObjectTypeId": there_type.type_id,
        "toObjectId": there.id,
        "labels": labels,
    }


def _default(here: str, there: str, type_id: int) -> dict[str, Any]:
    return {
        "from": {"id": here},
        "to": {"id": there},
        "associationSpec": {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id},
    }


def _none_found(call: Call, id: str) -> dict[str, Any]:
    here, there = _types(call)
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {there.singular} is associated with {here.singular} {id}.",
        "context": {"fromObjectId": [id], "fromObjectType": [here.singular], "toObjectType": [there.singular]},
    }


def _not_found(ids: list[str]) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "One or more objects were not found.",
        "context": {"ids": ids},
    }


def _batch(
    call: Call, results: list[dict[str, Any]], errors: list[dict[str, Any]], *, records: int, status: int = 200
) -> Answer:
    at = iso(call.portal.now())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return Answer(body=body, status=207 if errors else status, records=records)


BETWEEN = (
    Endpoint(
        method="POST",
        path="/{from}/{to}/batch/read",
        operation="associations.batch_read",
        answer=read_batch,
        scopes=reading,
    ),
    Endpoint(
        method="POST",
        path="/{from}/{to}/batch/create",
        operation="associations.batch_create",
        answer=create_batch,
        scopes=changing,
    ),
    Endpoint(
        method="POST",
        path="/{from}/{to}/batch/associate/default",
        operation="associations.batch_create",
        answer=create_default_batch,
        scopes=changing,
    ),
    Endpoint(
        method="POST",
        path="/{from}/{to}/batch/archive",
        operation="associations.batch_archive",
        answer=archive_batch,
        scopes=changing,
    ),
    Endpoint(
        method="GET", path="/{from}/{to}/labels", operation="associations.labels", answer=list_labels, scopes=reading
    ),
)
BETWEEN_V3 = (
    Endpoint(
        method="POST",
        path="/{from}/{to}/batch/read",
        operation="associations.batch_read",
        answer=read_batch_v3,
        scopes=reading,
    ),
)
OF_RECORD = (
    Endpoint(
        method="GET",
        path="/{from}/{id}/associations/{to}",
        operation="associations.list",
        answer=list_of_record,
        scopes=reading,
    ),
    Endpoint(
        method="PUT",
        path="/{from}/{id}/associations/default/{to}/{to_id}",
        operation="associations.create",
        answer=put_default,
        scopes=changing,
    ),
    Endpoint(
        method="PUT",
        path="/{from}/{id}/associations/{to}/{to_id}",
        operation="associations.create",
        answer=put_labelled,
        scopes=changing,
    ),
    Endpoint(
        method="DELETE",
        path="/{from}/{id}/associations/{to}/{to_id}",
        operation="associations.archive",
        answer=delete_tie,
        scopes=changing,
    ),
)
