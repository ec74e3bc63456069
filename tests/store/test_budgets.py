"""Budgets: one for each org or portal, never exceeded, whoever calls (law 16)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from crm_sync.domain.budgets import SPANS, Span
from crm_sync.domain.connections import Connection
from crm_sync.domain.keys import Keys
from crm_sync.domain.records import CrmKind
from crm_sync.errors import RateLimitedError
from crm_sync.ports import Usage
from crm_sync.store.budgets import LOOK_AGAIN, ConnectionMeter
from crm_sync.store.engine import Transaction, rows
from tests.rows import NOW, a_connection


@pytest.fixture
def salesforce(transaction: Transaction, keys: Keys) -> Connection:
    with transaction() as session:
        return a_connection(session, keys)


@pytest.fixture
def hubspot(transaction: Transaction, keys: Keys) -> Connection:
    with transaction() as session:
        return a_connection(session, keys, kind=CrmKind.HUBSPOT)


def span(kind: CrmKind, name: str) -> Span:
    return next(span for span in SPANS[kind] if span.name == name)


def taken(meter: ConnectionMeter, window: str) -> int:
    """How many calls the meter lets through before it says no."""
    calls = 0
    try:
        while calls < 100_000:
            meter.reserve(window)
            calls += 1
    except RateLimitedError:
        return calls
    raise AssertionError("the budget has no end")


def test_given_four_workers_when_they_call_as_fast_as_they_can_then_not_one_call_is_too_many(
    transaction: Transaction, salesforce: Connection
):
    limit, ready = 150, Barrier(4)
    ConnectionMeter(transaction, salesforce, lambda: NOW).seen(Usage(window="day", used=0, limit=limit))

    def work(_: int) -> int:
        ready.wait()
        return taken(ConnectionMeter(transaction, salesforce, lambda: NOW), "day")

    with ThreadPoolExecutor(4) as workers:
        made = sum(workers.map(work, range(4)))

    assert made == span(CrmKind.SALESFORCE, "day").allowed(limit)


def test_given_a_short_window_when_it_is_used_up_then_calls_wait_and_no_second_holds_too_many(
    transaction: Transaction, hubspot: Connection
):
    """On the real clock, because waiting is what is tried: two seconds of it."""
    search = span(CrmKind.HUBSPOT, "search")
    meter = ConnectionMeter(transaction, hubspot, lambda: datetime.now(UTC))
    made = []
    for _ in range(6):
        meter.reserve("search")
        made.append(datetime.now(UTC))

    assert made[-1] - made[0] >= search.length
    for first in made:
        assert sum(first <= call < first + search.length for call in made) <= search.limit


def test_given_others_use_the_org_when_the_crm_tells_then_the_higher_count_wins(
    transaction: Transaction, salesforce: Connection
):
    meter = ConnectionMeter(transaction, salesforce, lambda: NOW)
    meter.seen(Usage(window="day", used=14_990, limit=15_000))

    assert taken(meter, "day") == 10


@pytest.mark.parametrize("limit", [40, 100])
def test_given_calls_that_nobody_else_uses_when_we_take_all_we_may_then_half_of_the_day_is_left_for_others(
    transaction: Transaction, salesforce: Connection, hubspot: Connection, limit: int
):
    for connection in (salesforce, hubspot):
        meter = ConnectionMeter(transaction, connection, lambda: NOW)
        meter.seen(Usage(window="day", used=0, limit=limit))

        assert taken(meter, "day") == limit / 2


def test_given_the_crm_tells_less_than_we_know_when_asked_then_our_own_count_stays(
    transaction: Transaction, salesforce: Connection
):
    meter = ConnectionMeter(transaction, salesforce, lambda: NOW)
    meter.seen(Usage(window="day", used=0, limit=100))
    first = taken(meter, "day")

    meter.seen(Usage(window="day", used=1, limit=100))

    assert first == span(CrmKind.SALESFORCE, "day").allowed(100)
    assert taken(ConnectionMeter(transaction, salesforce, lambda: NOW), "day") == 0


def test_given_answers_that_arrive_out_of_order_when_the_older_tells_less_then_the_higher_count_stays(
    transaction: Transaction, salesforce: Connection
):
    ConnectionMeter(transaction, salesforce, lambda: NOW).seen(Usage(window="day", used=95, limit=100))

    ConnectionMeter(transaction, salesforce, lambda: NOW).seen(Usage(window="day", used=60, limit=100))

    assert taken(ConnectionMeter(transaction, salesforce, lambda: NOW), "day") == 5


def test_given_the_day_is_used_up_when_a_new_one_begins_then_calls_are_let_through_again(
    transaction: Transaction, salesforce: Connection
):
    meter = ConnectionMeter(transaction, salesforce, lambda: NOW)
    meter.seen(Usage(window="day", used=0, limit=40))
    taken(meter, "day")
    with pytest.raises(RateLimitedError) as refused:
        meter.reserve("day")

    soon = ConnectionMeter(transaction, salesforce, lambda: refused.value.retry_at)
    tomorrow = ConnectionMeter(transaction, salesforce, lambda: NOW + timedelta(hours=24))

    assert NOW < refused.value.retry_at <= NOW + LOOK_AGAIN
    assert taken(soon, "day") == 0
    tomorrow.reserve("day")


def test_given_others_used_up_the_org_when_its_calls_get_free_within_the_day_then_ours_go_on(
    transaction: Transaction, salesforce: Connection
):
    """Salesforce counts the last 24 hours: an import of last night is forgotten this morning, not tomorrow."""
    meter = ConnectionMeter(transaction, salesforce, lambda: NOW)
    meter.seen(Usage(window="day", used=15_000, limit=15_000))
    with pytest.raises(RateLimitedError) as refused:
        meter.reserve("day")

    later = ConnectionMeter(transaction, salesforce, lambda: refused.value.retry_at)
    later.reserve("day")
    later.seen(Usage(window="day", used=14_900, limit=15_000))

    assert taken(later, "day") >= 99


def test_given_others_used_up_the_org_when_it_stays_so_then_one_call_finds_out(
    transaction: Transaction, salesforce: Connection
):
    meter = ConnectionMeter(transaction, salesforce, lambda: NOW)
    meter.seen(Usage(window="day", used=15_000, limit=15_000))
    with pytest.raises(RateLimitedError):
        meter.reserve("day")

    meter.reserve("day")
    meter.seen(Usage(window="day", used=15_001, limit=15_000))

    assert taken(ConnectionMeter(transaction, salesforce, lambda: NOW), "day") == 0


def test_given_one_connection_is_used_up_when_another_calls_then_it_has_a_budget_of_its_own(
    transaction: Transaction, salesforce: Connection, hubspot: Connection
):
    meter = ConnectionMeter(transaction, salesforce, lambda: NOW)
    meter.seen(Usage(window="day", used=15_000, limit=15_000))
    assert taken(meter, "day") == 0

    ConnectionMeter(transaction, hubspot, lambda: NOW).reserve("day")


def test_given_many_calls_when_counted_then_the_database_was_asked_once_a_block(
    transaction: Transaction, salesforce: Connection
):
    meter = ConnectionMeter(transaction, salesforce, lambda: NOW)
    block = span(CrmKind.SALESFORCE, "day").block

    for _ in range(block):
        meter.reserve("day")

    with transaction() as session:
        [row] = rows(session, "SELECT taken, xmin::text AS written FROM budget WHERE span = 'day'")
    assert row.taken == block
