"""The run folder: a short, private place for sockets outside the data folder, whatever the data folder's path.

A socket's path may have 107 bytes (103 on macOS), so sockets can't live in the data folder. The run folder stands in
the temporary folder: $XDG_RUNTIME_DIR would vanish under a running server when its user logs out. It is ours alone
(owner and mode are checked each time it is reused), locked for as long as it is used (which also tells
systemd-tmpfiles to leave it alone), and removed when the servers stop.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from crm_sync.embedded.account import Account
from crm_sync.errors import ConfigError

_LONGEST_PARENT = 50  # leaves room for crm-sync-xxxxxxxx/sockets/.s.PGSQL.5432.lock
_PLAIN = re.compile(r"[\w./+@-]+", re.ASCII)  # needs no quoting in any server's settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """`sockets` belongs to the servers' account with mode 0700; what stands beside it belongs to us."""

    path: Path
    descriptor: int

    @property
    def sockets(self) -> Path:
        return self.path / "sockets"

    def is_there(self) -> bool:
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self.descriptor)) and self.sockets.is_dir()
        except OSError:
            return False

    def remove(self) -> None:
        if self.is_there():
            shutil.rmtree(self.path)
        os.close(self.descriptor)


def run_folder(remembered: Path | None, account: Account) -> RunFolder:
    """The remembered folder if it is free and safe to use, else a new one. It is empty but for `sockets`."""
    parents = _parents(account)
    path, descriptor = (_reuse(remembered, parents) if remembered else None) or _new(parents)
    for entry in path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    # Another account must pass through on the way to `sockets`; it can't list the folder or write into it.
    path.chmod(0o711 if account.is_other else 0o700)
    sockets = path / "sockets"
    sockets.mkdir(mode=0o700)
    if account.is_other:
        os.chown(sockets, account.uid, account.gid)
    return RunFolder(path=path, descriptor=descriptor)


def sweep(left: Path | None) -> None:
    """Remove the run folder that a killed supervisor left behind, if it is ours and nobody uses it."""
    if left and (taken := _lock(left)):
        RunFolder(path=left, descriptor=taken[1]).remove()


def _reuse(path: Path, parents: list[Path]) -> tuple[Path, int] | None:
    """Take the folder, or make it again under its old name. None where somebody else has or uses that name."""
    if path.parent not in parents:
        return None
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError:
        return None
    return _lock(path)


def _new(parents: list[Path]) -> tuple[Path, int]:
    for parent in parents:
        try:
            path = Path(tempfile.mkdtemp(prefix="crm-sync-", dir=parent))
        except OSError:
            continue
        if taken := _lock(path):
            return taken
    raise ConfigError("There is no place for the servers' sockets: make /tmp writable, or set TMPDIR to a short path.")


def _lock(path: Path) -> tuple[Path, int] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    try:
        if found.st_uid == os.geteuid() and not found.st_mode & 0o066:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path, descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _parents(account: Account) -> list[Path]:
    places = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/run")  # noqa: S108 - a private folder is made inside
    found = dict.fromkeys(Path(place).resolve() for place in places)
    return [place for place in found if _fits(place) and (not account.is_other or _serves_others(place))]


def _fits(place: Path) -> bool:
    """Short, plain, and nobody else may rename what we make there."""
    text = str(place)
    if len(os.fsencode(text)) > _LONGEST_PARENT or not _PLAIN.fullmatch(text) or not place.is_dir():
        return False
    found = place.stat()
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    return found.st_uid in (0, os.geteuid()) and not shared


def _serves_others(place: Path) -> bool:
    """Open to passers-by all the way, and programs may be run from it (see `software.within_reach`)."""
    passable = all(part.stat().st_mode & stat.S_IXOTH for part in (place, *place.parents))
    return passable and not os.statvfs(place).f_flag & getattr(os, "ST_NOEXEC", 0)
