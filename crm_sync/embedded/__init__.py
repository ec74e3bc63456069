"""PostgreSQL and Valkey over one data folder, run from their wheels: nothing to install, URLs to use.

```python
with running(Path("~/crm-sync-data").expanduser()) as servers:
    psycopg.connect(servers.database_url)
```

How it holds together:

- A *holder* is a process that called `start` or is inside `running`. It shares a lock (flock) on the data folder, and
  the kernel lets go of it however the holder ends. A child that it forked shares the hold.
- A *supervisor*, one small process for each data folder, is the parent of both servers. When nobody holds the folder
  any more it stops both and ends, within a second or so of a SIGKILL of the last holder. It starts a server again
  that died. On Linux the kernel tells both servers to stop when the supervisor itself is killed; holders get them
  back by calling `start` again, under the same URLs. On macOS the next `start` or `stop` ends what was left over.
- Liveness is never read from a pid file. The supervisor holds a lock, and each server inherits one, so a lock that
  can be taken means that nothing runs. A pid is used to send a signal, and only after its start time and command line
  have been compared.
- Sockets only, no TCP, in a private folder with a short path outside the data folder (see `sockets`). PostgreSQL asks
  the kernel who connects (peer) and lets in the one system user who runs crm-sync; Valkey asks for a password that is
  kept in a 0600 file and travels in `broker_url`. No secret is on a command line.
- As root, which PostgreSQL refuses, both servers run as `nobody`. A server is put into its own folder before it
  becomes `nobody` and calls that folder /proc/self/cwd, so a data folder below /root works and /root stays closed.
  Programs in wheels that `nobody` can't reach are linked, or copied (25 MB), beside the sockets while the servers
  run. Root on macOS needs a data folder that `nobody` can walk to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from crm_sync.embedded import locks, supervisor
from crm_sync.embedded.account import account
from crm_sync.embedded.folder import DataFolder
from crm_sync.embedded.postgres import DATABASE, PORT, ROLE
from crm_sync.embedded.processes import end
from crm_sync.embedded.sockets import sweep
from crm_sync.embedded.software import installed
from crm_sync.embedded.valkey import SOCKET
from crm_sync.errors import ConfigError

__all__ = ["Servers", "Status", "running", "start", "status", "stop"]

log = logging.getLogger(__name__)

Report = Callable[[str], None]

_PATIENCE = 15.0  # seconds for a supervisor that is there but that we can't see


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where to connect. Both stay the same when the servers are started again.

    `database_url` is for psycopg; with the scheme `postgresql+psycopg` it is for SQLAlchemy. `broker_url` is for Celery
    and kombu; it holds a password.
    """

    database_url: str
    broker_url: str

    def __repr__(self) -> str:
        """Without the password: values like this one end up in logs."""
        return f"Servers(database_url={self.database_url!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What runs over a data folder: pids, and whether the database survives a power cut (`durable`)."""

    servers: Servers
    supervisor: int
    postgres: int
    valkey: int
    durable: bool


def start(folder: Path, *, durable: bool = True, report: Report = log.info) -> Servers:
    """Have both servers running over `folder` and hold them until this process ends or calls `stop`.

    Starting what runs already is harmless, whoever started it. Waits without a limit while the database recovers
    from a crash, telling `report` about it in words for a person. `durable=False`, for tests, does without fsync.

    Raises ConfigError with one sentence where the folder, the disk or the machine doesn't allow it.
    """
    data = DataFolder(folder)
    held_before = _hold(data)
    try:
        return _ensure(data, durable=durable, report=report)
    except BaseException:
        if not held_before:
            _let_go(data)
        raise


def stop(folder: Path) -> None:
    """Stop both servers, whoever holds them, and return when they are down. Harmless where nothing runs."""
    data = DataFolder(folder)
    with data.refusals():
        exists = data.exists()
    if exists:
        lock = data.take_start_lock()
        try:
            _stop(data)
        finally:
            os.close(lock)
    _let_go(data)


def status(folder: Path) -> Status | None:
    """What runs over `folder`; None where the servers are not up, or not yet."""
    data = DataFolder(folder)
    with data.refusals():
        owner, postgres, valkey = data.supervisor(), data.server("postgres"), data.server("valkey")
    if owner is None or postgres is None or valkey is None:
        return None
    return Status(
        servers=_servers(data),
        supervisor=owner.pid,
        postgres=postgres.pid,
        valkey=valkey.pid,
        durable=bool(data.running().get("durable")),
    )


