"""A call ends at its deadline, whatever the other side does. Below every client, so neither CRM is in it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import urllib3

from connectors.deadline import keep_deadlines

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


class Dripping:
    """Answers every call with `at_once`, then with a byte now and then until the client goes away."""

    def __init__(self, at_once: bytes, drops: bytes) -> None:
        self._at_once, self._drops = at_once, drops
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._socket.accept()
            with client:
                client.recv(65536)
                client.sendall(self._at_once)
                for drop in self._drops:
                    client.sendall(bytes([drop]))
                    time.sleep(0.02)

    def close(self) -> None:
        self._socket.close()
        self._thread.join(timeout=30)


@pytest.fixture(params=[(b"", HEAD + b"x" * 1000), (HEAD, b"x" * 1000)], ids=["in-the-headers", "in-the-body"])
def dripping(request: pytest.FixtureRequest) -> Iterator[Dripping]:
    server = Dripping(*request.param)
    yield server
    server.close()


def test_a_slow_drip_ends_at_the_deadline(dripping: Dripping):
    with urllib3.PoolManager(retries=False) as manager:
        keep_deadlines(manager)
        begun = time.monotonic()

        with pytest.raises(urllib3.exceptions.TimeoutError):
            manager.request("GET", dripping.url, timeout=urllib3.Timeout(total=0.3))

        assert time.monotonic() - begun < 2
