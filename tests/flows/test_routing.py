"""Owners: whom leads are given to, when, and what is never touched (law 9). On both CRMs unless a test says why not."""

from __future__ import annotations

from collections import Counter

import pytest

from crm_sync.domain.changes import Walk
from crm_sync.domain.connections import ConnectionState
from crm_sync.domain.records import CrmKind
from crm_sync.flows.replay import replay
from crm_sync.store import inbox, outbox
from crm_sync.store.pools import OWNER_FEEDS
from tests.flows.sites import REFUSAL, Site, payloads
from tests.flows.teams import ANNA, INBOUND, MEI, TOM, Team, a_team, publish


@pytest.fixture
def team(site: Site) -> Team:
    """Three sellers and a queue, whom the CRM's owner feeds have shown."""
    team = a_team(site)
    publish(team)
    site.settle()
    team.read_users()
    return team


def sales(team: Team) -> str:
    return f"{team.site.name} sales"


def pooled(team: Team, *members: object, **more: object) -> dict[str, object]:
    return {sales(team): {"connection": team.site.name, "members": list(members), **more}}


def test_given_new_leads_when_the_legs_have_run_then_they_are_shared_out_in_turns_beside_their_scores(team: Team):
    leads = team.leads(5)

    team.site.settle()

    assert sorted(Counter(team.owners(leads)).values()) == [2, 3]
    assert set(team.owners(leads)) == {ANNA, TOM}
    assert {team.site.shown(lead)["state"] for lead in leads} == {"scored"}
    assert sorted(id for id, _ in team.owner_writes()) == sorted(leads)
    assert not [write for write in team.site.written() if write.no_op]


def test_given_a_hundred_new_leads_when_pushed_then_one_reading_guards_owner_and_score_and_each_is_one_write(
    team: Team,
):
    team.leads(100)
    team.site.pull(Walk.CHANGES)
    team.site.office.evaluate_all(team.site.now)
    mark = team.site.mark()

    pushed = team.site.push(most=100)

    assert (pushed.delivered, len(team.site.world.calls(mark))) == (200, 3)


def test_given_weights_when_leads_come_then_each_gets_a_fair_share(team: Team):
    publish(team, pools=pooled(team, {"who": ANNA, "weight": 2}, TOM))
    leads = team.leads(6)

    team.site.settle()

    assert Counter(team.owners(leads)) == {ANNA: 4, TOM: 2}


def test_given_everything_is_shared_out_when_nobody_does_anything_then_no_owner_is_written_again(team: Team):
    team.leads(3)
    team.site.settle()
    mark = team.site.mark()

    team.site.idle(10)

    assert team.site.written(since=mark) == []


def test_given_leads_older_than_routing_when_they_are_pulled_first_then_their_owners_stay(site: Site):
    team = a_team(site)
    old = team.leads(3)
    site.later(hours=1)
    publish(team)
    team.read_users()
    new = team.lead()

    site.settle()

    assert site.shown(old[0])["state"] == "scored"
    assert [id for id, _ in team.owner_writes()] == [new]


def test_given_a_lead_that_somebody_owns_when_evaluated_then_it_stays_theirs(team: Team):
    lead = team.lead(owner_id=team.ids[MEI])

    team.site.settle()

    assert team.owner(lead) == MEI
    assert team.owner_writes() == []
    assert team.assignments(lead) == []


def test_given_a_rep_who_takes_a_lead_before_the_write_when_pushed_then_it_stays_theirs_and_the_turn_is_given_back(
    team: Team,
):
    lead = team.lead()
    team.site.pull(Walk.CHANGES)
    team.site.office.evaluate_all(team.site.now)
    assert sum(team.turns().values()) == 1

    team.takes(lead, MEI)
    team.site.settle()

    assert team.owner(lead) == MEI
    assert team.owner_writes() == []
    assert [each.state for each in team.assignments(lead)] == ["gave_way"]
    assert sum(team.turns().values()) == 0
    assert [row.turn for row in team.site.office.ask("SELECT turn FROM pool_member")] == [0, 0]
    assert team.site.shown(lead)["state"] == "scored"


