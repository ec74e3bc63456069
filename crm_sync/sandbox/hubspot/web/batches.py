"""Batches of records: read, create, update, upsert, archive; at most 100 at a time.

Source: HubSpot object guides (batch endpoints, objectWriteTraceId); what clients met for ids that don't fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crm_sync.sandbox.hubspot import refusals, writing
from crm_sync.sandbox.hubspot.records import Record, Table
from crm_sync.sandbox.hubspot.refusals import Refusal
from crm_sync.sandbox.hubspot.representation import Viewer
from crm_sync.sandbox.hubspot.row_faults import FaultKind
from crm_sync.sandbox.hubspot.stamps import iso
from crm_sync.sandbox.hubspot.web.call import Answer, Call, Endpoint, listed
from crm_sync.sandbox.hubspot.web.objects import (
    MOST_WITH_HISTORY,
    changing,
    check_unique,
    fault_problem,
    locked,
    properties_of,
    reading,
    whole_refusal,
)

Input = Mapping[str, Any]


class Outcomes:
    """What became of the inputs of one batch. `traced` says that errors may be told by record."""

    def __init__(self, call: Call, *, traced: bool) -> None:
        self.call = call
        self.traced = traced
        self.at = call.portal.now()
        self.results: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.missing: list[str] = []
        self._viewers: dict[tuple[str, ...], Viewer] = {}

    def wrote(self, record: Record, given: Input, **more: Any) -> None:
        names = tuple(given["properties"])
        if names not in self._viewers:
            table = self.call.table()
            self._viewers[names] = Viewer(self.call.portal, table, self.call.app, properties=names)
        shown = self._viewers[names].show(record) | more
        if given.get("objectWriteTraceId"):
            shown["objectWriteTraceId"] = given["objectWriteTraceId"]
        self.results.append(shown)

    def refused(self, given: Input, error: Mapping[str, Any]) -> None:
        context = dict(error.get("context") or {})
        if given.get("objectWriteTraceId"):
            context["objectWriteTraceId"] = [str(given["objectWriteTraceId"])]
        self.errors.append({"status": "error", **error, "context": context})

    def answer(self, *, status: int = 200) -> Answer:
        portal = self.call.portal
        if self.missing:
            self.errors.insert(0, _not_found(self.call, self.missing))
        if portal.behaviour.shuffle_results:
            portal.random.shuffle(self.results)
        body: dict[str, Any] = {
            "status": "COMPLETE",
            "results": self.results,
            "startedAt": iso(self.at),
            "completedAt": iso(portal.now()),
        }
        if self.errors:
            body |= {"numErrors": len(self.errors), "errors": self.errors}
        return Answer(body=body, status=207 if self.errors else status, records=len(self.call.inputs()))


def read_batch(call: Call) -> Answer:
    table, body, inputs = call.table(), call.mapping(), call.inputs()
    by = body.get("idProperty") or "hs_object_id"
    history = [str(n) for n in listed(body, "propertiesWithHistory")]
    if history and len(inputs) > MOST_WITH_HISTORY:
        raise refusals.invalid(f"At most {MOST_WITH_HISTORY} records can be read with history, but got {len(inputs)}.")
    if by != "hs_object_id":
        check_unique(call, by)
    archived = call.flag("archived")
    viewer = Viewer(
        call.portal,
        table,
        call.app,
        properties=[str(n) for n in listed(body, "properties")],
        history=history,
    )
    outcomes = Outcomes(call, traced=False)
    for id in dict.fromkeys(_ids(inputs)):
        record = table.find(id, archived=archived) if by == "hs_object_id" else table.holder(by, id)
        if record is None:
            outcomes.missing.append(id)
        else:
            outcomes.results.append(viewer.show(record))
    return outcomes.answer()


def update_batch(call: Call) -> Answer:
    table, inputs = call.table(), call.inputs()
    _refuse_duplicates(_ids(inputs))
    for given in inputs:
        _refuse_id_property(call, given)
        properties_of(given)
    outcomes = Outcomes(call, traced=_traced(inputs) and call.portal.behaviour.batch_update_trace_207)
    addressed = [(given, record) for given in inputs if (record := _record(call, table, given, outcomes))]
    write = _checked(outcomes, addressed, lambda given, record: _check_update(call, table, given, record))
    for given, record, values in write:
        writing.apply(call.portal, table, record, values, call.author, outcomes.at)
        outcomes.wrote(record, given)
    return outcomes.answer(status=call.portal.behaviour.batch_update_status)


def create_batch(call: Call) -> Answer:
    table, inputs = call.table(), call.inputs()
    for given in inputs:
        properties_of(given)
    outcomes = Outcomes(call, traced=_traced(inputs))
    _refuse_repeated_values(call, inputs)
    write = _checked(outcomes, [(given, None) for given in inputs], lambda given, _: _check_create(call, table, given))
    for given, _, _ in write:
        _create(call, table, given, given["properties"], outcomes)
    return outcomes.answer(status=201)


def upsert_batch(call: Call) -> Answer:
    """Update what a unique property finds, create the rest. Source: HubSpot contacts guide, upsert."""
    table, inputs = call.table(), call.inputs()
    _refuse_duplicates([f"{given.get('idProperty')}={id}" for given, id in zip(inputs, _ids(inputs), strict=True)])
    for given in inputs:
        check_unique(call, str(given.get("idProperty") or "hs_object_id"))
        properties_of(given)
    outcomes = Outcomes(call, traced=_traced(inputs))
    found = [(given, table.holder(str(given["idProperty"]), str(given["id"]))) for given in inputs]
    write = _checked(outcomes, found, lambda given, record: _check_upsert(call, table, given, record))
    for given, record, values in write:
        if record is None:
            _create(call, table, given, _with_id(given), outcomes, new=True)
            continue
        writing.apply(call.portal, table, record, values, call.author, outcomes.at)
        outcomes.wrote(record, given, new=False)
    return outcomes.answer()


def archive_batch(call: Call) -> Answer:
    table, inputs = call.table(), call.inputs()
    for id in _ids(inputs):
        record = table.find(id)
        if record is not None:
            table.archive(record, call.portal.now())
    return Answer(status=204, records=len(inputs))


Written = tuple[Input, Record | None, writing.Values]


def _checked(
    outcomes: Outcomes, inputs: list[Any], check: Callable[[Input, Any], writing.Values | None]
) -> list[tuple[Input, Any, writing.Values]]:
    """The inputs that can be written. Refused ones are noted by record if traced, else they refuse the batch."""
    write: list[tuple[Input, Any, writing.Values]] = []
    problems: list[writing.Problem] = []
    for given, record in inputs:
        try:
            values = check(given, record)
        except writing.PropertiesRefused as refused:
            problems += refused.problems
            outcomes.refused(given, _validation_error(outcomes.call, refused.problems))
        except Refusal as refused:
            if refused.status == 404:
                outcomes.missing.append(str(given["id"]))
            elif refused.status == 423 or outcomes.traced:
                outcomes.refused(given, {"context": {"ids": [str(given.get("id"))]}, **(refused.body or {})})
            else:
                raise
        else:
            if values is not None:
                write.append((given, record, values))
    if problems and not outcomes.traced:
        raise whole_refusal(outcomes.call, problems)
    return write


def _check_update(call: Call, table: Table, given: Input, record: Record) -> writing.Values | None:
    """The values to store, None for a row that a planned fault leaves out; raises what refuses the row."""
    properties = given["properties"]
    values = writing.check(call.portal, table, properties, record, call.author)
    fault = call.portal.row_faults.meet(table.type.name, record.id)
    if fault is None:
        return values
    match fault.kind:
        case FaultKind.SILENT:
            return None
        case FaultKind.LOCKED:
            raise locked()
        case FaultKind.NOT_FOUND:
            raise refusals.not_found()
        case FaultKind.CONFLICT:
            raise refusals.conflict("Another record holds this value.")
        case _:
            raise writing.PropertiesRefused([fault_problem(table, fault.kind, properties, fault.property)])


def _check_create(call: Call, table: Table, given: Input) -> writing.Values:
    return writing.check(call.portal, table, given["properties"], None, call.author)


def _check_upsert(call: Call, table: Table, given: Input, record: Record | None) -> writing.Values | None:
    if record is not None:
        return _check_update(call, table, given, record)
    return writing.check(call.portal, table, _with_id(given), None, call.author)


def _create(
    call: Call, table: Table, given: Input, properties: Mapping[str, Any], outcomes: Outcomes, **more: Any
) -> None:
    associations = listed(given, "associations")
    try:
        record = writing.create(call.portal, table, properties, call.author, outcomes.at, associations)
    except Refusal as refused:
        if not outcomes.traced:
            raise
        outcomes.refused(given, refused.body or {})
        return
    outcomes.wrote(record, given, **more)


def _with_id(given: Input) -> dict[str, Any]:
    return {str(given["idProperty"]): given["id"], **given["properties"]}


def _record(call: Call, table: Table, given: Input, outcomes: Outcomes) -> Record | None:
    """The record of an input. What is no record id, or another type's, is passed over without a word."""
    id = str(given["id"])
    record = table.find(id)
    if record is None and id.isascii() and id.isdigit():
        elsewhere = any(other.find(id) for other in call.portal.tables.values())
        if not elsewhere:
            outcomes.missing.append(id)
    return record


