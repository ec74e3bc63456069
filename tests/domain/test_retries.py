"""Six families, one reaction each (law 15)."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.domain.retries import LONGEST_WAIT, Close, DeadLetter, Hold, TryAt, retry_decision
from crm_sync.domain.writes import Answer, Outcome
from crm_sync.errors import Family

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)


def decide(answer, family, *, attempt=1, retry_at=None):
    outcome = Outcome(key="1", answer=answer, family=family, retry_at=retry_at)
    return retry_decision(outcome, attempt=attempt, most=4, now=NOW, draw=random.Random(7))


@pytest.mark.parametrize(
    ("family", "reaction"),
    [
        pytest.param(Family.RECORD, DeadLetter(), id="record"),
        pytest.param(Family.GONE, Close(), id="gone"),
        pytest.param(Family.AUTH, Hold(), id="auth"),
        pytest.param(Family.CONFIG, Hold(), id="config"),
    ],
)
def test_given_a_refused_write_when_decided_then_its_family_says_what_happens(family, reaction):
    assert decide(Answer.REFUSED, family) == reaction


def test_given_a_limit_when_decided_then_the_crms_own_time_counts_and_no_attempt_is_spent():
    assert decide(Answer.NOT_SENT, Family.RATE_LIMITED, retry_at=LATER) == TryAt(LATER, costs=False)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_given_a_transient_refusal_when_decided_then_it_is_tried_again_later_and_later(attempt):
    decision = decide(Answer.REFUSED, Family.TRANSIENT, attempt=attempt)

    assert isinstance(decision, TryAt)
    assert decision.costs
    assert (
        NOW < decision.at <= NOW + timedelta(seconds=1) + min(LONGEST_WAIT, timedelta(seconds=20) * 2 ** (attempt - 1))
    )


@pytest.mark.parametrize(("answer", "family"), [(Answer.REFUSED, Family.TRANSIENT), (Answer.UNKNOWN, Family.TRANSIENT)])
def test_given_the_last_attempt_when_decided_then_it_is_a_dead_letter(answer, family):
    assert decide(answer, family, attempt=4) == DeadLetter()


def test_given_an_unknown_outcome_when_decided_then_it_comes_back_soon_to_be_read():
    decision = decide(Answer.UNKNOWN, Family.TRANSIENT)

    assert isinstance(decision, TryAt)
    assert decision.at < NOW + timedelta(seconds=30)


def test_given_five_rows_that_failed_together_when_decided_then_they_do_not_come_back_together():
    draw = random.Random(3)
    outcome = Outcome(key="1", answer=Answer.REFUSED, family=Family.TRANSIENT)

    times = {retry_decision(outcome, attempt=2, most=8, now=NOW, draw=draw).at for _ in range(5)}

    assert len(times) == 5
