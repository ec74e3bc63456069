"""Law 15: six families, one reaction each; and what is dead can be replayed with the state of today."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_sync.domain.connections import ConnectionState
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.records import CrmKind
from crm_sync.flows.replay import Replayed, replay
from crm_sync.store import outbox
from tests.connectors.world import Trouble
from tests.flows.sites import MOST_ATTEMPTS, Site, payloads


def evaluated(site: Site, n: int = 1, **columns: Any) -> list[str]:
    """Leads that were pulled and evaluated, and wait to be pushed."""
    leads = site.add(n, **columns)
    site.pull()
    site.office.evaluate_all(site.now)
    return leads


def replay_all(site: Site, *, cause: str = "") -> Replayed:
    with site.transaction() as session:
        letters = outbox.dead(session, cause=cause, most=1_000)
    return replay(site.transaction, letters, actor="user:ops", now=site.now)


def test_given_one_bad_lead_among_two_hundred_when_pushed_then_the_others_are_written_and_it_is_a_dead_letter(
    site: Site,
):
    leads = evaluated(site, 200)
    site.world.refuse(leads[77])

    site.push()
    site.settle()

    counts = {state: len(site.office.entries(state)) for state in ("delivered", "dead", "waiting", "held")}
    assert counts == {"delivered": 199, "dead": 1, "waiting": 0, "held": 0}
    [letter] = site.office.entries("dead")
    assert letter.record_id == site.record(leads[77]).id
    assert (letter.family, bool(letter.code), bool(letter.words)) == ("record", True, True)
    if site.kind is CrmKind.SALESFORCE:
        assert letter.field == site.world.own("score")
    [told] = payloads(site.told(leads[77], "fields_dead"))
    assert told["code"] == letter.code

    site.idle(2)
    site.later(hours=25)
    site.age()
    site.settle()
    assert [entry.id for entry in site.office.entries("dead")] == [letter.id]
    assert site.written(leads[77]) == []


def test_given_a_limit_in_mid_batch_when_pushed_then_the_connection_waits_and_no_attempt_is_spent(site: Site):
    leads = evaluated(site, 3)
    site.world.limit(0)

    site.push()

    until = site.connection.wait_until
    assert until is not None
    assert until > site.now
    assert [(entry.state, entry.attempts) for entry in site.office.entries()] == [("waiting", 0)] * 3
    mark = site.mark()
    site.push()
    assert site.world.calls(mark) == []

    site.lift_limit()
    site.world.clock.advance(until - site.now + timedelta(seconds=1))
    site.settle()
    assert {site.shown(lead)["state"] for lead in leads} == {"scored"}


def test_given_a_refused_sign_in_when_pushed_then_entries_are_held_until_an_admin_resumes(site: Site):
    [lead] = evaluated(site)

    site.push(site.world.open(credentials=site.world.wrong_credentials()))

    assert site.connection.state is ConnectionState.NEEDS_SIGN_IN
    assert [entry.state for entry in site.office.entries()] == ["held"]
    assert [entry["after"] for entry in payloads(site.office.audit("connection_state"))] == ["needs_sign_in"]
    site.later(hours=1)
    mark = site.mark()
    site.settle()
    assert site.world.calls(mark) == []

    assert site.steer(ConnectionState.ACTIVE) == 1
    site.settle()
    assert site.shown(lead)["state"] == "scored"


def drop_our_field(site: Site) -> None:
    name = site.world.own("fit")
    if site.kind is CrmKind.SALESFORCE:
        site.act("drop_field", object=site.object, field=name)
    else:
        site.act("drop_property", object=site.object, name=name)


def test_given_one_of_our_fields_is_deleted_when_pushed_then_entries_are_held_and_name_it(site: Site):
    [lead] = evaluated(site)
    drop_our_field(site)

    site.push(site.world.open())

    [entry] = site.office.entries()
    assert (entry.state, entry.family) == ("held", "config")
    assert site.world.own("fit") in (entry.field, *entry.words.replace("'", " ").replace(",", " ").split())
    assert site.connection.state is ConnectionState.ACTIVE

    site.connector.install_fields(site.object, OWN_FIELDS)
    site.steer(ConnectionState.ACTIVE)
    site.settle()
    assert site.shown(lead)["fit"] == site.history(lead)[-1].fit


def test_given_a_mapping_was_at_fault_when_a_better_one_is_published_then_what_was_held_goes_on(site: Site):
    [lead] = evaluated(site)
    drop_our_field(site)
    site.push(site.world.open())
    assert [entry.state for entry in site.office.entries()] == ["held"]

    site.publish(site.mapping_text_without("fit"))
    site.settle(site.world.open())

    assert int(float(site.value(lead, "score"))) == site.history(lead)[-1].score
    assert site.office.entries("held", "waiting") == []


def test_given_a_crm_that_is_down_when_pushed_again_and_again_then_it_waits_longer_and_nothing_is_lost(site: Site):
    [lead] = evaluated(site)
    site.world.trouble(Trouble.MAINTENANCE, times=10_000)

    for _ in range(MOST_ATTEMPTS * 3):
        site.push()
        site.later(hours=1)

    assert [entry.state for entry in site.office.entries()] == ["waiting"]
    site.world.faults.clear()
    site.settle()
    assert site.shown(lead)["state"] == "scored"


def test_given_a_row_that_stays_locked_when_all_attempts_are_spent_then_it_is_a_dead_letter(site: Site):
    [lead] = evaluated(site)
    site.lock(lead)

    waits = []
    for _ in range(MOST_ATTEMPTS):
        site.push()
        [entry] = site.office.entries()
        waits.append(entry.next_try - site.now)
        site.later(hours=7)

    assert (entry.state, entry.family, entry.attempts) == ("dead", "transient", MOST_ATTEMPTS)
    assert all(timedelta(0) < wait <= timedelta(hours=6) for wait in waits[:-1])
    site.heal()
    assert replay_all(site).replayed == 1
    site.settle()
    assert site.shown(lead)["state"] == "scored"


def test_given_many_dead_letters_of_two_causes_when_one_cause_is_replayed_then_todays_values_are_sent(site: Site):
    leads = evaluated(site, 60, title="Assistant")
    for lead in leads[:50]:
        site.world.refuse(lead)
    for lead in leads[50:]:
        site.lock(lead)
    site.push()
    for _ in range(MOST_ATTEMPTS):
        site.later(hours=7)
        site.push()
    causes = {entry.code for entry in site.office.entries("dead")}
    assert len(site.office.entries("dead")) == 60
    assert len(causes) == 2
    [cause] = {entry.code for entry in site.office.entries("dead") if entry.family == "record"}

    site.heal()
    site.later(minutes=2)
    site.edit(leads[0], title="Chief Executive Officer")
    site.pull()
    site.office.evaluate_all(site.now)
    done = replay_all(site, cause=cause)
    site.settle()

    assert (done.replayed, done.overtaken) == (49, 0)  # the one that changed waits with something newer already
    assert {site.shown(lead)["state"] for lead in leads[:50]} == {"scored"}
    assert site.shown(leads[0])["score"] == site.history(leads[0])[-1].score
    assert {site.shown(lead)["state"] for lead in leads[50:]} == {None}
    assert len(payloads(site.office.audit("replay"))) == 49
    assert replay_all(site, cause=cause) == Replayed(replayed=0, overtaken=0)


def test_given_a_newer_state_that_was_closed_unsent_when_a_dead_letter_is_replayed_then_the_newer_is_sent(site: Site):
    [lead] = evaluated(site, title="Assistant")
    site.world.refuse(lead)
    site.settle()
    site.heal()
    site.later(minutes=2)
    site.edit(lead, title="Chief Executive Officer")
    site.pull()
    site.office.evaluate_all(site.now)
    site.unmap_people()
    site.push()
    assert [entry.state for entry in site.office.entries()] == ["dead", "closed"]

    site.publish()
    assert replay_all(site).replayed == 1
    site.push()

    first, newest = site.history(lead)
    assert first.score != newest.score
    assert site.shown(lead)["score"] == newest.score


def test_given_two_dead_letters_of_one_lead_when_replayed_then_one_entry_waits(site: Site):
    [lead] = evaluated(site, title="Assistant")
    site.world.refuse(lead)
    site.settle()
    site.later(minutes=2)
    site.edit(lead, title="Chief Executive Officer")
    site.settle()
    letters = site.office.ask("SELECT * FROM outbox WHERE state = 'dead'")
    assert len(letters) == 2

    site.heal()
    replay(site.transaction, letters, actor="user:ops", now=site.now)
    site.settle()

    assert site.shown(lead)["score"] == site.history(lead)[-1].score
    assert len([entry for entry in site.office.entries() if entry.why == "replay"]) == 1


def test_given_a_dead_letter_when_the_same_state_is_decided_again_then_it_is_not_tried_by_itself(site: Site):
    [lead] = evaluated(site)
    site.world.refuse(lead)
    site.settle()
    site.heal()

    site.later(minutes=2)
    site.edit(lead, city="Springfield")
    site.settle()
    assert len(site.history(lead)) == 2
    assert site.written(lead) == []

    site.later(minutes=2)
    site.edit(lead, title="Intern")
    site.settle()
    assert site.shown(lead)["score"] == site.history(lead)[-1].score


def test_given_a_session_that_expired_when_pushed_then_it_is_renewed_and_nobody_hears_of_it(site: Site):
    [lead] = evaluated(site)
    site.world.expire_sessions()

    site.push()

    assert site.shown(lead)["state"] == "scored"
    assert site.connection.state is ConnectionState.ACTIVE


@pytest.mark.parametrize("trouble", [Trouble.HTML, Trouble.EMPTY, Trouble.TRUNCATED, Trouble.RESET])
def test_given_garbage_instead_of_an_answer_when_pushed_then_it_is_tried_again_and_written_once(
    site: Site, trouble: Trouble
):
    [lead] = evaluated(site)
    site.world.trouble(trouble, path=site.world.write_path(), times=2)

    for _ in range(4):
        site.push()
        site.later(minutes=10)

    assert site.shown(lead)["state"] == "scored"
    fields = [write.field for write in site.written(lead)]
    assert len(fields) == len(set(fields))
