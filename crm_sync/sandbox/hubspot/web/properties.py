"""Property definitions and their groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.refusals import Refusal
from crm_sync.sandbox.hubspot.sign_in import schema_scopes
from crm_sync.sandbox.hubspot.stamps import iso
from crm_sync.sandbox.hubspot.web.call import Answer, Call, Endpoint


def _reading(call: Call) -> tuple[str, ...]:
    return schema_scopes(call.type().scopes, "read")


def _changing(call: Call) -> tuple[str, ...]:
    return schema_scopes(call.type().scopes, "write")


def list_properties(call: Call) -> Answer:
    """Not paged. `archived=true` lists only archived ones."""
    schema = call.portal.schema
    found = (schema.archived if call.flag("archived") else schema.properties)[call.type().name]
    return Answer(body={"results": [p.describe() for p in found.values()]}, records=len(found))


def get_property(call: Call) -> Answer:
    found = call.portal.schema.get(call.type().name, call.params["name"], archived=call.flag("archived"))
    return Answer(body=found.describe(), records=1)


def create_property(call: Call) -> Answer:
    made = call.portal.schema.create(call.type().name, call.mapping(), call.portal.now())
    return Answer(body=made.describe(), status=201, records=1)


def update_property(call: Call) -> Answer:
    changed = call.portal.schema.update(call.type().name, call.params["name"], call.mapping(), call.portal.now())
    call.portal.tables[call.type().name].index.reloaded()
    return Answer(body=changed.describe(), records=1)


def archive_property(call: Call) -> Answer:
    call.portal.schema.archive(call.type().name, call.params["name"], call.portal.now())
    return Answer(status=204, records=1)


def create_properties(call: Call) -> Answer:
    schema, now = call.portal.schema, call.portal.now()
    return _batch(call, lambda given: schema.create(call.type().name, given, now).describe(), status=201)


def read_properties(call: Call) -> Answer:
    schema, archived = call.portal.schema, call.mapping().get("archived") is True
    return _batch(
        call, lambda given: schema.get(call.type().name, str(given.get("name")), archived=archived).describe()
    )


def archive_properties(call: Call) -> Answer:
    """Names that don't exist are passed over."""
    inputs = call.inputs()
    for given in inputs:
        if call.portal.schema.find(call.type().name, str(given.get("name"))):
            call.portal.schema.archive(call.type().name, str(given["name"]), call.portal.now())
    return Answer(status=204, records=len(inputs))


def list_groups(call: Call) -> Answer:
    groups = list(call.portal.schema.groups[call.type().name].values())
    return Answer(body={"results": groups}, records=len(groups))


def get_group(call: Call) -> Answer:
    return Answer(body=call.portal.schema.get_group(call.type().name, call.params["name"]), records=1)


def create_group(call: Call) -> Answer:
    return Answer(body=call.portal.schema.create_group(call.type().name, call.mapping()), status=201, records=1)


def archive_group(call: Call) -> Answer:
    call.portal.schema.archive_group(call.type().name, call.params["name"])
    return Answer(status=204, records=1)


def list_rules(call: Call) -> Answer:
    """GET /crm/v3/property-validations/{type}: the account's own rules, by property."""
    found = [
        {
            "propertyName": p.name,
            "propertyValidationRules": [{"ruleType": r, "ruleArguments": [str(a)]} for r, a in p.rules.items()],
        }
        for p in call.portal.schema.properties[call.type().name].values()
        if p.rules
    ]
    return Answer(body={"results": found}, records=len(found))


def _batch(call: Call, do: Callable[[Mapping[str, Any]], dict[str, Any]], *, status: int = 200) -> Answer:
    """Each input by itself; what is refused becomes an error of a 207."""
    inputs = call.inputs()
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for given in inputs:
        try:
            results.append(do(given))
        except Refusal as refused:
            errors.append({"context": {"name": [str(given.get("name"))]}, **(refused.body or {})})
    at = iso(call.portal.now())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return Answer(body=body, status=207 if errors else status, records=len(inputs))


def _no_group_change(_call: Call) -> Answer:
    raise refusals.error(405, "METHOD_NOT_ALLOWED", "Property groups can't be changed in this portal.")


def _read(path: str, operation: str, answer: Callable[[Call], Answer], method: str = "GET") -> Endpoint:
    return Endpoint(method=method, path=path, operation=operation, answer=answer, scopes=_reading)


def _change(method: str, path: str, operation: str, answer: Callable[[Call], Answer]) -> Endpoint:
    return Endpoint(method=method, path=path, operation=operation, answer=answer, scopes=_changing)


ENDPOINTS = (
    _read("/{type}", "properties.list", list_properties),
    _change("POST", "/{type}", "properties.create", create_property),
    _read("/{type}/groups", "groups.list", list_groups),
    _change("POST", "/{type}/groups", "groups.create", create_group),
    _read("/{type}/groups/{name}", "groups.get", get_group),
    _change("PATCH", "/{type}/groups/{name}", "groups.update", _no_group_change),
    _change("DELETE", "/{type}/groups/{name}", "groups.delete", archive_group),
    _change("POST", "/{type}/batch/create", "properties.batch_create", create_properties),
    _read("/{type}/batch/read", "properties.batch_read", read_properties, "POST"),
    _change("POST", "/{type}/batch/archive", "properties.batch_archive", archive_properties),
    _read("/{type}/{name}", "properties.get", get_property),
    _change("PATCH", "/{type}/{name}", "properties.update", update_property),
    _change("DELETE", "/{type}/{name}", "properties.delete", archive_property),
)
RULES = (_read("/{type}", "property_validations", list_rules),)
