"""Starting server processes, and recognising them later."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from crm_sync.embedded import locks
from crm_sync.embedded.account import Account
from crm_sync.errors import ConfigError

# Nothing of ours is inherited: a PGOPTIONS or a TZ of the caller must not change the servers, and no secret of the
# caller belongs in their environment.
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}

# Seconds; a shutdown writes what is in memory to disk, which may take a while.
FIRM_AFTER, GIVE_UP_AFTER = 30.0, 60.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, told apart from a later one that got the same pid by its start.

    `started` counts seconds: on Linux since boot, which no change of the clock moves; elsewhere since the epoch.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Identity:
        return cls(pid, _started(psutil.Process(pid)))

    def find(self, word: str) -> psutil.Process | None:
        """The process if it still lives and has `word` in its command line, else None."""
        try:
            process = psutil.Process(self.pid)
            same = abs(_started(process) - self.started) < 0.05 and word in " ".join(process.cmdline())
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, OSError):
            return None


def spawn(
    command: Sequence[str | Path],
    *,
    folder: Path,
    account: Account,
    lock: int,
    log: Path,
    stdin: bytes = b"",
) -> subprocess.Popen[bytes]:
    """Start a server in `folder` as `account`; it inherits `lock` and dies with us where the system can do that.

    The change into `folder` comes before the change of user, so the folders above it stay closed to the server.
    """
    output = open_log(log)
    die_with_us = _die_with(os.getpid())
    try:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [os.fspath(part) for part in command],
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            umask=0o077,
            # A session of its own: Ctrl-C at a terminal is the holder's affair.
            start_new_session=True,
            preexec_fn=die_with_us,
            **account.switch,
        )
    finally:
        os.close(output)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(stdin)
    return process


def end(
    lock: Path, identity: Identity | None, *, word: str, polite: signal.Signals, nap: Callable[[float], Any]
) -> int:
    """Wait until no process holds `lock`, and take it. Asks the process politely to stop, later firmly.

    Only a process that is surely ours is sent a signal.
    """
    began = time.monotonic()
    asked = killed = False
    while (taken := locks.try_take(lock)) is None:
        process = identity.find(word) if identity else None
        waited = time.monotonic() - began
        if process and not asked:
            process.send_signal(polite)
            asked = True
        elif process and not killed and waited > FIRM_AFTER:
            process.kill()
            killed = True
        elif process is None and waited > GIVE_UP_AFTER:
            raise ConfigError(f"Another program holds {lock}: end it, or name another data folder.")
        nap(0.02)
    return taken


def open_log(path: Path) -> int:
    """A descriptor that appends to `path`. A log that has grown past 8 MB is set aside first; one old log is kept."""
    if path.is_file() and path.stat().st_size > 8 * 2**20:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _started(process: psutil.Process) -> float:
    if sys.platform != "linux":
        return float(process.create_time())
    # psutil adds the boot time to this, which moves when the clock is set.
    after_name = Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes the server: ask to be stopped when the parent dies, however it dies.

    macOS has no such request; there the next start ends what was left over.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    set_parent_death_signal = 1

    def ask() -> None:
        prctl(set_parent_death_signal, int(signal.SIGINT))
        if os.getppid() != parent:
            os._exit(1)

    return ask
