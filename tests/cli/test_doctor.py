"""`crm-sync doctor`: every line says what is and what to do; exit code 1 if one fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from sqlalchemy import Engine

from crm_sync.examples import example_mapping, example_policy
from crm_sync.flows import diagnose
from crm_sync.store.engine import Transaction, rows, run
from tests.cli.conftest import ONE_CRM, Connect, Ran, Run, credentials_of
from tests.connectors.world import Trouble, World


@pytest.fixture
def worker(broker_url: str) -> Iterator[None]:
    """A worker that listens to this test's broker."""
    app = Celery("crm_sync", broker=broker_url, set_as_current=False)
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR", shutdown_timeout=20):
        yield


@pytest.fixture(autouse=True)
def hurry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker runs there is no answer to wait for."""
    if "worker" not in request.fixturenames:
        monkeypatch.setattr(diagnose, "ANSWER_WITHIN", 0.05)


@pytest.fixture
def joined(connect: Connect, crm_sync: Run, crm: World, tmp_path: Path) -> World:
    """A CRM that is connected with everything that it needs, and documents in force."""
    connect(crm, "--install-fields", "--yes")
    mapping, policy = tmp_path / "mapping.yaml", tmp_path / "policy.yaml"
    mapping.write_text(example_mapping(crm.kind))
    policy.write_text(example_policy())
    assert crm_sync("mapping", "publish", mapping, "--connection", crm.kind).code == 0
    assert crm_sync("policy", "publish", policy).code == 0
    return crm


def failed(ran: Ran) -> list[str]:
    """What the lines with a cross are about."""
    return [line.strip(" ✗").split(":")[0] for line in ran.out.splitlines() if "✗" in line]


def test_given_all_is_well_when_asked_then_nothing_fails(crm_sync: Run, joined: World, worker: None):
    ran = crm_sync("doctor")

    assert (failed(ran), ran.code) == ([], 0)
    for line in ("disk", "secret key", "database: PostgreSQL", "broker", "workers: 1", "policy", "sign-in", "clocks"):
        assert f"✓ {line}" in ran.out
    assert "✓ mapping: version" in ran.out


@ONE_CRM
def test_given_no_worker_when_asked_then_it_says_how_to_start_one(crm_sync: Run, joined: World):
    ran = crm_sync("doctor")

    assert (failed(ran), ran.code) == (["workers"], 1)
    assert "crm-sync up" in ran.out


def test_given_a_fresh_installation_when_asked_then_it_says_what_comes_next(crm_sync: Run):
    ran = crm_sync("doctor", "--json")

    told = ran.json()
    assert isinstance(told, list)
    assert ran.code == 1
    assert {line["name"] for line in told if not line["passed"]} == {"workers", "policy", "connections"}
    assert all(line["advice"] for line in told if not line["passed"])


@ONE_CRM
def test_given_no_broker_when_asked_then_one_line_says_so_and_the_rest_is_still_looked_at(crm_sync: Run, joined: World):
    ran = crm_sync("doctor", env={"CRM_SYNC_BROKER_URL": "redis://:hidden@127.0.0.1:9/0"})

    assert failed(ran) == ["broker"]
    assert "hidden" not in ran.out
    assert "✓ sign-in" in ran.out


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("postgresql://nobody@127.0.0.1:9/nowhere", "can't be reached", id="unreachable"),
        pytest.param("", "crm-sync database upgrade", id="never-migrated"),
    ],
)
def test_given_no_database_to_work_with_when_asked_then_one_line_says_what_to_do(
    crm_sync: Run, empty_database_url: str, url: str, says: str
):
    ran = crm_sync("doctor", env={"CRM_SYNC_DATABASE_URL": url or empty_database_url})

    assert (ran.code, "database" in failed(ran), says in ran.out) == (1, True, True)


def test_given_a_newer_database_when_asked_then_it_says_to_install_the_newer_version(crm_sync: Run, engine: Engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("RESET ROLE")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    ran = crm_sync("doctor")

    assert (ran.code, "newer crm-sync" in ran.out) == (1, True)


def test_given_a_key_file_that_others_may_read_when_asked_then_it_says_how_to_close_it(crm_sync: Run, tmp_path: Path):
    key = tmp_path / "secret.key"
    key.write_text("k" * 40)
    key.chmod(0o644)

    ran = crm_sync("doctor", env={"CRM_SYNC_SECRET_KEY": "", "CRM_SYNC_SECRET_KEY_FILE": str(key)})

    assert (ran.code, "chmod 600" in ran.out) == (1, True)


def test_given_a_key_file_beside_the_data_when_asked_then_it_says_to_move_it(crm_sync: Run, settings):
    settings.home.mkdir()
    key = settings.home / "secret.key"
    key.touch(mode=0o600)
    key.write_text("k" * 40)

    ran = crm_sync("doctor", env={"CRM_SYNC_SECRET_KEY": "", "CRM_SYNC_SECRET_KEY_FILE": str(key)})

    assert "secret key" in failed(ran)


def test_given_wrong_settings_when_asked_then_every_wrong_one_is_named(crm_sync: Run):
    ran = crm_sync("doctor", env={"CRM_SYNC_WORKER_PROCESSES": "some", "CRM_SYNC_PUSH_MAX_ATTEMPTS": "0"})

    assert (failed(ran), ran.code) == (["settings"], 1)
    assert "CRM_SYNC_WORKER_PROCESSES" in ran.out
    assert "CRM_SYNC_PUSH_MAX_ATTEMPTS" in ran.out


def test_given_another_org_answers_when_asked_then_it_is_told_and_the_connection_stopped(
    crm_sync: Run, joined: World, transaction: Transaction
):
    with transaction() as session:
        run(session, "UPDATE connection SET org_id = 'another'")

    first, second = crm_sync("doctor"), crm_sync("doctor")

    assert "same org" in failed(first)
    assert {"state", "same org"} <= set(failed(second))
    with transaction() as session:
        assert rows(session, "SELECT state FROM connection")[0].state == "wrong_org"
        assert len(rows(session, "SELECT FROM audit_entry WHERE kind = 'wrong_org'")) == 1


def test_given_credentials_that_ended_when_asked_then_it_says_to_sign_in_again(
    crm_sync: Run, joined: World, transaction: Transaction, keys
):
    with transaction() as session:
        sealed = keys.seal({**credentials_of(joined), "access_token": "gone", "consumer_secret": "gone"})
        run(session, "UPDATE connection SET sealed_credentials = :sealed", sealed=sealed)

    ran = crm_sync("doctor")

    assert "sign-in" in failed(ran)


@ONE_CRM
def test_given_another_secret_key_when_asked_then_one_line_says_what_became_of_the_credentials(
    crm_sync: Run, joined: World
):
    ran = crm_sync("doctor", env={"CRM_SYNC_SECRET_KEY": "x" * 40})

    assert "credentials" in failed(ran)
    assert "another secret key" in ran.out


def test_given_our_fields_were_removed_when_asked_then_fields_and_mapping_fail(crm_sync: Run, joined: World):
    from crm_sync.domain.fields import OWN_FIELDS

    joined.connector.remove_fields(joined.people.object, OWN_FIELDS)

    ran = crm_sync("doctor")

    assert {f"our fields on {joined.people.object}", "mapping"} <= set(failed(ran))


@ONE_CRM
def test_given_the_crm_stumbles_when_asked_then_it_is_one_line_and_no_traceback(crm_sync: Run, joined: World):
    joined.trouble(Trouble.HTML, times=50)

    ran = crm_sync("doctor")

    assert "sign-in" in failed(ran)


@ONE_CRM
def test_given_the_crm_asked_us_to_wait_when_asked_then_it_is_not_called(
    crm_sync: Run, joined: World, transaction: Transaction
):
    with transaction() as session:
        run(session, "UPDATE connection SET wait_until = now() + interval '1 hour'")
    mark = joined.mark()

    ran = crm_sync("doctor")

    assert "asked us to wait" in ran.out
    assert joined.calls(mark) == []


@ONE_CRM
def test_given_feeds_that_nobody_reads_when_asked_then_it_says_to_start_beat(
    crm_sync: Run, joined: World, transaction: Transaction
):
    with transaction() as session:
        run(session, "UPDATE feed SET next_due = now() - interval '10 minutes'")

    ran = crm_sync("doctor")

    assert "pulling" in failed(ran)
    assert "10 minutes" in ran.out


@ONE_CRM
def test_given_a_clock_that_is_far_off_when_asked_then_it_says_so(crm_sync: Run, joined: World):
    joined.clock.advance(timedelta(minutes=10))

    ran = crm_sync("doctor")

    assert "clocks" in failed(ran)
    assert "NTP" in ran.out


@ONE_CRM
def test_given_a_paused_connection_when_asked_then_that_is_no_failure(
    crm_sync: Run, joined: World, transaction: Transaction
):
    with transaction() as session:
        run(session, "UPDATE connection SET state = 'paused', state_reason = 'holidays'")

    ran = crm_sync("doctor")

    assert failed(ran) == ["workers"]
    assert "paused: holidays" in ran.out
