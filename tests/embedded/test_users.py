"""Do the servers run as root's helper nobody, and as an ordinary user, and for whom do they open?"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import psutil
import pytest

from crm_sync import embedded

from .conftest import ROOT, copy_folder, url, value

needs_root = pytest.mark.skipif(not ROOT, reason="asks what root gets; this run is by an ordinary user")

SERVE = '''
import os, signal, subprocess, sys, time
from pathlib import Path
import psutil, psycopg
from kombu import Connection
from crm_sync import embedded

folder = Path(os.environ["FOLDER"]) / "some data"
holder = """
import sys, time, pathlib
from crm_sync import embedded
embedded.start(pathlib.Path(sys.argv[1]), durable=False)
print(1, flush=True)
time.sleep(600)
"""
with embedded.running(folder, durable=False) as servers:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    with Connection(servers.broker_url) as connection, connection.SimpleQueue("pull") as queue:
        queue.put({})
        queue.get(timeout=5).ack()
    found = embedded.status(folder)
    print({psutil.Process(pid).username() for pid in (found.supervisor, found.postgres, found.valkey)})
killed = subprocess.Popen([sys.executable, "-c", holder, str(folder)], stdout=subprocess.PIPE)
killed.stdout.readline()
found = embedded.status(folder)
killed.kill()
killed.wait()
end = time.monotonic() + 8
while any(map(psutil.pid_exists, (found.supervisor, found.postgres, found.valkey))) and time.monotonic() < end:
    time.sleep(0.05)
print(embedded.status(folder))
with embedded.running(folder, durable=False) as servers, psycopg.connect(servers.database_url) as connection:
    print(connection.execute("SELECT count(*) FROM kept").fetchone())
'''

CONNECT = """
import os, sys, psycopg
try:
    psycopg.connect(sys.argv[1])
except psycopg.OperationalError as error:
    print(os.geteuid(), error)
"""

START = """
import sys
from pathlib import Path
from crm_sync import embedded
try:
    embedded.start(Path(sys.argv[1]))
except embedded.ConfigError as error:
    print(error)
"""


def test_an_ordinary_user_is_served_and_nothing_of_his_stays(as_nobody):
    done = as_nobody(SERVE)

    assert done.stdout.splitlines() == ["{'nobody'}", "None", "(1,)"], done.stderr


@needs_root
def test_given_root_with_more_groups_then_both_servers_run_as_nobody_without_any_of_them(data, hold):
    url(hold(data, extra_groups=[0, 4]))
    status = embedded.status(data)

    servers = [psutil.Process(pid) for pid in (status.postgres, status.valkey)]
    users = {uid for server in servers for uid in server.uids()}
    groups = {gid for server in servers for gid in [*server.gids(), *more_groups(server.pid)]}

    entry = pwd.getpwnam("nobody")
    assert (users, groups) == ({entry.pw_uid}, {entry.pw_gid})


@needs_root
def test_given_root_and_a_folder_below_closed_ones_then_it_serves_and_they_stay_closed(template, tmp_path):
    closed = tmp_path / "root's own"
    closed.mkdir(mode=0o700)
    copy_folder(template, closed / "data")
    before = modes(closed)

    with embedded.running(closed / "data", durable=False) as servers:
        answer = value(servers.database_url, "SELECT 1")
        during = modes(closed)

    assert answer == 1
    assert before == during == modes(closed)


@needs_root
def test_given_root_started_it_when_the_servers_own_user_connects_then_peer_authentication_refuses(data, as_nobody):
    with embedded.running(data, durable=False) as servers:
        done = as_nobody(CONNECT, servers.database_url)

    assert done.stdout.startswith(str(pwd.getpwnam("nobody").pw_uid)), done.stderr
    assert "Peer authentication failed" in done.stdout


def test_given_a_folder_of_root_when_another_user_starts_it_then_the_sentence_says_so(nobodys_place, as_nobody):
    place = nobodys_place / "of root"
    place.mkdir(mode=0o755)

    done = as_nobody(START, str(place / "data"))
    place.rmdir()

    assert f"nobody may not use the data folder {place}/data" in done.stdout, done.stderr
    assert "permission denied" in done.stdout


@needs_root
def test_given_a_cluster_of_another_user_when_root_starts_it_then_the_sentence_names_the_owner(data):
    daemon = pwd.getpwnam("daemon")
    os.chown(data / "postgres", daemon.pw_uid, daemon.pw_gid)

    with pytest.raises(
        embedded.ConfigError, match=r"belongs to daemon: start crm-sync as that user \(as root it would run as nobody\)"
    ):
        embedded.start(data)


def modes(folder: Path) -> list[int]:
    return [path.stat().st_mode for path in (folder, *folder.parents, folder / "data")]


def more_groups(pid: int) -> list[int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [int(group) for line in lines if line.startswith("Groups:") for group in line.split()[1:]]
