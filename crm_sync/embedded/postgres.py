"""PostgreSQL over the cluster of one data folder: making it, starting it, and telling how it is doing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from crm_sync.embedded.account import Account
from crm_sync.embedded.folder import DataFolder
from crm_sync.embedded.processes import spawn
from crm_sync.embedded.sockets import RunFolder
from crm_sync.embedded.software import Software
from crm_sync.errors import ConfigError

ROLE = DATABASE = "crm_sync"
PORT = 5432  # names the socket; nothing listens on TCP

# Written into the cluster's postgresql.conf, where an admin may change them.
_DEFAULTS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "crm_sync",
}
# Refused statements and the values in them may hold personal data, which belongs in no log.
_QUIET = {"log_min_messages": "log", "log_min_error_statement": "panic", "log_error_verbosity": "terse"}
# A commit still survives a killed server, only not a power cut.
_LOOSE = {"fsync": "off", "full_page_writes": "off"}

_CAUSE = re.compile(
    r"(?:(?:FATAL|PANIC|initdb: error|postgres: error):\s+"
    r"|LOG:\s+(?=invalid value for|syntax error in file|unrecognized configuration))(.+)"
)
_FULL = ("No space left on device", "Check free disk space")

Command = list[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    folder: DataFolder
    software: Software
    run: RunFolder
    account: Account
    durable: bool

    name = "PostgreSQL"
    key = "postgres"
    farewells = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

    @property
    def lock(self) -> Path:
        return self.folder.postgres_lock

    @property
    def log(self) -> Path:
        return self.folder.postgres_log

    def create(self, lock: int, finish: Callable[[subprocess.Popen[bytes]], int]) -> None:
        """Make the cluster and its database if there is none. `finish` waits for a process and gives its exit status.

        The cluster gets its name when it is complete: one whose making was interrupted is made anew.
        """
        if self.folder.cluster.exists():
            return
        new = self.folder.new_cluster
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        if self.account.is_other:
            os.chown(new, self.account.uid, self.account.gid)
        steps = ((self._initdb(new), ""), (self._single_user(new), f"CREATE DATABASE {DATABASE}\n"))
        for command, stdin in steps:
            begin = self.log_end()
            if finish(spawn(command, folder=new, account=self.account, lock=lock, log=self.log, stdin=stdin.encode())):
                raise ConfigError(self.why(begin))
        new.rename(self.folder.cluster)

    def heal(self) -> None:
        """Drop the pid files of a server that is gone. Called while we hold the lock that our own servers inherit.

        PostgreSQL itself would refuse to start where the old pid belongs to some other living process by now.
        """
        file = self.folder.cluster / "postmaster.pid"
        lines = _lines(file)
        if lines and lines[0].isdecimal() and _serves(int(lines[0]), self.folder.cluster):
            raise ConfigError(
                f"A PostgreSQL that crm-sync didn't start (pid {lines[0]}) uses {self.folder.cluster}: stop it first."
            )
        file.unlink(missing_ok=True)
        (self.run.sockets / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def launch(self, lock: int) -> subprocess.Popen[bytes]:
        self.heal()
        self._write_access()
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.run.sockets),
            "unix_socket_permissions": "0700",
            "hba_file": str(self.run.path / "pg_hba.conf"),
            "ident_file": str(self.run.path / "pg_ident.conf"),
            **_QUIET,
            **({} if self.durable else _LOOSE),
        }
        cluster = self.folder.cluster
        command: Command = [self.software.postgres / "postgres", "-D", self._place(cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return spawn(command, folder=cluster, account=self.account, lock=lock, log=self.log)

    def is_ready(self, pid: int) -> bool:
        lines = _lines(self.folder.cluster / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(pid) and lines[7] == "ready"

    def log_end(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def why(self, begin: int) -> str:
        """One sentence on why it ended, from what it logged after `begin`."""
        said = _text(self.log, begin)
        if any(words in said for words in _FULL):
            return f"The disk that holds {self.folder.path} is full: free some space and start again."
        causes = _CAUSE.findall(said)
        cause = causes[0].strip().rstrip(".") if causes else "it ended without a word"
        return f"PostgreSQL can't run over {self.folder.path}: {cause}. Its log is {self.log}."

    def _initdb(self, cluster: Path) -> Command:
        command: Command = [
            self.software.postgres / "initdb",
            *("-D", self._place(cluster), "-U", ROLE, "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=peer", "--auth-host=reject", "--no-instructions"),
        ]
        for name, value in _DEFAULTS.items():
            command += ["--set", f"{name}={value}"]
        return command if self.durable else [*command, "--no-sync"]

    def _single_user(self, cluster: Path) -> Command:
        settings = ("-c", "exit_on_error=on", "-c", "log_checkpoints=off")
        return [self.software.postgres / "postgres", "--single", "-D", self._place(cluster), *settings, "postgres"]

    def _place(self, cluster: Path) -> str:
        """How the server calls its own folder.

        Another account can't walk down to it through closed parents (/root), but it is already there: we changed into
        the folder before we changed the user. The kernel follows /proc/self/cwd without looking at the parents.
        """
        return "/proc/self/cwd" if self.account.is_other and sys.platform == "linux" else str(cluster)

    def _write_access(self) -> None:
        """Let in the one system user who runs crm-sync, as the kernel names him, and nobody else."""
        client = self.account.client.replace('"', '""')
        for name, line in (
            ("pg_hba.conf", f"local all {ROLE} peer map=clients\n"),
            ("pg_ident.conf", f'clients "{client}" {ROLE}\n'),
        ):
            file = self.run.path / name
            file.write_text(line)
            file.chmod(0o644)


def _serves(pid: int, cluster: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return "postgres" in process.name() and Path(process.cwd()) == cluster
    except psutil.Error:
        return False


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in _text(file, 0).splitlines()]


def _text(file: Path, begin: int) -> str:
    """From `begin`, or all of it where a new file has been started since."""
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return ""
    return text[begin if begin <= len(text) else 0 :].decode(errors="replace")
