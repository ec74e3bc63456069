"""The query, queryAll and limits resources. Source: REST API guide, Query, QueryAll, Limits."""

from __future__ import annotations

from typing import Any

from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.wire import Reply, Request


def query(org: SalesforceOrg, request: Request) -> Reply:
    return _run(org, request, everything=False)


def query_all(org: SalesforceOrg, request: Request) -> Reply:
    return _run(org, request, everything=True)


def _run(org: SalesforceOrg, request: Request, *, everything: bool) -> Reply:
    text = request.parameter("q")
    found = org.queries.run(text, user=request.user, version=request.version, everything=everything)
    hint = request.option("sforce-query-options", "batchSize")
    size = int(hint) if hint and hint.isdigit() else None
    page = org.cursors.first_page(found, user=request.user, hint=size, everything=everything)
    return _page(request, found.object, page)


def more(org: SalesforceOrg, request: Request, locator: str) -> Reply:
    object, page = org.cursors.next_page(locator, user=request.user)
    return _page(request, object, page)


def _page(request: Request, object: str, page: dict[str, Any]) -> Reply:
    if "nextRecordsUrl" in page:
        page["nextRecordsUrl"] = f"/services/data/v{request.version}/query/{page['nextRecordsUrl']}"
    return Reply(body=page, object=object, records=len(page["records"]))


def limits(org: SalesforceOrg, request: Request) -> Reply:
    if not org.access.rights(request.user).view_setup:
        raise Refusal("FORBIDDEN", "You don't have permission to view limits.", status=403)
    return Reply(body=org.allowance.listing(org.clock.now()))
