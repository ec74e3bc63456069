"""Scores and buckets: a probability of conversion, shown as 0 to 100 and as A to D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

import polars as pl

from crm_sync.domain.policies import Buckets

if TYPE_CHECKING:  # whoever only polls a CRM need not load numpy, a sixth of a second
    import numpy as np
    import numpy.typing as npt

Floats: TypeAlias = "npt.NDArray[np.float64]"


class Bucket(StrEnum):
    """A is hot, D is cold."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a scorer says about the rows of a features frame, in their order.

    `probability` of conversion within the horizon, 0 to 1, calibrated. `contributions` by feature or business field:
    what raised (above 0) or lowered it; log-odds before calibration from a model, points from rules.
    """

    probability: Floats
    contributions: Mapping[str, Floats]


class Scorer(Protocol):
    """A model version in use: gives probabilities and says what they came from."""

    @property
    def version(self) -> str:
        """The model version that every score names; at most 40 characters."""

    def score(self, features: pl.DataFrame) -> Scored:
        """Score the rows of `domain.features.features`. Equal rows get equal answers, in any batch."""


def shown(probability: pl.Expr) -> pl.Expr:
    """A probability as people see it: a whole number from 0 to 100, halves rounded up."""
    return (probability * 100 + 0.5).floor().clip(0, 100).cast(pl.Int32)


def bucket(policy: Buckets) -> pl.Expr:
    """The bucket of each `score`; one that was reached (`last_bucket`) is kept until `hysteresis` below its edge.

    So a lead rises at once, and one whose score trembles around an edge doesn't change its bucket with each tremble.
    """
    score, last = pl.col("score"), pl.col("last_bucket")
    fresh, sticky = _by_edges(score, policy, 0), _by_edges(score, policy, policy.hysteresis)
    # Letters sort the wrong way round: A is the best and the smallest.
    return (
        pl.when(score.is_null())
        .then(pl.lit(None, pl.String))
        .when(last.is_null() | (last >= fresh))
        .then(fresh)
        .when(last <= sticky)
        .then(sticky)
        .otherwise(last)
    )


def _by_edges(score: pl.Expr, policy: Buckets, slack: int) -> pl.Expr:
    reached = [pl.when(score >= edge - slack).then(pl.lit(name)) for name, edge in policy.edges()]
    return pl.coalesce(*reached, pl.lit(Bucket.D.value))


def counted(scores: pl.DataFrame, policy: Buckets) -> dict[str, int]:
    """How many records would be in each bucket by these edges; `scores` has score, last_bucket and records."""
    found = dict(scores.group_by(bucket(policy).alias("bucket")).agg(pl.col("records").sum()).iter_rows())
    return {name.value: int(found.get(name.value, 0)) for name in Bucket}


def room_below(policy: Buckets) -> pl.Expr:
    """By how many points a score may fall before its bucket changes; null in the lowest bucket."""
    edges = {name: edge - policy.hysteresis for name, edge in policy.edges()}
    edge = pl.col("bucket").replace_strict(edges, default=None, return_dtype=pl.Int64)
    return pl.col("score") - edge
