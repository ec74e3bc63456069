"""What is worth a write (law 6), and what the write says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_sync.domain.desired_states import desired_fields, worth_pushing
from crm_sync.domain.fields import OWN_FIELDS
from tests.factories import NOW, POLICY, a_person, a_policy, ago, always, an_activity, decide, refused

PUSHED = {
    "last_state": "scored",
    "last_score": 50,
    "last_bucket": "B",
    "last_top_reason": "raises:job_title",
    "last_scored_at": ago(days=9),
}


@pytest.mark.parametrize(
    ("probability", "change", "worth"),
    [
        pytest.param(0.50, {}, False, id="nothing-changed"),
        pytest.param(0.54, {}, False, id="within-the-dead-band"),
        pytest.param(0.46, {}, False, id="within-the-dead-band-below"),
        pytest.param(0.55, {}, True, id="past-the-dead-band"),
        pytest.param(0.45, {}, True, id="past-the-dead-band-below"),
        pytest.param(0.61, {"last_score": 59}, True, id="another-bucket"),
        pytest.param(0.50, {"last_top_reason": "raises:industry"}, True, id="another-top-reason"),
        pytest.param(0.50, {"last_top_reason": "lowers:job_title"}, True, id="top-reason-turned-round"),
        pytest.param(0.50, {"last_top_reason": None}, False, id="top-reason-not-known"),
        pytest.param(0.50, {"last_state": "consent_unknown", "last_score": None}, True, id="first-score"),
        pytest.param(0.50, {"last_state": None}, True, id="never-pushed"),
    ],
)
def test_worth_pushing(probability: float, change: dict[str, Any], worth: bool) -> None:
    evaluated = decide(a_person(previous=PUSHED | change), scorer=always(probability))

    assert evaluated.select(worth_pushing(POLICY)).to_series().to_list() == [worth]


def test_given_the_only_reason_may_no_longer_be_told_when_evaluated_then_it_is_pushed() -> None:
    previous = PUSHED | {"last_top_reason": "raises:emails_in"}

    evaluated = decide(a_person(previous=previous, **refused("email")), scorer=always(0.5, email_in_7d=1.0))

    assert evaluated["reasons_text"].item() == ""
    assert evaluated.select(worth_pushing(POLICY)).item()


def test_given_no_row_about_the_last_push_when_evaluated_then_it_is_worth_pushing() -> None:
    assert decide(a_person(), a_person(**refused("score"))).select(worth_pushing(POLICY)).to_series().all()


def test_given_consent_still_refused_when_evaluated_again_then_nothing_is_pushed() -> None:
    before = {"last_state": "consent_refused"}

    evaluated = decide(a_person(previous=before, **refused("score")))

    assert not evaluated.select(worth_pushing(POLICY)).item()


def test_given_consent_withdrawn_when_evaluated_then_it_is_pushed() -> None:
    evaluated = decide(a_person(previous=PUSHED, **refused("score")))

    assert evaluated.select(worth_pushing(POLICY)).item()


def test_given_a_quiet_lead_when_evaluated_every_day_then_a_month_costs_few_writes() -> None:
    done = [an_activity("meeting"), an_activity("form"), an_activity("email_in")]
    previous: dict[str, Any] = {}
    buckets, writes = [], 0

    for day in range(31):
        evaluated = decide(a_person(person_id=1, activities=done, previous=previous), now=NOW + timedelta(days=day))
        if evaluated.select(worth_pushing(POLICY)).item():
            row = evaluated.row(0, named=True)
            previous = {f"last_{name}": row[name] for name in ("state", "score", "bucket", "top_reason")}
            previous["last_scored_at"] = row["as_of"]
            buckets.append(row["bucket"])
            writes += 1

    assert buckets[0] == "A"
    assert buckets[-1] == "B"
    assert buckets == sorted(buckets)
    assert writes <= 9


def test_given_a_score_when_written_then_all_own_fields_fit_their_types() -> None:
    long = "Head of " + "very " * 60 + "much"
    person = a_person(title=long, company=long, industry=long, activities=[an_activity("form")])

    (fields,) = desired_fields(decide(person), POLICY)

    assert list(fields) == [own.name for own in OWN_FIELDS]
    assert all(len(str(fields[own.name])) <= own.length for own in OWN_FIELDS if own.length)
    assert fields["scored_at"] == "2026-11-20T12:00:00Z"
    assert (type(fields["score"]), type(fields["fit"])) == (int, int)


@pytest.mark.parametrize(
    ("change", "scored_at"),
    [
        pytest.param({}, "2026-11-11T12:00:00Z", id="same-score"),
        pytest.param({"last_top_reason": "raises:industry"}, "2026-11-11T12:00:00Z", id="same-score-other-reason"),
        pytest.param({"last_score": 40}, "2026-11-20T12:00:00Z", id="other-score"),
        pytest.param({"last_scored_at": None}, "2026-11-20T12:00:00Z", id="first-score"),
    ],
)
def test_scored_at_is_when_the_score_last_changed(change: dict[str, Any], scored_at: str) -> None:
    evaluated = decide(a_person(previous=PUSHED | change), scorer=always(0.5))

    assert desired_fields(evaluated, POLICY)[0]["scored_at"] == scored_at


def test_given_nothing_changed_when_written_again_later_then_the_values_are_the_same() -> None:
    person = a_person(previous=PUSHED)

    now = desired_fields(decide(person, scorer=always(0.5)), POLICY)
    later = desired_fields(decide(person, scorer=always(0.5), now=NOW + timedelta(hours=20)), POLICY)

    assert now == later


@pytest.mark.parametrize(
    ("person", "kept"),
    [
        pytest.param({"email": None, "phone": None}, True, id="not-enough-data"),
        pytest.param({"is_converted": True}, True, id="converted"),
        pytest.param(refused("score"), False, id="consent-refused"),
        pytest.param({"country": "Germany"}, False, id="consent-unknown"),
        pytest.param(refused("processing"), False, id="processing-refused"),
    ],
)
def test_given_a_policy_that_keeps_old_scores_when_not_scored_then_only_consent_clears(
    person: dict[str, Any], kept: bool
) -> None:
    policy = a_policy(not_scored={"old_score": "keep"})

    (fields,) = desired_fields(decide(a_person(**person), policy=policy), policy)

    assert (list(fields) == ["state"]) is kept
    assert kept or fields["score"] is None
