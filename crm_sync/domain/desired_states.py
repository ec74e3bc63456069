"""What a CRM record should hold after an evaluation, and whether it is worth a write."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.policies import PolicyVersion
from crm_sync.domain.records import Value
from crm_sync.domain.states import CONSENT_STATES, State


def worth_pushing(policy: PolicyVersion) -> pl.Expr:
    """Whether an evaluated row differs from what was last pushed by more than noise; never null (law 6).

    It does when the state, the bucket or the top reason changed, or the score moved by the dead band or more. A top
    reason that isn't known is not compared.
    """
    scored, last_reason = pl.col("state") == State.SCORED, pl.col("last_top_reason")
    moved = (pl.col("score") - pl.col("last_score")).abs() >= max(policy.dead_band, 1)
    return (
        pl.col("state").ne_missing(pl.col("last_state"))
        | pl.col("bucket").ne_missing(pl.col("last_bucket"))
        | (scored & last_reason.is_not_null() & last_reason.ne_missing(pl.col("top_reason")))
        | moved.fill_null(False)
    )


def desired_fields(evaluated: pl.DataFrame, policy: PolicyVersion) -> list[dict[str, Value]]:
    """Our own fields by neutral name for each evaluated row, in its order; `None` clears a field.

    Without a score the old one is cleared or, where the policy keeps old scores, its fields are absent: an absent
    field is left alone. Refused or missing consent always clears. The state is always there. `scored_at` is when
    the score last changed, not when it was last looked at. Call it for rows that are worth a push; the others keep
    the desired state that they have.
    """
    scored_at = (
        pl.when(pl.col("score").eq_missing(pl.col("last_score")) & pl.col("last_scored_at").is_not_null())
        .then("last_scored_at")
        .otherwise("as_of")
    )
    rows = evaluated.select(
        "score",
        "bucket",
        "state",
        "fit",
        "engagement",
        pl.col("reasons_text").alias("reasons"),
        pl.col("reasons_json").alias("reasons_detail"),
        "model_version",
        scored_at.dt.truncate("1s").alias("scored_at"),
    ).to_dicts()
    return [_fields(row, policy) for row in rows]


def _fields(row: dict[str, Value | datetime], policy: PolicyVersion) -> dict[str, Value]:
    state = State(str(row["state"]))
    if state is State.SCORED:
        return {name: _plain(value) for name, value in row.items()}
    if policy.not_scored.old_score == "keep" and state not in CONSENT_STATES:
        return {"state": state.value}
    return {own.name: state.value if own.name == "state" else None for own in OWN_FIELDS}


def _plain(value: Value | datetime) -> Value:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value
