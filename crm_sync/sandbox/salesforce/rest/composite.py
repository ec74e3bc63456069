"""Several requests in one body: composite (one counted call), batch (each counts) and graph.

Source: REST API guide, Composite, Composite Batch, Composite Graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal, malformed_body
from crm_sync.sandbox.salesforce.wire import Reply, Request

MAX_SUBREQUESTS = 25
MAX_BIG_SUBREQUESTS = 5
MAX_GRAPHS = 75
MAX_NODES = 500
_INHERITED = frozenset({"accept", "authorization", "content-type"})
_BIG = re.compile(r"/(?:query|queryAll|composite/sobjects)(?:[/?]|$)")
_REFERENCE = re.compile(r"@\{([^}]+)\}")
_ADDRESS = re.compile(r"^/?(?:services/data/)?v(\d+\.\d)/(.*)$")

Dispatch = Callable[[SalesforceOrg, Request], Reply]


class _TakeBack(Exception):
    """Ends an allOrNone body in which some subrequest failed."""


class Composite:
    """Runs subrequests through `dispatch`, the same that answers requests of their own."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def composite(self, org: SalesforceOrg, request: Request) -> Reply:
        body = request.object()
        subrequests = _list(body, "compositeRequest")
        _check(subrequests, MAX_SUBREQUESTS)
        replies, shown = self._run(org, request, subrequests, all_or_none=bool(body.get("allOrNone")))
        return _summed({"compositeResponse": shown}, replies, counted=1)

    def graph(self, org: SalesforceOrg, request: Request) -> Reply:
        graphs = _list(request.object(), "graphs")
        nodes = sum(len(_list(graph, "compositeRequest")) for graph in graphs)
        if len(graphs) > MAX_GRAPHS or nodes > MAX_NODES:
            raise Refusal("LIMIT_EXCEEDED", f"A payload holds at most {MAX_GRAPHS} graphs and {MAX_NODES} nodes.")
        answers, replies = [], []
        for graph in graphs:
            made, shown = self._run(org, request, _list(graph, "compositeRequest"), all_or_none=True)
            ok = all(entry["httpStatusCode"] < 400 for entry in shown)
            response = {"compositeResponse": shown}
            answers.append({"graphId": graph.get("graphId"), "graphResponse": response, "isSuccessful": ok})
            replies += made
        return _summed({"graphs": answers}, replies, counted=1)

    def batch(self, org: SalesforceOrg, request: Request) -> Reply:
        body = request.object()
        subrequests = _list(body, "batchRequests")
        _check(subrequests, MAX_SUBREQUESTS, named=False)
        replies: list[Reply] = []
        results: list[dict[str, Any]] = []
        for subrequest in subrequests:
            if body.get("haltOnError") and any(reply.failed for reply in replies):
                halted = Refusal("BATCH_PROCESSING_HALTED", "Batch processing halted as requested.")
                results.append({"statusCode": 412, "result": halted.as_rest()})
                continue
            inner = _inner(request, subrequest, subrequest.get("richInput"), str(subrequest.get("url")))
            replies.append(self._dispatch(org, inner))
            results.append({"statusCode": replies[-1].status, "result": replies[-1].body})
        failed = any(result["statusCode"] >= 400 for result in results)
        return _summed({"hasErrors": failed, "results": results}, replies, counted=len(subrequests))

    def _run(
        self, org: SalesforceOrg, request: Request, subrequests: Sequence[dict[str, Any]], *, all_or_none: bool
    ) -> tuple[list[Reply], list[dict[str, Any]]]:
        replies: dict[str, Reply] = {}
        try:
            with org.store.unit():
                for subrequest in subrequests:
                    reply = self._one(org, request, subrequest, replies)
                    replies[str(subrequest["referenceId"])] = reply
                    if all_or_none and reply.failed:
                        raise _TakeBack
        except _TakeBack:
            replies = {str(s["referenceId"]): _halted(replies.get(str(s["referenceId"]))) for s in subrequests}
        shown = [
            {
                "body": reply.body,
                "httpHeaders": reply.headers,
                "httpStatusCode": reply.status,
                "referenceId": reference,
            }
            for reference, reply in replies.items()
        ]
        return list(replies.values()), shown

    def _one(
        self, org: SalesforceOrg, request: Request, subrequest: dict[str, Any], earlier: dict[str, Reply]
    ) -> Reply:
        try:
            url = _resolved(str(subrequest["url"]), earlier)
            body = _resolved(subrequest.get("body"), earlier)
        except Refusal as refusal:
            return Reply(body=refusal.as_rest(), status=refusal.status)
        return self._dispatch(org, _inner(request, subrequest, body, url))


