"""`crm-sync routing …`: the rules checked against a CRM, tried on its leads, and used again. On both CRMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_sync.domain.keys import Keys
from crm_sync.examples import example_policy
from crm_sync.store.engine import Transaction
from tests.cli.conftest import ONE_CRM, Run
from tests.connectors.world import World
from tests.flows.sites import Office
from tests.flows.teams import ANNA, INBOUND, MEI, TOM, Team, a_team, publish, routed


@pytest.fixture
def team(transaction: Transaction, database_url: str, keys: Keys, crm: World) -> Team:
    """Three sellers and a queue in a CRM that is joined; their leads are routed to Anna and Tom."""
    office = Office(transaction, database_url, keys)
    site = office.join(crm)
    team = a_team(site)
    publish(team)
    site.settle()
    team.read_users()
    return team


def a_policy(folder: Path, sections: dict[str, Any]) -> Path:
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(example_policy()) | sections))
    return path


def sales(team: Team) -> str:
    return f"{team.site.name} sales"


def test_given_rules_in_force_when_checked_then_they_have_no_problems(crm_sync: Run, team: Team):
    ran = crm_sync("routing", "check")

    assert (ran.code, "No problems. 2 rules" in ran.out) == (0, True)
    assert crm_sync("routing", "check", "--json").json() == {
        "problems": [],
        "connections": [team.site.name],
        "rules": 2,
    }


def test_given_a_file_that_names_strangers_when_checked_then_each_is_told_with_its_place(
    crm_sync: Run, team: Team, tmp_path: Path
):
    team.leaves(TOM)
    team.read_users()
    name = team.site.name
    sections = routed(
        team,
        pools={"sales": {"connection": name, "members": [ANNA, TOM, "Anna Borg"]}},
        rules=[{"name": "vip", "to": {"queue": "Golden", "connection": name}}],
        connections={at: {"since": "2026-11-01", "fallback": INBOUND} for at in (name, "elsewhere")},
    )

    ran = crm_sync("routing", "check", a_policy(tmp_path, sections))

    assert ran.code == 1
    assert f"✗ routing.pools.sales: {TOM} has left ({name})." in ran.out
    assert f"✗ routing.pools.sales: Anna Borg is not known in the CRM ({name})." in ran.out
    assert f"✗ routing.rules.vip.to.queue: Golden is not known in the CRM ({name})." in ran.out
    assert "✗ routing.connections.elsewhere: there is no such connection" in ran.out


def test_given_users_that_are_not_read_when_checked_then_it_says_what_to_do(
    crm_sync: Run, transaction: Transaction, database_url: str, keys: Keys, crm: World
):
    team = a_team(Office(transaction, database_url, keys).join(crm))
    publish(team)

    ran = crm_sync("routing", "check")

    assert (ran.code, "its users and queues are not read yet" in ran.out) == (1, True)


def test_given_salesforce_and_nobody_unassigned_when_checked_then_it_says_that_no_lead_would_be_routed(
    crm_sync: Run, team: Team, tmp_path: Path
):
    sections = routed(team) | {"owners": {"unassigned": []}}

    ran = crm_sync("routing", "check", a_policy(tmp_path, sections))

    assert ("every lead has an owner" in ran.out) == (team.site.kind == "salesforce")


@ONE_CRM
def test_given_the_shipped_policy_when_checked_and_previewed_then_nothing_is_routed(
    crm_sync: Run, team: Team, tmp_path: Path
):
    path = tmp_path / "policy.yaml"
    path.write_text(example_policy())

    assert "nothing is routed" in crm_sync("routing", "check", path).out
    assert "Nothing is routed" in crm_sync("routing", "preview", path).out


def test_given_leads_when_rules_are_previewed_then_each_rule_says_how_many_it_takes_and_nothing_changes(
    crm_sync: Run, team: Team, tmp_path: Path
):
    team.leads(3)
    team.lead(owner_id=team.ids[MEI])
    team.site.settle()
    team.leads(2)
    team.site.pull()
    name, turns, mark = team.site.name, team.turns(), team.site.mark()
    sections = routed(
        team,
        pools={"americas": {"connection": name, "members": [MEI]}},
        rules=[{"name": "americas", "when": {"country_code": "US"}, "to": {"pool": "americas"}}],
    )

    ran = crm_sync("routing", "preview", a_policy(tmp_path, sections), "--json")

    found = ran.json()
    assert isinstance(found, dict)
    assert found["rules"] == [
        {"rule": "americas", "connection": name, "leads": 5, "due": 2},
        {"rule": "rest", "connection": name, "leads": 0, "due": 0},
    ]
    assert (found["left_alone"], found["nobody"]) == (1, 0)
    assert [(load["connection"], load["owners"]) for load in found["loads"]] == [(name, 5)]
    assert (team.turns(), team.site.mark()) == (turns, mark)
    words = crm_sync("routing", "preview", a_policy(tmp_path, sections)).out
    assert "somebody else set the owner: 1 lead." in words


def test_given_a_changed_pool_when_its_rule_is_rerouted_then_our_leads_move_and_a_humans_choice_stays(
    crm_sync: Run, team: Team
):
    ours = team.leads(3)
    theirs = team.lead(owner_id=team.ids[TOM])
    team.site.settle()
    publish(team, pools={sales(team): {"connection": team.site.name, "members": [MEI]}})
    team.site.settle()

    ran = crm_sync("routing", "reroute", "--rule", sales(team), "--yes", "--reason", "Mei takes over")
    team.site.later(hours=1)
    team.site.settle()

    assert ran.code == 0
    assert "3 leads may get another owner" in ran.out
    assert team.owners([*ours, theirs]) == [MEI, MEI, MEI, TOM]
    assert {each.why for lead in ours for each in team.assignments(lead)[1:]} == {"reroute"}
    assert team.site.office.count("reroute") == 0
    assert len(team.site.office.audit("reroute_asked")) == 3


def test_given_an_old_lead_of_nobody_when_it_is_rerouted_by_its_id_then_it_is_routed(crm_sync: Run, team: Team):
    lead = team.lead()
    publish(team, since=team.site.later(hours=1))
    team.site.settle()
    assert team.assignments(lead) == []

    ran = crm_sync("routing", "reroute", lead, "--yes", "--json")
    team.site.settle()

    assert ran.json() == {"asked": 1, "left_alone": 0}
    assert team.owner(lead) in (ANNA, TOM)


def test_given_a_lead_that_somebody_owns_when_it_is_rerouted_then_it_says_so_and_nothing_is_asked(
    crm_sync: Run, team: Team
):
    lead = team.lead(owner_id=team.ids[MEI])
    team.site.settle()

    ran = crm_sync("routing", "reroute", lead, "--yes")

    assert (ran.code, "somebody else set the owner: 1 lead." in ran.out) == (0, True)
    assert team.site.office.count("reroute") == 0


def test_given_a_request_when_somebody_takes_the_lead_first_then_it_stays_theirs_and_the_log_tells(
    crm_sync: Run, team: Team
):
    lead = team.lead()
    team.site.settle()
    crm_sync("routing", "reroute", lead, "--yes")

    team.takes(lead, MEI)
    team.site.settle()

    assert team.owner(lead) == MEI
    assert len(team.site.told(lead, "owner_left_alone")) == 1
    assert team.site.office.count("reroute") == 0


@ONE_CRM
def test_given_nobody_to_ask_when_rerouted_without_yes_then_nothing_changes(crm_sync: Run, team: Team):
    lead = team.lead()
    team.site.settle()

    ran = crm_sync("routing", "reroute", lead)

    assert (ran.code, "add --yes" in ran.err) == (1, True)
    assert team.site.office.count("reroute") == 0


@ONE_CRM
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param((), "say which leads", id="nothing"),
        pytest.param(("--rule", "nope", "--yes"), "there is no rule 'nope'; the rules are", id="no-such-rule"),
        pytest.param(("nobody@nowhere.example", "--yes"), "no lead 'nobody@nowhere.example'", id="no-such-lead"),
    ],
)
def test_given_a_mistake_when_rerouted_then_one_sentence_says_what_to_do(
    crm_sync: Run, team: Team, arguments: tuple[str, ...], says: str
):
    ran = crm_sync("routing", "reroute", *arguments)

    assert (ran.code, says in ran.err) == (1, True)


def test_given_a_routed_lead_when_explained_then_it_names_the_rule_and_whom_it_passed_over(crm_sync: Run, team: Team):
    publish(team, pools={sales(team): {"connection": team.site.name, "members": [{"who": ANNA, "per_day": 1}]}})
    leads = team.leads(2)
    team.site.settle()
    [full] = [lead for lead in leads if team.owner(lead) != ANNA]

    words = crm_sync("explain", full).out

    assert f"by rule '{sales(team)}'" in words
    assert f"passed over: {ANNA} has had 1 of 1 today" in words
