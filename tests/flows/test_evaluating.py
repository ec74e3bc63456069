"""Evaluating: each batch is one commit, and whoever can't be evaluated holds back nobody else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import polars as pl
import pytest
import yaml

from crm_sync.domain.records import CrmKind
from crm_sync.domain.scores import Scored
from crm_sync.store import inbox
from tests.factories import AlwaysScorer
from tests.flows.sites import SPAN, Site

LOST = {CrmKind.SALESFORCE: ("Status", "Closed - Not Converted"), CrmKind.HUBSPOT: ("hs_lead_status", "UNQUALIFIED")}


def test_given_a_lead_that_is_lost_when_evaluated_then_its_score_goes_and_comes_back_when_reopened(site: Site):
    field, word = LOST[site.kind]
    document = yaml.safe_load(site.mapping_text())
    document["lost"] = [{"object": site.object, "field": field, "one_of": [word]}]
    site.publish(yaml.safe_dump(document, allow_unicode=True))
    [lead] = site.add()
    site.settle()
    open_as = site.value(lead, field)
    assert site.shown(lead)["state"] == "scored"

    site.later(seconds=60)
    site.write(lead, {field: word})
    site.settle()
    assert {name: value for name, value in site.shown(lead).items() if value is not None} == {"state": "closed"}

    site.later(seconds=60)
    site.write(lead, {field: open_as or ""})
    site.settle()
    assert site.shown(lead)["state"] == "scored"


class Choking(AlwaysScorer):
    """A model that fails on executives."""

    def score(self, features: pl.DataFrame) -> Scored:
        if "executive" in features["title_rank"].to_list():
            raise RuntimeError("choked")
        return super().score(features)


def test_given_somebody_who_cant_be_evaluated_when_tried_again_and_again_then_everybody_else_is(site: Site):
    leads = site.add(30, title="Assistant")
    site.edit(leads[11], title="Chief Executive Officer")
    site.pull()
    people, bad = {site.person(lead) for lead in leads}, site.person(leads[11])
    site.office.model = Choking(0.5, {"title_rank": 1.0})

    failures = 0
    for _ in range(60):
        site.later(seconds=10)
        try:
            if not site.office.evaluate(site.now).people:
                break
        except RuntimeError:
            failures += 1

    done = {row.person_id for row in site.office.ask("SELECT person_id FROM evaluation")}
    assert people - done == {bad}
    assert failures <= 6
    assert [row.person_id for row in site.office.ask("SELECT person_id FROM inbox")] == [bad]
    with site.office.transaction() as session:
        assert inbox.parked(session, site.now) == 1

    site.office.model = None
    site.later(hours=2)
    site.settle()
    assert site.shown(leads[11])["state"] == "scored"


def test_given_a_commit_that_fails_when_evaluated_then_nothing_of_the_batch_is_kept(site: Site):
    site.add(3)
    site.pull()
    # It fails after evaluations, entries and audit are written.
    site.office.ask_as_owner("ALTER TABLE person ADD CONSTRAINT broken CHECK (evaluated_at IS NULL) NOT VALID")

    with pytest.raises(Exception, match="broken"):
        site.office.evaluate(site.now)

    assert site.office.count("evaluation") == site.office.count("outbox") == 0
    assert site.office.audit("evaluation") == []
    assert site.office.count("inbox") == 3
    site.office.ask_as_owner("ALTER TABLE person DROP CONSTRAINT broken")
    assert site.office.evaluate_all(site.now) == 3


def test_given_two_workers_when_they_evaluate_at_once_then_nobody_is_evaluated_twice(site: Site):
    leads = site.add(20)
    site.pull()
    ready = Barrier(2)

    def work(_: int) -> int:
        ready.wait()
        return sum(site.office.evaluate(site.now, most=5).people for _ in range(4))

    with ThreadPoolExecutor(2) as workers:
        done = sum(workers.map(work, range(2)))

    assert done == len(leads)
    assert site.office.count("evaluation") == len(leads)
    assert {len(site.history(lead)) for lead in leads} == {1}


def test_given_a_worker_that_died_when_its_claim_lapses_then_its_people_are_evaluated_with_a_newer_number(site: Site):
    [lead] = site.add()
    site.pull()
    with site.transaction() as session:
        assert inbox.claim(session, site.now, most=10, span=SPAN)
    assert site.office.evaluate(site.now).people == 0

    site.later(seconds=(SPAN + timedelta(seconds=1)).total_seconds())
    site.settle()

    assert [evaluation.number for evaluation in site.history(lead)] == [2]
    assert site.shown(lead)["state"] == "scored"


def test_given_a_change_while_a_person_is_evaluated_when_settled_then_they_wait_again(site: Site):
    [lead] = site.add(title="Assistant")
    site.pull()

    class Slow(AlwaysScorer):
        """The model takes so long that the next change is pulled meanwhile."""

        def score(self, features: pl.DataFrame) -> Scored:
            site.edit(lead, title="Chief Executive Officer")
            site.pull()
            site.office.model = None
            return super().score(features)

    site.office.model = Slow(0.5, {"title_rank": 1.0})
    site.office.evaluate(site.now)

    assert site.office.count("inbox") == 1
    site.settle()
    assert len(site.history(lead)) == 2
    assert site.shown(lead)["score"] == site.history(lead)[-1].score
