"""Fields that know the outcome, found before every fit: too good alone, or a value that says it all.

Such a field is left out and named. Where it is honest after all (known before anybody talked to the lead), whoever
trains may keep it by name.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from crm_sync.domain.features import FEATURES, field_of
from crm_sync.scoring.measures import auc

TOO_GOOD = 0.90
ROWS = 50
ONE_CLASS = 0.95
COMMON = 0.75
"""Where this share of everybody doesn't convert, a value that never converts is nothing special."""

Truths = npt.NDArray[np.bool_]


def leaks(features: pl.DataFrame, labels: Truths, people: pl.Series, keep: Iterable[str]) -> dict[str, str]:
    """Business fields that leak, with the reason; those in `keep` are not looked at.

    `people` is the person of each row: a value counts by people, not by their snapshots.
    """
    kept = set(keep)
    found: dict[str, str] = {}
    half = (people.to_numpy() % 2).astype(np.bool_)
    for name in features.columns:
        field = field_of(name)
        if field in kept or field in found:
            continue
        values = features[name]
        alone = _alone(values, labels, half)
        if alone > TOO_GOOD:
            found[field] = f"{name} alone ranks conversions at an AUC of {alone:.2f}"
        elif telling := _telling(values, labels, people):
            found[field] = telling
    return found


def is_category(values: pl.Series) -> bool:
    return values.dtype == pl.String


def _alone(values: pl.Series, labels: Truths, half: Truths) -> float:
    """The AUC of one field by itself. A category is judged by the rates of the other half of the people."""
    if not is_category(values):
        numbers = values.cast(pl.Float64).fill_null(-1e300).to_numpy()
        found = auc(numbers, labels)
        return max(found, 1 - found)
    parts = [_auc_by_rates(values, labels, half), _auc_by_rates(values, labels, ~half)]
    return float(np.nanmean(parts)) if np.isfinite(parts).any() else 0.5


def _auc_by_rates(values: pl.Series, labels: Truths, learn: Truths) -> float:
    frame = pl.DataFrame({"value": values.fill_null(""), "label": labels, "learn": learn})
    prior = float(labels[learn].mean()) if learn.any() else 0.0
    rates = (
        frame.filter("learn")
        .group_by("value")
        .agg(((pl.col("label").sum() + prior * 5) / (pl.len() + 5)).alias("rate"))
    )
    judged = frame.filter(~pl.col("learn")).join(rates, on="value", how="left", maintain_order="left")
    return auc(judged["rate"].fill_null(prior).to_numpy(), judged["label"].to_numpy())


def _telling(values: pl.Series, labels: Truths, people: pl.Series) -> str:
    """A sentence about a value that nearly everybody, or nearly nobody, converts with; empty where there is none."""
    if not is_category(values) and FEATURES.get(values.name) is not None and values.n_unique() > 2:
        return ""
    frame = pl.DataFrame({"value": values.cast(pl.String).fill_null("no value"), "label": labels, "person": people})
    each = (
        frame.group_by("value", "person")
        .agg(pl.col("label").max())
        .group_by("value")
        .agg(pl.len().alias("people"), pl.col("label").sum().alias("converted"))
    )
    reached = frame.group_by("person").agg(pl.col("label").max())["label"]
    base = int(reached.sum()) / len(reached)
    share = pl.col("converted") / pl.col("people")
    odd = (share >= ONE_CLASS) & (base <= COMMON)
    if 1 - base <= COMMON:
        odd = odd | (share <= 1 - ONE_CLASS)
    telling = each.filter((pl.col("people") >= ROWS) & odd).sort("people", "value", descending=[True, False])
    if not len(telling):
        return ""
    value, count, converted = telling.row(0)
    return f"of {count:,} people with {value!r}, {converted:,} converted"