def _list(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = body.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise malformed_body(f"The '{name}' property is missing or empty at [line:1, column:1]")
    return found


def _check(subrequests: Sequence[dict[str, Any]], most: int, *, named: bool = True) -> None:
    if len(subrequests) > most:
        raise Refusal("LIMIT_EXCEEDED", f"The request can't contain more than {most} subrequests.")
    if not named:
        return
    if sum(bool(_BIG.search(str(one.get("url")))) for one in subrequests) > MAX_BIG_SUBREQUESTS:
        message = f"The request can't contain more than {MAX_BIG_SUBREQUESTS} query or sObject Collections subrequests."
        raise Refusal("LIMIT_EXCEEDED", message)
    references = [one.get("referenceId") for one in subrequests]
    if None in references or len(set(references)) < len(references):
        raise malformed_body("Every subrequest needs a 'referenceId' of its own at [line:1, column:1]")


def _inner(request: Request, subrequest: dict[str, Any], body: Any, url: str) -> Request:
    """A subrequest as a request. It inherits who asks, and none of the Sforce- headers."""
    parts = urlsplit(url)
    address = _ADDRESS.match(parts.path)
    if address is None:
        raise Refusal("INVALID_INPUT", f"Invalid subrequest address: {url}")
    headers = {str(name).lower(): str(value) for name, value in (subrequest.get("httpHeaders") or {}).items()}
    if not _INHERITED.isdisjoint(headers):
        raise Refusal("INVALID_INPUT", "Accept, Authorization and Content-Type can't be set on a subrequest.")
    return replace(
        request,
        method=str(subrequest.get("method", "GET")).upper(),
        version=address.group(1),
        segments=tuple(unquote(part) for part in address.group(2).split("/") if part),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=body,
    )


def _resolved(value: Any, earlier: dict[str, Reply]) -> Any:
    """The same with each `@{reference.path}` replaced by what the earlier answer holds there."""
    if isinstance(value, dict):
        return {key: _resolved(inner, earlier) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, earlier) for inner in value]
    if not isinstance(value, str) or "@{" not in value:
        return value
    only = _REFERENCE.fullmatch(value)
    if only is not None:
        return _looked_up(only.group(1), earlier)
    return _REFERENCE.sub(lambda found: str(_looked_up(found.group(1), earlier)), value)


def _looked_up(reference: str, earlier: dict[str, Reply]) -> Any:
    name, *steps = re.split(r"[.\[]", reference.replace("]", ""))
    reply = earlier.get(name)
    value = reply.body if reply is not None and not reply.failed else None
    for step in steps:
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        raise Refusal("PROCESSING_HALTED", f"Invalid reference specified. No value for {reference} found in {name}")
    return value


def _halted(reply: Reply | None) -> Reply:
    if reply is not None and reply.failed:
        return reply
    message = "The transaction was rolled back since another operation in the same transaction failed."
    return Reply(body=Refusal("PROCESSING_HALTED", message).as_rest(), status=400)


def _summed(body: Any, replies: Sequence[Reply], *, counted: int) -> Reply:
    names = (name for reply in replies for name in reply.object.split(",") if name)
    return Reply(
        body=body,
        object=",".join(dict.fromkeys(names)),
        records=sum(reply.records for reply in replies),
        counted=counted,
    )