def _ids(inputs: list[Mapping[str, Any]]) -> list[str]:
    if any(given.get("id") in (None, "") for given in inputs):
        index = next(n for n, given in enumerate(inputs) if given.get("id") in (None, ""))
        raise refusals.fields_missing(f"inputs[{index}].id")
    return [str(given["id"]).strip() for given in inputs]


def _traced(inputs: list[Mapping[str, Any]]) -> bool:
    """Whether each input has a trace id of its own."""
    traces = [given.get("objectWriteTraceId") for given in inputs]
    return all(traces) and len(set(traces)) == len(traces)


def _refuse_duplicates(ids: list[str]) -> None:
    twice = list(dict.fromkeys(id for id in ids if ids.count(id) > 1))
    if twice:
        raise refusals.invalid(
            f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique", context={"ids": twice}
        )


def _refuse_repeated_values(call: Call, inputs: list[Mapping[str, Any]]) -> None:
    """Two new records of one batch can't hold the same unique value."""
    unique = [p.name for p in call.portal.schema.properties[call.type().name].values() if p.unique]
    for name in unique:
        values = [str(v).strip().lower() for given in inputs if (v := given["properties"].get(name))]
        twice = next((v for v in values if values.count(v) > 1), None)
        if twice is not None:
            raise refusals.invalid(f"Duplicate values found in batch input for property {name}.")


