"""The inbox: several changes wait as one, each person is claimed by one worker."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from crm_sync.domain.changes import Feed, Role
from crm_sync.store import feeds, inbox
from crm_sync.store.engine import rows, run
from crm_sync.store.inbox import Priority
from tests.rows import NOW, a_connection, linked_people

SPAN = timedelta(minutes=5)


@pytest.fixture
def people(transaction, keys):
    with transaction() as session:
        org = a_connection(session, keys)
        return sorted(linked_people(session, org, keys, {f"00Q{n}": f"p{n}@acme.eu" for n in range(40)}).values())


def waits(transaction, people, why="change", priority=Priority.CHANGE, now=NOW):
    with transaction() as session:
        inbox.add(session, dict.fromkeys(people, priority), why=why, now=now)


def claim(transaction, now=NOW, most=200):
    with transaction() as session:
        return inbox.claim(session, now, most=most, span=SPAN)


def test_given_three_changes_of_one_person_when_claimed_then_they_are_one_evaluation(transaction, people):
    for _ in range(3):
        waits(transaction, people[:1])

    assert list(claim(transaction).numbers) == people[:1]


def test_given_a_fresh_lead_behind_a_storm_when_claimed_then_the_fresh_lead_goes_first(transaction, people):
    waits(transaction, people[1:], why="backfill", priority=Priority.BACKFILL)
    waits(transaction, people[:1], priority=Priority.FRESH, now=NOW + timedelta(seconds=1))

    assert list(claim(transaction, NOW + timedelta(seconds=2), most=1).numbers) == people[:1]


def test_given_people_of_a_first_pull_when_another_feed_is_still_walked_then_they_wait_for_the_whole_history(
    transaction, people
):
    calls = Feed(object="Task", role=Role.ACTIVITY)
    with transaction() as session:
        [org] = rows(session, "SELECT id FROM connection")
        feeds.declare(session, org.id, [calls], NOW)
    waits(transaction, people[1:], why="backfill", priority=Priority.BACKFILL)
    waits(transaction, people[:1])

    before = claim(transaction)
    with transaction() as session:
        walk = feeds.lease(session, org.id, calls.name, NOW, span=SPAN)
        feeds.advance(session, walk, cursor={}, watermark=NOW, read=0, due=NOW)
    after = claim(transaction)

    assert list(before.numbers) == people[:1]
    assert sorted(after.numbers) == people[1:]


def test_given_scores_that_age_when_anything_else_waits_then_it_goes_first(transaction, people):
    with transaction() as session:
        run(session, "UPDATE person SET evaluate_again_at = :now", now=NOW)
        assert inbox.add_ageing(session, NOW, most=100) == len(people)
    waits(transaction, people[3:4], why="policy", priority=Priority.PUBLISHED)
    waits(transaction, people[2:3], why="backfill", priority=Priority.BACKFILL)
    waits(transaction, people[1:2])

    claimed = [list(claim(transaction, most=1).numbers) for _ in range(2)]

    assert claimed == [people[1:2], people[2:3]]


def test_given_somebody_whose_claim_lapsed_when_claimed_again_then_nobody_comes_along_whom_another_holds(
    transaction, people
):
    waits(transaction, people[:1])
    claim(transaction)
    waits(transaction, people[1:2])
    held = claim(transaction, NOW + timedelta(minutes=2))

    again = claim(transaction, NOW + SPAN + timedelta(seconds=1))

    assert (list(held.numbers), list(again.numbers)) == (people[1:2], people[:1])


def test_given_four_workers_when_they_claim_at_once_then_nobody_is_claimed_twice(transaction, people):
    waits(transaction, people)

    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: claim(transaction, most=15), range(4)))

    claimed = [person for each in claims for person in each.numbers]
    assert sorted(claimed) == people


def test_given_a_change_that_arrives_while_claimed_when_settled_then_the_person_waits_again(transaction, people):
    waits(transaction, people[:2])
    held = claim(transaction)
    waits(transaction, people[:1])

    with transaction() as session:
        inbox.settle(session, held)

    assert list(claim(transaction).numbers) == people[:1]


def test_given_a_change_that_commits_while_settling_waits_for_it_when_settled_then_nothing_lapses_and_it_waits_again(
    transaction, people
):
    waits(transaction, people[:2])
    held = claim(transaction)

    with ThreadPoolExecutor(1) as pool:
        with transaction() as slow:
            inbox.add(slow, {people[0]: Priority.CHANGE}, why="change", now=NOW)
            settling = pool.submit(settle, transaction, held)
            until_somebody_waits_for_a_lock(transaction)
        settling.result()

    assert list(claim(transaction).numbers) == people[:1]


def settle(transaction, held):
    with transaction() as session:
        inbox.settle(session, held)


def until_somebody_waits_for_a_lock(transaction):
    for _ in range(500):
        with transaction() as session:
            if rows(session, "SELECT FROM pg_locks WHERE NOT granted"):
                return
        time.sleep(0.01)
    raise AssertionError("nobody came to wait for a lock")


def test_given_a_worker_that_died_when_its_claim_lapses_then_another_takes_the_person_with_a_higher_number(
    transaction, people
):
    waits(transaction, people[:1])
    died = claim(transaction)

    taken = claim(transaction, NOW + SPAN + timedelta(seconds=1))

    assert taken.numbers[people[0]] > died.numbers[people[0]]
    with pytest.raises(inbox.ClaimLapsedError), transaction() as session:
        inbox.settle(session, died)
