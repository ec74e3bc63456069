"""Law 7: the same person in two CRMs is one person; and law 10: the same inputs give the same answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from crm_sync.domain.connections import ConnectionState
from tests.connectors.world import World
from tests.flows.sites import Office, Site

SPELLED = {"email": "ana.kern@xn--mller-bau-q9a.com", "last_name": "Kern"}


def settle(*sites: Site) -> None:
    for _ in range(2):
        for site in sites:
            site.settle()
        at = max(site.now for site in sites)
        for site in sites:
            site.world.clock.freeze(at)


def test_given_one_person_in_both_crms_when_pulled_then_one_evaluation_gives_both_the_same_score(
    sites: tuple[Site, Site],
):
    salesforce, hubspot = sites
    [lead], [contact] = salesforce.add(**SPELLED), hubspot.add(**SPELLED)

    settle(salesforce, hubspot)

    assert salesforce.person(lead) == hubspot.person(contact)
    assert salesforce.shown(lead)["score"] == hubspot.shown(contact)["score"]
    assert salesforce.shown(lead)["reasons"] == hubspot.shown(contact)["reasons"]
    assert len({row.person_id for row in salesforce.office.ask("SELECT person_id FROM evaluation")}) <= 2


def test_given_both_are_pulled_first_when_evaluated_then_there_is_one_evaluation(sites: tuple[Site, Site]):
    salesforce, hubspot = sites
    salesforce.add(**SPELLED)
    hubspot.add(**SPELLED)
    salesforce.pull()
    hubspot.pull()

    salesforce.office.evaluate_all(salesforce.now)

    links = salesforce.office.ask("SELECT evidence FROM link ORDER BY record_id")
    assert [link.evidence for link in links] == ["first record", "shared keys"]
    [evaluation] = salesforce.office.ask("SELECT * FROM evaluation")
    assert set(evaluation.mapping_versions) == {str(site.id) for site in sites}
    assert len(salesforce.office.entries("waiting")) == 2


def test_given_consent_withdrawn_in_one_crm_when_pulled_then_it_binds_in_the_other(sites: tuple[Site, Site]):
    for there, here in (sites, sites[::-1]):
        email = {"email": f"someone{there.id}@firm{there.id}.com"}
        [refuser], [other] = there.add(**email), here.add(**email)
        settle(*sites)
        assert here.shown(other)["state"] == "scored"

        there.later(minutes=2)
        there.refuse_profiling(refuser)
        settle(*sites)

        assert there.shown(refuser)["state"] == here.shown(other)["state"] == "consent_refused"
        assert here.shown(other)["score"] is None


def test_given_a_record_that_refuses_when_it_is_deleted_then_its_refusal_binds_the_other_all_the_same(
    sites: tuple[Site, Site],
):
    for there, here in (sites, sites[::-1]):
        email = {"email": f"someone{there.id}@firm{there.id}.com"}
        [refuser], [other] = there.add(**email), here.add(**email)
        there.refuse_profiling(refuser)
        settle(*sites)

        there.later(minutes=2)
        there.world.delete(refuser)
        settle(*sites)
        here.later(minutes=2)
        here.edit(other, title="Chief Executive Officer")
        settle(*sites)

        assert there.record(refuser).life == "deleted"
        assert here.history(other)[-1].state == here.shown(other)["state"] == "consent_refused"


def test_given_two_records_that_part_when_evaluated_then_each_has_its_own_history_and_score(sites: tuple[Site, Site]):
    salesforce, hubspot = sites
    [lead], [contact] = salesforce.add(**SPELLED, title="Intern"), hubspot.add(**SPELLED)
    settle(salesforce, hubspot)
    assert salesforce.person(lead) == hubspot.person(contact)

    hubspot.later(minutes=2)
    hubspot.edit(contact, email="another.kern@elsewhere.com", title="Chief Executive Officer")
    settle(salesforce, hubspot)

    assert salesforce.person(lead) != hubspot.person(contact)
    links = salesforce.office.ask("SELECT * FROM link WHERE record_id = :r ORDER BY id", r=hubspot.record(contact).id)
    assert [link.to_at is None for link in links] == [*[False] * (len(links) - 1), True]
    assert hubspot.shown(contact)["score"] != salesforce.shown(lead)["score"]
    assert hubspot.shown(contact)["score"] == hubspot.history(contact)[-1].desired["score"]
    assert len(hubspot.versions(contact)) == 2


def test_given_a_shared_or_role_address_when_pulled_then_nobody_is_joined(sites: tuple[Site, Site]):
    salesforce, hubspot = sites
    leads = [*salesforce.add(email="info@bigfirm.com"), *salesforce.add(email="x@mailinator.com")]
    contacts = [*hubspot.add(email="info@bigfirm.com"), *hubspot.add(email="x@mailinator.com")]

    settle(salesforce, hubspot)

    people = [salesforce.person(lead) for lead in leads] + [hubspot.person(contact) for contact in contacts]
    assert len(set(people)) == 4


def test_given_a_test_org_and_a_production_portal_when_pulled_then_they_share_nobody(
    office: Office, salesforce: World, hubspot: World
):
    test, production = office.join(salesforce, is_test=True), office.join(hubspot)
    [lead], [contact] = test.add(**SPELLED), production.add(**SPELLED)

    settle(test, production)

    assert test.person(lead) != production.person(contact)


def test_given_both_crms_are_pulled_at_once_when_they_meet_one_new_person_then_there_is_one(sites: tuple[Site, Site]):
    for site in sites:
        for n in range(10):
            site.add(email=f"twin{n}@twins.com")

    with ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda site: site.pull_feed(site.world.people), sites))

    [row] = sites[0].office.ask("SELECT count(DISTINCT person_id) AS people, count(*) AS links FROM link")
    assert (row.people, row.links) == (10, 20)


def test_given_one_crm_is_only_observed_when_settled_then_the_other_alone_is_written(sites: tuple[Site, Site]):
    salesforce, hubspot = sites
    salesforce.steer(ConnectionState.OBSERVING)
    [lead], [contact] = salesforce.add(**SPELLED), hubspot.add(**SPELLED)

    settle(salesforce, hubspot)

    assert salesforce.written(lead) == []
    assert hubspot.shown(contact)["state"] == "scored"
    assert hubspot.history(contact)[-1].score == salesforce.history(lead)[-1].score
