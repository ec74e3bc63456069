"""The whole route: what changes in a CRM comes back as a score, once, and nothing is written that stands there."""

from __future__ import annotations

from tests.flows.sites import Site


def test_given_a_new_lead_when_the_legs_have_run_then_the_crm_shows_its_score(site: Site):
    [lead] = site.add()

    site.settle()

    shown = site.shown(lead)
    assert shown["state"] == "scored"
    assert shown["score"] == site.history(lead)[-1].score
    assert shown["bucket"] == site.history(lead)[-1].bucket
    assert [entry.state for entry in site.office.entries()] == ["delivered"]


def test_given_everything_is_written_when_nobody_does_anything_then_ten_polls_write_and_evaluate_nothing(site: Site):
    leads = site.add(3)
    site.settle()
    evaluations, mark = site.office.count("evaluation"), site.mark()
    [before] = site.office.ask("SELECT sum(evaluation_number) AS drawn FROM person")

    site.idle(10)

    assert site.written(*leads, since=mark) == []
    assert site.office.count("evaluation") == evaluations
    assert site.office.ask("SELECT sum(evaluation_number) AS drawn FROM person") == [before]
    assert [len(site.versions(lead)) for lead in leads] == [1, 1, 1]
