"""The outbox: one waiting and one in flight for each record and kind, and the newer evaluation wins (law 12)."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from crm_sync.domain.connections import Connection
from crm_sync.domain.keys import Keys
from crm_sync.domain.outbox import REPAIR, Claimed, Kind, OutboxState
from crm_sync.domain.writes import Answer, Outcome
from crm_sync.errors import Family
from crm_sync.store import outbox
from crm_sync.store.engine import Transaction, rows, run
from crm_sync.store.outbox import Desired, Settlement
from tests.rows import NOW, a_connection, stored_records

SPAN = timedelta(minutes=10)


@pytest.fixture
def connection(transaction: Transaction, keys: Keys) -> Connection:
    with transaction() as session:
        return a_connection(session, keys)


@pytest.fixture
def records(transaction: Transaction, connection: Connection) -> list[int]:
    """Forty leads that were pulled."""
    with transaction() as session:
        return sorted(stored_records(session, connection, [{"Id": f"00Q{n:012}AAA"} for n in range(40)]).values())


def a_desire(connection: Connection, record: int, number: int = 1, **more: Any) -> Desired:
    values = more.pop("values", {"score": number})
    return Desired(
        record_id=record,
        connection_id=connection.id,
        evaluation_id=None,
        number=number,
        values=values,
        **{"kind": Kind.FIELDS, "priority": 20, "why": "change"} | more,
    )


def put(transaction: Transaction, *entries: Desired) -> None:
    with transaction() as session:
        outbox.put(session, entries, NOW)


def claim(
    transaction: Transaction, connection: Connection, *, most: int = 100, later: timedelta = timedelta(0)
) -> tuple[uuid.UUID, list[Claimed]]:
    with transaction() as session:
        return outbox.claim(session, connection.id, NOW + later, most=most, span=SPAN, most_attempts=4)


def settle(transaction: Transaction, token: uuid.UUID, *settlements: Settlement) -> set[int]:
    with transaction() as session:
        return outbox.settle(session, token, settlements, NOW)


def settled(entry: Claimed, state: OutboxState = OutboxState.DELIVERED, **more: Any) -> Settlement:
    answer = Answer.ACCEPTED if state is OutboxState.DELIVERED else Answer.REFUSED
    outcome = Outcome(key="", answer=answer, family=None if answer is Answer.ACCEPTED else Family.TRANSIENT)
    return Settlement(entry=entry, state=state, words="", sent=dict(entry.desired), outcome=outcome, **more)


def states(transaction: Transaction) -> list[tuple[int, str]]:
    with transaction() as session:
        return [(row.number, row.state) for row in rows(session, "SELECT number, state FROM outbox ORDER BY id")]


def test_given_an_entry_that_waits_when_a_newer_evaluation_comes_then_it_is_superseded(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 1))

    put(transaction, a_desire(connection, records[0], 2))

    assert states(transaction) == [(1, "superseded"), (2, "waiting")]


@pytest.mark.parametrize("standing", ["waiting", "held", "in_flight", "delivered"])
def test_given_a_newer_state_when_an_older_evaluation_finishes_late_then_it_is_never_sent(
    transaction: Transaction, connection: Connection, records: list[int], standing: str
):
    put(transaction, a_desire(connection, records[0], 5))
    if standing != "waiting":
        token, [entry] = claim(transaction, connection)
        if standing != "in_flight":
            settle(transaction, token, settled(entry, OutboxState(standing)))

    put(transaction, a_desire(connection, records[0], 4))

    assert states(transaction) == [(5, standing), (4, "superseded")]


def test_given_a_newer_owner_when_older_fields_finish_late_then_each_kind_stands_for_itself(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 5, kind=Kind.OWNER, values={"owner": "005A"}))

    put(transaction, a_desire(connection, records[0], 4))

    assert states(transaction) == [(5, "waiting"), (4, "waiting")]


def test_given_a_retry_that_waits_when_a_repair_of_the_state_before_comes_then_the_retry_stays(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 3, why="replay"))

    put(transaction, a_desire(connection, records[0], 3, why=REPAIR))

    assert states(transaction) == [(3, "waiting"), (3, "superseded")]


def test_given_a_repair_that_waits_when_something_newer_was_accepted_then_it_asks_for_that(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 1, why=REPAIR, values={"score": 40}))
    with transaction() as session:
        accepted = '{"score": 62, "bucket": "B"}'
        run(session, "UPDATE record SET own_accepted = :state WHERE id = :id", state=accepted, id=records[0])

    _, [entry] = claim(transaction, connection)

    assert entry.desired == {"score": 62}


def test_given_two_states_of_one_record_in_one_call_when_put_then_one_waits(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 3), a_desire(connection, records[0], 2))

    assert sorted(states(transaction)) == [(2, "superseded"), (3, "waiting")]


def test_given_a_second_waiting_entry_when_written_past_us_then_the_database_refuses_it(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0]))
    copy = """
        INSERT INTO outbox (record_id, connection_id, kind, number, desired, priority, why, state, next_try, created_at)
        SELECT record_id, connection_id, kind, number, desired, priority, why, state, next_try, created_at FROM outbox
    """

    for _ in ("waiting", "in flight"):
        with pytest.raises(IntegrityError), transaction() as session:
            run(session, copy)
        claim(transaction, connection)


def test_given_writers_that_meet_at_one_record_when_they_put_at_once_then_the_newest_waits_and_nobody_fails(
    transaction: Transaction, connection: Connection, records: list[int]
):
    ready = Barrier(4, timeout=20)  # one that fails doesn't let the others wait for ever

    def work(number: int) -> None:
        for step in range(8):
            ready.wait()
            put(transaction, a_desire(connection, records[step], number))

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(work, range(1, 5)))

    waiting = [number for number, state in states(transaction) if state == "waiting"]
    assert waiting == [4] * 8


def test_given_workers_that_claim_at_once_when_all_is_claimed_then_nobody_got_what_another_got(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, *(a_desire(connection, record) for record in records))
    ready = Barrier(4)

    def work(_: int) -> list[int]:
        ready.wait()
        return [entry.id for entry in claim(transaction, connection, most=15)[1]]

    with ThreadPoolExecutor(4) as workers:
        got = [id for ids in workers.map(work, range(4)) for id in ids]

    assert len(got) == len(set(got)) == len(records)


def test_given_an_entry_in_flight_when_a_newer_one_waits_then_it_isnt_claimed_before_the_first_is_settled(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 1))
    token, [first] = claim(transaction, connection)
    put(transaction, a_desire(connection, records[0], 2))

    assert claim(transaction, connection)[1] == []
    settle(transaction, token, settled(first))
    _, [second] = claim(transaction, connection)

    assert (second.number, second.accepted) == (2, {"score": 1})


def test_given_an_attempt_that_is_tried_again_when_a_newer_one_waits_then_it_is_superseded(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 1))
    token, [first] = claim(transaction, connection)
    put(transaction, a_desire(connection, records[0], 2))

    settle(transaction, token, settled(first, OutboxState.WAITING, next_try=NOW))

    assert states(transaction) == [(1, "superseded"), (2, "waiting")]


def test_given_a_claim_that_lapsed_when_its_worker_settles_late_then_nothing_is_noted(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0], 1))
    slow, [first] = claim(transaction, connection)
    quick, [again] = claim(transaction, connection, later=SPAN + timedelta(seconds=1))

    assert (again.repeated, again.attempts) == (True, 2)
    assert settle(transaction, slow, settled(replace(first, desired={"score": 99}))) == set()
    assert settle(transaction, quick, settled(again)) == {again.id}

    with transaction() as session:
        [record] = rows(session, "SELECT own_accepted FROM record WHERE id = :id", id=records[0])
        [deliveries] = rows(session, "SELECT count(*) AS n FROM delivery")
    assert record.own_accepted == {"score": 1}
    assert deliveries.n == 1


def test_given_something_that_kills_its_workers_when_claimed_again_and_again_then_it_soon_stands_alone(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, *(a_desire(connection, record) for record in records))
    later, sizes = timedelta(0), []
    for turn in range(8):
        later += SPAN + timedelta(seconds=1) if turn < 4 else timedelta(0)
        claimed = claim(transaction, connection, most=64, later=later)[1]
        sizes.append((len(claimed), {entry.attempts for entry in claimed}))

    # All together, all once more, then a root of the batch: the last attempt is made alone.
    assert sizes == [(40, {1}), (40, {2}), (8, {3}), (8, {3}), *[(8, {3})] * 3, (1, {4})]


def test_given_entries_that_lapsed_when_claimed_then_what_waits_is_not_taken_along(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, a_desire(connection, records[0]))
    claim(transaction, connection)
    put(transaction, a_desire(connection, records[1]))

    _, first = claim(transaction, connection, later=SPAN + timedelta(seconds=1))
    _, second = claim(transaction, connection, later=SPAN + timedelta(seconds=1))

    assert [entry.record_id for entry in first] == [records[0]]
    assert [entry.record_id for entry in second] == [records[1]]


def test_given_held_entries_when_released_then_the_newest_of_each_record_waits(
    transaction: Transaction, connection: Connection, records: list[int]
):
    for number in (1, 2):
        put(transaction, a_desire(connection, records[0], number), a_desire(connection, records[number], number))
        token, entries = claim(transaction, connection)
        settle(transaction, token, *(settled(entry, OutboxState.HELD) for entry in entries))
    put(transaction, a_desire(connection, records[1], 7))

    with transaction() as session:
        released = outbox.release_held(session, connection.id, NOW)

    assert released == 2
    waiting = [number for number, state in states(transaction) if state == "waiting"]
    assert sorted(waiting) == [2, 2, 7]


def test_given_a_record_that_may_not_be_written_when_dropped_then_waiting_and_held_are_closed_with_the_reason(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, *(a_desire(connection, record) for record in records[:2]))
    token, [first, _] = claim(transaction, connection)
    settle(transaction, token, settled(first, OutboxState.HELD))

    with transaction() as session:
        dropped = outbox.drop_waiting(session, records[:2], "the record is deleted", NOW)

    assert dropped == 1
    assert [state for _, state in states(transaction)] == ["closed", "in_flight"]


def test_given_a_dead_letter_when_something_newer_arrived_then_it_is_no_failure_any_more(
    transaction: Transaction, connection: Connection, records: list[int]
):
    put(transaction, *(a_desire(connection, record) for record in records[:2]))
    token, entries = claim(transaction, connection)
    settle(transaction, token, *(settled(entry, OutboxState.DEAD) for entry in entries))
    put(transaction, a_desire(connection, records[0], 2))
    token, entries = claim(transaction, connection)
    settle(transaction, token, *(settled(entry) for entry in entries))

    with transaction() as session:
        dead, counted = outbox.dead(session), outbox.counts(session, connection.id)

    assert [letter.record_id for letter in dead] == [records[1]]
    assert counted == {"dead": 1, "superseded": 1, "delivered": 1}