def test_given_a_rep_who_takes_a_lead_that_we_had_given_when_asked_to_route_it_then_it_stays_theirs(team: Team):
    lead = team.lead()
    team.site.settle()
    team.site.later(minutes=1)
    team.takes(lead, MEI)
    team.site.settle()

    team.leaves(MEI)
    team.site.settle()
    team.read_users()
    team.site.settle()

    assert team.owner(lead) == MEI


def test_given_an_owner_who_leaves_when_users_are_read_then_our_leads_of_theirs_go_on_and_a_humans_choice_stays(
    team: Team,
):
    ours = team.leads(4)
    team.site.settle()
    of_anna = [lead for lead in ours if team.owner(lead) == ANNA]
    by_hand = team.lead(owner_id=team.ids[ANNA])
    team.site.settle()
    mark = team.site.mark()

    team.leaves(ANNA)
    team.read_users()
    team.site.settle()

    assert {team.owner(lead) for lead in ours} == {TOM}
    assert team.owner(by_hand) == ANNA
    assert sorted(id for id, _ in team.owner_writes(mark)) == sorted(of_anna)
    assert {each.why for lead in of_anna for each in team.assignments(lead)[1:]} == {"owner_left"}


def test_given_a_new_owner_who_leaves_before_the_write_when_pushed_then_somebody_else_gets_the_lead(team: Team):
    lead = team.lead()
    team.site.pull(Walk.CHANGES)
    team.site.office.evaluate_all(team.site.now)
    [first] = team.assignments(lead)

    team.leaves(first.member)
    team.read_users()
    team.site.settle()

    assert team.owner(lead) == ({ANNA, TOM} - {first.member}).pop()
    assert [each.state for each in team.assignments(lead)] == ["dropped", "accepted"]
    assert sum(team.turns().values()) == 1


def test_given_new_rules_mapping_and_a_warmer_lead_when_evaluated_again_then_nobody_is_routed_again(team: Team):
    since, leads = team.site.now, team.leads(4)
    team.site.settle()
    before, mark, evaluations = team.owners(leads), team.site.mark(), team.site.office.count("evaluation")

    publish(team, since=since, pools=pooled(team, MEI))
    team.site.publish(team.site.mapping_text(lead_source="Industry" if team.site.kind == "salesforce" else "industry"))
    team.site.call_in(leads[0])
    team.site.settle()
    team.site.later(hours=25)
    with team.site.transaction() as session:
        inbox.add_ageing(session, team.site.now, most=100)
    team.site.settle()

    assert team.site.office.count("evaluation") >= evaluations + 4
    assert team.owners(leads) == before
    assert team.owner_writes(mark) == []


def test_given_no_consent_when_routed_then_territory_decides_and_never_bucket_or_score(team: Team):
    publish(
        team,
        rules=[
            {"name": "hot", "when": {"bucket": ["A", "B", "C", "D"]}, "to": {"pool": sales(team)}},
            {"name": "scored", "when": {"score": {"at_least": 0}}, "to": {"pool": sales(team)}},
            {"name": "partners", "when": {"lead_source": "known"}, "to": {"pool": sales(team)}},
            {"name": "germany", "when": {"country_group": "eu"}, "to": {"pool": "germany"}},
        ],
        pools=pooled(team, ANNA) | {"germany": {"connection": team.site.name, "members": [MEI]}},
    )
    german, refused, allowed = team.lead(country="Germany"), team.lead(), team.lead()
    team.site.refuse_profiling(refused)

    team.site.settle()

    assert [team.site.shown(lead)["state"] for lead in (german, refused)] == ["consent_unknown", "consent_refused"]
    assert team.owners([german, refused, allowed]) == [MEI, INBOUND, ANNA]
    assert [each.rule for each in team.assignments(refused)] == ["rest"]


def test_given_consent_withdrawn_between_decision_and_write_when_pushed_then_territory_decides_anew(team: Team):
    publish(
        team,
        rules=[{"name": "hot", "when": {"bucket": ["A", "B", "C", "D"]}, "to": {"pool": sales(team)}}],
    )
    lead = team.lead()
    team.site.pull(Walk.CHANGES)
    team.site.office.evaluate_all(team.site.now)

    team.site.later(seconds=1)
    team.site.refuse_profiling(lead)
    team.site.settle()

    assert team.owner(lead) == INBOUND
    assert [(each.rule, each.state) for each in team.assignments(lead)] == [("hot", "dropped"), ("rest", "accepted")]
    assert sum(team.turns().values()) == 0


