"""One deadline for a whole HTTP call: connecting, sending, and reading headers and body.

Neither client has one: a socket timeout starts again with each byte that arrives, so a server that drips keeps a
worker for ever (law 14: a lease outlasts the total deadline of a call). A urllib3 pool manager that uses `POOLS`
treats `urllib3.Timeout(total=…)` as such a deadline. Only looking up the host's name stays outside of it.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _ReaderUntil(io.RawIOBase):
    """Reads a socket, each time with no more patience than what is left until `until` (monotonic seconds)."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._socket = sock
        self._until = until
        # The socket's own reader keeps the socket open after `Connection: close` until the body is read.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _SocketUntil:
    """The one thing that `http.client` wants of a socket when it reads an answer."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._socket = sock
        self._until = until

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_ReaderUntil(self._socket, self._until))


def _answer_until(until: float, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_SocketUntil(sock, until), *args, **kwargs)  # type: ignore[arg-type]


class _UntilDeadline:
    """Mixed into a connection: what is left when the answer begins is all that the answer gets."""

    timeout: Any
    response_class: Any

    def getresponse(self) -> Any:
        # urllib3 has set `timeout` to what connecting and sending have left of the total.
        if isinstance(self.timeout, int | float):
            self.response_class = partial(_answer_until, time.monotonic() + self.timeout)
        return super().getresponse()  # type: ignore[misc]


class _PlainConnection(_UntilDeadline, HTTPConnection):
    pass


class _SecureConnection(_UntilDeadline, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS: Mapping[str, type[HTTPConnectionPool]] = {"http": _PlainPool, "https": _SecurePool}


def keep_deadlines(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Make `manager` keep total timeouts in earnest. Call before its first use."""
    manager.pool_classes_by_scheme = dict(POOLS)
    return manager
