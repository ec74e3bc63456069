"""The test write of a new connection: whatever it meets, what stood in the CRM stands there again."""

from __future__ import annotations

from crm_sync.flows.connect.rehearsal import MARKER, rehearse
from crm_sync.ports import Check
from crm_sync.sandbox.faults import Fault
from tests.connectors.world import World


def rehearsed(world: World) -> Check:
    return rehearse(world.connector, world.people.object, world.own("state"), lambda _: True)


def test_given_a_marker_that_a_cut_off_walk_left_when_rehearsed_then_it_is_taken_away(crm: World):
    crm.install()
    [id] = crm.add_people(1, **{crm.own("state"): MARKER})

    check = rehearsed(crm)

    assert (check.passed, crm.value(id, crm.own("state")) or None) == (True, None)


def test_given_the_oldest_record_is_gone_when_rehearsed_then_another_is_taken(crm: World):
    crm.install()
    gone, there = crm.add_people(2)
    crm.delete(gone)

    check = rehearsed(crm)

    assert (check.passed, there in check.found) == (True, True)


def test_given_nobody_is_there_when_rehearsed_then_it_is_left_out(crm: World):
    crm.install()

    check = rehearsed(crm)

    assert (check.passed, "left out" in check.found) == (True, True)
    assert [write for write in crm.journal.writes if write.after == MARKER] == []


READS = {"salesforce": {"body": "queryAll"}, "hubspot": {"path": "/batch/read"}}


def test_given_the_crm_falls_silent_after_the_write_when_rehearsed_then_the_record_and_its_value_are_named(crm: World):
    crm.install()
    [id] = crm.add_people(1, **{crm.own("state"): "scored"})

    def agree_and_go_silent(_: str) -> bool:
        crm.faults.add([Fault.model_validate({"crm": crm.kind, "do": "answer", "status": 503, **READS[crm.kind]})])
        return True

    check = rehearse(crm.connector, crm.people.object, crm.own("state"), agree_and_go_silent)

    assert crm.value(id, crm.own("state")) == MARKER
    assert (check.passed, id in check.found, "scored" in check.advice) == (False, True, True)
