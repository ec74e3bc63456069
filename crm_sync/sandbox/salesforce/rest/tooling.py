"""The part of the Tooling API that installs fields. Source: Tooling API guide, CustomField."""

from __future__ import annotations

from typing import Any

from crm_sync.sandbox.salesforce.ids import full_id
from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import malformed_body, not_found
from crm_sync.sandbox.salesforce.wire import Reply, Request


def query(org: SalesforceOrg, request: Request) -> Reply:
    text = request.parameter("q")
    found = org.queries.run(text, user=request.user, version=request.version, everything=False, tooling=True)
    page = org.cursors.first_page(found, user=request.user, hint=None, everything=True)
    page["entityTypeName"] = found.object
    page["size"] = len(page["records"])
    if "nextRecordsUrl" in page:
        page["nextRecordsUrl"] = f"/services/data/v{request.version}/tooling/query/{page['nextRecordsUrl']}"
    return Reply(body=page, object=found.object, records=len(page["records"]))


def more(org: SalesforceOrg, request: Request, locator: str) -> Reply:
    object, page = org.cursors.next_page(locator, user=request.user)
    return Reply(body=page, object=object, records=len(page["records"]))


def create_field(org: SalesforceOrg, request: Request) -> Reply:
    org.access.require_customize(request.user)
    body = request.object()
    full_name, metadata = _given(body)
    field_id = org.custom_fields.create(full_name, metadata, granted=False)
    answer = {"id": field_id, "success": True, "errors": [], "warnings": [], "infos": []}
    return Reply(body=answer, status=201, object="CustomField", records=1)


def read_field(org: SalesforceOrg, request: Request, id: str) -> Reply:
    row = org.store.row("CustomField", full_id(id))
    if row is None:
        raise not_found()
    url = f"/services/data/v{request.version}/tooling/sobjects/CustomField/{row['Id']}"
    return Reply(body={"attributes": {"type": "CustomField", "url": url}, **row}, object="CustomField", records=1)


def change_field(org: SalesforceOrg, request: Request, id: str) -> Reply:
    org.access.require_customize(request.user)
    metadata = request.object().get("Metadata")
    if not isinstance(metadata, dict):
        raise malformed_body("The 'Metadata' property is missing at [line:1, column:1]")
    org.custom_fields.change(full_id(id), metadata)
    return Reply(status=204, object="CustomField", records=1)


def delete_field(org: SalesforceOrg, request: Request, id: str) -> Reply:
    org.access.require_customize(request.user)
    org.custom_fields.drop_by_id(full_id(id))
    return Reply(status=204, object="CustomField", records=1)


def _given(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    full_name, metadata = body.get("FullName"), body.get("Metadata")
    if not isinstance(full_name, str) or not isinstance(metadata, dict):
        raise malformed_body("The 'FullName' and 'Metadata' properties are required at [line:1, column:1]")
    return full_name, metadata
