"""The process that owns both servers of one data folder, for as long as somebody holds the folder.

It is a process of its own, so that it outlives a killed holder and can clean up. It starts both servers, starts one
again that died, and stops both when nobody holds the folder any more, when it is told to, or when the data folder or
the run folder has been taken away.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_sync.embedded import locks, software
from crm_sync.embedded.account import Account, account
from crm_sync.embedded.folder import DataFolder
from crm_sync.embedded.postgres import Postgres
from crm_sync.embedded.processes import Identity, end, open_log
from crm_sync.embedded.sockets import RunFolder, run_folder
from crm_sync.embedded.valkey import Valkey
from crm_sync.errors import ConfigError

log = logging.getLogger("crm_sync.embedded")

Server = Postgres | Valkey

_TELL_EVERY = 2  # seconds between words to the starter about a long wait
_GLANCE = 0.25  # seconds between looks at the holders
_TOO_OFTEN = 5  # deaths of servers within a minute after which another start is pointless


class Leave(Exception):
    """It is time to stop both servers."""


@dataclass(slots=True)
class Running:
    server: Server
    process: subprocess.Popen[bytes]
    log_begin: int


class Supervisor:
    def __init__(self, folder: DataFolder, *, durable: bool, lock: int, starter: int) -> None:
        self._folder = folder
        self._durable = durable
        self._lock = lock
        self._starter: int | None = starter
        self._account: Account = account()
        self._running: dict[str, Running] = {}
        self._deaths: deque[float] = deque(maxlen=_TOO_OFTEN)
        self._were_ready = False
        self._stop_asked = False
        self._run: RunFolder | None = None
        self._wake = _wake_up_on_signals(self._on_signal)

    def main(self) -> int:
        """Run until it is time to leave; the exit status."""
        self._folder.write_supervisor(self._lock, Identity.of(os.getpid()))
        try:
            with self._folder.refusals():
                self._start_both()
                self._watch()
        except Leave as reason:
            log.info("stopping: %s", reason)
            return 0
        except ConfigError as error:
            log.error("%s", error)
            self._tell(f"failed {error}")
            return 1
        finally:
            self._stop_both()
        return 0

    def _start_both(self) -> None:
        for identity, lock, word, polite in self._folder.leftovers():
            os.close(end(lock, identity, word=word, polite=polite, nap=self._nap))
        self._folder.forget_running()

        self._run = run_folder(self._folder.remembered_sockets(), self._account)
        self._folder.remember_sockets(self._run.path)
        programs = self._programs(self._run)
        places: dict[str, Any] = {"folder": self._folder, "software": programs, "run": self._run}
        postgres = Postgres(**places, account=self._account, durable=self._durable)
        for server in (Valkey(**places, account=self._account), postgres):
            self._launch(server)
        self._wait_until_ready()
        self._were_ready = True
        self._tell("ready")
        self._let_go_of_starter()

    def _programs(self, run: RunFolder) -> software.Software:
        """The installed programs, brought within reach if the servers' account can't get at them (a wheel in /root)."""
        found = software.installed()
        if software.runnable(found, self._account):
            return found
        found = software.within_reach(run.path / "software")
        if not software.runnable(found, self._account):
            raise ConfigError(
                f"The server programs can't be run as {self._account.name} on this machine: "
                f"run crm-sync as an ordinary user, or {software.INSTEAD}."
            )
        return found

    def _launch(self, server: Server) -> None:
        """Start `server` once nothing is left of an earlier one: its children may outlive it for a moment."""
        lock = end(server.lock, None, word="", polite=signal.SIGTERM, nap=self._nap)
        try:
            if isinstance(server, Postgres):
                server.create(lock, self._finish)
            begin = server.log_end()
            self._running[server.key] = Running(server, server.launch(lock), begin)
        finally:
            os.close(lock)

    def _finish(self, process: subprocess.Popen[bytes]) -> int:
        with _watched(process):
            while (status := process.poll()) is None:
                self._nap(0.02)
        return status

    def _wait_until_ready(self) -> None:
        """Wait as long as the servers are alive: recovering from a crash takes the time it takes."""
        began = told = time.monotonic()
        while not all(one.server.is_ready(one.process.pid) for one in self._running.values()):
            for one in list(self._running.values()):
                if one.process.poll() is not None:
                    self._start_again(one)
            now = time.monotonic()
            if now - told > _TELL_EVERY:
                told = now
                self._tell(
                    f"progress The database is starting; recovering after a crash takes a while ({now - began:.0f} s)"
                )
            self._nap(0.02 if now - began < 2 else 0.2)
        self._folder.write_running(
            {
                "sockets": str(self._run.sockets) if self._run else "",
                "durable": self._durable,
                **{key: _written(one.process.pid) for key, one in self._running.items()},
            }
        )

    def _watch(self) -> None:
        while True:
            self._nap(_GLANCE)
            dead = [one for one in self._running.values() if one.process.poll() is not None]
            for one in dead:
                self._start_again(one)
            if dead:
                self._wait_until_ready()

    def _start_again(self, one: Running) -> None:
        if not self._were_ready:
            raise ConfigError(one.server.why(one.log_begin))
        log.warning("%s ended with status %s; starting it again", one.server.name, one.process.returncode)
        self._deaths.append(time.monotonic())
        if len(self._deaths) == _TOO_OFTEN and self._deaths[-1] - self._deaths[0] < 60:
            raise ConfigError(one.server.why(one.log_begin))
        self._folder.forget_running()
        self._launch(one.server)

    def _stop_both(self) -> None:
        with contextlib.suppress(OSError):
            self._folder.forget_running()
        for one in self._running.values():
            _stop(one)
        if self._run:
            self._run.remove()

    def _nap(self, seconds: float) -> None:
        """Wait, or leave. Every wait of the supervisor comes through here."""
        with contextlib.suppress(InterruptedError):
            if select.select([self._wake], [], [], seconds)[0]:
                os.read(self._wake, 1024)
        if self._stop_asked:
            raise Leave("asked to")
        if self._run and not self._run.is_there():
            raise Leave(f"the run folder {self._run.path} is gone")
        if self._nobody_holds():
            raise Leave("nobody holds the data folder")

    def _nobody_holds(self) -> bool:
        """Whether the last holder is gone. If so nobody can become one until we have ended."""
        try:
            return locks.try_take(self._folder.holders_lock) is not None
        except FileNotFoundError:
            return True

    def _tell(self, line: str) -> None:
        if self._starter is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._starter, f"{line}\n".encode(errors="surrogateescape"))

    def _let_go_of_starter(self) -> None:
        if self._starter is not None:
            os.close(self._starter)
            self._starter = None

    def _on_signal(self, number: int, frame: object) -> None:  # noqa: ARG002
        if number != signal.SIGCHLD:
            self._stop_asked = True


def _stop(one: Running) -> None:
    for farewell, patience in one.server.farewells:
        if one.process.poll() is not None:
            return
        one.process.send_signal(farewell)
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(patience)


@contextlib.contextmanager
def _watched(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Take the process along when we leave in the middle."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _written(pid: int) -> list[float]:
    identity = Identity.of(pid)
    return [identity.pid, identity.started]


def _wake_up_on_signals(handler: Any) -> int:
    """A descriptor that becomes readable when a child ends or somebody asks us to stop."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, handler)
    return readable


