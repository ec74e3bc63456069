"""Which data folders work, and what is said about those that don't?"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from crm_sync import embedded
from crm_sync.embedded import locks, software
from crm_sync.embedded.processes import ENVIRONMENT
from crm_sync.errors import ConfigError

from .conftest import CHECKOUT, ROOT, copy_folder, value, within

DEEP = "/".join("a quite long folder name" for _ in range(12))


def test_given_a_path_with_blanks_quotes_and_other_letters_longer_than_200_then_it_serves(tmp_path):
    folder = tmp_path / """Köln's "big" 東京 $HOME %20 \\ data""" / DEEP

    with embedded.running(folder, durable=False) as servers:
        assert value(servers.database_url, "SELECT 1") == 1
    assert len(str(folder)) > 300


def test_given_a_long_temporary_folder_then_the_sockets_have_a_short_path_all_the_same(data, tmp_path, monkeypatch):
    long = tmp_path / DEEP
    long.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long))

    with embedded.running(data, durable=False) as servers:
        answer = value(servers.database_url, "SELECT 1")

    assert answer == 1


def test_given_a_symbolic_link_to_the_folder_then_the_same_servers_are_adopted(data, tmp_path):
    (tmp_path / "link").symlink_to(data)

    with embedded.running(data, durable=False) as one, embedded.running(tmp_path / "link", durable=False) as other:
        assert one == other


def test_the_sockets_are_in_a_private_folder_and_no_parent_is_opened(template, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    copy_folder(template, closed / "data")

    with embedded.running(closed / "data", durable=False) as servers:
        sockets = Path(servers.broker_url.partition("@")[2].partition("?")[0]).parent
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (closed, closed / "data", sockets)]
        owner = sockets.stat().st_uid
        above = sockets.parent.stat()

    assert modes == [0o700, 0o700, 0o700]
    assert owner == (closed / "data" / "postgres").stat().st_uid
    assert (above.st_uid, above.st_mode & 0o066) == (os.geteuid(), 0)


def test_given_a_folder_with_foreign_files_then_it_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(ConfigError, match=r"is no data folder of crm-sync \(it holds thesis\.tex\)"):
        embedded.start(tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_given_a_file_in_place_of_the_folder_then_the_sentence_says_so(tmp_path):
    (tmp_path / "data").touch()

    with pytest.raises(ConfigError, match="is a file, not a folder"):
        embedded.start(tmp_path / "data")


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("17", "was made by PostgreSQL 17, and this crm-sync runs 18"),
        ("19", "was made by PostgreSQL 19"),
        (None, "damaged"),
    ],
)
def test_given_a_cluster_of_another_version_then_the_sentence_names_both(data, version, sentence):
    (data / "postgres" / "PG_VERSION").unlink()
    if version:
        (data / "postgres" / "PG_VERSION").write_text(f"{version}\n")

    with pytest.raises(ConfigError, match=sentence):
        embedded.start(data)


def test_given_a_damaged_cluster_then_the_sentence_gives_the_cause_and_the_log(data):
    (data / "postgres" / "global" / "pg_control").write_bytes(b"rubbish" * 2000)

    with pytest.raises(ConfigError, match=r"PostgreSQL can't run over .*: .+\. Its log is .*postgres\.log\."):
        embedded.start(data)

    assert embedded.status(data) is None


