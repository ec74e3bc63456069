"""Law 2: three reactions to what a CRM shows: evaluate, repair, nothing."""

from __future__ import annotations

from crm_sync.domain.outbox import REPAIR
from tests.flows.sites import Site, payloads


def test_given_our_write_and_a_persons_edit_in_one_second_when_pulled_then_the_edit_is_evaluated(site: Site):
    [lead] = site.add(title="Assistant")
    site.settle()
    evaluated = len(site.history(lead))

    site.edit(lead, title="Chief Executive Officer")  # the clock hasn't moved since our write
    site.settle()

    assert len(site.history(lead)) == evaluated + 1
    assert site.shown(lead)["score"] == site.history(lead)[-1].score


def test_given_a_stranger_wrote_over_our_score_when_pulled_then_it_is_put_back_once_and_nobody_is_evaluated(site: Site):
    [lead] = site.add()
    site.settle()
    ours, evaluations = site.shown(lead), site.office.count("evaluation")

    site.later(minutes=2)
    site.overwrite(lead, score=1)
    mark = site.mark()
    site.settle()

    assert site.shown(lead) == ours
    assert [write.field for write in site.written(lead, since=mark)] == [site.world.own("score")]
    assert site.office.count("evaluation") == evaluations
    [told] = payloads(site.told(lead, "own_fields_overwritten"))
    assert told["fields"] == ["score"]


def test_given_something_that_keeps_writing_there_when_repaired_twice_then_it_is_left_alone_and_named(site: Site):
    [lead] = site.add()
    site.settle()

    for value in (1, 2, 3):
        site.later(minutes=10)
        site.overwrite(lead, score=value)
        site.settle()

    assert site.shown(lead)["score"] == 3
    assert len(site.told(lead, "own_fields_overwritten")) == 2
    [left] = payloads(site.told(lead, "own_fields_left_alone"))
    assert left["fields"] == ["score"]
    assert "something else writes here" in left["why"]

    site.later(hours=25)
    site.overwrite(lead, score=4)
    site.settle()
    assert site.shown(lead)["score"] == site.history(lead)[-1].score


def test_given_a_field_left_alone_when_another_of_ours_is_overwritten_then_only_that_one_is_put_back(site: Site):
    [lead] = site.add()
    site.settle()
    for value in (1, 2, 3):
        site.later(minutes=10)
        site.overwrite(lead, score=value)
        site.settle()

    site.later(minutes=10)
    site.overwrite(lead, state="nonsense")
    site.settle()

    assert site.shown(lead)["state"] == "scored"
    assert site.shown(lead)["score"] == 3
    assert [e["fields"] for e in payloads(site.told(lead, "own_fields_left_alone"))] == [["score"]]


def test_given_one_overwritten_field_left_alone_and_one_not_when_pulled_then_both_are_told_apart(site: Site):
    [lead] = site.add()
    site.settle()
    for value in (1, 2):
        site.later(minutes=10)
        site.overwrite(lead, score=value)
        site.settle()

    site.later(minutes=10)
    site.overwrite(lead, score=3, fit=99)
    site.settle()

    assert (site.shown(lead)["score"], site.shown(lead)["fit"]) == (3, site.history(lead)[-1].fit)
    assert payloads(site.told(lead, "own_fields_overwritten"))[-1]["fields"] == ["fit"]
    assert payloads(site.told(lead, "own_fields_left_alone"))[-1]["fields"] == ["score"]


def test_given_our_write_is_seen_before_it_is_settled_when_pulled_then_it_is_nobody_elses(site: Site):
    [lead] = site.add(title="Assistant")
    site.settle()
    site.later(minutes=2)
    site.edit(lead, title="Chief Executive Officer")
    site.pull()
    site.office.evaluate_all(site.now)

    class Seen:
        """The pull leg reads our write while the push leg still waits for the answer."""

        def __getattr__(self, name: str):
            return getattr(site.connector, name)

        def write(self, writes):
            outcomes = site.connector.write(writes)
            site.pull()
            return outcomes

    site.push(Seen())
    site.settle()

    assert site.told(lead, "own_fields_overwritten") == []
    assert [entry for entry in site.office.entries() if entry.why == REPAIR] == []
    assert site.office.count("repair") == 0
    assert site.shown(lead)["score"] == site.history(lead)[-1].score


def test_given_a_lost_answer_when_our_write_comes_back_then_it_is_nobody_elses(site: Site):
    [lead] = site.add(title="Assistant")
    site.settle()
    site.later(minutes=2)
    site.edit(lead, title="Chief Executive Officer")
    site.pull()
    site.office.evaluate_all(site.now)
    site.lose_answers()
    site.push()
    site.world.faults.clear()

    site.pull()
    site.later(minutes=5)
    site.settle()

    assert site.told(lead, "own_fields_overwritten") == []
    assert [entry for entry in site.office.entries() if entry.why == REPAIR] == []
    assert site.shown(lead)["score"] == site.history(lead)[-1].score
    assert site.shown(lead)["state"] == "scored"


def test_given_a_persons_edit_of_a_mapped_field_when_we_push_then_their_value_stays(site: Site):
    [lead] = site.add()
    site.pull()
    site.office.evaluate_all(site.now)
    site.edit(lead, title="VP Sales")

    site.push()

    assert site.value(lead, next(iter(site.crm_fields(title="")))) == "VP Sales"
    site.later(seconds=1)
    site.settle()
    assert site.history(lead)[-1].number == 2


def test_given_a_person_who_takes_a_lead_over_when_pulled_then_the_owner_is_an_input(site: Site):
    [lead] = site.add()
    site.settle()
    evaluations = site.person_row(lead).evaluation_number

    site.later(minutes=2)
    site.edit(lead, owner_id=site.another_owner())
    site.settle()

    assert site.person_row(lead).evaluation_number == evaluations + 1
    assert len(site.versions(lead)) == 2