def run(arguments: list[str]) -> int:
    """`python -m crm_sync.embedded <folder> durable|loose <lock descriptor> <starter descriptor>`.

    Forks, so that the process that started us has no child to wait for.
    """
    path, mode, lock, starter = arguments
    if os.fork():
        return 0
    # A stricter umask of the caller would close the run folder to the servers' account; what is private says so.
    os.umask(0o022)
    folder = DataFolder(Path(path))
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    return Supervisor(folder, durable=mode == "durable", lock=int(lock), starter=int(starter)).main()


def launch(folder: DataFolder, *, durable: bool, lock: int) -> int:
    """Start a supervisor that inherits `lock`. Its word comes through the descriptor, until it is ready or ends."""
    readable, writable = os.pipe()
    output = open_log(folder.supervisor_log)
    mode = "durable" if durable else "loose"
    try:
        launcher = subprocess.run(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", "crm_sync.embedded", str(folder.path), mode, str(lock), str(writable)],
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock, writable),
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(output)
        os.close(writable)
    if launcher.returncode:
        os.close(readable)
        raise ConfigError(f"The servers' supervisor could not be started; its log is {folder.supervisor_log}.")
    return readable


def _environment() -> dict[str, str]:
    """Enough to find Python and this package; the caller's secrets stay with the caller."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE") if name in os.environ}
    here = str(Path(__file__).parents[2])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
