"""Data folders, holders in processes of their own, and children that run as another user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from crm_sync import embedded

ROOT = os.geteuid() == 0
CHECKOUT = Path(embedded.__file__).parents[2]

HOLDER = """
import sys, time
from pathlib import Path
from crm_sync import embedded
print(embedded.start(Path(sys.argv[1]), durable=False).database_url, flush=True)
time.sleep(600)
"""

# Gives a child that is no longer root a way through closed folders such as /root, for this child alone: in a mount
# namespace of its own each closed folder is covered by an open one that shows the same sub-folders.
OPEN_THE_WAY = """
set -e
hold="$1"; shift
while [ "$1" != -- ]; do
  n=$((n + 1)); mkdir "$hold/$n"; mount --rbind "$1" "$hold/$n"; mount -t tmpfs -o mode=755 none "$1"
  for child in "$hold/$n"/* "$hold/$n"/.[!.]*; do
    [ -d "$child" ] && [ ! -L "$child" ] && mkdir "$1/${child##*/}" && mount --rbind "$child" "$1/${child##*/}"
  done
  shift
done
shift; cd /
exec setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"
"""


def value(url: str, query: str) -> object:
    with psycopg.connect(url, connect_timeout=10) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, connect_timeout=10) as connection:
        connection.execute(statement)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids(status: embedded.Status) -> list[int]:
    return [status.supervisor, status.postgres, status.valkey]


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether `condition` comes true in time. The only waiting in these tests: for other processes."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a ready cluster, stopped."""
    folder = tmp_path_factory.mktemp("template") / "data"
    with embedded.running(folder, durable=False):
        pass
    return folder


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A data folder of this test's own with a ready cluster; whatever runs over it in the end is stopped."""
    folder = tmp_path / "data"
    copy_folder(template, folder)
    yield folder
    embedded.stop(folder)


def copy_folder(source: Path, target: Path) -> None:
    # Most of a fresh cluster's 46 MB are zeros; only GNU's cp can leave them out.
    sparse = ["--sparse=always"] if sys.platform == "linux" else []
    subprocess.run(["cp", "-a", *sparse, source, target], check=True)


@pytest.fixture
def hold() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts processes that hold a data folder; they are killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, **how: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(folder)]
        started.append(subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, **how))
        return started[-1]

    yield start
    for process in started:
        kill(process)


def url(holder: subprocess.Popen[str]) -> str:
    """What a holder was given; waits until it has it."""
    assert holder.stdout
    return holder.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


@pytest.fixture(scope="session")
def nobodys_place() -> Iterator[Path]:
    """A folder that the user nobody can reach, with `own` that belongs to nobody; skips where we can't be nobody."""
    if not ROOT:
        pytest.skip("needs root, to become another user; the rest of this suite has run as an ordinary one")
    entry = pwd.getpwnam("nobody")
    place = Path(tempfile.mkdtemp(prefix="nobody-"))
    place.chmod(0o755)
    (place / "own").mkdir(mode=0o700)
    os.chown(place / "own", entry.pw_uid, entry.pw_gid)
    try:
        tried = run_as_nobody(place, "import psycopg, crm_sync.embedded")
        if tried.returncode:
            pytest.skip(f"this machine doesn't let root open a way to Python for nobody: {tried.stderr.strip()}")
        yield place
    finally:
        shutil.rmtree(place / "own")
        place.rmdir()


@pytest.fixture
def as_nobody(nobodys_place: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script as the user nobody, with FOLDER in its environment naming a folder of nobody's own."""
    return partial(run_as_nobody, nobodys_place)


def run_as_nobody(place: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "FOLDER": str(place / "own")}
    hold = Path(tempfile.mkdtemp(dir=place))
    command = [*_way(hold), sys.executable, "-B", "-c", script, *arguments]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    # Never anything that descends: should a mount ever be left, it is somebody's folder.
    for mount_point in (*hold.iterdir(), hold):
        mount_point.rmdir()
    return done


def _way(hold: Path) -> list[str]:
    needed = [Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix), CHECKOUT]
    needed += [path.resolve() for path in needed]
    closed = {parent for path in needed for parent in path.parents if not parent.stat().st_mode & 0o001}
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("needs unshare and setpriv (util-linux)")
    return [
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        OPEN_THE_WAY,
        "sh",
        str(hold),
        *map(str, sorted(closed)),
        "--",
    ]
