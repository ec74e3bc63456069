"""Laws 10, 18 and 19: the chain can be told and verified, the same inputs say the same, and no log names anybody."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path

import pytest

from crm_sync.domain.connections import ConnectionState
from crm_sync.flows.replay import replay
from crm_sync.flows.seal import outside_roots, seal
from crm_sync.store import audit, explanations, outbox
from tests.flows.sites import Site, payloads

ADDRESS, SURNAME = "zacharias.quibbleton@acme-quux.com", "Quibbleton"


def a_full_life(site: Site) -> str:
    """One lead through most of what can happen: scored, overwritten, refused, dead, replayed, withdrawn, deleted."""
    [lead] = site.add(email=ADDRESS, last_name=SURNAME)
    site.settle()
    site.later(minutes=5)
    site.overwrite(lead, score=1)
    site.settle()
    site.later(minutes=5)
    site.world.refuse(lead)
    site.edit(lead, title="Intern")
    site.settle()
    site.heal()
    with site.transaction() as session:
        letters = outbox.dead(session)
    replay(site.transaction, letters, actor="user:ops", now=site.now)
    site.settle()
    site.steer(ConnectionState.OBSERVING)
    site.steer(ConnectionState.ACTIVE)
    site.later(minutes=5)
    site.refuse_profiling(lead)
    site.settle()
    return lead


def test_given_a_full_life_when_told_then_the_audit_names_each_step_and_verifies(site: Site, tmp_path: Path):
    roots = tmp_path / "roots.log"
    lead = a_full_life(site)
    seal(site.transaction, site.office.keys, roots, site.now)
    site.world.delete(lead)
    site.later(minutes=5)
    site.settle()
    seal(site.transaction, site.office.keys, roots, site.now)

    kinds = [entry.kind for entry in site.office.audit()]
    wanted = {
        "policy_published", "mapping_published", "evaluation", "fields_delivered", "own_fields_overwritten",
        "fields_dead", "replay", "connection_state",
    }  # fmt: skip
    assert wanted <= set(kinds)
    delivered = payloads(site.told(lead, "fields_delivered"))
    assert all(told["call"] for told in delivered if told["sent"])
    for earlier, later in pairwise(delivered):
        if later["why"] == "change":
            assert later["before"]["score"] == earlier["after"].get("score", later["before"]["score"])
    with site.transaction() as session:
        verdict = audit.verify(session, site.office.keys, outside_roots(roots))
    assert verdict.damage == ()
    assert verdict.blocks >= 1
    assert [number for number, _ in outside_roots(roots)] == list(range(1, verdict.blocks + 1))
    assert verdict.entries + verdict.unsealed == len(kinds)  # others' open transactions may put the newest off


def test_given_a_scored_lead_when_explained_then_the_chain_leads_from_its_change_to_the_crms_answer(site: Site):
    [lead] = site.add()
    site.settle()

    with site.transaction() as session:
        [person] = explanations.find(session, lead, [])
        [record] = explanations.records(session, person)
        [evaluation] = explanations.evaluations(session, person)
        [entry] = explanations.entries(session, person)

    assert (record.crm_id, record.versions, record.life) == (lead, 1, "open")
    assert evaluation.mapping_versions == {str(site.id): site.mapping.content_hash}
    assert evaluation.model_version
    assert evaluation.policy_version
    assert evaluation.inputs_hash
    assert evaluation.data_until is not None
    assert (entry.number, entry.state) == (evaluation.number, "delivered")
    [delivery] = entry.deliveries
    assert delivery["result"] == "accepted"
    assert delivery["call"]
    assert {name for name, value in delivery["sent"].items() if value is not None} == {
        write.field for write in site.written(lead)
    }


def test_given_the_same_leads_when_evaluated_alone_or_in_a_batch_then_the_bytes_are_the_same(site: Site):
    leads = site.add(5, created_at=None)
    site.pull()
    now = site.now
    site.office.evaluate_all(now)
    together = {lead: site.history(lead)[-1] for lead in leads}

    site.office.do("DELETE FROM outbox")
    site.office.do("DELETE FROM evaluation")
    for lead in reversed(leads):
        site.office.do(
            """
            INSERT INTO inbox (person_id, why, priority, since, available_at)
            VALUES (:person, 'change', 20, :now, :now)
            """,
            person=site.person(lead),
            now=now,
        )
        site.office.evaluate(now, most=1)

    for lead in leads:
        alone = site.history(lead)[-1]
        assert (alone.inputs_hash, alone.probability, alone.desired) == (
            together[lead].inputs_hash,
            together[lead].probability,
            together[lead].desired,
        )


def test_given_a_full_life_when_logged_then_no_log_and_no_key_names_the_person(
    site: Site, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    loggers = ("crm_sync", "connectors", "urllib3", "simple_salesforce", "hubspot", "celery", "sqlalchemy.engine")

    lead = a_full_life(site)

    logged = "\n".join(
        r.getMessage() for r in caplog.records if r.name.split(".")[0] in {n.split(".")[0] for n in loggers}
    )
    kept = str(site.office.ask("SELECT * FROM identity_key")) + str(site.office.ask("SELECT * FROM record_key"))
    kept += str(site.office.ask("SELECT name, cursor, last_problem FROM feed"))
    kept += str(site.office.ask("SELECT code, field, words, desired FROM outbox"))
    kept += str(site.office.ask("SELECT id, actor, kind, subject FROM audit_entry"))
    assert site.record(lead)
    for text in (logged, kept):
        assert ADDRESS not in text
        assert SURNAME not in text