def test_given_everybody_is_full_when_leads_come_then_the_fallback_gets_them_and_the_log_says_why(team: Team):
    publish(team, pools=pooled(team, {"who": ANNA, "per_day": 1}, {"who": TOM, "open_leads": 1}))
    leads = team.leads(3)

    team.site.settle()

    assert Counter(team.owners(leads)) == {ANNA: 1, TOM: 1, INBOUND: 1}
    [full] = [lead for lead in leads if team.owner(lead) == INBOUND]
    [told] = payloads(team.site.told(full, "assignment"))
    assert told["rule"] == sales(team)
    assert told["skipped"] == [
        {"who": ANNA, "why": "has had 1 of 1 today"},
        {"who": TOM, "why": "holds 1 of 1 open leads"},
    ]


def refused(team: Team) -> tuple[str, str]:
    """A lead whose new owner left without our knowing, so that the CRM refused them; the lead and that owner."""
    lead = team.lead()
    team.site.pull(Walk.CHANGES)
    team.site.office.evaluate_all(team.site.now)
    [each] = team.assignments(lead)
    team.leaves(each.member)
    team.site.settle()
    return lead, each.member


def test_given_an_owner_whom_the_crm_refuses_when_pushed_then_the_score_is_written_and_the_turn_given_back(team: Team):
    lead, _ = refused(team)

    assert team.site.shown(lead)["state"] == "scored"
    assert [entry.state for entry in team.site.office.entries() if entry.kind == "owner"] == ["dead"]
    assert [each.state for each in team.assignments(lead)] == ["refused"]
    assert sum(team.turns().values()) == 0


def test_given_a_refused_owner_when_users_are_read_then_somebody_else_gets_the_lead(team: Team):
    lead, gone = refused(team)

    team.read_users()
    team.site.settle()

    assert team.owner(lead) == ({ANNA, TOM} - {gone}).pop()


def test_given_a_refused_owner_who_returns_when_replayed_then_they_get_the_lead_and_the_turn_counts(team: Team):
    lead, gone = refused(team)
    team.returns(gone)

    with team.site.transaction() as session:
        letters = outbox.dead(session)
    assert replay(team.site.transaction, letters, actor="user:ops", now=team.site.now).replayed == 1
    team.site.settle()

    assert team.owner(lead) == gone
    assert [each.state for each in team.assignments(lead)] == ["accepted"]
    assert sum(team.turns().values()) == 1


def test_given_users_that_are_not_read_yet_when_a_lead_is_evaluated_then_it_waits_for_them(site: Site):
    team = a_team(site)
    publish(team)
    lead = team.lead()
    site.settle()
    assert team.assignments(lead) == []

    team.read_users()
    site.later(minutes=6)
    with site.transaction() as session:
        inbox.add_ageing(session, site.now, most=100)
    site.settle()

    assert team.owner(lead) in (ANNA, TOM)


def test_given_users_that_are_read_anew_when_leads_come_then_nobody_is_routed_before_all_are_known(team: Team):
    team.site.office.do("UPDATE feed SET watermark = NULL WHERE name = ANY(:names)", names=list(OWNER_FEEDS))
    taken, free = team.lead(owner_id=team.ids[MEI]), team.lead()
    team.site.settle()
    assert team.assignments(taken) == team.assignments(free) == []

    team.read_users()
    team.site.later(minutes=6)
    team.site.age()
    team.site.settle()

    assert (team.owner(taken), team.assignments(taken)) == (MEI, [])
    assert team.owner(free) in (ANNA, TOM)


def test_given_a_connection_that_only_observes_when_leads_come_then_no_owner_is_written_until_it_is_active(team: Team):
    team.site.steer(ConnectionState.OBSERVING)
    lead = team.lead()

    team.site.settle()
    assert team.owner_writes() == []

    team.site.steer(ConnectionState.ACTIVE)
    team.site.settle()
    assert team.owner(lead) in (ANNA, TOM)


