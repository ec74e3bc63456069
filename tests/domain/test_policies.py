"""Policies: read strictly, and checked for sense."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.domain.policies import Buckets, parse_policy, with_buckets
from crm_sync.errors import ConfigError
from crm_sync.examples import example_policy
from tests.factories import POLICY, SHIPPED, a_policy

SCORE = POLICY.score.model_dump()


EDGES = Buckets(A=22, B=12, C=5, hysteresis=2)


def with_rule(when: dict[str, Any], part: str = "fit") -> dict[str, Any]:
    return {"score": SCORE | {part: SCORE[part] | {"rules": [{"when": when, "points": 5}]}}}


def test_the_shipped_policy_makes_sense() -> None:
    assert SHIPPED.problems() == []
    assert SHIPPED.dead_band == 5


def test_content_hash_names_what_a_policy_says() -> None:
    commented = "# ours\n" + example_policy()

    assert parse_policy(commented).content_hash == SHIPPED.content_hash
    assert a_policy(dead_band=6).content_hash != POLICY.content_hash


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"buckets": {"A": 40, "B": 50, "C": 20}}, "buckets: A must begin above B and B above C.", id="order"
        ),
        pytest.param(
            {"buckets": {"A": 40, "B": 35, "C": 20, "hysteresis": 5}},
            "buckets.hysteresis is as wide as a bucket, so nobody would ever leave it; make it smaller.",
            id="hysteresis-too-wide",
        ),
        pytest.param(
            {"score": SCORE | {"weights": {"fit": 0.5, "engagement": 0.6}}},
            "score.weights: fit and engagement must add up to 1.",
            id="weights",
        ),
        pytest.param(
            {"score": {}},
            "score has no rule at all, so everybody would get the same score; start from the example.",
            id="no-rule",
        ),
        pytest.param(
            with_rule({"status": "known"}),
            "score.fit.rules[0].when.status: what we write can't be an input; take the rule out.",
            id="status-as-input",
        ),
        pytest.param(
            with_rule({"title_rnak": "director"}),
            "score.fit.rules[0].when.title_rnak: there is no such column; did you mean title_rank?",
            id="column-misspelt",
        ),
        pytest.param(
            with_rule({"title_rank": "directr"}, "engagement"),
            "score.engagement.rules[0].when.title_rank: directr never occurs; did you mean director?",
            id="word-misspelt",
        ),
        pytest.param(
            with_rule({"employees": "many"}),
            "score.fit.rules[0].when.employees: this column holds no words; "
            "use a number, a range, true or false, known or missing.",
            id="word-for-a-number",
        ),
        pytest.param(
            with_rule({"industry": {"at_least": 3}}),
            "score.fit.rules[0].when.industry: this column holds words; name one, a list of them, known or missing.",
            id="number-for-a-word",
        ),
        pytest.param(
            {"quality": {"email_mising": "note"}},
            "quality: email_mising is not a finding; did you mean email_missing?",
            id="finding-misspelt",
        ),
        pytest.param(
            {"not_scored": {"needs": ["emails"]}},
            "not_scored.needs: emails is not a canonical column; did you mean email?",
            id="need-misspelt",
        ),
    ],
)
def test_what_makes_no_sense_is_told(changes: dict[str, Any], problem: str) -> None:
    assert a_policy(**changes).problems() == [problem]


def test_given_many_mistakes_when_parsed_then_each_is_told_at_once() -> None:
    text = """
consent: {score: {unknown: {eu: perhaps, mars: block}}}
score:
  fit: {start: 200, rules: [{when: {}, points: many}]}
  engagement: {half_life: 3, activities: [{kinds: [fax], points: 1}]}
buckets: {A: 0}
dead_bnad: 4
"""
    with pytest.raises(ConfigError) as refused:
        parse_policy(text)

    told = str(refused.value).splitlines()
    assert told[0].startswith("The policy has")
    for beginning in (
        "- consent.score.unknown.eu: 'perhaps' is not one of 'allow' or 'block'",
        "- consent.score.unknown.mars: 'mars' is not one of",
        "- score.fit.start should be less than or equal to 100, got 200.",
        "- score.fit.rules[0].when",
        "- score.fit.rules[0].points should be a valid number",
        "- score.engagement.half_life is not a key that is known here; did you mean half_life_days?",
        "- score.engagement.activities[0].kinds[0]: 'fax' is not one of",
        "- buckets.A should be greater than or equal to 1, got 0.",
        "- dead_bnad is not a key that is known here; did you mean dead_band?",
    ):
        assert any(line.startswith(beginning) for line in told), (beginning, told)


def test_given_a_country_code_that_looks_like_a_truth_when_parsed_then_it_stays_a_word() -> None:
    text = example_policy().replace("{when: {title_rank: manager}", "{when: {country_code: [NO, de]}")

    rules = parse_policy(text).score.fit.rules

    assert any(rule.when.get("country_code") == ("NO", "de") for rule in rules)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("buckets: {A: 70, B: 45, C: 20, hysteresis: 3}   # ours\n", id="on-one-line"),
        pytest.param("buckets:   # ours\n  A: 70\n  # warm\n  B: 45\n  C: 20\n\n# next\n", id="as-a-block"),
    ],
)
def test_other_bucket_edges_leave_the_rest_of_a_policy_as_it_was_written(written: str) -> None:
    _, _, after = example_policy().partition("dead_band:")
    before, _, _ = example_policy().partition("buckets: {")
    text = f"{before}{written}dead_band: 3{after[2:]}"

    changed = with_buckets(text, EDGES)

    assert parse_policy(changed).buckets == EDGES
    assert changed.startswith(before)
    assert changed.replace("# ours\n", "").find(f"dead_band: 3{after[2:]}".rstrip()) > 0
    assert changed.count("# next") == written.count("# next")


def test_a_dead_band_wider_than_a_bucket_becomes_smaller_with_it() -> None:
    wide, narrow = Buckets(A=60, B=40, C=20), Buckets(A=9, B=6, C=4, hysteresis=1)

    assert parse_policy(with_buckets(example_policy(), wide)).dead_band == 5
    assert parse_policy(with_buckets(example_policy(), narrow)).dead_band == 1
    assert parse_policy(with_buckets(with_buckets(example_policy(), narrow), wide, dead_band=5)).dead_band == 5
    unsaid = example_policy().replace("dead_band: 5\n", "")
    assert parse_policy(with_buckets(unsaid, narrow)).dead_band == 1
