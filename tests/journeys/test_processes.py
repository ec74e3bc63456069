"""Promises that only whole processes can keep: nothing lost, nothing doubled, whatever ends in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from crm_sync.domain.records import CrmKind
from crm_sync.sandbox.faults import Fault
from crm_sync.settings import Settings
from tests.journeys.conftest import Running

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("journeys")]


def test_given_workers_that_poll_when_leads_come_and_change_then_their_scores_arrive_by_themselves(running: Running):
    leads = {kind: running.add(kind)[0] for kind in CrmKind}
    for kind, lead in leads.items():
        running.until(lambda kind=kind, lead=lead: running.score(kind, lead) is not None, f"a first score in {kind}")
    before = {kind: running.score(kind, lead) for kind, lead in leads.items()}

    running.world(CrmKind.SALESFORCE).org.act(
        {
            "do": "edit", "object": "Lead", "id": leads[CrmKind.SALESFORCE],
            "fields": {"Title": "Chief Executive Officer", "NumberOfEmployees": 400, "Industry": "Manufacturing"},
        }
    )  # fmt: skip
    running.world(CrmKind.HUBSPOT).act(
        "edit", id=leads[CrmKind.HUBSPOT], properties={"jobtitle": "Chief Executive Officer", "industry": "Banking"}
    )

    for kind, lead in leads.items():
        changed = lambda kind=kind, lead=lead: float(running.score(kind, lead)) > float(before[kind])  # noqa: E731
        running.until(changed, f"a higher score in {kind}")
    for kind, lead in leads.items():
        assert not [write for write in running.written(kind, lead) if write.no_op]


@pytest.mark.parametrize("kind", list(CrmKind))
def test_given_a_push_worker_that_is_killed_after_the_crm_accepted_then_nothing_is_lost_or_doubled(
    running: Running, kind: CrmKind
):
    world = running.world(kind)
    body = "PATCH" if kind is CrmKind.SALESFORCE else ""
    world.faults.add([Fault(crm=kind.value, path=world.write_path(), body=body, do="drip", seconds=50, times=1)])
    leads = running.add(kind, 5)

    running.until(lambda: len({w.record_id for w in running.written(kind, *leads)}) >= 1, "an accepted write")
    os.killpg(running.processes.pids()["push"], signal.SIGKILL)
    world.faults.clear()
    in_flight = running.ask("SELECT id FROM outbox WHERE state = 'in_flight'")
    assert in_flight
    running.do("UPDATE outbox SET claimed_until = now() - interval '1 second' WHERE state = 'in_flight'")
    running.processes.start_worker("push", "push", processes=1)

    running.until(lambda: all(running.score(kind, lead) is not None for lead in leads), "every score")
    open_states = "SELECT id FROM outbox WHERE state IN ('waiting', 'in_flight', 'dead', 'held')"
    running.until(lambda: not running.ask(open_states), "an empty outbox")
    writes = [(write.record_id, write.field) for write in running.written(kind, *leads)]
    assert len(writes) == len(set(writes))
    for entry in in_flight:
        [settled] = running.ask("SELECT state, words, attempts FROM outbox WHERE id = :id", id=entry.id)
        assert (settled.state, settled.words) == ("delivered", "confirmed by reading back")
        told = running.ask(
            """
            SELECT payload::jsonb ->> 'repeat' AS repeat, payload::jsonb ->> 'attempt' AS attempt
            FROM audit_entry JOIN audit_payload ON entry_id = id
            WHERE kind = 'fields_delivered' AND payload::jsonb ->> 'entry' = :id
            """,
            id=str(entry.id),
        )
        assert [(one.repeat, one.attempt) for one in told] == [("true", "2")]


def test_given_a_broker_that_forgets_everything_when_work_is_under_way_then_nothing_is_lost(running: Running):
    leads = running.add(CrmKind.SALESFORCE, 20)
    for _ in range(5):
        running.flush_broker()
        time.sleep(0.3)

    running.until(lambda: all(running.score(CrmKind.SALESFORCE, lead) is not None for lead in leads), "every score")
    writes = [(write.record_id, write.field) for write in running.written(CrmKind.SALESFORCE, *leads)]
    assert len(writes) == len(set(writes))


PARENT = """
import sys, time
from crm_sync.cli.stack import Stack
from crm_sync.settings import Settings
with Stack(Settings.from_env(), lambda name, line: None) as stack:
    stack.start_worker("keep", "keep", processes=1)
    stack.start("beat", "celery", "--quiet", "-A", "celery_config", "beat", "--loglevel", "WARNING",
                "--schedule", sys.argv[1], "--pidfile", "")
    print("up", flush=True)
    time.sleep(100)
"""


def test_given_a_parent_that_is_killed_when_it_has_no_time_to_stop_its_children_then_none_is_left(
    settings: Settings, tmp_path: Path
):
    env = {
        **os.environ,
        "CRM_SYNC_HOME": str(tmp_path),
        "CRM_SYNC_DATABASE_URL": settings.database_url,
        "CRM_SYNC_BROKER_URL": settings.broker_url,
        "CRM_SYNC_SECRET_KEY": settings.secret_key,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    arguments = [sys.executable, "-c", PARENT, str(tmp_path / "beat-schedule")]
    with subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        give_up = time.monotonic() + 30
        # The keep worker forks its pool once it is ready.
        while len(children := psutil.Process(parent.pid).children(recursive=True)) < 3 and time.monotonic() < give_up:
            time.sleep(0.1)
        parent.kill()

    _, alive = psutil.wait_procs(children, timeout=30)

    assert len(children) >= 3
    assert alive == []
