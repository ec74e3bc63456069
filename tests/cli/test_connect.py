"""`crm-sync connect …` against sandbox CRMs over HTTP and a real database."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.keys import Keys
from crm_sync.flows.connect.rehearsal import MARKER
from crm_sync.sandbox.faults import Fault
from crm_sync.store import connections
from crm_sync.store.engine import Transaction, rows, run
from tests.cli.conftest import ONE_CRM, Connect, Run, credentials_of
from tests.connectors.world import Trouble, World


def saved(transaction: Transaction) -> Connection:
    with transaction() as session:
        [connection] = connections.listed(session)
    return connection


def count(transaction: Transaction, table: str) -> int:
    with transaction() as session:
        return int(rows(session, f"SELECT count(*) AS n FROM {table}")[0].n)


def states(world: World, id: str) -> list[object]:
    """What our state field of a record was set to, in order."""
    field = world.own("state")
    return [write.after for write in world.journal.writes if write.record_id == id and write.field == field]


def test_given_everything_is_there_when_connected_then_each_step_is_told_and_the_connection_is_active(
    connect: Connect, crm: World, transaction: Transaction
):
    crm.install()
    crm.add_people(1)

    ran = connect(crm, "--yes", "--object", crm.people.object)

    assert (ran.code, "✗" in ran.out) == (0, False)
    for step in ("sign-in", "identity", "access to", "our fields", "test write", "clocks"):
        assert f"✓ {step}" in ran.out
    connection = saved(transaction)
    assert (connection.name, connection.state) == (crm.kind, ConnectionState.ACTIVE)
    assert connection.org_id in ran.out
    assert f"crm-sync observe {crm.kind}" in ran.out
    with transaction() as session:
        assert {row.name for row in rows(session, "SELECT name FROM feed")} == {f.name for f in crm.connector.feeds()}
        assert [row.kind for row in rows(session, "SELECT kind FROM audit_entry")] == ["connected"]


@ONE_CRM
def test_given_no_fields_when_connected_then_it_observes_and_says_how_to_install_them(
    connect: Connect, crm: World, transaction: Transaction
):
    [id] = crm.add_people(1)

    ran = connect(crm, "--yes")

    assert ran.code == 0
    assert f"crm-sync fields install --connection {crm.kind}" in ran.out
    assert saved(transaction).state is ConnectionState.OBSERVING
    assert [write for write in crm.journal.writes if write.record_id == id] == []


def test_given_no_fields_when_connected_with_install_fields_then_they_are_there_and_it_is_active(
    connect: Connect, crm: World, transaction: Transaction
):
    ran = connect(crm, "--yes", "--install-fields")

    assert (ran.code, "✗" in ran.out) == (0, False)
    assert crm.own("score") in crm.connector.catalogue(crm.people.object)
    assert saved(transaction).state is ConnectionState.ACTIVE


def test_given_a_record_with_a_state_when_connected_then_the_test_write_is_undone(
    connect: Connect, crm: World, transaction: Transaction
):
    crm.install()
    [id] = crm.add_people(1, **{crm.own("state"): "scored"})

    connect(crm, "--yes", "--object", crm.people.object)

    assert states(crm, id) == [MARKER, "scored"]
    assert crm.value(id, crm.own("state")) == "scored"


def test_given_the_answer_to_the_test_write_is_lost_when_connected_then_it_is_undone_all_the_same(
    connect: Connect, crm: World
):
    crm.install()
    [id] = crm.add_people(1)
    crm.faults.add([Fault.model_validate({"crm": crm.kind, "body": MARKER, "do": "lose"})])

    connect(crm, "--yes", "--object", crm.people.object)

    assert MARKER in states(crm, id)
    assert not crm.value(id, crm.own("state"))


@ONE_CRM
def test_given_a_record_that_refuses_when_connected_then_the_crm_is_quoted_and_it_observes(
    connect: Connect, crm: World, transaction: Transaction
):
    crm.install()
    [id] = crm.add_people(1)
    crm.refuse(id)

    ran = connect(crm, "--yes", "--object", crm.people.object)

    assert "✗ test write" in ran.out
    assert saved(transaction).state is ConnectionState.OBSERVING


@ONE_CRM
def test_given_nobody_to_ask_when_connected_without_yes_then_nothing_is_written_to_the_crm(
    connect: Connect, crm: World, transaction: Transaction
):
    crm.install()
    [id] = crm.add_people(1)

    ran = connect(crm, "--object", crm.people.object)

    assert "add --yes" in ran.err
    assert states(crm, id) == []
    assert saved(transaction).state is ConnectionState.OBSERVING


def test_given_wrong_credentials_when_connected_then_one_line_says_so_and_nothing_is_saved(
    connect: Connect, crm: World, transaction: Transaction
):
    ran = connect(crm, **crm.wrong_credentials())

    assert (ran.code, ran.out.count("\n")) == (1, 1)
    assert ran.out.startswith("✗ sign-in")
    assert [count(transaction, table) for table in ("connection", "feed", "audit_entry")] == [0, 0, 0]


@ONE_CRM
def test_given_nobody_answers_when_connected_then_one_line_says_so_and_nothing_is_saved(
    connect: Connect, crm: World, transaction: Transaction
):
    ran = connect(crm, url="http://127.0.0.1:9")

    assert (ran.code, ran.out.count("\n"), ran.err) == (1, 1, "")
    assert count(transaction, "connection") == 0


@ONE_CRM
def test_given_an_org_that_is_connected_when_connected_under_another_name_then_it_is_refused(
    connect: Connect, crm: World, transaction: Transaction
):
    crm.install()
    crm.add_people(1)
    connect(crm, "--yes")

    ran = connect(crm, "--yes", "--name", "again", "--confirm-org")

    assert ran.code == 1
    assert f"is connected already, as '{crm.kind}'" in ran.out
    assert f"--name {crm.kind}" in ran.out
    assert saved(transaction).name == crm.kind
    assert connect(crm, "--yes").code == 0


@ONE_CRM
def test_given_another_org_was_confirmed_when_connected_then_it_is_stopped_and_keeps_its_own_credentials(
    connect: Connect, crm: World, transaction: Transaction, keys: Keys
):
    connect(crm, "--install-fields", "--yes")
    with transaction() as session:
        run(session, "UPDATE connection SET org_id = 'another', org_name = 'Another'")
        before = connections.credentials(session, saved(transaction).id, keys)

    ran = connect(crm, "--yes")

    assert ran.code == 1
    assert "--confirm-org" in ran.out
    connection = saved(transaction)
    assert (connection.state, connection.org_id) == (ConnectionState.WRONG_ORG, "another")
    with transaction() as session:
        assert connections.credentials(session, connection.id, keys) == before
        assert [row.kind for row in rows(session, "SELECT kind FROM audit_entry ORDER BY id")] == [
            "connected",
            "wrong_org",
        ]


@ONE_CRM
def test_given_another_org_was_confirmed_when_this_one_is_then_it_is_read_from_the_beginning(
    connect: Connect, crm: World, transaction: Transaction
):
    connect(crm, "--install-fields", "--yes")
    right = saved(transaction).org_id
    with transaction() as session:
        run(session, "UPDATE connection SET org_id = 'another', state = 'wrong_org'")
        run(session, "UPDATE feed SET cursor = '{}', watermark = now()")

    ran = connect(crm, "--yes", "--confirm-org")

    assert (ran.code, saved(transaction).org_id, saved(transaction).state) == (0, right, ConnectionState.ACTIVE)
    assert count(transaction, "feed WHERE cursor IS NOT NULL OR watermark IS NOT NULL") == 0


@ONE_CRM
def test_given_a_test_org_was_confirmed_when_production_answers_then_not_even_confirming_helps(
    connect: Connect, crm: World, transaction: Transaction
):
    connect(crm, "--install-fields", "--yes")
    with transaction() as session:
        run(session, "UPDATE connection SET org_id = 'another', is_test = NOT is_test")

    ran = connect(crm, "--yes", "--confirm-org")

    assert (ran.code, "another --name" in ran.out) == (1, True)
    assert saved(transaction).org_id == "another"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("paused", "paused", id="an-admin-paused-it"),
        pytest.param("observing", "observing", id="an-admin-lets-it-observe"),
        pytest.param("needs_sign_in", "active", id="it-was-not-let-in"),
    ],
)
def test_given_a_state_when_connected_again_then_what_an_admin_decided_stays(
    connect: Connect, hubspot: World, transaction: Transaction, before: str, after: str
):
    connect(hubspot, "--install-fields", "--yes")
    with transaction() as session:
        run(session, "UPDATE connection SET state = :state, state_reason = 'because'", state=before)

    connect(hubspot, "--yes")

    assert saved(transaction).state == after


def test_given_observe_when_connected_then_nothing_will_be_written(
    connect: Connect, hubspot: World, transaction: Transaction
):
    ran = connect(hubspot, "--install-fields", "--yes", "--observe")

    assert saved(transaction).state is ConnectionState.OBSERVING
    assert "crm-sync resume hubspot" in ran.out


def test_given_a_name_of_the_other_crm_when_connected_then_it_is_refused(
    connect: Connect, salesforce: World, hubspot: World, transaction: Transaction
):
    connect(hubspot, "--name", "acme")

    ran = connect(salesforce, "--name", "acme")

    assert (ran.code, "--name" in ran.err) == (1, True)
    assert saved(transaction).kind == "hubspot"


@ONE_CRM
def test_given_json_when_connected_then_a_script_reads_every_step(connect: Connect, crm: World):
    ran = connect(crm, "--install-fields", "--yes", "--json")

    told = ran.json()
    assert isinstance(told, dict)
    assert (told["connection"], told["state"]) == (crm.kind, "active")
    assert all(step["passed"] for step in told["steps"])


def test_given_a_new_connection_when_saved_then_its_calls_count_on_its_budget(
    connect: Connect, crm: World, transaction: Transaction
):
    connect(crm, "--install-fields", "--yes")

    with transaction() as session:
        [day] = rows(session, "SELECT taken FROM budget WHERE span = 'day'")
    assert day.taken >= len(crm.calls()) - 1  # the world's own catalogue call


@ONE_CRM
def test_given_secrets_when_connected_then_they_are_nowhere_but_sealed(
    connect: Connect, crm: World, transaction: Transaction
):
    ran = connect(crm, "--install-fields", "--yes")

    secrets = [value for name, value in credentials_of(crm).items() if name in ("consumer_secret", "access_token")]
    with transaction() as session:
        held = str(rows(session, "SELECT * FROM connection")) + str(rows(session, "SELECT * FROM audit_payload"))
    assert secrets
    assert not [secret for secret in secrets if secret in ran.out + ran.err + held]


def test_given_a_refresh_token_that_rotates_when_signing_in_ends_early_then_the_new_one_is_not_lost(
    connect: Connect, hubspot: World, transaction: Transaction, keys: Keys
):
    # Only HubSpot's OAuth rotates tokens.
    from tests.connectors.hubspot_world import OAUTH

    hubspot.portal.behaviour = replace(hubspot.portal.behaviour, rotate_refresh_tokens=True)
    hubspot.trouble(Trouble.MAINTENANCE, path="/account-info", times=3)

    ran = connect(hubspot, **{**OAUTH, "access_token": ""})

    assert ran.code == 1
    with transaction() as session:
        kept = connections.credentials(session, saved(transaction).id, keys)
    assert kept["refresh_token"] != OAUTH["refresh_token"]
    assert saved(transaction).state is ConnectionState.PAUSED
    assert hubspot.open(credentials=kept).server_time()


def test_given_a_secret_on_the_command_line_when_connected_then_it_is_refused_and_not_repeated(crm_sync: Run):
    ran = crm_sync("connect", "hubspot", "--credential", "access_token=pat-na1-visible")

    assert ran.code == 1
    assert "CRM_SYNC_HUBSPOT_ACCESS_TOKEN" in ran.err
    assert "pat-na1-visible" not in ran.out + ran.err


def test_given_a_secret_in_a_file_or_the_environment_when_connected_then_it_is_taken(
    crm_sync: Run, hubspot: World, tmp_path: Path, transaction: Transaction
):
    token = tmp_path / "token"
    token.write_text(credentials_of(hubspot)["access_token"] + "\n")

    by_file = crm_sync("connect", "hubspot", "--url", hubspot.url, "--credential", f"access_token=@{token}")
    by_environment = crm_sync(
        *("connect", "hubspot"),
        env={"CRM_SYNC_HUBSPOT_URL": hubspot.url, "CRM_SYNC_HUBSPOT_ACCESS_TOKEN": token.read_text().strip()},
    )

    assert (by_file.code, by_environment.code) == (0, 0)
    assert count(transaction, "connection") == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        pytest.param(["salesforce"], "", "the address (--url), consumer_key, consumer_secret", id="nothing-given"),
        pytest.param(["hubspot", "--method", "outh"], "", "did you mean oauth?", id="unknown-method"),
        pytest.param(["hubspot", "--credential", "acces_token=@x"], "", "access_token", id="unknown-credential"),
        pytest.param(["hubspot", "--credential", "access_token=@/nowhere"], "", "/nowhere", id="missing-secret-file"),
        pytest.param(["hubspot", "--credentials-file", "/nowhere"], "", "/nowhere", id="missing-file"),
        pytest.param(["hubspot", "--credentials-file", "-"], "pat-na1-visible", "not JSON", id="not-json"),
        pytest.param(["hubspot", "--credentials-file", "-"], '["x"]', "one JSON object", id="not-an-object"),
        pytest.param(["hubspot", "--name", "all"], "", "can't name a connection", id="reserved-name"),
        pytest.param(
            ["hubspot", "--url", "http://crm.example", "--credentials-file", "-"],
            '{"access_token": "pat-na1-visible"}',
            "https",
            id="secrets-in-the-clear",
        ),
        pytest.param(["zoho"], "", "zoho", id="unknown-crm"),
    ],
)
def test_given_a_mistake_when_connecting_then_one_sentence_says_what_to_do(
    crm_sync: Run, transaction: Transaction, arguments: list[str], stdin: str, says: str
):
    ran = crm_sync("connect", *arguments, stdin=stdin)

    assert ran.code != 0
    assert says in ran.err
    assert "pat-na1-visible" not in ran.err
    assert count(transaction, "connection") == 0


def test_given_a_terminal_when_a_secret_is_typed_then_it_is_not_echoed(crm_sync: Run, hubspot: World):
    # In a process and a terminal of its own: hiding what is typed is the terminal's business.
    token = credentials_of(hubspot)["access_token"]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "crm_sync", "connect", "hubspot", "--url", hubspot.url]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        try:
            # The blank is written once echoing is off; what is typed before that is thrown away.
            shown = _until(ours, "Access token: ")
            os.write(ours, f"{token}\n".encode())
            shown += _until(ours, "Next:")
            code = process.wait(timeout=20)
        finally:
            process.kill()
            os.close(ours)

    assert (code, token in shown) == (0, False)
    assert "sign-in: let in" in shown


def _until(master: int, words: str) -> str:
    shown = ""
    while words not in shown:
        try:
            read = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        if not read:
            break
        shown += read.decode(errors="replace")
    assert words in shown, shown
    return shown
