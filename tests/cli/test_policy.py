"""`crm-sync policy …` against a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_sync.examples import example_policy
from crm_sync.store import versions
from crm_sync.store.engine import Transaction, rows, run
from tests.cli.conftest import Run, pulled, waiting


def a_policy(folder: Path, *, dead_band: int = 5) -> Path:
    path = folder / "policy.yaml"
    lines = [line for line in example_policy().splitlines() if not line.startswith("dead_band:")]
    path.write_text("\n".join([*lines, f"dead_band: {dead_band}", ""]))
    return path


def people(transaction: Transaction, count: int) -> None:
    """People with one record each, in a connection that exists only in the database."""
    with transaction() as session:
        run(
            session,
            """
            INSERT INTO connection (name, kind, base_url, sealed_credentials, state)
            VALUES ('portal', 'hubspot', 'http://127.0.0.1:9', '', 'active')
            """,
        )
    pulled(transaction, count)


def test_given_the_example_when_checked_then_it_has_no_problems(crm_sync: Run, tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_text(crm_sync("policy", "example").out)

    ran = crm_sync("policy", "check", path)

    assert (ran.code, "no problems" in ran.out) == (0, True)


def test_given_people_when_a_policy_is_published_then_everybody_waits_and_the_audit_log_names_who_and_why(
    crm_sync: Run, transaction: Transaction, tmp_path: Path
):
    people(transaction, 3)

    ran = crm_sync("policy", "publish", a_policy(tmp_path), "--yes", "--author", "rhea", "--reason", "first")

    assert ran.code == 0
    assert "3 people" in ran.out
    assert "portal: 3 records, at most 2 calls" in ran.out
    with transaction() as session:
        entry, payload = (
            rows(session, "SELECT actor, kind, subject FROM audit_entry")[0],
            rows(session, "SELECT payload::json ->> 'reason' AS reason FROM audit_payload"),
        )
        assert (entry.actor, entry.kind, payload[0].reason) == ("user:rhea", "policy_published", "first")
    assert waiting(transaction) == 3
    assert crm_sync("policy", "show").out == a_policy(tmp_path).read_text()


def test_given_a_policy_in_force_when_it_is_published_again_then_nothing_changes_and_nobody_waits(
    crm_sync: Run, transaction: Transaction, tmp_path: Path
):
    path = a_policy(tmp_path)
    crm_sync("policy", "publish", path, "--yes")
    people(transaction, 2)

    ran = crm_sync("policy", "publish", path)

    assert (ran.code, "nothing was changed" in ran.out) == (0, True)
    assert waiting(transaction) == 0
    with transaction() as session:
        assert len(rows(session, "SELECT id FROM policy_version")) == 1
        assert len(rows(session, "SELECT id FROM audit_entry")) == 1


def test_given_nobody_to_ask_when_published_without_yes_then_nothing_is_written(
    crm_sync: Run, transaction: Transaction, tmp_path: Path
):
    people(transaction, 2)

    ran = crm_sync("policy", "publish", a_policy(tmp_path))

    assert ran.code == 1
    assert "add --yes" in ran.err
    with transaction() as session:
        assert versions.policy(session) is None
        assert rows(session, "SELECT id FROM audit_entry") == []
    assert waiting(transaction) == 0


def test_given_json_when_published_then_a_script_reads_what_happened(crm_sync: Run, tmp_path: Path):
    ran = crm_sync("policy", "publish", a_policy(tmp_path), "--yes", "--json")

    assert ran.json() == {"problems": [], "published": True, "people": 0, "loads": []}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("score: [", "not valid YAML", id="malformed-yaml"),
        pytest.param("", "is empty", id="empty"),
        pytest.param(example_policy() + "\nscores: {}\n", "did you mean score?", id="unknown-key"),
        pytest.param(example_policy() + "\nowners: {unassigned: []}\n", "given twice", id="key-given-twice"),
    ],
)
def test_given_a_wrong_file_when_published_then_one_sentence_says_what_to_do_and_nothing_is_written(
    crm_sync: Run, transaction: Transaction, tmp_path: Path, text: str, says: str
):
    path = tmp_path / "policy.yaml"
    path.write_text(text)

    ran = crm_sync("policy", "publish", path, "--yes")

    assert ran.code == 1
    assert says in ran.out + ran.err
    with transaction() as session:
        assert versions.policy(session) is None


def test_given_a_policy_that_makes_no_sense_when_checked_then_every_problem_is_told(crm_sync: Run, tmp_path: Path):
    path = a_policy(tmp_path)
    path.write_text(
        path.read_text().replace("hysteresis: 3", "hysteresis: 20").replace("quality:", "quality:\n  typo: note")
    )

    ran = crm_sync("policy", "check", path)

    assert (ran.code, ran.out.count("✗")) == (1, 2)
    assert "hysteresis" in ran.out
    assert "typo is not a finding" in ran.out


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda path: None, "No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a-folder"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe\x00s"), "UTF-8", id="not-text"),
    ],
)
def test_given_no_readable_file_when_checked_then_one_sentence_names_it(crm_sync: Run, tmp_path: Path, make, says: str):
    path = tmp_path / "policy.yaml"
    make(path)

    ran = crm_sync("policy", "check", path)

    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert says in ran.err
    assert "policy.yaml" in ran.err


def test_given_no_policy_when_shown_then_it_says_how_to_publish_one(crm_sync: Run):
    ran = crm_sync("policy", "show")

    assert (ran.code, "crm-sync policy publish" in ran.err) == (1, True)


def test_given_a_database_without_our_schema_when_published_then_it_says_how_to_upgrade(
    crm_sync: Run, empty_database_url: str, tmp_path: Path
):
    ran = crm_sync("policy", "publish", a_policy(tmp_path), "--yes", env={"CRM_SYNC_DATABASE_URL": empty_database_url})

    assert (ran.code, "crm-sync database upgrade" in ran.err) == (1, True)


def test_given_a_newer_database_when_published_then_it_says_so(
    crm_sync: Run, transaction: Transaction, tmp_path: Path, engine
):
    with engine.begin() as connection:
        connection.exec_driver_sql("RESET ROLE")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    ran = crm_sync("policy", "publish", a_policy(tmp_path), "--yes")

    assert (ran.code, "newer crm-sync" in ran.err) == (1, True)


def test_given_an_unreachable_database_when_published_then_one_sentence_says_so(crm_sync: Run, tmp_path: Path):
    ran = crm_sync(
        "policy",
        "publish",
        a_policy(tmp_path),
        "--yes",
        env={"CRM_SYNC_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere"},
    )

    assert ran.code == 1
    assert "can't be reached" in ran.err