def _refuse_id_property(call: Call, given: Input) -> None:
    """A batch update takes record ids only, whatever idProperty says."""
    by = given.get("idProperty")
    if by in (None, ""):
        return
    definition = call.portal.schema.find(call.type().name, str(by))
    if by == "email" or definition is None or not definition.unique:
        raise refusals.invalid(f"Unable to perform update/upsert by non-unique {call.type().type_id} property {by}")


def _validation_error(call: Call, problems: list[writing.Problem]) -> dict[str, Any]:
    form = call.portal.behaviour.validation_errors
    return {"category": "VALIDATION_ERROR", **refusals.problem_texts(problems, call.portal.portal_id, form=form)}


def _not_found(call: Call, ids: list[str]) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"Could not get some {call.type().singular.upper()} objects, they may be deleted or not exist. "
        "Check that ids are valid.",
        "context": {"ids": ids},
    }


ENDPOINTS = (
    Endpoint(method="POST", path="/{type}/batch/read", operation="batch.read", answer=read_batch, scopes=reading),
    Endpoint(
        method="POST", path="/{type}/batch/update", operation="batch.update", answer=update_batch, scopes=changing
    ),
    Endpoint(
        method="POST", path="/{type}/batch/create", operation="batch.create", answer=create_batch, scopes=changing
    ),
    Endpoint(
        method="POST", path="/{type}/batch/upsert", operation="batch.upsert", answer=upsert_batch, scopes=changing
    ),
    Endpoint(
        method="POST", path="/{type}/batch/archive", operation="batch.archive", answer=archive_batch, scopes=changing
    ),
)
