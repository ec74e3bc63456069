"""Features: what is known about a person as of a moment, one definition for training and serving (law 5).

Only `visible` decides what may be known: nothing with a later `known_from` passes, and no web signal without
consent to tracking. No field that we write is a feature, nor one that people set because they know the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Literal

import polars as pl

from crm_sync.domain.addresses import EmailKind
from crm_sync.domain.batches import ACTIVITY_SCHEMA, completed
from crm_sync.domain.columns import EXTRA_PREFIX, TRACKED_KINDS, WEB_PREFIX, Direction, Kind
from crm_sync.domain.countries import CountryGroup
from crm_sync.domain.titles import Department, Rank, department, rank

WINDOWS = (1, 7, 30, 90)
"""Days that an activity counts for in the windowed features."""

DAY = timedelta(days=1)
FeatureType = Literal["number", "category", "flag"]

KIND_FIELDS: dict[Kind, str] = {
    Kind.CALL: "calls",
    Kind.EMAIL_IN: "emails_in",
    Kind.EMAIL_OUT: "emails_out",
    Kind.MEETING: "meetings",
    Kind.NOTE: "notes",
    Kind.TASK: "tasks",
    Kind.FORM: "forms",
    Kind.CAMPAIGN_RESPONSE: "campaign_responses",
    Kind.VISIT: "visits",
}
"""The business field that an activity of a kind belongs to."""

COMPANY_SIZES = ("1-9", "10-49", "50-249", "250-999", "1000-4999", "5000+")

CATEGORIES: dict[str, tuple[str, ...]] = {
    "title_rank": tuple(Rank),
    "department": tuple(Department),
    "company_size": COMPANY_SIZES,
    "country_group": tuple(CountryGroup),
    "email_kind": tuple(EmailKind),
}
"""The words that a closed category may hold; industry and lead source are open."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A column of the features frame: its type, and the business field that people know it by."""

    type: FeatureType
    field: str


def _registry() -> dict[str, Feature]:
    named = {
        "title_rank": Feature("category", "job_title"),
        "department": Feature("category", "job_title"),
        "has_title": Feature("flag", "job_title"),
        "employees": Feature("number", "company_size"),
        "company_size": Feature("category", "company_size"),
        "industry": Feature("category", "industry"),
        "revenue": Feature("number", "revenue"),
        "country_group": Feature("category", "country"),
        "email_kind": Feature("category", "email"),
        "has_phone": Feature("flag", "phone"),
        "has_company": Feature("flag", "company"),
        "has_website": Feature("flag", "website"),
        "lead_source": Feature("category", "lead_source"),
        "tenure_days": Feature("number", "tenure"),
        "meetings_ahead": Feature("number", "meetings"),
    }
    for kind, field in KIND_FIELDS.items():
        named |= {f"{kind}_{days}d": Feature("number", field) for days in WINDOWS}
        named[f"days_since_{kind}"] = Feature("number", field)
    for scope in ("in", "out", "any"):
        named |= {f"{scope}_{days}d": Feature("number", "activity") for days in WINDOWS}
        named[f"days_since_{scope}"] = Feature("number", "activity")
    return named


FEATURES: dict[str, Feature] = _registry()
"""Every feature that is there whatever the mapping; extra columns `x_…` come on top."""


def field_of(feature: str) -> str:
    """The business field of a feature, extra columns standing for themselves."""
    known = FEATURES.get(feature)
    return known.field if known else "country" if feature == "country_code" else feature


def visible(people: pl.DataFrame, activities: pl.DataFrame) -> pl.DataFrame:
    """The activities that may be known for each row of `people` at its `as_of`, with `row` and `age_days`.

    `row` is the position in `people`, so one person may stand there with several as-of times. Meetings that are
    known and still to come are visible, with a negative age; nothing else from the future is.
    """
    keys = people.select("person_id", "as_of", "may_tracking").with_row_index("row")
    joined = completed(activities, ACTIVITY_SCHEMA).join(keys, on="person_id", how="inner")
    known = pl.col("known_from") <= pl.col("as_of")
    happened = (pl.col("occurred_at") <= pl.col("as_of")) | (pl.col("kind") == Kind.MEETING)
    allowed = pl.col("may_tracking") | ~pl.col("kind").is_in([kind.value for kind in TRACKED_KINDS])
    return joined.filter(known, happened, allowed).with_columns(
        age_days=(pl.col("as_of") - pl.col("occurred_at")).dt.total_microseconds() / (DAY / timedelta(microseconds=1))
    )


