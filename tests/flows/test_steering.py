"""Law 17: publishing, observing, pausing."""

from __future__ import annotations

from crm_sync.domain.connections import ConnectionState
from crm_sync.flows.pull import pull
from crm_sync.store import inbox
from tests.factories import AlwaysScorer
from tests.flows.sites import SPAN, Site, payloads


def test_given_an_equal_mapping_or_policy_when_published_then_nothing_happens(site: Site):
    leads = site.add(3)
    site.settle()
    entries, mark = len(site.office.audit()), site.mark()

    assert site.publish() == 0
    assert site.office.publish_policy(site.now) == 0

    assert len(site.office.audit()) == entries
    site.settle()
    assert site.written(*leads, since=mark) == []


def test_given_another_policy_that_moves_no_score_when_published_then_everybody_is_evaluated_and_nobody_written(
    site: Site,
):
    leads = site.add(5)
    site.settle()
    mark = site.mark()

    assert site.office.publish_policy(site.now, dead_band=6) == len(leads)
    site.settle()

    assert {site.history(lead)[-1].policy_version for lead in leads} != {site.history(leads[0])[0].policy_version}
    assert site.written(*leads, since=mark) == []


def test_given_another_model_that_moves_no_score_when_promoted_then_every_score_names_it_and_nobody_is_written(
    site: Site,
):
    leads = site.add(3)
    site.office.model = AlwaysScorer(0.4, {"title_rank": 1.0}, version="first")
    site.settle()
    mark = site.mark()

    site.office.model = AlwaysScorer(0.4, {"title_rank": 1.0}, version="second")
    with site.transaction() as session:
        assert inbox.add_everybody(session, why="model", now=site.now) == len(leads)
    site.settle()

    assert [[each.model_version for each in site.history(lead)] for lead in leads] == [["first", "second"]] * 3
    assert site.written(*leads, since=mark) == []


def test_given_other_thresholds_when_published_then_each_lead_shows_its_new_bucket(site: Site):
    leads = site.add(3)
    site.settle()

    site.office.publish_policy(site.now, buckets={"A": 3, "B": 2, "C": 1, "hysteresis": 0})
    site.settle()

    assert {site.shown(lead)["bucket"] for lead in leads} == {"A"}


def test_given_everybody_is_written_for_a_new_policy_when_a_lead_comes_then_it_goes_first(site: Site):
    site.add(3)
    site.settle()
    site.office.publish_policy(site.now, buckets={"A": 3, "B": 2, "C": 1, "hysteresis": 0})
    site.office.evaluate_all(site.now)
    site.later(minutes=2)
    [lead] = site.add()
    site.pull()
    site.office.evaluate_all(site.now)
    mark = site.mark()

    site.push(most=1)

    assert {write.record_id for write in site.written(since=mark)} == {lead}


def test_given_a_connection_that_is_observed_when_leads_come_then_they_are_evaluated_and_never_written(site: Site):
    [lead] = site.add()
    site.steer(ConnectionState.OBSERVING)

    site.settle()
    site.later(minutes=5)
    site.edit(lead, title="Intern")
    site.settle()

    assert len(site.history(lead)) == 2
    assert site.written(lead) == []

    site.steer(ConnectionState.ACTIVE)
    site.settle()
    assert site.shown(lead)["score"] == site.history(lead)[-1].score
    assert len([w for w in site.written(lead) if w.field == site.world.own("score")]) == 1


def test_given_a_connection_that_is_paused_when_leads_change_then_no_call_is_made_until_it_is_resumed(site: Site):
    [lead] = site.add()
    site.pull()
    site.office.evaluate_all(site.now)
    site.steer(ConnectionState.PAUSED)
    mark = site.mark()

    site.edit(lead, title="Intern")
    site.settle()
    site.idle(2)
    assert site.world.calls(mark) == []

    site.steer(ConnectionState.ACTIVE)
    site.settle()
    assert site.shown(lead)["score"] == site.history(lead)[-1].score
    assert [p["after"] for p in payloads(site.office.audit("connection_state"))] == ["paused", "active"]


def test_given_a_pause_while_a_worker_reads_page_after_page_when_it_turns_to_the_next_then_no_call_is_made(site: Site):
    [lead] = site.add()
    source = site.source(site.world.people)
    site.steer(ConnectionState.PAUSED)
    mark = site.mark()

    pulled = pull(site.transaction, source, site.now, span=SPAN)

    assert (pulled.rows, pulled.more) == (0, False)
    assert site.world.calls(mark) == []

    site.steer(ConnectionState.ACTIVE)
    site.settle()
    assert site.shown(lead)["state"] == "scored"


def test_given_a_pause_in_the_middle_of_a_batch_when_the_answer_comes_then_it_is_settled(site: Site):
    [lead] = site.add()
    site.pull()
    site.office.evaluate_all(site.now)

    class Pausing:
        """An admin pauses while the CRM is being called."""

        def __getattr__(self, name: str):
            return getattr(site.connector, name)

        def write(self, writes):
            site.steer(ConnectionState.PAUSED)
            return site.connector.write(writes)

    site.push(Pausing())

    assert site.shown(lead)["state"] == "scored"
    assert [entry.state for entry in site.office.entries()] == ["delivered"]
    assert site.connection.state is ConnectionState.PAUSED
