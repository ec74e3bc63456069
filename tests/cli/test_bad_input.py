"""What a user or the machine does wrong: one sentence that says what to do, exit code 1, no traceback.

Mistakes in a mapping or policy, at sign-in and in what doctor looks at have tests of their own beside this file.
"""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from crm_sync.cli import refusals
from crm_sync.settings import Settings
from tests.cli.conftest import Run

NO_SERVERS = {"CRM_SYNC_DATABASE_URL": "", "CRM_SYNC_BROKER_URL": ""}
NO_DATABASE = {"CRM_SYNC_DATABASE_URL": "postgresql://127.0.0.1:1/crm"}


@pytest.mark.parametrize(
    ("env", "says"),
    [
        pytest.param({"CRM_SYNC_WORKER_PROCESSES": "two"}, "whole number of at least 1, got 'two'", id="no-number"),
        pytest.param({"CRM_SYNC_CLOCK_OFFSET_SECONDS": "1 h"}, "CRM_SYNC_CLOCK_OFFSET_SECONDS", id="no-seconds"),
        pytest.param({"CRM_SYNC_DATABASE_URL": "mysql://db/crm"}, "must begin with postgresql://", id="other-database"),
        pytest.param({"CRM_SYNC_BROKER_URL": "sqs://"}, "must begin with redis://", id="other-broker"),
        pytest.param({"CRM_SYNC_DATABASE_URL": ""}, "go together", id="half-embedded"),
        pytest.param({"CRM_SYNC_DATABASE_URL": "postgresql://db:x/crm"}, "the port is no number", id="port"),
        pytest.param({"CRM_SYNC_DATABASE_URL": "postgresql://u:a/b@db/crm"}, "percent-encoded", id="bare-password"),
        pytest.param({"CRM_SYNC_DATABASE_URL": "postgresql://[db/crm"}, "the host is malformed", id="host"),
        pytest.param({"CRM_SYNC_SECRET_KEY": "short"}, "at least 32 characters", id="short-key"),
        pytest.param(
            {"CRM_SYNC_SECRET_KEY": "", "CRM_SYNC_SECRET_KEY_FILE": "/dev/null/key"}, "can't be used", id="key-file"
        ),
        pytest.param(NO_DATABASE, "check CRM_SYNC_DATABASE_URL", id="no-database"),
        pytest.param({**NO_SERVERS, "CRM_SYNC_HOME": "/dev/null/x"}, "name a folder", id="home-in-a-file"),
    ],
)
def test_given_a_wrong_setting_when_a_command_runs_then_one_sentence_names_it(
    crm_sync: Run, env: dict[str, str], says: str
) -> None:
    ran = crm_sync("status", env=env)

    assert ran.code == 1
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.out == ""


def test_given_a_password_in_a_url_that_is_refused_when_told_then_it_is_not_repeated(crm_sync: Run) -> None:
    for url in ("postgresql://u:hunter2/x@db/crm", "postgresql://u:hunter2@127.0.0.1:1/crm", "mysql://u:hunter2@db/c"):
        ran = crm_sync("status", env={"CRM_SYNC_DATABASE_URL": url})

        assert ran.code == 1
        assert "hunter2" not in ran.err + ran.out


def test_given_several_wrong_settings_when_a_command_runs_then_all_are_named_at_once(crm_sync: Run) -> None:
    ran = crm_sync("status", env={"CRM_SYNC_POLL_SECONDS": "0", "CRM_SYNC_SECRET_KEY": "short"})

    assert "CRM_SYNC_POLL_SECONDS" in ran.err
    assert "CRM_SYNC_SECRET_KEY" in ran.err


def test_given_no_broker_when_everything_is_started_then_it_says_so_at_once(crm_sync: Run, empty_broker: str) -> None:
    ran = crm_sync("up", env={"CRM_SYNC_BROKER_URL": empty_broker})

    assert ran.code == 1
    assert "doesn't answer" in ran.err
    assert "correct CRM_SYNC_BROKER_URL" in ran.err


@pytest.fixture
def empty_broker() -> str:
    """Where no broker listens: port 1 is nobody's."""
    return "redis://127.0.0.1:1/0"


def test_given_a_demo_that_runs_when_a_second_begins_then_it_says_what_to_do(crm_sync: Run, settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with (settings.home / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        ran = crm_sync("demo", env=NO_SERVERS)

    assert ran.code == 1
    assert "another demo runs" in ran.err
    assert "CRM_SYNC_HOME" in ran.err


def test_given_a_home_that_is_a_file_when_the_demo_begins_then_one_sentence_says_so(crm_sync: Run) -> None:
    ran = crm_sync("demo", env={**NO_SERVERS, "CRM_SYNC_HOME": "/dev/null/x"})

    assert ran.code == 1
    assert "/dev/null/x can't be used" in ran.err


@pytest.mark.parametrize(("option", "value"), [("--people", "0"), ("--people", "many"), ("--activities", "-1")])
def test_given_a_size_that_makes_no_sense_when_the_demo_begins_then_it_is_refused_before_anything_starts(
    crm_sync: Run, settings: Settings, option: str, value: str
) -> None:
    ran = crm_sync("demo", option, value)

    assert ran.code == 2
    assert option in ran.err
    assert not settings.home.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_given_a_full_disk_when_a_mapping_is_written_to_it_then_it_says_so_and_fails() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "crm_sync", "mapping", "example", "salesforce"],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    assert ran.returncode == 1
    assert "free some space" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device", "roots.log"), "free some space", id="full-disk"),
        pytest.param(PermissionError(errno.EACCES, "Permission denied", "/srv/x"), "let this user use it", id="closed"),
        pytest.param(OSError(errno.EROFS, "Read-only file system", "/srv/x"), "CRM_SYNC_HOME", id="read-only"),
        pytest.param(
            OperationalError("SELECT 1", {}, Exception("could not extend file: No space left\nHINT: more")),
            "the database stopped the command (could not extend file: No space left)",
            id="full-database",
        ),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(error: Exception, says: str) -> None:
    told = refusals.sentence(error)

    assert told is not None
    assert says in told
    assert "\n" not in told


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), FileNotFoundError(errno.ENOENT, "gone", "x")])
def test_our_own_mistakes_are_no_sentence(error: Exception) -> None:
    assert refusals.sentence(error) is None
