"""Consent by purpose: what a person allowed, refused or never said, and what follows from it (law 8).

Only score, processing and erasure block the score. E-mail and phone refusals restrict reasons; without tracking,
web signals are dropped.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

import polars as pl

from crm_sync.domain.countries import country_group
from crm_sync.domain.policies import ConsentPolicy, PurposePolicy
from crm_sync.domain.states import State


class Purpose(StrEnum):
    """What data about a person may be used for."""

    SCORE = "score"
    EMAIL = "email"
    PHONE = "phone"
    TRACKING = "tracking"


class Answer(StrEnum):
    """What a person said about a purpose. UNKNOWN is a value of its own: nobody asked, or nobody answered."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def no_longer(now: datetime) -> pl.Expr:
    """Whether a translated record refuses a score by itself, whatever the policy says; never null."""
    return pl.any_horizontal(
        pl.col("do_not_profile", "do_not_process", "should_forget").fill_null(False),
        ~pl.col("profiling_consent").fill_null(True),
        (pl.col("profiling_consent_until") <= now).fill_null(False),
    )


def with_consent(people: pl.DataFrame, policy: ConsentPolicy) -> pl.DataFrame:
    """`people` with what they allowed, as of each row's `as_of`.

    Reads `country_code`. Adds `country_group`, `consent_<purpose>` (an Answer), `consent_score_until` and
    `may_<purpose>` (the verdict: the policy decides where the answer is unknown).
    """
    answered = people.with_columns(
        country_group(pl.col("country_code")).alias("country_group"),
        pl.col("profiling_consent_until").alias("consent_score_until"),
        *(_answer(purpose, getattr(policy, purpose)) for purpose in Purpose),
    )
    return answered.with_columns(_verdict(purpose, getattr(policy, purpose)) for purpose in Purpose)


def consent_state(policy: PurposePolicy, *, closed: pl.Expr) -> pl.Expr:
    """State code of each person, null where they may be scored; the first refusal wins.

    Who is `closed` has no record left that could be asked for consent, or that names a country.
    """
    consent, until = pl.col("consent_score"), pl.col("consent_score_until")
    blocks_unknown = pl.col("country_group").is_in(policy.groups_blocking_unknown())
    return (
        pl.when(pl.col("should_forget"))
        .then(pl.lit(State.ERASURE_REQUESTED.value))
        .when(pl.col("do_not_process"))
        .then(pl.lit(State.PROCESSING_REFUSED.value))
        .when(consent == Answer.REFUSED)
        .then(pl.lit(State.CONSENT_REFUSED.value))
        .when(until <= pl.col("as_of"))
        .then(pl.lit(State.CONSENT_EXPIRED.value))
        .when(closed)
        .then(pl.lit(State.CLOSED.value))
        .when((consent == Answer.UNKNOWN) & blocks_unknown)
        .then(pl.lit(State.CONSENT_UNKNOWN.value))
    )


def _answer(purpose: Purpose, policy: PurposePolicy) -> pl.Expr:
    allowed = _holds_legal_basis(policy)
    if purpose is Purpose.SCORE:
        allowed = allowed | pl.col("profiling_consent").fill_null(False)
    return (
        pl.when(_refused(purpose))
        .then(pl.lit(Answer.REFUSED.value))
        .when(allowed)
        .then(pl.lit(Answer.ALLOWED.value))
        .otherwise(pl.lit(Answer.UNKNOWN.value))
        .alias(f"consent_{purpose}")
    )


def _refused(purpose: Purpose) -> pl.Expr:
    if purpose is Purpose.SCORE:
        return pl.col("do_not_profile").fill_null(False) | ~pl.col("profiling_consent").fill_null(True)
    return pl.col(f"{purpose}_opt_out").fill_null(False)


def _holds_legal_basis(policy: PurposePolicy) -> pl.Expr:
    """HubSpot spells two of its legal bases with an en dash and the others without; people type either."""
    if not policy.legal_bases:
        return pl.lit(False)
    accepted = "|".join(re.escape(_plain(basis)) for basis in policy.legal_bases)
    held = pl.col("legal_basis").str.replace_all("[–—]", "-").str.to_lowercase()
    return held.str.contains(rf"(^|;)\s*({accepted})\s*(;|$)").fill_null(False)


def _plain(basis: str) -> str:
    return re.sub("[–—]", "-", basis).lower()


def _verdict(purpose: Purpose, policy: PurposePolicy) -> pl.Expr:
    consent = pl.col(f"consent_{purpose}")
    blocks_unknown = pl.col("country_group").is_in(policy.groups_blocking_unknown())
    refused = consent == Answer.REFUSED
    if purpose is Purpose.SCORE:
        refused = refused | (pl.col("consent_score_until") <= pl.col("as_of")).fill_null(False)
    return (~refused & ~((consent == Answer.UNKNOWN) & blocks_unknown)).alias(f"may_{purpose}")