@contextlib.contextmanager
def running(folder: Path, *, durable: bool = True, report: Report = log.info) -> Iterator[Servers]:
    """Like `start`, for the length of a block. The last holder to leave stops the servers and waits for that."""
    data = DataFolder(folder)
    hold = _new_hold(data)
    try:
        yield _ensure(data, durable=durable, report=report)
    finally:
        try:
            if locks.only_mine(hold):
                _stop(data)
        finally:
            os.close(hold)


_holds: dict[Path, int] = {}
_holds_guard = threading.Lock()


def _hold(data: DataFolder) -> bool:
    """Hold until the process ends. Whether it did so already."""
    with _holds_guard:
        if data.path in _holds:
            return True
        _holds[data.path] = _new_hold(data)
        return False


def _new_hold(data: DataFolder) -> int:
    # Waits while a supervisor that saw no holder is about to end.
    data.prepare()
    with data.refusals():
        return locks.share(data.holders_lock)


def _let_go(data: DataFolder) -> None:
    with _holds_guard:
        if (hold := _holds.pop(data.path, None)) is not None:
            os.close(hold)


def _ensure(data: DataFolder, *, durable: bool, report: Report) -> Servers:
    """One process at a time looks whether a supervisor is there, and starts one if not."""
    start_lock = data.take_start_lock()
    try:
        data.check_owner(account())
        unseen_since = time.monotonic()
        while (lock := locks.try_take(data.supervisor_lock)) is None:
            if data.supervisor():
                unseen_since = time.monotonic()
                if data.running() and _may_adopt(data, durable=durable):
                    return _servers(data)
            _wait_for_sight(data, unseen_since)
        try:
            data.check()
            installed()
            data.write_supervisor(lock, None)
            word = supervisor.launch(data, durable=durable, lock=lock)
        finally:
            os.close(lock)
        _listen(data, word, report)
        return _servers(data)
    finally:
        os.close(start_lock)


def _may_adopt(data: DataFolder, *, durable: bool) -> bool:
    """Whether the servers that are said to run do answer. Raises ConfigError where we can't use them."""
    if durable and not data.running().get("durable"):
        raise ConfigError(f"The servers over {data.path} were started for tests, without fsync: stop them first.")
    sockets = Path(data.running().get("sockets", ""))
    if not sockets.is_dir():
        raise ConfigError(
            f"The servers over {data.path} run, but their sockets can't be seen from here (a private /tmp?): "
            "start crm-sync where they were started, or stop them first."
        )
    return all(_answers(sockets / name) for name in (f".s.PGSQL.{PORT}", SOCKET))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _wait_for_sight(data: DataFolder, since: float) -> None:
    if time.monotonic() - since > _PATIENCE:
        raise ConfigError(
            f"The data folder {data.path} is in use by servers that can't be seen from here (another container?): "
            "stop them where they were started, or name another data folder."
        )
    time.sleep(0.02)


def _listen(data: DataFolder, word: int, report: Report) -> None:
    """Wait for the supervisor's word, which comes when both servers are ready or when they can't be."""
    with os.fdopen(word, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            kind, _, text = line.rstrip("\n").partition(" ")
            if kind == "ready":
                return
            if kind == "failed":
                raise ConfigError(text)
            report(text)
    raise ConfigError(f"The servers over {data.path} were stopped while they started; see {data.supervisor_log}.")


def _stop(data: DataFolder) -> None:
    """Ask the supervisor to stop, wait for its lock, then end what a killed supervisor may have left."""
    since = time.monotonic()
    asked = None
    while (lock := locks.try_take(data.supervisor_lock)) is None:
        if process := data.supervisor():
            since = time.monotonic()
            if process.pid != asked:
                process.terminate()
                asked = process.pid
        _wait_for_sight(data, since)
    try:
        for identity, path, word, polite in data.leftovers():
            os.close(end(path, identity, word=word, polite=polite, nap=time.sleep))
        data.forget_running()
        sweep(data.remembered_sockets())
    finally:
        os.close(lock)


def _servers(data: DataFolder) -> Servers:
    sockets = quote(data.running().get("sockets", ""))
    return Servers(
        database_url=f"postgresql://{ROLE}@/{DATABASE}?host={sockets}&port={PORT}",
        broker_url=f"redis+socket://:{quote(data.password())}@{sockets}/{SOCKET}?virtual_host=0",
    )
