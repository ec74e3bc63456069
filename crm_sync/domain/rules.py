"""The score by rules: fit and engagement in points, used until a model is promoted, and shown beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from crm_sync.domain.columns import EXTRA_PREFIX
from crm_sync.domain.features import KIND_FIELDS, field_of
from crm_sync.domain.policies import ActivityRule, Engagement, PolicyVersion, Range, Rule, Test
from crm_sync.domain.scores import Floats, Scored

MICRO = 1_000_000
"""Decayed points are summed as whole millionths: a sum of floats would depend on the order of the activities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleScores:
    """`fit` and `engagement` from 0 to 100 and the score by both, for rows in the order given."""

    fit: Floats
    engagement: Floats
    scored: Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expressions:
    fit: dict[str, pl.Expr]
    conditions: dict[str, pl.Expr]
    activities: tuple[pl.Expr, ...]
    capped: dict[str, pl.Expr]


def rule_scores(policy: PolicyVersion, facts: pl.DataFrame, seen: pl.DataFrame) -> RuleScores:
    """Points by the rules of `policy`.

    `facts` are features and `country_code`; `seen` are the activities that passed `features.visible` for the same
    rows. Contributions are in points of the score, by business field.
    """
    expressions = _expressions(policy)
    decayed = seen.group_by("row").agg(*expressions.activities)
    # A batch has the extra columns of the connections that it comes from; what no record maps is null.
    absent = [pl.lit(None).alias(name) for name in _extras(policy) if name not in facts.columns]
    rows = facts.with_columns(absent).with_row_index("row").join(decayed, on="row", how="left", maintain_order="left")
    fit, engaged = expressions.fit, expressions.capped
    named = {
        **{f"fit {field}": points for field, points in fit.items()},
        **{f"engagement {field}": points for field, points in _joined(expressions.conditions, engaged).items()},
    }
    points = rows.select(**named)
    return _summed(policy, points, len(rows))


def _summed(policy: PolicyVersion, points: pl.DataFrame, rows: int) -> RuleScores:
    score = policy.score
    shares = {"fit": score.weights.fit, "engagement": score.weights.engagement}
    totals = {
        part: pl.sum_horizontal(pl.lit(start), *(name for name in points.columns if name.startswith(f"{part} ")))
        for part, start in (("fit", score.fit.start), ("engagement", 0.0))
    }
    summed = points.select(**{part: total.clip(0, 100) for part, total in totals.items()})
    fit, engagement = (_column(summed[part], rows) for part in ("fit", "engagement"))
    contributions: dict[str, Floats] = {}
    for name in points.columns:
        part, field = name.split(" ", 1)
        weighted = points[name].to_numpy() * shares[part]
        contributions[field] = contributions[field] + weighted if field in contributions else weighted
    probability = (fit * shares["fit"] + engagement * shares["engagement"]) / 100
    scored = Scored(probability=probability.round(9), contributions=contributions)
    return RuleScores(fit=fit, engagement=engagement, scored=scored)


def _column(values: pl.Series, rows: int) -> Floats:
    return (values if len(values) == rows else pl.Series([0.0] * rows)).to_numpy()


@lru_cache(maxsize=16)
def _expressions(policy: PolicyVersion) -> _Expressions:
    engagement = policy.score.engagement
    return _Expressions(
        fit=_by_field(policy.score.fit.rules),
        conditions=_by_field(engagement.rules),
        activities=tuple(
            _decayed(rule, engagement).alias(f"rule {number}") for number, rule in enumerate(engagement.activities)
        ),
        capped=_capped(engagement.activities),
    )


@lru_cache(maxsize=16)
def _extras(policy: PolicyVersion) -> frozenset[str]:
    """Extra columns that a rule of `policy` looks at."""
    rules = (*policy.score.fit.rules, *policy.score.engagement.rules)
    return frozenset(column for rule in rules for column in rule.when if column.startswith(EXTRA_PREFIX))


def _by_field(rules: Iterable[Rule]) -> dict[str, pl.Expr]:
    points: dict[str, list[pl.Expr]] = defaultdict(list)
    for rule in rules:
        passed = pl.all_horizontal(_passes(column, test) for column, test in rule.when.items())
        points[field_of(next(iter(rule.when)))].append(pl.when(passed).then(rule.points).otherwise(0.0))
    return {field: pl.sum_horizontal(each) for field, each in points.items()}


def _passes(column: str, test: Test) -> pl.Expr:
    value = pl.col(column)
    match test:
        case "known":
            return value.is_not_null()
        case "missing":
            return value.is_null()
        case Range():
            above = value >= test.at_least if test.at_least is not None else pl.lit(True)
            below = value <= test.at_most if test.at_most is not None else pl.lit(True)
            return (value.is_not_null() & above & below).fill_null(False)
        case tuple():
            words = [word.lower() for word in test]
            return value.cast(pl.String).str.to_lowercase().is_in(words).fill_null(False)
        case _:
            return (value == test).fill_null(False)


def _decayed(rule: ActivityRule, engagement: Engagement) -> pl.Expr:
    """Millionths of points of all activities that the rule names. A meeting still to come counts in full."""
    half_life = rule.half_life_days or engagement.half_life_days
    named = pl.col("kind").is_in([kind.value for kind in rule.kinds])
    if rule.direction is not None:
        named = named & (pl.col("direction") == rule.direction.value)
    if rule.outcomes:
        named = named & pl.col("outcome").str.to_lowercase().is_in([word.lower() for word in rule.outcomes])
    left = pl.lit(0.5).pow(pl.col("age_days").clip(0) / half_life)
    return pl.when(named).then((left * (rule.points * MICRO)).round().cast(pl.Int64)).otherwise(0).sum()


def _capped(rules: Iterable[ActivityRule]) -> dict[str, pl.Expr]:
    points: dict[str, list[pl.Expr]] = defaultdict(list)
    for number, rule in enumerate(rules):
        earned = (pl.col(f"rule {number}").fill_null(0) / MICRO).clip(-rule.at_most, rule.at_most)
        points[KIND_FIELDS[rule.kinds[0]]].append(earned)
    return {field: pl.sum_horizontal(each) for field, each in points.items()}


def _joined(*parts: dict[str, pl.Expr]) -> dict[str, pl.Expr]:
    together: dict[str, list[pl.Expr]] = defaultdict(list)
    for part in parts:
        for field, points in part.items():
            together[field].append(points)
    return {field: pl.sum_horizontal(each) for field, each in together.items()}