def features(people: pl.DataFrame, activities: pl.DataFrame) -> pl.DataFrame:
    """person_id, as_of and every feature, one row for each row of `people`, in the same order.

    `people` is what `consent.with_consent` returns: `as_of` is a column, so training asks for many moments at once.
    Numbers are null where nothing is known; days count from the as-of time.
    """
    return features_of(people, visible(people, activities))


def features_of(people: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """The same from activities that have passed `visible`."""
    counted = seen.group_by("row").agg(*_activity_features())
    counts = [name for name in counted.columns if not name.startswith("days_since_") and name != "row"]
    extras = sorted(name for name in people.columns if name.startswith(EXTRA_PREFIX))
    return (
        people.with_row_index("row")
        .select(
            "row", "person_id", "as_of", *_person_features(), *(_extra(name, people.schema[name]) for name in extras)
        )
        .join(counted, on="row", how="left", maintain_order="left")
        .with_columns(pl.col(counts).fill_null(0))
        .select("person_id", "as_of", *FEATURES, *extras)
    )


@cache
def _person_features() -> list[pl.Expr]:
    title, employees = pl.col("title"), pl.col("employees")
    known_size = pl.when(employees >= 1).then(employees)
    return [
        rank(title).alias("title_rank"),
        department(title).alias("department"),
        title.is_not_null().alias("has_title"),
        known_size.alias("employees"),
        company_size(known_size).alias("company_size"),
        pl.col("industry").str.to_lowercase().alias("industry"),
        pl.when(pl.col("revenue") >= 0).then(pl.col("revenue")).alias("revenue"),
        pl.col("country_group"),
        pl.col("email_kind"),
        (pl.col("phone_usable").fill_null(False) | pl.col("mobile_usable").fill_null(False)).alias("has_phone"),
        pl.col("company").is_not_null().alias("has_company"),
        pl.col("website").is_not_null().alias("has_website"),
        pl.col("lead_source").str.to_lowercase().alias("lead_source"),
        _days(pl.col("as_of") - pl.col("created_at")).alias("tenure_days"),
    ]


def company_size(employees: pl.Expr) -> pl.Expr:
    """The band of COMPANY_SIZES that a number of employees falls into."""
    lowest = (1, 10, 50, 250, 1000, 5000)
    bands = [
        pl.when(employees >= bound).then(pl.lit(band))
        for bound, band in zip(reversed(lowest), reversed(COMPANY_SIZES), strict=True)
    ]
    return pl.coalesce(bands)


def _days(span: pl.Expr) -> pl.Expr:
    days = span.dt.total_microseconds() / (DAY / timedelta(microseconds=1))
    return pl.when(days >= 0).then(days)


def _extra(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name).str.to_lowercase() if dtype == pl.String else pl.col(name)
    return pl.when(pl.col("may_tracking")).then(value).alias(name) if name.startswith(WEB_PREFIX) else value.alias(name)


@cache
def _activity_features() -> list[pl.Expr]:
    past, age = pl.col("age_days") >= 0, pl.col("age_days")
    scopes = {kind.value: pl.col("kind") == kind.value for kind in Kind}
    scopes |= {way.value: pl.col("direction") == way.value for way in Direction}
    found = [(~past).sum().cast(pl.Float64).alias("meetings_ahead")]
    for scope, chosen in scopes.items():
        found += [(chosen & past & (age <= days)).sum().cast(pl.Float64).alias(f"{scope}_{days}d") for days in WINDOWS]
        found.append(age.filter(chosen & past).min().alias(f"days_since_{scope}"))
    found += [(past & (age <= days)).sum().cast(pl.Float64).alias(f"any_{days}d") for days in WINDOWS]
    return [*found, age.filter(past).min().alias("days_since_any")]
