"""`crm-sync mapping …`: held against the live CRM, published in one commit, or refused with nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_sync.domain.records import CrmKind
from crm_sync.examples import example_mapping
from crm_sync.store import versions
from crm_sync.store.engine import Transaction, rows, run
from tests.cli.conftest import ONE_CRM, Connect, Run, pulled, waiting
from tests.connectors.world import World


def a_mapping(folder: Path, crm: CrmKind, replacing: str = "", by: str = "") -> Path:
    text = example_mapping(crm)
    assert replacing in text
    path = folder / "mapping.yaml"
    path.write_text(text.replace(replacing, by, 1) if replacing else text)
    return path


def in_force(transaction: Transaction) -> list[str]:
    with transaction() as session:
        return [version.content for version in versions.mappings(session).values()]


def test_given_the_example_when_checked_against_a_new_crm_then_it_has_no_problems(
    crm_sync: Run, connect: Connect, crm: World, tmp_path: Path, transaction: Transaction
):
    connect(crm, "--install-fields")
    path = tmp_path / "mapping.yaml"
    path.write_text(crm_sync("mapping", "example", crm.kind).out)

    ran = crm_sync("mapping", "check", path, "--connection", crm.kind)

    assert (ran.code, "no problems" in ran.out, "0 people" in ran.out) == (0, True, True), ran.out
    assert in_force(transaction) == []


def test_given_people_when_a_mapping_is_published_then_they_wait_and_the_audit_log_tells_in_one_commit(
    crm_sync: Run, connect: Connect, crm: World, tmp_path: Path, transaction: Transaction
):
    connect(crm, "--install-fields")
    pulled(transaction, 3)
    path = a_mapping(tmp_path, crm.kind)

    ran = crm_sync(
        "mapping", "publish", path, "--connection", crm.kind, "--yes", "--author", "rhea", "--reason", "begin"
    )

    assert ran.code == 0
    assert f"{crm.kind}: 3 records, at most 2 calls" in ran.out
    assert waiting(transaction) == 3
    assert in_force(transaction) == [path.read_text()]
    with transaction() as session:
        written = rows(session, "SELECT actor, kind, xmin::text AS commit FROM audit_entry ORDER BY id DESC LIMIT 1")
        waits = rows(session, "SELECT DISTINCT xmin::text AS commit FROM inbox")
        version = rows(session, "SELECT xmin::text AS commit FROM mapping_version")
    assert (written[0].actor, written[0].kind) == ("user:rhea", "mapping_published")
    assert {written[0].commit} == {row.commit for row in (*waits, *version)}
    assert crm_sync("mapping", "show", "--connection", crm.kind).out == path.read_text()


@ONE_CRM
def test_given_a_mapping_in_force_when_its_words_but_not_its_meaning_change_then_nothing_changes(
    crm_sync: Run, connect: Connect, crm: World, tmp_path: Path, transaction: Transaction
):
    connect(crm, "--install-fields")
    path = a_mapping(tmp_path, crm.kind)
    crm_sync("mapping", "publish", path, "--connection", crm.kind, "--yes")
    pulled(transaction, 2)
    path.write_text("# another comment\n" + path.read_text())

    ran = crm_sync("mapping", "publish", path, "--connection", crm.kind)

    assert (ran.code, "nothing was changed" in ran.out) == (0, True)
    assert waiting(transaction) == 0


WRONG_FIELD = {CrmKind.SALESFORCE: ("Email", "Emial"), CrmKind.HUBSPOT: ("email", "emial")}


def test_given_an_unknown_field_when_published_then_it_is_named_and_nothing_is_written_anywhere(
    crm_sync: Run, connect: Connect, crm: World, tmp_path: Path, transaction: Transaction
):
    connect(crm, "--install-fields")
    pulled(transaction, 2)
    right, wrong = WRONG_FIELD[crm.kind]
    path = a_mapping(tmp_path, crm.kind, f"email: {right}", f"email: {wrong}")
    written = len(crm.journal.writes)

    ran = crm_sync("mapping", "publish", path, "--connection", crm.kind, "--yes")

    assert ran.code == 1
    assert f"no field {wrong}" in ran.out
    assert f"Did you mean {right}?" in ran.out
    assert (in_force(transaction), waiting(transaction), len(crm.journal.writes)) == ([], 0, written)


@ONE_CRM
def test_given_no_fields_of_ours_when_published_then_every_one_of_them_is_told(
    crm_sync: Run, connect: Connect, crm: World, tmp_path: Path, transaction: Transaction
):
    connect(crm)

    ran = crm_sync("mapping", "publish", a_mapping(tmp_path, crm.kind), "--connection", crm.kind, "--yes", "--json")

    told = ran.json()
    assert isinstance(told, dict)
    assert (ran.code, in_force(transaction)) == (1, [])
    assert all("install our fields first" in problem for problem in told["problems"])


def test_given_nobody_to_ask_when_published_without_yes_then_it_says_how_many_and_writes_nothing(
    crm_sync: Run, connect: Connect, hubspot: World, tmp_path: Path, transaction: Transaction
):
    connect(hubspot, "--install-fields")
    pulled(transaction, 1_200)

    ran = crm_sync("mapping", "publish", a_mapping(tmp_path, hubspot.kind), "--connection", "hubspot")

    assert (ran.code, "add --yes" in ran.err) == (1, True)
    assert "1,200 records, at most 24 calls" in ran.out
    assert (in_force(transaction), waiting(transaction)) == ([], 0)


def test_given_a_mapping_of_the_other_crm_when_checked_then_it_says_so(
    crm_sync: Run, connect: Connect, hubspot: World, tmp_path: Path
):
    connect(hubspot)

    ran = crm_sync("mapping", "check", a_mapping(tmp_path, CrmKind.SALESFORCE), "--connection", "hubspot")

    assert (ran.code, "this mapping is for salesforce" in ran.err) == (1, True)


@ONE_CRM
def test_given_another_org_answers_when_published_then_it_is_refused(
    crm_sync: Run, connect: Connect, crm: World, tmp_path: Path, transaction: Transaction
):
    connect(crm, "--install-fields")
    with transaction() as session:
        run(session, "UPDATE connection SET org_id = 'another'")

    ran = crm_sync("mapping", "publish", a_mapping(tmp_path, crm.kind), "--connection", crm.kind, "--yes")

    assert (ran.code, in_force(transaction)) == (1, [])
    assert "crm-sync doctor" in ran.err


@ONE_CRM
def test_given_the_crm_is_away_when_published_then_one_sentence_says_so_and_nothing_is_written(
    crm_sync: Run, connect: Connect, crm: World, tmp_path: Path, transaction: Transaction
):
    connect(crm, "--install-fields")
    crm.close()

    ran = crm_sync("mapping", "publish", a_mapping(tmp_path, crm.kind), "--connection", crm.kind, "--yes")

    assert (ran.code, ran.err.count("\n"), in_force(transaction)) == (1, 1, [])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["check", "/nowhere.yaml", "--connection", "hubspot"], "/nowhere.yaml", id="missing-file"),
        pytest.param(["check", "-", "--connection", "nobody"], "no connection 'nobody'", id="unknown-connection"),
        pytest.param(["show", "--connection", "nobody"], "no connection 'nobody'", id="nothing-to-show"),
        pytest.param(["example", "zoho"], "zoho", id="unknown-crm"),
    ],
)
def test_given_a_mistake_when_asked_then_one_sentence_says_what_to_do(crm_sync: Run, arguments: list[str], says: str):
    ran = crm_sync("mapping", *arguments, stdin=example_mapping(CrmKind.HUBSPOT))

    assert ran.code != 0
    assert says in ran.err


def test_given_no_mapping_when_shown_then_it_says_how_to_begin(crm_sync: Run, connect: Connect, hubspot: World):
    connect(hubspot)

    ran = crm_sync("mapping", "show", "--connection", "hubspot")

    assert (ran.code, "crm-sync mapping example hubspot" in ran.err) == (1, True)
