"""What is left when a holder, the supervisor or a server ends in the worst way?"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from crm_sync import embedded
from crm_sync.embedded import processes

from .conftest import ROOT, execute, is_alive, kill, pids, url, value, within

SOON = 30  # seconds, on a machine that is busy with other things


def test_given_a_killed_holder_then_nothing_stays_up(data, hold):
    holder = hold(data)
    url(holder)
    status = embedded.status(data)

    kill(holder)

    assert within(SOON, lambda: not any(is_alive(pid) for pid in pids(status)))
    assert within(SOON, lambda: not run_folder(status).exists())


def test_given_three_starts_at_once_over_an_empty_folder_then_one_pair_serves_three_holders(tmp_path, hold):
    folder = tmp_path / "new"
    holders = [hold(folder) for _ in range(3)]

    urls = {url(holder) for holder in holders}
    status = embedded.status(folder)
    postmasters = [one.pid for one in psutil.process_iter() if serves(one, folder / "postgres")]
    for holder in holders[:2]:
        kill(holder)
    answer = value(urls.pop(), "SELECT pg_sleep(0.6) IS NOT NULL")

    assert not urls
    assert postmasters == [status.postgres]
    assert answer is True
    kill(holders[2])
    assert within(SOON, lambda: not any(is_alive(pid) for pid in pids(status)))


def test_given_other_holders_when_stopped_then_both_servers_are_down_and_start_again_under_the_same_urls(data, hold):
    before = url(hold(data))
    status = embedded.status(data)

    embedded.stop(data)

    assert within(1, lambda: not any(is_alive(pid) for pid in pids(status)))
    assert url(hold(data)) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_given_a_killed_supervisor_then_both_servers_stop_even_if_nobody_starts_them_again(data, hold):
    url(hold(data))
    status = embedded.status(data)

    os.kill(status.supervisor, signal.SIGKILL)

    assert within(SOON, lambda: not any(is_alive(pid) for pid in pids(status)))
    assert embedded.status(data) is None


def test_given_a_killed_supervisor_when_started_again_then_one_new_pair_serves_the_old_rows_and_urls(data, hold):
    with embedded.running(data, durable=False) as before:
        execute(before.database_url, "CREATE TABLE kept AS SELECT 1 AS one")
        status = embedded.status(data)
        os.kill(status.supervisor, signal.SIGKILL)
        within(SOON, lambda: not is_alive(status.supervisor))

        after = embedded.start(data, durable=False)

        assert after == before
        assert value(after.database_url, "SELECT count(*) FROM kept") == 1
        assert not any(is_alive(pid) for pid in pids(status))


def test_given_a_killed_supervisor_and_a_server_that_hangs_when_stopped_then_it_is_ended(data, hold, monkeypatch):
    monkeypatch.setattr(processes, "FIRM_AFTER", 0.2)
    url(hold(data))
    status = embedded.status(data)
    os.kill(status.valkey, signal.SIGSTOP)
    os.kill(status.supervisor, signal.SIGKILL)

    embedded.stop(data)

    assert within(1, lambda: not any(is_alive(pid) for pid in pids(status)))
    assert not run_folder(status).exists()


def test_given_a_killed_postgres_then_it_recovers_what_was_committed_under_the_same_url(data):
    with embedded.running(data, durable=False) as servers:
        execute(servers.database_url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS one")
        before = embedded.status(data)

        os.kill(before.postgres, signal.SIGKILL)

        assert within(SOON, lambda: (now := embedded.status(data)) and now.postgres != before.postgres)
        assert value(servers.database_url, "SELECT count(*) FROM kept") == 1000
        assert embedded.status(data).valkey == before.valkey


def test_given_a_killed_broker_then_another_answers_under_the_same_url(data):
    with embedded.running(data, durable=False) as servers:
        before = embedded.status(data)

        os.kill(before.valkey, signal.SIGKILL)

        assert within(SOON, lambda: (now := embedded.status(data)) and now.valkey != before.valkey)
        assert embedded.status(data).servers == servers
        assert embedded.status(data).postgres == before.postgres


def test_given_a_server_that_dies_again_and_again_then_both_stop_and_the_log_says_why(data, hold):
    url(hold(data))
    status = now = embedded.status(data)

    while now:
        os.kill(now.valkey, signal.SIGKILL)
        within(SOON, partial(has_another_broker, data, now))
        now = embedded.status(data)

    assert within(SOON, lambda: not any(is_alive(pid) for pid in pids(status)))
    assert "Valkey can't run" in (data / "supervisor.log").read_text()


def test_given_everything_was_killed_when_started_then_the_database_recovers(data, hold):
    holder = hold(data)
    execute(url(holder), "CREATE TABLE kept AS SELECT 1 AS one")
    status = embedded.status(data)
    for pid in (holder.pid, *pids(status)):
        os.kill(pid, signal.SIGKILL)
    within(SOON, lambda: not is_alive(status.supervisor))

    with embedded.running(data, durable=False) as servers:
        assert value(servers.database_url, "SELECT count(*) FROM kept") == 1


@pytest.mark.parametrize("kind", ["dead", "of-a-living-stranger"])
def test_given_stale_pid_files_then_they_fool_nobody(data, kind):
    stranger = a_stranger()
    if kind == "dead":
        stranger.kill()
        stranger.wait()
    postmaster = f"{stranger.pid}\n{data}/postgres\n1700000000\n5432\n/tmp\n\n  1  1\nready\n"
    (data / "postgres" / "postmaster.pid").write_text(postmaster)
    (data / "supervisor.lock").write_text(json.dumps([stranger.pid, 1.0]))
    claim = {"sockets": "/tmp", "durable": True, "postgres": [stranger.pid, 1.0], "valkey": [stranger.pid, 1.0]}
    (data / "running.json").write_text(json.dumps(claim))

    before = embedded.status(data)
    with embedded.running(data, durable=False) as servers:
        answer = value(servers.database_url, "SELECT 1")
    embedded.stop(data)

    assert (before, answer) == (None, 1)
    assert (stranger.poll() is None) == (kind != "dead")
    stranger.kill()
    stranger.wait()


def test_given_a_holder_killed_while_it_started_then_the_next_start_works(tmp_path, hold):
    folder = tmp_path / "new"
    for moment in ("supervisor.log", "postgres.new", "postgres"):
        holder = hold(folder)
        within(SOON, (folder / moment).exists)
        kill(holder)

    with embedded.running(folder, durable=False) as servers:
        assert value(servers.database_url, "SELECT 1") == 1


def test_given_a_cluster_whose_making_was_interrupted_then_it_is_made_anew(data):
    (data / "postgres").rename(data / "postgres.new")
    (data / "postgres.new" / "global" / "pg_control").unlink()

    with embedded.running(data, durable=False) as servers:
        assert value(servers.database_url, "SELECT 1") == 1
    assert not (data / "postgres.new").exists()


def test_given_the_data_folder_is_removed_then_the_servers_stop(data, hold):
    url(hold(data))
    status = embedded.status(data)

    shutil.rmtree(data)

    assert within(SOON, lambda: not any(is_alive(pid) for pid in pids(status)))


def test_given_the_sockets_are_removed_when_started_again_then_they_are_back(data, hold):
    before = url(hold(data))
    status = embedded.status(data)

    shutil.rmtree(run_folder(status))

    assert within(SOON, lambda: not any(is_alive(pid) for pid in pids(status)))
    assert url(hold(data)) == before


def test_given_a_stranger_has_the_name_of_the_old_run_folder_then_another_is_used(data, hold):
    holder = hold(data)
    before = url(holder)
    status = embedded.status(data)
    kill(holder)
    within(SOON, lambda: not run_folder(status).exists() and not is_alive(status.supervisor))
    run_folder(status).mkdir(mode=0o777)
    run_folder(status).chmod(0o777)

    after = url(hold(data))
    run_folder(status).rmdir()

    assert after.startswith("postgresql://")
    assert after != before


def has_another_broker(data: Path, before: embedded.Status) -> bool:
    """Also true where there will be none."""
    now = embedded.status(data)
    return now.valkey != before.valkey if now else not is_alive(before.supervisor)


def run_folder(status: embedded.Status) -> Path:
    return Path(status.servers.broker_url.partition("@")[2].partition("?")[0]).parents[1]


def serves(process: psutil.Process, cluster: Path) -> bool:
    """Whether this is the parent of a PostgreSQL over `cluster`; its children work in the same folder."""
    try:
        parent = process.parent()
        return process.cwd() == str(cluster) and "postgres" not in (parent.name() if parent else "")
    except psutil.Error:
        return False


def a_stranger() -> subprocess.Popen[bytes]:
    """A process that PostgreSQL would take for a living postmaster: it may send it a signal."""
    switch = {"user": pwd.getpwnam("nobody").pw_uid} if ROOT else {}
    return subprocess.Popen(["sleep", "600"], **switch)
