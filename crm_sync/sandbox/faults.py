"""Faults on the way between a client and a sandbox CRM: refusals at the edge, lost answers, broken connections.

What a CRM itself refuses (a locked row, a used-up quota that it counts) is the org's or portal's own `act`; here is
what happens whatever the CRM thinks. A fault says which calls it concerns (`crm`, `method`, `path`, `body`), when
(`nth`, `every`, `share`, `times`) and what it does (`do`).
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal

PIECES = 8  # of a dripping answer


class Fault(BaseModel):
    """One planned fault.

    It concerns calls whose method is `method` and whose path with query and body contain the regular expressions
    `path` and `body`; empty means any. Of those it takes the `nth` only, each `every`th, a `share` by seeded draw, or
    all; at most `times`. First it waits `delay` seconds, then:

    - `answer`: the CRM never sees the call; the client gets `status`, `headers` and `content` (text as it is, anything
      else as JSON; empty is an answer without a body);
    - `reset`: the CRM never sees the call, and the connection is reset;
    - `lose`: the CRM does what was asked, then the connection is reset instead of an answer;
    - `truncate`: the CRM answers, with its full Content-Length, and the connection ends half-way through the body;
    - `drip`: the CRM answers, and the body arrives in pieces over `seconds`;
    - `delay`: the CRM answers, only later.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crm: Literal["", "salesforce", "hubspot"] = ""
    method: str = ""
    path: str = ""
    body: str = ""
    nth: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    times: int | None = Field(default=None, ge=1)
    do: Literal["answer", "reset", "lose", "truncate", "drip", "delay"]
    status: int = Field(default=503, ge=200, le=599)
    headers: dict[str, str] = {}
    content: Any = ""
    delay: float = Field(default=0, ge=0)
    seconds: float = Field(default=5, gt=0)

    @field_validator("path", "body")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _one_rhythm(self) -> Fault:
        if sum(rhythm is not None for rhythm in (self.nth, self.every, self.share)) > 1:
            raise ValueError("name one of nth, every and share, not several")
        return self


class _Planned:
    """A fault and how far it has come."""

    def __init__(self, fault: Fault, seed: str) -> None:
        self.fault = fault
        self.met = 0
        self.done = 0
        self._random = random.Random(seed)
        self._path, self._body = re.compile(fault.path), re.compile(fault.body)

    def concerns(self, crm: str, method: str, path: str, body: bytes) -> bool:
        fault = self.fault
        return (
            fault.crm in ("", crm)
            and fault.method.upper() in ("", method)
            and self._path.search(path) is not None
            and (not fault.body or self._body.search(body.decode("utf-8", "replace")) is not None)
        )

    def due(self) -> bool:
        """Count one call that this fault concerns; true where the fault is to happen now."""
        fault = self.fault
        self.met += 1
        if fault.times is not None and self.done >= fault.times:
            return False
        if fault.nth is not None:
            return self.met == fault.nth
        if fault.every is not None:
            return self.met % fault.every == 0
        return fault.share is None or self._random.random() < fault.share


class Faults:
    """The faults planned for a sandbox, in order; the first that is due happens. Safe under threads."""

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._planned: list[_Planned] = []
        self._added = 0
        self._lock = threading.Lock()

    def add(self, faults: Sequence[Fault]) -> None:
        with self._lock:
            for fault in faults:
                self._added += 1
                self._planned.append(_Planned(fault, f"{self._seed}:{self._added}"))

    def clear(self, crm: str = "") -> None:
        """Forget all faults, or those that concern `crm` alone."""
        with self._lock:
            self._planned = [p for p in self._planned if crm and p.fault.crm != crm]

    def page(self) -> list[dict[str, Any]]:
        """Each planned fault with how many calls it met and how often it happened."""
        with self._lock:
            return [{**p.fault.model_dump(exclude_defaults=True), "met": p.met, "done": p.done} for p in self._planned]

    def __bool__(self) -> bool:
        return bool(self._planned)

    def take(self, crm: str, method: str, path: str, body: bytes) -> Fault | None:
        """The fault that happens to this call. Every fault that concerns the call counts it."""
        with self._lock:
            due = [p for p in self._planned if p.concerns(crm, method, path, body) and p.due()]
            if not due:
                return None
            due[0].done += 1
            return due[0].fault