def test_given_a_person_in_both_crms_when_routed_then_each_connection_gives_an_owner_of_its_own(
    sites: tuple[Site, Site],
):
    teams = [a_team(site) for site in sites]
    publish(*teams)
    for team in teams:
        team.site.settle()
        team.read_users()
    leads = [team.lead(email="jane@acme.com", last_name="Doe") for team in teams]

    for team in teams:
        team.site.settle()

    assert len({site.person(lead) for site, lead in zip(sites, leads, strict=True)}) == 1
    assert {team.owner(lead) in (ANNA, TOM) for team, lead in zip(teams, leads, strict=True)} == {True}
    assert [len(team.assignments(lead)) for team, lead in zip(teams, leads, strict=True)] == [1, 1]


def test_given_an_account_that_somebody_owns_when_a_lead_of_it_comes_then_its_owner_gets_the_lead(team: Team):
    publish(team, rules=[{"name": "account", "to": "account_owner"}, {"name": "sales", "to": {"pool": sales(team)}}])
    theirs, other = lead_of_account(team, MEI), team.lead()

    team.site.settle()

    assert team.owner(theirs) == MEI
    assert team.owner(other) in (ANNA, TOM)


def test_given_an_account_whose_owner_has_left_when_a_lead_comes_then_the_next_rule_takes_it(team: Team):
    publish(team, rules=[{"name": "account", "to": "account_owner"}, {"name": "sales", "to": {"pool": sales(team)}}])
    lead = lead_of_account(team, MEI)
    team.leaves(MEI)
    team.read_users()

    team.site.settle()

    [each] = team.assignments(lead)
    assert (each.rule, each.skipped) == ("sales", [{"who": "account owner", "why": "has left"}])


def lead_of_account(team: Team, owner: str) -> str:
    """A lead without an owner, of an account that somebody owns; in Salesforce a contact there is the same person."""
    if team.site.kind is CrmKind.SALESFORCE:
        [account] = team.org.seed("Account", [{"Name": "Acme", "OwnerId": team.ids[owner]}])
        contact = {"LastName": "Doe", "Email": "jane@acme.com", "AccountId": account, "OwnerId": team.ids[owner]}
        team.org.seed("Contact", [contact])
        return team.lead(email="jane@acme.com")
    company = team.site.act(
        "create", object="companies", properties={"name": "Acme", "hubspot_owner_id": team.ids[owner]}
    )
    lead = team.lead()
    team.site.act("associate", **{"from": "contacts", "to": "companies", "from_id": lead, "to_id": company["id"]})
    return lead


def test_given_an_assignment_rule_in_salesforce_when_owners_are_written_then_it_never_runs(salesforce, office):
    """Salesforce alone: its assignment rules run on every save by API unless Sforce-Auto-Assign is off."""
    site = office.join(salesforce)
    team = a_team(site)
    site.act("set_assignment_rule", active=True, owner=team.ids[MEI])
    publish(team)
    team.read_users()
    leads = team.leads(4)

    site.settle()

    assert Counter(team.owners(leads)) == {ANNA: 2, TOM: 2}
    assert not [w for w in salesforce.journal.writes if w.after == team.ids[MEI] and w.field == "OwnerId"]


def refuse_processing(team: Team) -> str:
    text = team.site.mapping_text(do_not_process=REFUSAL[team.site.kind])
    team.site.publish(text)
    lead = team.lead()
    team.site.refuse_profiling(lead)
    return lead


def delete(team: Team) -> None:
    team.site.world.delete(team.lead())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(refuse_processing, id="refused-processing"),
        pytest.param(lambda team: team.lead(email="test@test.com", last_name="Test"), id="test-record"),
        pytest.param(delete, id="deleted"),
    ],
)
def test_given_a_lead_that_is_not_to_be_worked_when_evaluated_then_its_owner_is_left_alone(team: Team, make):
    make(team)

    team.site.settle()

    assert team.owner_writes() == []
    assert team.site.office.count("assignment") == 0


def test_given_time_alone_when_a_day_passes_then_a_days_limit_begins_anew(team: Team):
    publish(team, pools=pooled(team, {"who": ANNA, "per_day": 1}))
    first = team.leads(2)
    team.site.settle()

    team.site.later(hours=24)
    second = team.lead()
    team.site.settle()

    assert sorted(team.owners(first)) == [ANNA, INBOUND]
    assert team.owner(second) == ANNA
