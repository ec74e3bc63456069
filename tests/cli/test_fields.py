"""`crm-sync fields …` against sandbox CRMs over HTTP."""

from __future__ import annotations

import pytest

from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.store.engine import Transaction, rows, run
from tests.cli.conftest import ONE_CRM, Connect, Run
from tests.connectors.world import World


def ours(world: World) -> set[str]:
    """Our fields as the CRM describes them to our user."""
    names = set(world.connector.own_field_names(OWN_FIELDS).values())
    return names & set(world.open().catalogue(world.people.object))


def test_given_a_connection_when_fields_are_installed_twice_then_they_are_there_and_the_second_time_changes_nothing(
    crm_sync: Run, connect: Connect, crm: World, transaction: Transaction
):
    connect(crm)

    first, second = crm_sync("fields", "install"), crm_sync("fields", "install")

    assert (first.code, first.out.count(": created")) == (0, first.out.count("✓"))
    assert (second.code, second.out.count(": exists")) == (0, second.out.count("✓"))
    assert len(ours(crm)) == len(OWN_FIELDS)
    with transaction() as session:
        kinds = [row.kind for row in rows(session, "SELECT kind FROM audit_entry ORDER BY id")]
    assert set(kinds) == {"connected", "fields_installed"}


@ONE_CRM
def test_given_no_fields_when_checked_then_each_is_told_and_nothing_is_created(
    crm_sync: Run, connect: Connect, crm: World
):
    connect(crm)

    ran = crm_sync("fields", "check", "--object", crm.people.object)

    assert (ran.code, ran.out.count("✗")) == (1, len(OWN_FIELDS))
    assert f"crm-sync fields install --connection {crm.kind}" in ran.out
    assert ours(crm) == set()


@ONE_CRM
def test_given_fields_when_checked_then_all_is_well(crm_sync: Run, connect: Connect, crm: World):
    connect(crm, "--install-fields")

    ran = crm_sync("fields", "check", "--json")

    told = ran.json()
    assert isinstance(told, list)
    assert (ran.code, {line["passed"] for line in told}) == (0, {True})
    assert {line["connection"] for line in told} == {crm.kind}


@ONE_CRM
def test_given_an_active_connection_when_fields_are_removed_then_it_says_to_pause_first(
    crm_sync: Run, connect: Connect, crm: World
):
    connect(crm, "--install-fields", "--yes")

    ran = crm_sync("fields", "remove", "--yes")

    assert (ran.code, "crm-sync pause" in ran.err) == (1, True)
    assert len(ours(crm)) == len(OWN_FIELDS)


@ONE_CRM
def test_given_nobody_to_ask_when_fields_are_removed_then_they_stay(crm_sync: Run, connect: Connect, crm: World):
    connect(crm, "--install-fields", "--observe")

    ran = crm_sync("fields", "remove")

    assert (ran.code, "add --yes" in ran.err) == (1, True)
    assert len(ours(crm)) == len(OWN_FIELDS)


def test_given_an_observing_connection_when_fields_are_removed_then_only_ours_are_gone(
    crm_sync: Run, connect: Connect, crm: World
):
    before = set(crm.open().catalogue(crm.people.object))
    connect(crm, "--install-fields", "--observe")

    ran = crm_sync("fields", "remove", "--yes")

    assert ran.code == 0
    assert set(crm.open().catalogue(crm.people.object)) == before


@ONE_CRM
@pytest.mark.parametrize("command", ["install", "check", "remove"])
def test_given_another_org_answers_when_asked_then_it_is_refused_and_nothing_is_touched(
    crm_sync: Run, connect: Connect, crm: World, transaction: Transaction, command: str
):
    connect(crm, "--install-fields", "--observe")
    with transaction() as session:
        run(session, "UPDATE connection SET org_id = 'another'")
    before = len(ours(crm))

    ran = crm_sync("fields", command, *(["--yes"] if command == "remove" else []))

    assert (ran.code, "crm-sync doctor" in ran.out) == (1, True)
    assert len(ours(crm)) == before


def test_given_two_connections_when_none_is_named_then_it_asks_which_and_all_means_both(
    crm_sync: Run, connect: Connect, salesforce: World, hubspot: World
):
    connect(salesforce)
    connect(hubspot)

    unnamed, both = crm_sync("fields", "install"), crm_sync("fields", "install", "--connection", "all")

    assert (unnamed.code, "hubspot, salesforce" in unnamed.err) == (1, True)
    assert both.code == 0
    assert (len(ours(salesforce)), len(ours(hubspot))) == (len(OWN_FIELDS), len(OWN_FIELDS))


def test_given_one_crm_is_away_when_all_are_installed_then_the_other_is_still_done(
    crm_sync: Run, connect: Connect, salesforce: World, hubspot: World
):
    connect(salesforce)
    connect(hubspot)
    hubspot.close()

    ran = crm_sync("fields", "install", "--connection", "all")

    assert (ran.code, "✗ refused" in ran.out) == (1, True)
    assert len(ours(salesforce)) == len(OWN_FIELDS)


def test_given_an_object_that_is_not_there_when_checked_then_one_line_says_so(
    crm_sync: Run, connect: Connect, crm: World
):
    connect(crm)

    ran = crm_sync("fields", "check", "--object", "Nowhere")

    assert (ran.code, ran.out.count("✗")) == (1, 1)


def test_given_no_connection_when_installed_then_it_says_how_to_connect(crm_sync: Run):
    ran = crm_sync("fields", "install")

    assert (ran.code, "crm-sync connect" in ran.err) == (1, True)


def test_given_an_unknown_name_when_installed_then_it_lists_the_names_there_are(
    crm_sync: Run, connect: Connect, hubspot: World
):
    connect(hubspot)

    ran = crm_sync("fields", "install", "--connection", "hubspt")

    assert (ran.code, "there is: hubspot" in ran.err) == (1, True)
