"""Buckets and their edges (laws 6 and 11)."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.domain.policies import Buckets
from crm_sync.domain.scores import bucket, shown
from tests.factories import a_person, always, decide

EDGES = Buckets(A=60, B=40, C=25, hysteresis=3)


def bucket_of(score: int | None, last: str | None) -> str | None:
    frame = pl.DataFrame(
        {"score": [score], "last_bucket": [last]}, schema={"score": pl.Int32(), "last_bucket": pl.String()}
    )
    found: str | None = frame.select(bucket(EDGES)).item()
    return found


@pytest.mark.parametrize(
    ("score", "last", "now"),
    [
        pytest.param(60, None, "A", id="new-on-the-edge"),
        pytest.param(59, None, "B", id="new-below-the-edge"),
        pytest.param(0, None, "D", id="new-and-cold"),
        pytest.param(None, "A", None, id="not-scored"),
        pytest.param(60, "B", "A", id="rises-at-once"),
        pytest.param(60, "D", "A", id="rises-over-several"),
        pytest.param(59, "A", "A", id="trembles-below-the-edge"),
        pytest.param(57, "A", "A", id="lowest-that-keeps"),
        pytest.param(56, "A", "B", id="falls"),
        pytest.param(38, "A", "B", id="falls-and-keeps-the-next"),
        pytest.param(10, "A", "D", id="falls-over-several"),
        pytest.param(22, "C", "C", id="keeps-the-lowest-edge"),
        pytest.param(21, "C", "D", id="falls-below-the-lowest-edge"),
    ],
)
def test_bucket_of_a_score(score: int | None, last: str | None, now: str | None) -> None:
    assert bucket_of(score, last) == now


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(57, 62), min_size=2, max_size=20))
def test_given_a_score_that_trembles_around_an_edge_when_evaluated_often_then_the_bucket_changes_once(
    scores: list[int],
) -> None:
    last, changes = "B", 0
    for score in scores:
        found = bucket_of(score, last)
        assert found is not None
        changes += found != last
        last = found

    assert changes <= 1


@given(st.integers(0, 100), st.integers(0, 100), st.sampled_from(["A", "B", "C", "D", None]))
def test_a_higher_score_never_has_a_worse_bucket(one: int, other: int, last: str | None) -> None:
    low, high = sorted((one, other))

    assert (bucket_of(high, last) or "") <= (bucket_of(low, last) or "")


@pytest.mark.parametrize(("probability", "score"), [(0.0, 0), (0.004, 0), (0.005, 1), (0.415, 42), (0.9999, 100)])
def test_a_probability_is_shown_as_a_whole_number(probability: float, score: int) -> None:
    assert pl.DataFrame({"p": [probability]}).select(shown(pl.col("p"))).item() == score


def test_given_a_last_bucket_when_evaluated_then_it_holds_within_the_hysteresis() -> None:
    people = (a_person(previous={"last_bucket": "A"}), a_person(previous={"last_bucket": "B"}), a_person())

    assert decide(*people, scorer=always(0.58))["bucket"].to_list() == ["A", "B", "B"]
