"""Law 6: a score ages without any change, and few of these changes are worth a write."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from tests.flows.sites import Site


def age(site: Site, *, days: int) -> None:
    """Days pass in which nobody does anything; every day those are evaluated whose time has come."""
    for _ in range(days):
        site.later(days=1)
        site.age()
        site.office.evaluate_all(site.now)
        site.push()


def test_given_a_hot_lead_that_falls_silent_when_a_month_passes_then_it_cools_by_few_writes(site: Site):
    [lead] = site.add(title="Chief Executive Officer")
    for _ in range(3):
        site.call_in(lead)
    site.settle()
    hot = site.shown(lead)["score"]
    mark = site.mark()

    age(site, days=31)

    shown = site.shown(lead)
    assert shown["score"] <= hot - 15
    assert shown["bucket"] > "A" or hot < 55
    times = {write.at for write in site.written(lead, since=mark)}
    assert 2 <= len(times) <= 9
    assert [write for write in site.written(lead, since=mark) if write.no_op] == []


def test_given_two_hundred_quiet_leads_when_a_month_passes_then_there_is_no_storm_of_writes(site: Site):
    leads = site.add(200)
    site.settle()
    mark = site.mark()

    for _ in range(4):
        site.later(days=8)
        assert site.age() == len(leads)
        site.office.evaluate_all(site.now)
        site.push()

    writes = Counter(write.record_id for write in site.written(since=mark))
    scores = [write for write in site.written(since=mark) if write.field == site.world.own("score")]
    assert len(scores) <= len(leads)  # at most the one move past the dead band after thirty days without a sign
    assert all(count <= 9 for count in writes.values())
    assert not [write for write in site.written(since=mark) if write.no_op]


def test_given_an_evaluation_when_kept_then_it_says_by_when_to_look_again(site: Site):
    [lead] = site.add()
    site.settle()

    again = site.person_row(lead).evaluate_again_at

    assert site.now < again <= site.now + timedelta(hours=24, seconds=1)
    assert site.age() == 0
    site.later(hours=25)
    assert site.age() == 1


def test_given_a_score_that_moves_a_little_when_evaluated_then_the_crm_keeps_what_it_shows(site: Site):
    [lead] = site.add(title="Head of Purchasing")
    site.settle()
    before, mark = site.shown(lead), site.mark()

    site.later(minutes=5)
    site.edit(lead, title="VP Purchasing")
    site.settle()

    assert 0 < site.history(lead)[-1].score - before["score"] < 5
    assert site.shown(lead) == before
    assert site.written(lead, since=mark) == []


def test_given_a_lead_warms_up_when_a_call_is_pulled_then_the_new_score_arrives(site: Site):
    [lead] = site.add()
    site.settle()
    before = site.shown(lead)["score"]

    site.later(minutes=5)
    site.call_in(lead)
    site.settle()

    assert site.shown(lead)["score"] > before
    assert "called" in str(site.shown(lead)["reasons"]).lower() or "call" in str(site.shown(lead)["reasons"]).lower()
