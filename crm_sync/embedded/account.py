"""Who the servers run as, and whom PostgreSQL lets in.

PostgreSQL refuses to run as root. As root, both servers run as `nobody`: every machine has it, and it owns nothing.
As any other user they run as that user.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Any

from crm_sync.errors import ConfigError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`client` is the user who runs crm-sync, the only one whom PostgreSQL lets in; the rest is the servers' own."""

    client: str
    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether the servers run as somebody else than ourselves."""
        return self.uid != os.geteuid()

    @property
    def switch(self) -> dict[str, Any]:
        """Arguments for subprocess that make the child this user and nobody more."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}


def account() -> Account:
    client = _entry(os.geteuid())
    if client.pw_uid != 0:
        return Account(client=client.pw_name, name=client.pw_name, uid=client.pw_uid, gid=os.getegid())
    try:
        servers = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise ConfigError(
            "PostgreSQL can't run as root, and this machine has no user nobody: run crm-sync as an ordinary user."
        ) from None
    return Account(client=client.pw_name, name=servers.pw_name, uid=servers.pw_uid, gid=servers.pw_gid)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def _entry(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise ConfigError(
            f"The user id {uid} has no name on this machine, and PostgreSQL needs one: "
            "run crm-sync as a user who is listed in /etc/passwd."
        ) from None
