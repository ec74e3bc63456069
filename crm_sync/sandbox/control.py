"""Routes below `/_sandbox/` on each listener: what tests, the demo and the loader may see of a sandbox and do to it.

They are no part of either CRM: no sign-in, no note in the journal, no call counted, and no planned fault touches them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.faults import Fault, Faults
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.plans import PLANS, plan

PREFIX = "/_sandbox/"
FAULTS = TypeAdapter(list[Fault])


class Target(Protocol):
    """The org or the portal behind a listener."""

    def seed(self, object: str, rows: Iterable[Mapping[str, Any]], /) -> list[str]: ...

    def act(self, action: Mapping[str, Any], /) -> dict[str, Any]: ...


class Control:
    """The routes for one CRM. `define` makes missing fields of an object, as the loader describes them.

    What the CRM refuses or doesn't understand (ValueError, and so Salesforce's Refusal) is answered with 400.
    """

    def __init__(
        self,
        *,
        crm: str,
        target: Target,
        define: Callable[[str, list[dict[str, Any]]], list[str]],
        clock: SandboxClock,
        journal: Journal,
        faults: Faults,
        population: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._crm, self._target, self._define = crm, target, define
        self._clock, self._journal, self._faults, self._population = clock, journal, faults, population
        self.app = Starlette(
            routes=[
                Route(f"{PREFIX}summary", self._summary),
                Route(f"{PREFIX}journal", self._entries),
                Route(f"{PREFIX}clock", self._time, methods=["GET", "POST"]),
                Route(f"{PREFIX}act", self._act, methods=["POST"]),
                Route(f"{PREFIX}faults", self._plan, methods=["GET", "POST", "DELETE"]),
                Route(f"{PREFIX}population", self._people),
                Route(f"{PREFIX}seed", self._seed, methods=["POST"]),
            ],
            exception_handlers={ValueError: _refusal},
        )

    async def _summary(self, request: Request) -> Response:
        since = _number(request, "since", 0)
        last = max((c.number for c in self._journal.calls if c.crm == self._crm), default=0)
        return _json({"crm": self._crm, "last_call": last, **self._journal.summary(self._crm, since_call=since)})

    async def _entries(self, request: Request) -> Response:
        kind = request.query_params.get("kind", "calls")
        if kind not in ("calls", "writes"):
            raise ValueError(f"The journal has calls and writes, not {kind}.")
        since, limit = _number(request, "since", 0), _number(request, "limit", 10_000)
        field = request.query_params.get("field", "")
        return _json({"entries": self._journal.page(kind, self._crm, since=since, limit=limit, field=field)})

    async def _time(self, request: Request) -> Response:
        if request.method == "POST":
            self._move(await _body(request))
        return _json({"now": self._clock.now(), "frozen": self._clock.frozen})

    def _move(self, wish: Any) -> None:
        match wish:
            case {"advance_seconds": int() | float() as seconds, **rest} if not rest and seconds >= 0:
                self._clock.advance(timedelta(seconds=seconds))
            case {"freeze": True, **rest} if not rest:
                self._clock.freeze()
            case {"freeze": str() as at, **rest} if not rest:
                moment = datetime.fromisoformat(at)
                if moment.tzinfo is None:
                    raise ValueError(f"{at} has no time zone.")
                self._clock.freeze(moment)
            case {"thaw": True, **rest} if not rest:
                self._clock.thaw()
            case _:
                raise ValueError(
                    'Send one of {"advance_seconds": 60}, {"freeze": true}, {"freeze": "2026-11-22T12:00:00Z"} and '
                    '{"thaw": true}.'
                )

    async def _act(self, request: Request) -> Response:
        wish = await _body(request)
        if isinstance(wish, list):
            return _json([self._done(action) for action in wish])
        return _json(self._done(wish))

    def _done(self, action: Any) -> dict[str, Any]:
        if not isinstance(action, dict):
            raise ValueError("An action is an object with `do` and what it needs.")
        try:
            return self._target.act(action)
        except KeyError as missing:
            raise ValueError(f"The action {action.get('do')} needs {missing}.") from missing

    async def _plan(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear(self._crm)
        if request.method == "POST":
            self._faults.add(self._planned(await _body(request)))
        return _json({"faults": [f for f in self._faults.page() if f.get("crm", self._crm) == self._crm]})

    def _planned(self, wish: Any) -> list[Fault]:
        """Faults sent to a listener concern its own CRM."""
        if isinstance(wish, dict) and wish.keys() == {"plan"}:
            if wish["plan"] not in PLANS:
                raise ValueError(f"There is no plan {wish['plan']}; there are {', '.join(PLANS)}.")
            return plan(wish["plan"], self._crm)
        faults = wish if isinstance(wish, list) else [wish]
        try:
            return FAULTS.validate_python([{**fault, "crm": self._crm} for fault in faults])
        except ValidationError as error:
            raise ValueError(first_problem(error)) from error

    async def _people(self, _: Request) -> Response:
        return _json(self._population())

    async def _seed(self, request: Request) -> Response:
        """Lines of JSON, each one block, taken in as they arrive: nothing waits for the last.

        `{"define": object, "fields": [...]}`, `{"object": name, "rows": [...]}` or
        `{"associate": [from, to], "pairs": [[a, b], ...]}`.
        """
        taken: Counter[str] = Counter()
        defined: list[str] = []
        async for line in _lines(request):
            match orjson.loads(line):
                case {"define": str() as object, "fields": list() as fields, **rest} if not rest:
                    defined += self._define(object, fields)
                case {"object": str() as object, "rows": list() as rows, **rest} if not rest:
                    taken[object] += len(self._target.seed(object, rows))
                case {"associate": [str() as source, str() as other], "pairs": list() as pairs, **rest} if not rest:
                    associate = getattr(self._target, "associate", None)
                    if associate is None:
                        raise ValueError(f"Records of {self._crm} refer to each other by fields, not by associations.")
                    associate(source, other, [(str(a), str(b)) for a, b in pairs])
                    taken[f"{source} to {other}"] += len(pairs)
                case _:
                    raise ValueError(
                        "A line of a seed holds define and fields, object and rows, or associate and pairs."
                    )
        return _json({"taken": dict(taken), "defined": defined})


class Listener:
    """What one port serves: the control routes, and the CRM with its planned faults everywhere else."""

    def __init__(self, *, control: ASGIApp, crm: ASGIApp) -> None:
        self._control, self._crm = control, crm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inside = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        await (self._control if inside else self._crm)(scope, receive, send)


def first_problem(error: ValidationError) -> str:
    """The first thing wrong, as one sentence that names where."""
    problem = error.errors()[0]
    where = " › ".join(str(step) for step in problem["loc"])
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}" if where else str(problem["msg"])


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """Whole lines of the body, as it comes in."""
    rest = bytearray()
    async for chunk in request.stream():
        rest += chunk
        *whole, tail = rest.split(b"\n")
        rest = bytearray(tail)
        for line in whole:
            if line.strip():
                yield bytes(line)
    if rest.strip():
        yield bytes(rest)


async def _body(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"The body is no JSON: {error}.") from error


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, str(otherwise))
    if not text.isdigit():
        raise ValueError(f"{name} must be a whole number, got {text!r}.")
    return int(text)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, default=str), media_type="application/json")


async def _refusal(_: Request, error: Exception) -> Response:
    return Response(orjson.dumps({"error": str(error)}), status_code=400, media_type="application/json")
