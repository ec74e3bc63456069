"""Law 8: consent binds when evaluating, pushing and replaying; without it the only writes are clears and the state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.records import CrmKind
from crm_sync.flows.replay import replay
from crm_sync.store import feeds, outbox
from tests.connectors.world import World
from tests.flows.sites import Office, Site

LEGAL_BASIS = "Legitimate interest – prospect/lead"
CLEARED = {own.name: None for own in OWN_FIELDS}


def cleared(state: str) -> dict[str, str | None]:
    return CLEARED | {"state": state}


def test_given_a_refusal_when_evaluated_then_the_crm_score_is_cleared_and_says_why(site: Site):
    [lead] = site.add()
    site.settle()
    assert site.shown(lead)["score"] is not None

    site.later(minutes=2)
    site.refuse_profiling(lead)
    site.settle()

    assert site.shown(lead) == cleared("consent_refused")
    assert site.history(lead)[-1].score is None


def test_given_consent_that_was_never_asked_in_the_eu_when_evaluated_then_only_the_state_is_written(site: Site):
    [lead] = site.add(country="Germany")

    site.settle()

    assert {write.field for write in site.written(lead)} == {site.world.own("state")}
    assert site.shown(lead) == cleared("consent_unknown")


def refuses_on_the_record(site: Site, lead: str) -> None:
    site.refuse_profiling(lead)


def refuses_on_the_individual(site: Site, lead: str) -> None:
    site.act("edit", object="Individual", id=site.value(lead, "IndividualId"), fields={"HasOptedOutProfiling": True})


def loses_the_legal_basis(site: Site, lead: str) -> None:
    site.write(lead, {"hs_legal_basis": ""})


WITHDRAWALS: list[tuple[str, Callable[[Site, str], None], str]] = [
    ("salesforce", refuses_on_the_record, "consent_refused"),
    ("salesforce", refuses_on_the_individual, "consent_refused"),
    ("hubspot", refuses_on_the_record, "consent_refused"),
    ("hubspot", loses_the_legal_basis, "consent_unknown"),
]


@pytest.fixture(params=WITHDRAWALS, ids=[f"{crm}-{how.__name__}" for crm, how, _ in WITHDRAWALS])
def withdrawal(request: pytest.FixtureRequest, office: Office) -> tuple[Site, str, Callable[[Site, str], None], str]:
    """A lead in Germany who allowed to be scored, and a way to withdraw that."""
    name, withdraw, state = request.param
    world: World = request.getfixturevalue(name)
    site = office.join(world)
    if name == "salesforce":
        individual = site.act("create", object="Individual", fields={"LastName": "Doe"})["id"]
        [lead] = site.add()
        site.write(lead, {"IndividualId": individual})
    else:
        [lead] = site.add(country="Germany")
        site.write(lead, {"hs_legal_basis": LEGAL_BASIS})
    return site, lead, withdraw, state


def test_given_consent_withdrawn_before_the_push_when_pushed_then_the_only_write_is_the_clear(withdrawal):
    site, lead, withdraw, state = withdrawal
    site.pull()
    site.office.evaluate_all(site.now)
    [entry] = site.office.entries("waiting")
    assert entry.desired["score"] is not None

    site.later(seconds=5)
    withdraw(site, lead)
    site.push()
    assert site.written(lead) == []
    with site.transaction() as session:
        assert (site.id, site.world.people.name) in feeds.due(session, site.now)  # the withdrawal is pulled at once
    site.settle()

    assert {write.field for write in site.written(lead)} == {site.world.own("state")}
    assert site.shown(lead) == cleared(state)


def test_given_consent_withdrawn_and_pulled_but_not_evaluated_when_pushed_then_no_score_is_written(withdrawal):
    site, lead, withdraw, state = withdrawal
    site.pull()
    site.office.evaluate_all(site.now)

    site.later(seconds=5)
    withdraw(site, lead)
    site.pull()
    site.push()
    assert site.written(lead) == []
    site.settle()

    assert site.shown(lead) == cleared(state)


def test_given_a_dead_letter_when_consent_was_withdrawn_meanwhile_then_its_replay_writes_no_score(withdrawal):
    site, lead, withdraw, state = withdrawal
    site.world.refuse(lead)
    site.settle()
    [letter] = site.office.entries("dead")
    assert letter.desired["score"] is not None
    site.heal()

    site.later(minutes=2)
    withdraw(site, lead)
    with site.transaction() as session:
        letters = outbox.dead(session)
    replay(site.transaction, letters, actor="user:ops", now=site.now)
    site.push()
    site.settle()

    assert {write.field for write in site.written(lead) if not write.no_op} == {site.world.own("state")}
    assert site.shown(lead) == cleared(state)


def test_given_a_refusal_that_is_taken_back_when_evaluated_then_the_lead_is_scored(site: Site):
    [lead] = site.add()
    site.refuse_profiling(lead)
    site.settle()
    assert site.shown(lead)["state"] == "consent_refused"

    site.later(minutes=2)
    site.refuse_profiling(lead, refused=False)
    site.settle()

    assert site.shown(lead)["state"] == "scored"
    assert site.shown(lead)["score"] is not None


def test_given_a_consent_that_ends_when_its_time_has_come_then_the_score_is_cleared_without_any_change(site: Site):
    [lead] = site.add()
    name = "Consent_Until__c" if site.kind is CrmKind.SALESFORCE else "consent_until"
    site.add_time_field(name)
    site.write(lead, {name: f"{site.now.replace(microsecond=0).isoformat()[:-6]}Z".replace("2026", "2027", 1)})
    site.publish(site.mapping_text(profiling_consent_until=name))
    site.refeed()
    site.settle()
    assert site.shown(lead)["state"] == "scored"

    site.later(days=366)
    site.age()
    site.settle()

    assert site.shown(lead) == cleared("consent_expired")
