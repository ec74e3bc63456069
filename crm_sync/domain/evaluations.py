"""Evaluate a batch of people: everything decided about each of them at one moment, in one chain over frames.

records → one row a person → quality → consent → features → score → bucket → reasons → state → when to look again.
Nobody who may not be scored, or can't be, reaches the features.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import polars as pl

from crm_sync.domain.addresses import email_kind, is_callable
from crm_sync.domain.batches import PREVIOUS_SCHEMA, Batch, completed, one_row_a_person
from crm_sync.domain.columns import EXTRA_PREFIX, PERSON_COLUMNS, UTC_TIME
from crm_sync.domain.consent import consent_state, with_consent
from crm_sync.domain.countries import country_code
from crm_sync.domain.features import WINDOWS, features_of, visible
from crm_sync.domain.policies import PolicyVersion
from crm_sync.domain.quality import blocking, findings, lacks_what_is_needed
from crm_sync.domain.reasons import REASON, reasons
from crm_sync.domain.rules import rule_scores
from crm_sync.domain.scores import Scorer, bucket, room_below, shown
from crm_sync.domain.states import State

LONGEST_WAIT = timedelta(hours=24)
"""No evaluation is older than this when it is looked at again (law 6)."""

OUTPUT = (
    "person_id",
    "state",
    "score",
    "probability",
    "bucket",
    "fit",
    "engagement",
    "reasons",
    "reasons_text",
    "reasons_json",
    "top_reason",
    "findings",
    "consent_score",
    "consent_email",
    "consent_phone",
    "consent_tracking",
    "consent_score_until",
    "may_score",
    "may_email",
    "may_phone",
    "may_tracking",
    "country_code",
    "country_group",
    "region",
    "city",
    "industry",
    "employees",
    "lead_source",
    "inputs_hash",
    "evaluate_again_at",
    "as_of",
    "model_version",
    *(name for name in PREVIOUS_SCHEMA if name != "person_id"),
)
"""The columns of an evaluated frame."""

_SCORED_SCHEMA: dict[str, pl.DataType] = {
    "person_id": pl.Int64(),
    "probability": pl.Float64(),
    "fit": pl.Int32(),
    "engagement": pl.Int32(),
    "reasons": pl.List(REASON),
    "reasons_text": pl.String(),
    "reasons_json": pl.String(),
    "top_reason": pl.String(),
    "turns_at": UTC_TIME,
}


def evaluate(batch: Batch, *, policy: PolicyVersion, scorer: Scorer | None, now: datetime) -> pl.DataFrame:
    """One row a person with the columns of OUTPUT, ordered by person_id.

    `score` is 0 to 100; it, `probability`, `bucket`, `fit`, `engagement` and reasons are null or empty unless
    `state` is `scored`. Without a `scorer` the rules of the policy give the score. `last_…` columns are those of
    `batch.previous`. `inputs_hash` names what was known and allowed: together with `as_of`, policy and model
    version it determines every other column, whatever the order of rows and whoever else is in the batch.
    """
    people = judged(people_of(batch.records, policy, now), policy)
    scorable = people.filter(pl.col("state") == State.SCORED)
    seen = visible(scorable, batch.activities)
    result = _score(scorable, seen, policy, scorer) if len(scorable) else pl.DataFrame(schema=_SCORED_SCHEMA)
    hashes = pl.concat([_hashes(scorable, seen), _hashes_of_the_unscored(people)])
    version = scorer.version if scorer else policy.rules_version
    return (
        people.join(completed(batch.previous, PREVIOUS_SCHEMA), on="person_id", how="left", maintain_order="left")
        .join(result, on="person_id", how="left", maintain_order="left")
        .join(hashes, on="person_id", how="left", maintain_order="left")
        .with_columns(score=shown(pl.col("probability")))
        .with_columns(bucket=bucket(policy.buckets), model_version=pl.lit(version))
        .with_columns(
            pl.col("reasons").fill_null(pl.lit([], dtype=pl.List(REASON))),
            pl.col("reasons_text").fill_null(""),
            pl.col("reasons_json").fill_null('{"reasons":[]}'),
            evaluate_again_at=_again_at(policy),
        )
        .select(OUTPUT)
    )


def people_of(records: pl.DataFrame, policy: PolicyVersion, as_of: datetime | None = None) -> pl.DataFrame:
    """One row a person with what each allowed: what `features.features` wants, in serving and training alike.

    `as_of` is one moment for all. Without it `records` have a column `as_of` and hold each person's records once for
    each moment, as they were known then.
    """
    at = [pl.lit(as_of).cast(UTC_TIME).alias("as_of")] if as_of is not None else []
    folded = one_row_a_person(records.drop("as_of", strict=False) if as_of is not None else records).with_columns(
        *at,
        email_kind(pl.col("email")).alias("email_kind"),
        is_callable(pl.col("phone")).alias("phone_usable"),
        is_callable(pl.col("mobile")).alias("mobile_usable"),
        country_code(pl.col("country")).alias("country_code"),
    )
    return with_consent(folded, policy.consent)


def judged(people: pl.DataFrame, policy: PolicyVersion) -> pl.DataFrame:
    """`people` with their findings and their state code; SCORED means that nothing stands in the way."""
    noticed = people.with_columns(findings(policy.severity))
    held_back = pl.col("findings").list.set_intersection(blocking(policy.severity)).list.len() > 0
    test = pl.lit(policy.severity("test_data") == "block") & pl.col("findings").list.contains("test_data")
    converted = pl.lit(policy.not_scored.converted) & pl.col("is_converted").fill_null(False)
    return noticed.with_columns(
        state=pl.coalesce(
            consent_state(policy.consent.score, closed=(pl.col("open_records") == 0) & ~converted),
            pl.when(converted).then(pl.lit(State.CONVERTED.value)),
            pl.when(test).then(pl.lit(State.TEST_RECORD.value)),
            pl.when(held_back).then(pl.lit(State.HELD.value)),
            pl.when(lacks_what_is_needed(policy.not_scored.needs)).then(pl.lit(State.NOT_ENOUGH_DATA.value)),
            pl.lit(State.SCORED.value),
        )
    )


def _score(people: pl.DataFrame, seen: pl.DataFrame, policy: PolicyVersion, scorer: Scorer | None) -> pl.DataFrame:
    values = features_of(people, seen)
    by_rules = rule_scores(policy, values.with_columns(people["country_code"]), seen)
    scored = scorer.score(values) if scorer else by_rules.scored
    return people.select("person_id").with_columns(
        pl.Series("probability", scored.probability, dtype=pl.Float64),
        pl.Series("fit", by_rules.fit, dtype=pl.Float64).round().cast(pl.Int32),
        pl.Series("engagement", by_rules.engagement, dtype=pl.Float64).round().cast(pl.Int32),
        *reasons(people, values, scored.contributions, policy.reasons),
        _turns_at(people, seen),
    )


def _turns_at(people: pl.DataFrame, seen: pl.DataFrame) -> pl.Series:
    """When the first feature window turns over, or a booked meeting takes place; null where nothing is to come."""
    occurred, as_of = pl.col("occurred_at"), pl.col("as_of")
    # On the very microsecond an activity is still within its window, so look one later.
    leaves = (occurred + timedelta(days=days, microseconds=1) for days in WINDOWS)
    next_turn = pl.min_horizontal(
        pl.when(occurred > as_of).then(occurred), *(pl.when(moment > as_of).then(moment) for moment in leaves)
    )
    turns = seen.group_by("row").agg(next_turn.min().alias("turns_at"))
    return people.with_row_index("row").join(turns, on="row", how="left", maintain_order="left")["turns_at"]


def _again_at(policy: PolicyVersion) -> pl.Expr:
    """The earliest moment at which the answer may change by itself, at most 24 hours ahead, on a whole minute.

    Decay: all engagement is taken to fade as fast as the fastest rule, until the score has moved by the dead band or
    the bucket changes. What people wrote or did since comes through the inbox, not by waiting.
    """
    engagement = policy.score.engagement
    half_life = min([engagement.half_life_days, *(r.half_life_days or 3650.0 for r in engagement.activities)])
    fading = pl.col("engagement") * policy.score.weights.engagement
    room = pl.min_horizontal(room_below(policy.buckets), pl.lit(policy.dead_band)).clip(1)
    days = half_life * (fading / (fading - room)).log(2)
    faded = pl.col("as_of") + (pl.when(fading > room).then(days) * 86_400_000_000).ceil().cast(pl.Duration("us"))
    until = pl.col("consent_score_until")
    expires = pl.when(until > pl.col("as_of")).then(until)
    latest = pl.col("as_of") + LONGEST_WAIT
    soonest = pl.min_horizontal(pl.col("turns_at"), faded, expires, latest)
    whole = soonest.dt.offset_by("59999999us").dt.truncate("1m")
    return pl.min_horizontal(whole, latest)


def _hashes(people: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """person_id and inputs_hash of those who are scored: their columns and the activities that may be known."""
    did = pl.struct("kind", "direction", "occurred_at", "known_from", "outcome").struct.json_encode()
    done = seen.select("person_id", did.alias("did")).group_by("person_id").agg(pl.col("did").sort().str.join("\n"))
    extras = sorted(name for name in people.columns if name.startswith(EXTRA_PREFIX))
    known = ("may_tracking", "country_code", *PERSON_COLUMNS, *extras)
    joined = people.join(done, on="person_id", how="left", maintain_order="left")
    return _hashed(joined, pl.struct(*known, "unreadable", "open_records", "twins", "did"))


def _hashes_of_the_unscored(people: pl.DataFrame) -> pl.DataFrame:
    """For those who aren't scored, of the answer alone: nothing else about them is used."""
    unscored = people.filter(pl.col("state") != State.SCORED)
    return _hashed(unscored, pl.struct("state", "consent_score", "consent_score_until", "country_group", "findings"))


def _hashed(people: pl.DataFrame, inputs: pl.Expr) -> pl.DataFrame:
    texts = people.select(inputs.struct.json_encode().alias("text"))["text"].to_list()
    # Polars' own hash may differ from one version to the next, and these are kept for years.
    digests = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]
    return people.select("person_id").with_columns(pl.Series("inputs_hash", digests, dtype=pl.String))
