"""The score by rules: fit, engagement and how they fade."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.domain.policies import PolicyVersion
from tests.factories import NOW, a_person, a_policy, ago, an_activity, decide


def fit_policy(when: dict[str, Any], points: float = 40) -> PolicyVersion:
    return a_policy(score={"fit": {"start": 10, "rules": [{"when": when, "points": points}]}})


def engagement_policy(*activities: dict[str, Any], half_life_days: float = 10) -> PolicyVersion:
    return a_policy(score={"engagement": {"half_life_days": half_life_days, "activities": list(activities)}})


@pytest.mark.parametrize(
    ("when", "person", "applies"),
    [
        pytest.param({"title_rank": "director"}, {"title": "Head of IT"}, True, id="word"),
        pytest.param({"title_rank": ["executive", "director"]}, {"title": "CEO"}, True, id="one-of-several"),
        pytest.param({"title_rank": "executive"}, {"title": "Clerk"}, False, id="other-word"),
        pytest.param({"title_rank": "executive"}, {"title": None}, False, id="nothing-is-no-word"),
        pytest.param({"industry": "MANUFACTURING"}, {}, True, id="whatever-its-case"),
        pytest.param({"title_rank": "missing"}, {"title": None}, True, id="missing"),
        pytest.param({"title_rank": "known"}, {"title": None}, False, id="not-known"),
        pytest.param({"employees": {"at_least": 300}}, {}, True, id="at-least"),
        pytest.param({"employees": {"at_least": 301}}, {}, False, id="below"),
        pytest.param({"employees": {"at_most": 299}}, {}, False, id="above"),
        pytest.param({"employees": {"at_most": 299}}, {"employees": None}, False, id="nothing-is-no-number"),
        pytest.param({"has_phone": True}, {}, True, id="truth"),
        pytest.param({"country_code": "us"}, {}, True, id="country"),
        pytest.param({"x_budget": {"at_least": 5}}, {"x_budget": 7.0}, True, id="extra-column"),
        pytest.param({"x_budget": {"at_least": 5}}, {}, False, id="extra-column-of-another-crm"),
        pytest.param({"x_budget": ["high"]}, {}, False, id="words-of-another-crm"),
        pytest.param({"x_budget": "missing"}, {}, True, id="missing-as-no-record-maps-it"),
        pytest.param({"has_phone": True, "title_rank": "executive"}, {}, False, id="every-test-must-pass"),
    ],
)
def test_when_a_rule_applies(when: dict[str, Any], person: dict[str, Any], applies: bool) -> None:
    assert decide(a_person(**person), policy=fit_policy(when))["fit"].item() == (50 if applies else 10)


def engagement(policy: PolicyVersion, *activities: dict[str, Any], after: float = 0) -> int:
    evaluated = decide(a_person(activities=activities), policy=policy, now=NOW + timedelta(days=after))
    value: int = evaluated["engagement"].item()
    return value


FORM = {"kinds": "form", "points": 40}


@pytest.mark.parametrize(
    ("activities", "after", "points"),
    [
        pytest.param([an_activity("form", occurred_at=NOW)], 0, 40, id="now"),
        pytest.param([an_activity("form", occurred_at=NOW)], 10, 20, id="one-half-life"),
        pytest.param([an_activity("form", occurred_at=NOW)], 30, 5, id="three-half-lives"),
        pytest.param([an_activity("form", occurred_at=NOW)] * 2, 0, 80, id="two"),
        pytest.param([an_activity("form", occurred_at=NOW)] * 9, 0, 100, id="never-above-100"),
        pytest.param([an_activity("note", occurred_at=NOW)], 0, 0, id="another-kind"),
        pytest.param([an_activity("form", known_from=NOW + timedelta(days=1))], 0, 0, id="not-known-yet"),
    ],
)
def test_points_fade(activities: list[dict[str, Any]], after: float, points: int) -> None:
    assert engagement(engagement_policy(FORM), *activities, after=after) == points


@pytest.mark.parametrize(
    ("rule", "activity", "points"),
    [
        pytest.param({"half_life_days": 1}, an_activity("call", occurred_at=ago(days=1)), 20, id="own-half-life"),
        pytest.param({"at_most": 15}, an_activity("call", occurred_at=NOW), 15, id="at-most"),
        pytest.param({"direction": "in"}, an_activity("call", direction="out", occurred_at=NOW), 0, id="direction"),
        pytest.param(
            {"outcomes": "Connected"}, an_activity("call", outcome="connected", occurred_at=NOW), 40, id="outcome"
        ),
        pytest.param({"outcomes": "connected"}, an_activity("call", occurred_at=NOW), 0, id="outcome-not-given"),
    ],
)
def test_which_activities_earn_points(rule: dict[str, Any], activity: dict[str, Any], points: int) -> None:
    assert engagement(engagement_policy({"kinds": "call", "points": 40, **rule}), activity) == points


def test_given_a_missed_meeting_when_scored_then_it_takes_points_away() -> None:
    policy = engagement_policy(FORM, {"kinds": "meeting", "points": -30, "outcomes": ["no_show"]})
    missed = an_activity("meeting", outcome="no_show", occurred_at=NOW)

    assert engagement(policy, an_activity("form", occurred_at=NOW), missed) == 10
    assert engagement(policy, missed) == 0


def test_given_a_booked_meeting_when_scored_then_it_counts_in_full_until_it_takes_place() -> None:
    policy = engagement_policy({"kinds": "meeting", "points": 40})
    booked = an_activity("meeting", occurred_at=NOW + timedelta(days=10))

    assert [engagement(policy, booked, after=days) for days in (0, 10, 20)] == [40, 40, 20]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 400), max_size=10), st.floats(0, 60))
def test_without_new_activity_engagement_never_rises(days: list[float], later: float) -> None:
    done = [an_activity("form", occurred_at=ago(days=at)) for at in days]

    assert engagement(engagement_policy(FORM), *done, after=later) <= engagement(engagement_policy(FORM), *done)


def test_the_score_is_the_weighted_mean_of_fit_and_engagement() -> None:
    policy = a_policy(
        score={
            "weights": {"fit": 0.25, "engagement": 0.75},
            "fit": {"start": 80},
            "engagement": {"activities": [FORM]},
        }
    )

    row = decide(a_person(activities=[an_activity("form", occurred_at=NOW)]), policy=policy).row(0, named=True)

    assert (row["fit"], row["engagement"], row["score"], row["probability"]) == (80, 40, 50, 0.5)
