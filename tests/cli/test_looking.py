"""What an admin types after the first day: status, poll, explain, observe, pause, resume, dead-letters, audit."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.records import CrmKind
from crm_sync.examples import example_mapping, example_policy
from crm_sync.settings import Settings
from crm_sync.store import feeds
from crm_sync.store.engine import Transaction, rows, run
from tests.cli.conftest import ONE_CRM, Connect, Run, waiting
from tests.cli.legs import settle
from tests.connectors.world import World

US = {CrmKind.SALESFORCE: {"Country": "United States"}, CrmKind.HUBSPOT: {"country": "United States"}}
TITLE = {CrmKind.SALESFORCE: "Title", CrmKind.HUBSPOT: "jobtitle"}


@pytest.fixture
def joined(crm_sync: Run, connect: Connect, crm: World, tmp_path: Path) -> World:
    """A CRM that is connected, with our fields in it, and the shipped mapping and policy in force."""
    crm.clock.thaw()
    assert connect(crm, "--install-fields").code == 0
    for command, text in (("mapping", example_mapping(crm.kind)), ("policy", example_policy())):
        path = tmp_path / f"{command}.yaml"
        path.write_text(text)
        where = ["--connection", crm.kind] if command == "mapping" else []
        assert crm_sync(command, "publish", path, *where, "--yes").code == 0
    return crm


def test_given_scored_leads_when_asked_for_the_status_then_every_record_is_accounted_for(
    crm_sync: Run, joined: World, settings: Settings
):
    joined.add_people(3, **US[joined.kind])
    settle(settings)

    [told] = crm_sync("status", "--json").json()["connections"]

    assert (told["state"], told["outbox"], told["people"]["records"]) == ("active", {"delivered": 3}, 3)
    assert sum(told["people"]["fates"].values()) == 3
    assert told["at_rest"]["polls"] > 1_440
    assert told["at_rest"]["rereads"] >= 144
    assert "People records: 3" in crm_sync("status").out


def test_given_a_lead_when_explained_by_id_or_address_then_the_whole_chain_is_told(
    crm_sync: Run, joined: World, settings: Settings
):
    [lead] = joined.add_people(1, **US[joined.kind])
    settle(settings)

    by_id = crm_sync("explain", lead)
    [chain] = crm_sync("explain", lead, "--json").json()

    assert lead in by_id.out
    assert "the first one" in by_id.out
    assert "accepted" in by_id.out
    assert [record["crm_id"] for record in chain["records"]] == [lead]
    [evaluation] = chain["evaluations"]
    [entry] = chain["entries"]
    assert evaluation["number"] == entry["number"]
    assert entry["state"] == "delivered"
    assert entry["deliveries"][0]["sent"]


def test_given_nobody_of_that_id_when_explained_then_one_sentence_says_so(crm_sync: Run, connect: Connect):
    ran = crm_sync("explain", "nobody@nowhere.example")

    assert ran.code == 1
    assert "no lead 'nobody@nowhere.example' is known here" in ran.err


def test_given_an_observed_crm_when_leads_change_then_they_are_evaluated_and_nothing_is_written_until_resumed(
    crm_sync: Run, joined: World, settings: Settings
):
    crm_sync("observe", joined.kind, "--reason", "first week")
    [lead] = joined.add_people(1, **US[joined.kind])
    before = len(joined.journal.writes)

    settle(settings)
    observed = [write for write in joined.journal.writes[before:] if write.call]
    told = crm_sync("status").out
    crm_sync("resume", joined.kind)
    settle(settings)

    assert observed == []
    assert "1  scored" in told
    assert joined.value(lead, own(joined, "state"))


def own(world: World, name: str) -> str:
    return world.connector.own_field_names(OWN_FIELDS)[name]


def test_given_a_paused_crm_when_leads_change_then_it_is_not_asked_at_all(
    crm_sync: Run, joined: World, settings: Settings, transaction: Transaction
):
    settle(settings)
    assert crm_sync("pause", joined.kind).code == 0
    joined.add_people(1, **US[joined.kind])

    with transaction() as session:
        due = feeds.due(session, joined.clock.now().replace(year=2030))

    assert due == []
    assert crm_sync("status", "--json").json()["connections"][0]["state"] == "paused"


def test_given_a_refused_record_when_listed_and_replayed_then_the_current_values_arrive(
    crm_sync: Run, joined: World, settings: Settings
):
    kept, refused = joined.add_people(2, **US[joined.kind])
    joined.refuse(refused)
    settle(settings)

    [letter] = crm_sync("dead-letters", "list", "--json").json()
    shown = crm_sync("dead-letters", "show", letter["id"])
    again = crm_sync("dead-letters", "replay", letter["id"], "--json").json()

    assert refused in letter["record"]
    assert letter["code"]
    assert letter["code"] in shown.out
    assert again == {"replayed": 1, "overtaken": 0}
    assert joined.value(kept, own(joined, "state"))
    assert "No dead letters." in crm_sync("dead-letters", "list").out


@ONE_CRM
def test_given_a_whole_audit_log_when_verified_then_it_says_so_and_an_edit_is_named(
    crm_sync: Run, joined: World, settings: Settings, transaction: Transaction
):
    joined.add_people(1, **US[joined.kind])
    settle(settings)

    whole = crm_sync("audit", "verify")
    exported = crm_sync("audit", "export").out.splitlines()
    with transaction() as session:
        run(session, "UPDATE audit_payload SET payload = '{}' WHERE entry_id = (SELECT min(id) FROM audit_entry)")
    damaged = crm_sync("audit", "verify")

    assert whole.code == 0
    assert "are whole" in whole.out
    assert len(exported) >= 4
    assert damaged.code == 1
    assert "was changed" in damaged.out


def test_given_a_mapping_that_names_a_new_field_when_published_then_old_records_get_their_value(
    crm_sync: Run, joined: World, settings: Settings, transaction: Transaction, tmp_path: Path
):
    field = TITLE[joined.kind]
    text = example_mapping(joined.kind)
    without = tmp_path / "without.yaml"
    without.write_text("\n".join(line for line in text.splitlines() if f"title: {field}" not in line))
    crm_sync("mapping", "publish", without, "--connection", joined.kind, "--yes")
    joined.add_people(1, **{field: "Chief Financial Officer"})
    settle(settings)
    held = fields_held(transaction, field)
    joined.clock.advance(timedelta(hours=2))  # past every overlap and sweep
    settle(settings)

    crm_sync("mapping", "publish", tmp_path / "mapping.yaml", "--connection", joined.kind, "--yes")
    settle(settings)

    assert held == [None]
    assert fields_held(transaction, field)[-1] == "Chief Financial Officer"


def fields_held(transaction: Transaction, field: str) -> list[str | None]:
    with transaction() as session:
        found = rows(session, "SELECT fields ->> :field AS value FROM record_version ORDER BY id", field=field)
    return [row.value for row in found]


def test_given_new_leads_when_polled_then_they_wait_and_are_counted(
    crm_sync: Run, joined: World, transaction: Transaction
):
    joined.add_people(3, **US[joined.kind])

    ran = crm_sync("poll", "--json")

    [told] = ran.json()
    assert (ran.code, told["rows"], told["waiting"], told["problem"]) == (0, 3, 3, "")
    assert waiting(transaction) == 3


@ONE_CRM
@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param("state = 'paused'", "it is paused", id="paused"),
        pytest.param("wait_until = now() + interval '1 hour'", "asked us to wait until", id="asked-to-wait"),
    ],
)
def test_given_a_connection_that_may_not_be_asked_when_polled_then_it_says_why_and_makes_no_call(
    crm_sync: Run, joined: World, transaction: Transaction, change: str, words: str
):
    with transaction() as session:
        run(session, f"UPDATE connection SET {change}")
    mark = joined.mark()

    ran = crm_sync("poll")

    assert ran.code == 1
    assert words in ran.out
    assert joined.calls(mark) == []
