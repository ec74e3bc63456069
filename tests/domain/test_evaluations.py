"""The chain as a whole: states, determinism, and when to look again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crm_sync.domain.batches import Batch
from crm_sync.domain.evaluations import LONGEST_WAIT, OUTPUT, evaluate
from crm_sync.domain.states import STATE_WORDS, State
from tests.factories import (
    NOW,
    POLICY,
    a_batch,
    a_mixed_batch,
    a_person,
    a_policy,
    a_record,
    ago,
    always,
    an_activity,
    decide,
    states,
)


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        pytest.param({"email": None, "phone": None}, "not_enough_data", id="no-way-to-reach"),
        pytest.param({"email": "nonsense", "phone": "12"}, "not_enough_data", id="no-usable-way-to-reach"),
        pytest.param({"email": None}, "scored", id="phone-only"),
        pytest.param({"is_converted": True}, "converted", id="converted"),
        pytest.param({"is_lost": True}, "closed", id="lost"),
        pytest.param({"is_lost": True, "is_converted": True}, "converted", id="lost-and-converted"),
        pytest.param({"life": "deleted"}, "closed", id="deleted"),
        pytest.param({"life": "merged"}, "closed", id="merged-away"),
        pytest.param({"first_name": "Test", "last_name": "Test"}, "test_record", id="test-test"),
        pytest.param({"first_name": "Test"}, "scored", id="first-name-test"),
        pytest.param({"last_name": "Null"}, "scored", id="last-name-null"),
        pytest.param({"first_name": None, "last_name": "Fake", "company": "asdf"}, "test_record", id="filler-company"),
        pytest.param({"email": "test123@acme.com"}, "test_record", id="test-mailbox"),
        pytest.param({"email": "testa.rossa@acme.com"}, "scored", id="mailbox-that-begins-like-test"),
    ],
)
def test_state_by_data(columns: dict[str, Any], state: str) -> None:
    assert states(decide(a_person(**columns))) == [state]


def test_given_a_lost_record_beside_an_open_one_when_evaluated_then_the_person_is_scored() -> None:
    lost = a_record(modified_at=ago(hours=1), is_lost=True)

    assert states(decide(a_person(records=[a_record(), lost]))) == ["scored"]


def test_given_a_blocking_finding_when_evaluated_then_the_score_is_held() -> None:
    policy = a_policy(quality={"created_in_future": "block"})

    assert states(decide(a_person(created_at=NOW + timedelta(days=2)), policy=policy)) == ["held"]


def test_given_a_policy_that_scores_converted_people_when_evaluated_then_they_are_scored() -> None:
    policy = a_policy(not_scored={"converted": False})

    assert states(decide(a_person(is_converted=True), policy=policy)) == ["scored"]


def test_every_state_has_a_sentence_and_fits_its_field() -> None:
    assert set(STATE_WORDS) == set(State)
    assert all(len(state) <= 40 for state in State)


def test_given_several_records_when_evaluated_then_the_newest_open_one_with_a_value_wins() -> None:
    old = a_record(modified_at=ago(days=9), title="Intern", industry="Banking")
    new = a_record(modified_at=ago(days=1), title="CEO", industry=None, connection_id=2)
    gone = a_record(modified_at=ago(hours=1), life="merged", title="Astronaut")
    scorer = always(0.5, title_rank=2.0, industry=1.0)

    told = decide(a_person(records=[old, new, gone]), scorer=scorer)["reasons_text"].item()

    assert told == "Raises – Job title: CEO; Industry: Banking."


def test_given_an_account_when_evaluated_then_it_fills_only_what_the_person_leaves_open() -> None:
    lead = a_record(industry=None, company="Acme")
    account = a_record(role="account", modified_at=NOW, industry="Retail", company="Acme Holding")
    scorer = always(0.5, industry=2.0, has_company=1.0)

    told = decide(a_person(records=[lead, account]), scorer=scorer)["reasons_text"].item()

    assert told == "Raises – Industry: Retail; Company: Acme."


def test_given_nobody_when_evaluated_then_the_frame_has_all_columns_and_no_row() -> None:
    everybody = a_batch(a_person())
    nobody = Batch(records=everybody.records.clear())

    assert evaluate(nobody, policy=POLICY, scorer=None, now=NOW).shape == (0, len(OUTPUT))
    assert decide(a_person()).columns == list(OUTPUT)


MIXED = a_mixed_batch()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_given_any_order_of_rows_when_evaluated_then_the_bytes_are_the_same(seed: int) -> None:
    shuffled = Batch(
        records=MIXED.records.sample(fraction=1, shuffle=True, seed=seed),
        activities=MIXED.activities.sample(fraction=1, shuffle=True, seed=seed),
        previous=MIXED.previous,
    )

    assert_frame_equal(
        evaluate(shuffled, policy=POLICY, scorer=None, now=NOW),
        evaluate(MIXED, policy=POLICY, scorer=None, now=NOW),
        check_exact=True,
    )


def test_given_a_person_alone_or_among_others_when_evaluated_then_the_bytes_are_the_same() -> None:
    together = evaluate(MIXED, policy=POLICY, scorer=None, now=NOW)

    for person in together["person_id"]:
        one = pl.col("person_id") == person
        only = Batch(
            records=MIXED.records.filter(one),
            activities=MIXED.activities.filter(one),
            previous=MIXED.previous.filter(one),
        )
        alone = evaluate(only, policy=POLICY, scorer=None, now=NOW)
        assert_frame_equal(alone, together.filter(one), check_exact=True)


def test_given_another_process_and_more_threads_when_evaluated_then_the_bytes_are_the_same() -> None:
    script = (
        "from tests.factories import NOW, POLICY, a_mixed_batch, evaluate;"
        "print(evaluate(a_mixed_batch(), policy=POLICY, scorer=None, now=NOW).drop('as_of').write_json())"
    )

    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for threads in ("1", "4")
    }

    assert len(answers) == 1


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"title": "CEO"}, False, id="title"),
        pytest.param({"email_opt_out": True}, False, id="consent"),
        pytest.param({"modified_at": NOW}, True, id="stamp-only"),
        pytest.param({"x_color": "red"}, False, id="extra-column"),
    ],
)
def test_inputs_hash_names_what_was_known(change: dict[str, Any], same: bool) -> None:
    record = a_record(person_id=1, x_color=None)
    before, after = (decide(a_person(records=[row]))["inputs_hash"].item() for row in (record, record | change))

    assert (before == after) is same


def test_given_time_alone_when_evaluated_again_then_the_inputs_are_the_same_and_the_score_has_cooled() -> None:
    hot = a_person(activities=[an_activity("meeting"), an_activity("form"), an_activity("email_in")])

    today, later = decide(hot), decide(hot, now=NOW + timedelta(days=30))

    assert today["inputs_hash"].item() == later["inputs_hash"].item()
    assert (today["bucket"].item(), later["bucket"].item()) == ("A", "B")
    assert later["engagement"].item() < today["engagement"].item() / 3
    assert later["fit"].item() == today["fit"].item()


def again_in(**person: Any) -> timedelta:
    waiting: timedelta = decide(a_person(**person))["evaluate_again_at"].item() - NOW
    return waiting


@pytest.mark.parametrize(
    ("person", "wait"),
    [
        pytest.param({}, timedelta(hours=24), id="nothing-to-come"),
        pytest.param(
            {"activities": [an_activity("note", occurred_at=ago(hours=22))]},
            timedelta(hours=2, minutes=1),
            id="leaves-a-day",
        ),
        pytest.param(
            {"activities": [an_activity("note", occurred_at=ago(days=29, hours=23))]},
            timedelta(hours=1, minutes=1),
            id="leaves-a-month",
        ),
        pytest.param(
            {"activities": [an_activity("note", occurred_at=ago(days=200))]},
            timedelta(hours=24),
            id="left-every-window",
        ),
        pytest.param(
            {"activities": [an_activity("meeting", occurred_at=NOW + timedelta(hours=3))]},
            timedelta(hours=3),
            id="meeting-takes-place",
        ),
        pytest.param(
            {"profiling_consent": True, "profiling_consent_until": NOW + timedelta(hours=5)},
            timedelta(hours=5),
            id="consent-expires",
        ),
        pytest.param({"country": "Germany"}, timedelta(hours=24), id="not-scored"),
    ],
)
def test_when_to_look_again(person: dict[str, Any], wait: timedelta) -> None:
    assert again_in(**person) == wait


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["form", "visit", "meeting", "call"]), st.floats(-20, 95)), max_size=8))
def test_the_next_look_is_in_the_future_and_within_a_day(drawn: list[tuple[str, float]]) -> None:
    done = [an_activity(kind, occurred_at=ago(days=at), known_from=ago(days=max(at, 0))) for kind, at in drawn]

    assert timedelta(0) < again_in(activities=done) <= LONGEST_WAIT


def test_given_fast_decay_when_hot_then_the_next_look_comes_before_the_bucket_is_lost() -> None:
    engagement = {"half_life_days": 0.5, "activities": [{"kinds": "note", "points": 100}]}
    policy = a_policy(score={"weights": {"fit": 0, "engagement": 1}, "engagement": engagement})
    hot = a_person(activities=[an_activity("note", occurred_at=ago(hours=1))])

    row = decide(hot, policy=policy).row(0, named=True)
    later = decide(hot, policy=policy, now=row["evaluate_again_at"])

    assert row["evaluate_again_at"] < NOW + timedelta(hours=1.5)
    assert row["score"] - later["score"].item() <= policy.dead_band + 1


def test_given_a_scorer_when_evaluated_then_its_probability_and_reasons_replace_those_of_the_rules() -> None:
    person = a_person(activities=[an_activity("form")])

    by_rules = decide(person).row(0, named=True)
    by_model = decide(person, scorer=always(0.417, industry=-1.0)).row(0, named=True)

    assert by_rules["model_version"] == f"rules-{POLICY.content_hash[:8]}"
    assert (by_model["model_version"], by_model["score"], by_model["probability"]) == ("always-1", 42, 0.417)
    assert by_model["reasons_text"] == "Lowers – Industry: Manufacturing."
    assert (by_model["fit"], by_model["engagement"]) == (by_rules["fit"], by_rules["engagement"])


@pytest.mark.parametrize("moment", [NOW, NOW + timedelta(days=400)], ids=["now", "far-later"])
def test_scores_stay_in_their_range(moment: datetime) -> None:
    done: Callable[[str], list[dict[str, Any]]] = lambda kind: [an_activity(kind)] * 30  # noqa: E731
    people = [a_person(activities=done(kind)) for kind in ("form", "meeting", "email_in", "call")]

    evaluations = decide(*people, a_person(title="Intern", email="x@mailinator.com", employees=2.0), now=moment)

    for column in ("score", "fit", "engagement"):
        assert evaluations[column].is_between(0, 100).all()
