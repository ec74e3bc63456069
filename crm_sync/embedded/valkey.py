"""Valkey as the broker: nothing is kept on disk, because rows are the truth and messages only nudges."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from crm_sync.embedded.account import Account
from crm_sync.embedded.folder import DataFolder
from crm_sync.embedded.processes import spawn
from crm_sync.embedded.sockets import RunFolder
from crm_sync.embedded.software import Software

SOCKET = "valkey.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Valkey:
    folder: DataFolder
    software: Software
    run: RunFolder
    account: Account

    name = "Valkey"
    key = "valkey"
    farewells = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))

    @property
    def lock(self) -> Path:
        return self.folder.valkey_lock

    @property
    def log(self) -> Path:
        return self.folder.valkey_log

    def launch(self, lock: int) -> subprocess.Popen[bytes]:
        """Settings go in through standard input, so the password is on no command line and in no second file."""
        settings = {
            "port": "0",
            "unixsocket": str(self.run.sockets / SOCKET),
            "unixsocketperm": "700",
            "requirepass": self.folder.password(),
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "set-proc-title": "no",
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        return spawn(
            [self.software.valkey, "-"],
            folder=self.run.sockets,
            account=self.account,
            lock=lock,
            log=self.log,
            stdin=text.encode(),
        )

    def is_ready(self, pid: int) -> bool:  # noqa: ARG002 - the socket is in a fresh folder, so only this one answers
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(2)
                client.connect(str(self.run.sockets / SOCKET))
                client.sendall(f"AUTH {self.folder.password()}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (more := client.recv(256)):
                    answer += more
        except OSError:
            return False
        return b"+PONG" in answer

    def log_end(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def why(self, begin: int) -> str:
        """One sentence on why it ended, from what it logged after `begin`."""
        said = self.log.read_bytes()[begin:].decode(errors="replace") if self.log.exists() else ""
        lines = [re.sub(r"^\d+:\w .*? [#*-] ", "", line) for line in said.splitlines() if line.strip()]
        cause = lines[-1].strip().rstrip(".") if lines else "it ended without a word"
        return f"Valkey can't run: {cause}. Its log is {self.log}."
