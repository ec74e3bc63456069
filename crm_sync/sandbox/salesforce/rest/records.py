"""Single records: create, read, change, delete, and the same by an external id.

Source: REST API guide, sObject Rows, sObject Rows by External ID, Conditional Requests.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from crm_sync.sandbox.salesforce.fields import Field
from crm_sync.sandbox.salesforce.ids import full_id, is_id
from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal, entity_is_deleted, not_found
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.stamps import moment
from crm_sync.sandbox.salesforce.table import Row
from crm_sync.sandbox.salesforce.values import stored
from crm_sync.sandbox.salesforce.wire import Reply, Request


def kind_of(org: SalesforceOrg, request: Request, name: str) -> ObjectType:
    """The object of an address; one that is unknown or may not be read is 404 here."""
    try:
        kind = org.access.readable_object(name, request.user)
    except Refusal as refusal:
        raise not_found() from refusal
    if "tooling" in kind.traits:
        raise not_found()
    return kind


def create(org: SalesforceOrg, request: Request, object: str) -> Reply:
    kind = kind_of(org, request, object)
    record_id = org.writer.create(kind, request.object(), request.actor())
    location = f"/services/data/v{request.version}/sobjects/{kind.name}/{record_id}"
    body = {"id": record_id, "success": True, "errors": []}
    return Reply(body=body, status=201, headers={"Location": location}, object=kind.name, records=1)


def retrieve(org: SalesforceOrg, request: Request, object: str, id: str) -> Reply:
    kind = kind_of(org, request, object)
    row = _live(org, kind, id)
    asked = request.query.get("fields")
    names = asked.split(",") if asked else sorted(org.access.visible(kind, request.user).readable)
    columns = [org.access.column(kind, name.strip(), request.user) for name in names]
    return Reply(body=shown(org, request, kind, row, columns), object=kind.name, records=1)


def shown(org: SalesforceOrg, request: Request, kind: ObjectType, row: Row, columns: list[Field]) -> dict[str, Any]:
    url = f"/services/data/v{request.version}/sobjects/{kind.name}/{row['Id']}"
    values = {column.name: org.store.read(kind.name, row, column) for column in columns}
    return {"attributes": {"type": kind.name, "url": url}, **values}


def update(org: SalesforceOrg, request: Request, object: str, id: str) -> Reply:
    kind = kind_of(org, request, object)
    row = _live(org, kind, id)
    _check_unmodified(request, row)
    org.writer.update(kind, row["Id"], request.object(), request.actor())
    return Reply(status=204, object=kind.name, records=1)


def delete(org: SalesforceOrg, request: Request, object: str, id: str) -> Reply:
    kind = kind_of(org, request, object)
    org.lives.delete(kind, _live(org, kind, id)["Id"], request.actor())
    return Reply(status=204, object=kind.name, records=1)


def retrieve_by(org: SalesforceOrg, request: Request, object: str, field: str, value: str) -> Reply:
    kind = kind_of(org, request, object)
    return retrieve(org, request, kind.name, _one(org, kind, external(org, request, kind, field), value))


def delete_by(org: SalesforceOrg, request: Request, object: str, field: str, value: str) -> Reply:
    kind = kind_of(org, request, object)
    return delete(org, request, kind.name, _one(org, kind, external(org, request, kind, field), value))


def upsert(org: SalesforceOrg, request: Request, object: str, field: str, value: str) -> Reply:
    kind = kind_of(org, request, object)
    column = external(org, request, kind, field)
    record_id, created = upsert_one(org, request, kind, column, value, request.object())
    body = {"id": record_id, "success": True, "errors": [], "created": created}
    return Reply(body=body, status=201 if created else 200, object=kind.name, records=1)


def upsert_one(
    org: SalesforceOrg, request: Request, kind: ObjectType, column: Field, value: Any, fields: dict[str, Any]
) -> tuple[str, bool]:
    """Update the row whose external id is `value`, or create it. Returns its id and whether it is new."""
    if column.name in fields and column.name == "Id":
        raise Refusal("INVALID_FIELD", "The Id field should not be specified in the sobject data.")
    found = matches(org, kind, column, value)
    if len(found) > 1:
        urls = [f"/services/data/v{request.version}/sobjects/{kind.name}/{one}" for one in found]
        raise Refusal("DUPLICATE_EXTERNAL_ID", f"More than one record found: {urls}", status=300)
    if found:
        org.writer.update(kind, found[0], fields, request.actor())
        return found[0], False
    return org.writer.create(kind, {**fields, column.name: value}, request.actor()), True


def external(org: SalesforceOrg, request: Request, kind: ObjectType, field: str) -> Field:
    """A field that rows may be addressed by."""
    column = org.access.column(kind, field, request.user)
    if not (column.external_id or column.name == "Id"):
        raise Refusal(
            "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {field}", status=404
        )
    return column


def matches(org: SalesforceOrg, kind: ObjectType, column: Field, value: Any) -> list[str]:
    if column.name == "Id":
        row = org.store.row(kind.name, full_id(str(value)))
        return [row["Id"]] if row is not None and not row.get("IsDeleted") else []
    table = org.store.table(kind.name)
    wanted = float(value) if column.type == "double" else stored(column, value)
    return [found for found in table.with_value(column.name, wanted) if not table.rows[found].get("IsDeleted")]


def _one(org: SalesforceOrg, kind: ObjectType, column: Field, value: str) -> str:
    found = matches(org, kind, column, value)
    if not found:
        raise not_found()
    return found[0]


def _live(org: SalesforceOrg, kind: ObjectType, record_id: str) -> Row:
    """The row behind an address. Source for ENTITY_IS_DELETED as a 404: not confirmed, held by most clients."""
    row = org.store.row(kind.name, full_id(record_id)) if is_id(record_id) else None
    if row is None:
        raise not_found()
    if row.get("IsDeleted"):
        raise entity_is_deleted(404)
    return row


def _check_unmodified(request: Request, row: Row) -> None:
    given = request.headers.get("if-unmodified-since")
    if given is None:
        return
    try:
        since = parsedate_to_datetime(given)
    except ValueError as error:
        raise Refusal("INVALID_HEADER", f"Invalid If-Unmodified-Since header: {given}") from error
    if moment(row["LastModifiedDate"]) > since.astimezone(UTC):
        raise Refusal("PRECONDITION_FAILED", "The record was modified after the given date.", status=412)