def test_given_a_wrong_setting_by_an_admin_then_the_sentence_names_it(data):
    with (data / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("work_mem = plenty\n")

    with pytest.raises(ConfigError, match="work_mem"):
        embedded.start(data)


def test_given_a_postgres_that_somebody_else_runs_over_the_cluster_then_it_is_named_and_left_alone(data):
    with run_by_hand(data) as stranger:
        with pytest.raises(ConfigError, match=rf"that crm-sync didn't start \(pid {stranger.pid}\)"):
            embedded.start(data)

        assert stranger.poll() is None


def test_given_a_lock_held_by_something_unseen_then_it_gives_up_with_a_sentence(data, monkeypatch):
    monkeypatch.setattr(embedded, "_PATIENCE", 0.2)
    lock = locks.take(data / "supervisor.lock")

    with pytest.raises(ConfigError, match="in use by servers that can't be seen from here"):
        embedded.start(data)
    os.close(lock)


def test_given_sockets_that_cannot_be_seen_then_the_sentence_says_why(data, tmp_path):
    with embedded.running(data, durable=False):
        text = (data / "running.json").read_text()
        facts = text.replace("/tmp", "/nowhere").replace("/sockets", "/elsewhere")
        (data / "running.json").write_text(facts)

        with pytest.raises(ConfigError, match="their sockets can't be seen from here"):
            embedded.start(data, durable=False)
        (data / "running.json").write_text(text)


def test_stopping_and_asking_about_a_folder_that_never_ran_touches_nothing(tmp_path):
    embedded.stop(tmp_path / "never")

    assert embedded.status(tmp_path / "never") is None
    assert not (tmp_path / "never").exists()


def test_given_a_long_recovery_then_the_start_waits_and_tells_about_it(data):
    # Recovery asks for each piece of its log with this command, so it is as slow as the command.
    (data / "postgres" / "recovery.signal").touch()
    with (data / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("restore_command = 'sleep 1.5; false'\n")
    told: list[str] = []

    with embedded.running(data, durable=False, report=told.append) as servers:
        answer = value(servers.database_url, "SELECT 1")

    assert answer == 1
    assert "recovering after a crash takes a while" in told[0]


@pytest.mark.parametrize(
    ("platform", "library", "sentence"),
    [
        pytest.param("linux", "glibc 2.28", "", id="oldest-linux"),
        pytest.param("linux", "glibc 2.41", "", id="newer-linux"),
        pytest.param("darwin", "", "", id="macos"),
        pytest.param("linux", "glibc 2.17", "need glibc 2.28 or newer, and this machine has 2.17", id="old-linux"),
        pytest.param("linux", "", "has another C library", id="musl"),
        pytest.param("win32", "", "run on Linux and macOS, not on win32", id="windows"),
    ],
)
def test_elsewhere_than_on_linux_and_macos_one_sentence_says_what_to_do(platform, library, sentence):
    reason = software.unsupported(platform, library)

    assert sentence in reason
    assert bool(reason) == ("CRM_SYNC_DATABASE_URL" in reason) == bool(sentence)


FULL_DISK = """
import subprocess, sys
from pathlib import Path
from crm_sync import embedded
from crm_sync.embedded import folder as rules
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sys.argv[2]}", "none", sys.argv[1]], check=True)
if sys.argv[3] == "unnoticed":
    rules._FREE_FOR_A_NEW_CLUSTER = 0
try:
    embedded.start(Path(sys.argv[1]) / "data")
except embedded.ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(not ROOT, reason="only root can mount a small disk")
@pytest.mark.parametrize("when", ["noticed", "unnoticed"])
def test_given_a_full_disk_then_the_sentence_says_so(tmp_path, when):
    command = ["unshare", "--mount", sys.executable, "-c", FULL_DISK, str(tmp_path), "20m", when]

    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this machine's root may not mount a small disk")

    assert "is full" in done.stdout, done.stderr
    assert "free some space" in done.stdout


@contextlib.contextmanager
def run_by_hand(data: Path):
    """A PostgreSQL over the same cluster that nobody but us knows of."""
    cluster, place = data / "postgres", Path(tempfile.mkdtemp(prefix="by-hand-"))
    owner = cluster.stat()
    place.chmod(0o755)
    os.chown(place, owner.st_uid, owner.st_gid)
    program = software.within_reach(place / "programs").postgres / "postgres"
    where, switch = (str(cluster), {})
    if ROOT:
        where, switch = "/proc/self/cwd", {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    command = [program, "-D", where, "-c", "listen_addresses=", "-c", f"unix_socket_directories={place}"]
    with subprocess.Popen(command, cwd=cluster, env=ENVIRONMENT, stderr=subprocess.DEVNULL, **switch) as process:
        assert within(8, lambda: "ready" in text(cluster / "postmaster.pid"))
        yield process
        process.terminate()
    shutil.rmtree(place)


def text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
