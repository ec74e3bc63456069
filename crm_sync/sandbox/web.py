"""A live HTTP(S) server around one ASGI application, on an address of this machine."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OpenConnection(HttpToolsProtocol):
    """Hands each request the transport that it came in on, so that a fault can end a connection half-way.

    It stands in the ASGI scope as `extensions["sandbox.connection"]["transport"]`.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"sandbox.connection": {"transport": self.transport}}


class PromptServer(uvicorn.Server):
    """Ends when it is told to: uvicorn looks ten times a second, and waits once more even where nobody is served.

    A sandbox of a test lives for milliseconds, and there are thousands of them.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    def end(self) -> None:
        """From any thread, at any time."""
        self.should_exit = True
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)


class LiveServer:
    """Serves `app` in a thread until it is closed. Used as a context manager.

    `port` 0 takes a free one. With `certificate` and `key` (PEM files) it speaks HTTPS. `url` has no trailing slash.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        # asyncio turns Nagle's algorithm off only for sockets that name TCP; with it on, each answer takes 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.port = int(self._socket.getsockname()[1])
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{host}:{self.port}"
        config = uvicorn.Config(
            app,
            http=OpenConnection,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,  # an answer carries the time of the sandbox clock, which the app knows
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=str(key) if key else None,
        )
        self._server = PromptServer(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> LiveServer:
        # Listening before the thread runs means that a client's first connection waits instead of being refused.
        self._socket.listen(128)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.end()
        self._thread.join(timeout=10)
        self._socket.close()