class FaultMiddleware:
    """Lets planned faults happen to the calls of one CRM's application; each is noted in the journal.

    The note is a call with operation `fault`, the fault's `do` as object, and its status (0 where the client gets
    none). It counts nothing from the allowance; a call that reached the CRM has its own note as well.
    """

    def __init__(self, app: ASGIApp, *, faults: Faults, journal: Journal, clock: SandboxClock, crm: str) -> None:
        self._app, self._faults, self._journal, self._clock, self._crm = app, faults, journal, clock, crm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._faults:
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        path = scope["path"] + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
        fault = self._faults.take(self._crm, scope["method"], path, body)
        again = _replay(body, receive)
        if fault is None:
            await self._app(scope, again, send)
            return
        number = self._journal.next_call()
        await asyncio.sleep(fault.delay)

        def note(status: int) -> None:
            self._journal.call(
                number=number, at=self._clock.now(), crm=self._crm, method=scope["method"], path=path,
                operation="fault", object=fault.do, status=status, records=0, counted=0,
            )  # fmt: skip

        await self._happen(fault, scope, again, send, note)

    async def _happen(
        self, fault: Fault, scope: Scope, receive: Receive, send: Send, note: Callable[[int], None]
    ) -> None:
        """Noted before the first byte goes out: whoever has the answer finds it in the journal."""
        match fault.do:
            case "answer":
                note(fault.status)
                await _answer(fault, send)
            case "reset":
                note(0)
                await _reset(scope, receive)
            case "delay":
                await self._app(scope, receive, _noting(note, send))
            case "lose":
                await _Recorder.of(self._app, scope, receive)
                note(0)
                await _reset(scope, receive)
            case "truncate":
                answer = await _Recorder.of(self._app, scope, receive)
                note(answer.status)
                await _truncate(answer, scope, receive, send)
            case "drip":
                answer = await _Recorder.of(self._app, scope, receive)
                note(answer.status)
                await _drip(answer, fault.seconds, send)


def _noting(note: Callable[[int], None], send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            note(message["status"])
        await send(message)

    return sent


class _Recorder:
    """An application's answer, kept instead of sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    @classmethod
    async def of(cls, app: ASGIApp, scope: Scope, receive: Receive) -> _Recorder:
        answer = cls()
        await app(scope, receive, answer.keep)
        return answer

    async def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")

    def start(self) -> Message:
        """The head of the answer, always with the length of the whole body."""
        dropped = (b"content-length", b"transfer-encoding")
        headers = [(k, v) for k, v in self.headers if k.lower() not in dropped]
        if self.status not in (204, 304):
            headers.append((b"content-length", str(len(self.body)).encode()))
        return {"type": "http.response.start", "status": self.status, "headers": headers}


async def _answer(fault: Fault, send: Send) -> None:
    text = isinstance(fault.content, str)
    body = fault.content.encode() if text else orjson.dumps(fault.content)
    kind = "text/html; charset=utf-8" if text else "application/json;charset=UTF-8"
    headers = {
        "content-type": kind,
        **{k.lower(): v for k, v in fault.headers.items()},
        "content-length": str(len(body)),
    }
    raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _truncate(answer: _Recorder, scope: Scope, receive: Receive, send: Send) -> None:
    """Half of the body, then the end. What has no body ends before its first byte."""
    if not answer.body:
        await _reset(scope, receive)
        return
    await send(answer.start())
    await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
    _transport(scope).close()
    await _gone(receive)


async def _drip(answer: _Recorder, seconds: float, send: Send) -> None:
    await send(answer.start())
    size = max(1, -(-len(answer.body) // PIECES))
    pieces = [answer.body[i : i + size] for i in range(0, len(answer.body), size)] or [b""]
    for piece in pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(seconds / PIECES)
    await send({"type": "http.response.body", "body": pieces[-1]})


async def _reset(scope: Scope, receive: Receive) -> None:
    """End the connection with a TCP reset, as a crashed proxy would."""
    transport = _transport(scope)
    connection = transport.get_extra_info("socket")
    # Lingering for zero seconds turns the close into a reset; without it the client would see an orderly end.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _gone(receive)


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["extensions"]["sandbox.connection"]["transport"]
    return transport


async def _gone(receive: Receive) -> None:
    """Wait until the server knows that the connection has ended; returning earlier would make it answer 500."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once more, then what `receive` gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
