"""The data folder: what is in it, whose it is, and what is remembered there.

Beside the cluster it holds locks, logs and two small files: `servers.json` marks the folder as ours and remembers
the socket folder, so that URLs stay the same over a restart; `running.json` exists while both servers are ready.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from crm_sync.embedded import locks
from crm_sync.embedded.account import Account, user_name
from crm_sync.embedded.processes import Identity
from crm_sync.embedded.software import POSTGRES_MAJOR
from crm_sync.errors import ConfigError

SUPERVISOR = "crm_sync.embedded"  # what the supervisor's command line contains

_MARK = "servers.json"
_OWN_NAMES = {
    _MARK,
    "running.json",
    "start.lock",
    "holders.lock",
    "supervisor.lock",
    "postgres.lock",
    "valkey.lock",
    "postgres",
    "postgres.new",
    "broker.password",
    "postgres.log",
    "valkey.log",
    "supervisor.log",
}
# The root of a mounted volume is not empty.
_HARMLESS = {"lost+found"}

_FREE_FOR_A_NEW_CLUSTER = 128 * 2**20
_FREE_FOR_A_START = 32 * 2**20


Leftover = tuple[Identity | None, Path, str, signal.Signals]


class DataFolder:
    """One data folder, by its real path. Making this object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute().resolve()
        self.cluster = self.path / "postgres"
        self.new_cluster = self.path / "postgres.new"
        self.postgres_log = self.path / "postgres.log"
        self.valkey_log = self.path / "valkey.log"
        self.supervisor_log = self.path / "supervisor.log"
        self.start_lock = self.path / "start.lock"
        self.holders_lock = self.path / "holders.lock"
        self.supervisor_lock = self.path / "supervisor.lock"
        self.postgres_lock = self.path / "postgres.lock"
        self.valkey_lock = self.path / "valkey.lock"

    def exists(self) -> bool:
        """Whether servers were ever started over this folder."""
        return (self.path / _MARK).is_file()

    def prepare(self) -> None:
        """Make the folder if need be. Raises ConfigError where it isn't ours or can't be used."""
        with self.refusals():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = {entry.name for entry in self.path.iterdir()}
        if _MARK not in names and (foreign := sorted(names - _OWN_NAMES - _HARMLESS)):
            raise ConfigError(
                f"{self.path} is no data folder of crm-sync (it holds {foreign[0]}): name an empty or a new folder."
            )

    def check_owner(self, account: Account) -> None:
        """Raise ConfigError where the cluster isn't that of the account that would serve it."""
        with self.refusals():
            owner = self.cluster.stat().st_uid if self.cluster.exists() else account.uid
        if owner != account.uid:
            raise ConfigError(
                f"The database in {self.path} belongs to {user_name(owner)}: start crm-sync as that user"
                f"{f' (as root it would run as {account.name})' if account.is_other else ''}."
            )

    def check(self) -> None:
        """Raise ConfigError where the cluster is of another version, or the disk is full."""
        with self.refusals():
            free = shutil.disk_usage(self.path).free
            has_cluster = self.cluster.exists()
        if has_cluster:
            self._check_version()
        if free < (_FREE_FOR_A_START if has_cluster else _FREE_FOR_A_NEW_CLUSTER):
            raise ConfigError(f"The disk that holds {self.path} is full ({free // 2**20} MB left): free some space.")

    def _check_version(self) -> None:
        with self.refusals():
            try:
                version = (self.cluster / "PG_VERSION").read_text().strip()
            except FileNotFoundError:
                version = ""
        if not version:
            raise ConfigError(
                f"The database in {self.path} is damaged (it has no PG_VERSION): restore it from a backup."
            )
        if version != str(POSTGRES_MAJOR):
            raise ConfigError(
                f"The database in {self.path} was made by PostgreSQL {version}, and this crm-sync runs "
                f"{POSTGRES_MAJOR}: use the crm-sync that made it to export its data, or name another data folder."
            )

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Turn what the file system refuses into one sentence."""
        try:
            yield
        except (FileExistsError, NotADirectoryError):
            raise ConfigError(f"{self.path} or a part of it is a file, not a folder: name a folder.") from None
        except PermissionError as error:
            raise ConfigError(
                f"{user_name(os.geteuid())} may not use the data folder {self.path} "
                f"({error.filename or self.path}: permission denied): name a folder of your own."
            ) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                place = error.filename or self.path
                raise ConfigError(f"The disk that holds {place} is full: free some space and start again.") from error
            raise ConfigError(f"The data folder {self.path} can't be used: {error.strerror}.") from error

    def remembered_sockets(self) -> Path | None:
        found = self._read(_MARK).get("sockets")
        return Path(found) if isinstance(found, str) else None

    def remember_sockets(self, folder: Path) -> None:
        self._write(_MARK, {"layout": 1, "sockets": str(folder)})

    def password(self) -> str:
        """The broker's password, drawn once for each data folder (again if a power cut left it empty)."""
        file = self.path / "broker.password"
        if not file.exists() or not file.read_text():
            self._write_text(file.name, secrets.token_urlsafe(24))
        return file.read_text()

    def running(self) -> Mapping[str, Any]:
        """What the supervisor wrote when both servers were ready; empty where none did. May be out of date."""
        return self._read("running.json")

    def write_running(self, facts: Mapping[str, Any]) -> None:
        self._write("running.json", facts)

    def forget_running(self) -> None:
        (self.path / "running.json").unlink(missing_ok=True)

    def server(self, name: str) -> Identity | None:
        """The server process that `running` names."""
        return _identity(self.running().get(name))

    def leftovers(self) -> list[Leftover]:
        """What a killed supervisor may have left behind, and how to end it."""
        return [
            (self.server("postgres"), self.postgres_lock, "postgres", signal.SIGINT),
            (self.server("valkey"), self.valkey_lock, "valkey", signal.SIGTERM),
        ]

    def supervisor(self) -> psutil.Process | None:
        """The living supervisor, None where there is none that this process can see."""
        try:
            written = json.loads(self.supervisor_lock.read_text() or "null")
        except (FileNotFoundError, ValueError):
            return None
        identity = _identity(written)
        return identity.find(SUPERVISOR) if identity else None

    def write_supervisor(self, lock: int, identity: Identity | None) -> None:
        """Say in the lock's own file who holds it; None where the holder isn't the supervisor yet."""
        os.ftruncate(lock, 0)
        if identity:
            os.pwrite(lock, json.dumps([identity.pid, identity.started]).encode(), 0)

    def take_start_lock(self) -> int:
        with self.refusals():
            return locks.take(self.start_lock)

    def _read(self, name: str) -> Mapping[str, Any]:
        try:
            found = json.loads((self.path / name).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, facts: Mapping[str, Any]) -> None:
        self._write_text(name, json.dumps(facts))

    def _write_text(self, name: str, text: str) -> None:
        """Readers see the old text or the new; a symbolic link in the way is replaced, not followed."""
        new = self.path / f"{name}.{secrets.token_hex(4)}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
            new.replace(self.path / name)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def _identity(written: Any) -> Identity | None:
    match written:
        case [int(pid), float(started)]:
            return Identity(pid, started)
        case _:
            return None
