"""The REST resources of the org, and which address leads to which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal, not_found
from crm_sync.sandbox.salesforce.rest import collections, describe, queries, records, replication, tooling
from crm_sync.sandbox.salesforce.rest.composite import Composite
from crm_sync.sandbox.salesforce.wire import Reply, Request, refused

Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """`pattern` is a path behind the version; `{name}` takes one segment and becomes an argument."""

    method: str
    pattern: tuple[str, ...]
    operation: str
    handler: Handler

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        if len(segments) != len(self.pattern):
            return None
        taken = {}
        for part, segment in zip(self.pattern, segments, strict=True):
            if part.startswith("{"):
                taken[part[1:-1]] = segment
            elif part.lower() != segment.lower():
                return None
        return taken


def dispatch(org: SalesforceOrg, request: Request) -> Reply:
    """Answer one request. What is refused becomes a reply, with the operation that it would have been."""
    found = [(route, taken) for route in ROUTES if (taken := route.match(request.segments)) is not None]
    route, taken = next((pair for pair in found if pair[0].method == request.method), (None, {}))
    if route is None:
        wrong_method = Refusal("METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed.", status=405)
        return refused(wrong_method if found else not_found())
    try:
        reply = route.handler(org, request, **taken)
    except Refusal as refusal:
        reply = refused(refusal)
    reply.operation = route.operation
    return reply


_composite = Composite(dispatch)


def _route(address: str, operation: str, handler: Handler) -> Route:
    method, _, path = address.partition(" ")
    return Route(method, tuple(path.split("/")), operation, handler)


def _resources(_: SalesforceOrg, request: Request) -> Reply:
    names = ("limits", "query", "queryAll", "sobjects", "composite", "tooling")
    return Reply(body={name: f"/services/data/v{request.version}/{name}" for name in names})


ROUTES: tuple[Route, ...] = (
    Route("GET", (), "resources", _resources),
    _route("GET limits", "limits", queries.limits),
    _route("GET query", "query", queries.query),
    _route("GET queryAll", "query_all", queries.query_all),
    _route("GET query/{locator}", "query_more", queries.more),
    _route("GET queryAll/{locator}", "query_more", queries.more),
    _route("GET sobjects", "describe_global", describe.everything),
    _route("GET sobjects/{object}", "basic_information", describe.basics),
    _route("POST sobjects/{object}", "create", records.create),
    _route("GET sobjects/{object}/describe", "describe", describe.whole),
    _route("GET sobjects/{object}/updated", "updated", replication.updated),
    _route("GET sobjects/{object}/deleted", "deleted", replication.deleted),
    _route("GET sobjects/{object}/{id}", "retrieve", records.retrieve),
    _route("PATCH sobjects/{object}/{id}", "update", records.update),
    _route("DELETE sobjects/{object}/{id}", "delete", records.delete),
    _route("GET sobjects/{object}/{field}/{value}", "retrieve", records.retrieve_by),
    _route("PATCH sobjects/{object}/{field}/{value}", "upsert", records.upsert),
    _route("DELETE sobjects/{object}/{field}/{value}", "delete", records.delete_by),
    _route("PATCH composite/sobjects", "collections.update", collections.update),
    _route("POST composite/sobjects", "collections.create", collections.create),
    _route("DELETE composite/sobjects", "collections.delete", collections.delete),
    _route("GET composite/sobjects/{object}", "collections.retrieve", collections.retrieve),
    _route("POST composite/sobjects/{object}", "collections.retrieve", collections.retrieve),
    _route("PATCH composite/sobjects/{object}/{field}", "collections.upsert", collections.upsert),
    _route("POST composite", "composite", _composite.composite),
    _route("POST composite/batch", "composite.batch", _composite.batch),
    _route("POST composite/graph", "composite.graph", _composite.graph),
    _route("GET tooling/query", "tooling.query", tooling.query),
    _route("GET tooling/query/{locator}", "tooling.query", tooling.more),
    _route("POST tooling/sobjects/CustomField", "tooling.create", tooling.create_field),
    _route("GET tooling/sobjects/CustomField/{id}", "tooling.retrieve", tooling.read_field),
    _route("PATCH tooling/sobjects/CustomField/{id}", "tooling.update", tooling.change_field),
    _route("DELETE tooling/sobjects/CustomField/{id}", "tooling.delete", tooling.delete_field),
)
