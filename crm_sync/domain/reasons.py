"""Reasons: the few contributions that say most about a score, as sentences about this person.

A reason names the direction, a plain field and the person's own value. It claims no cause, shows no protected
attribute, shows where somebody is only if the policy says so, and words what is missing as missing. Days are dates,
because a sentence stands in the CRM until the next push: "Call on 12 Nov 2026" stays true, "called 3 days ago" doesn't.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache

import numpy as np
import polars as pl

from crm_sync.domain.addresses import EmailKind, domain
from crm_sync.domain.columns import EXTRA_PREFIX, LOCATION, PROTECTED, WEB_PREFIX
from crm_sync.domain.features import DAY, field_of
from crm_sync.domain.policies import Reasons
from crm_sync.domain.scores import Floats

MOST_RAISING, MOST_LOWERING = 3, 2
"""More are judged unhelpful (facts: credit reasons, at most four; sales cards, three and two)."""

NOISE = 0.05
"""A contribution below this share of the strongest one of the same person is no reason."""

TEXT_LENGTH = 255
VALUE_LENGTH = 60

FIELD_NAMES: dict[str, str] = {
    "job_title": "Job title",
    "company_size": "Company size",
    "industry": "Industry",
    "revenue": "Revenue",
    "country": "Country",
    "email": "E-mail address",
    "phone": "Phone number",
    "company": "Company",
    "website": "Website",
    "lead_source": "Lead source",
    "tenure": "Known since",
    "calls": "Calls",
    "emails_in": "E-mails from this person",
    "emails_out": "E-mails to this person",
    "meetings": "Meetings",
    "notes": "Notes",
    "tasks": "Finished tasks",
    "forms": "Forms",
    "campaign_responses": "Campaign responses",
    "visits": "Website visits",
    "activity": "Activity",
}
"""Business fields in plain words, the same as on the card."""

EMAIL_FIELDS = frozenset({"email", "emails_in", "emails_out"})
PHONE_FIELDS = frozenset({"phone", "calls"})

_COUNTED = {
    "calls": ("call", "Call", "calls"),
    "emails_in": ("email_in", "E-mail from this person", "e-mails from this person"),
    "emails_out": ("email_out", "E-mail to this person", "e-mails to this person"),
    "meetings": ("meeting", "Meeting", "meetings"),
    "notes": ("note", "Note", "notes"),
    "tasks": ("task", "Finished task", "finished tasks"),
    "forms": ("form", "Form filled in", "forms filled in"),
    "campaign_responses": ("campaign_response", "Campaign response", "campaign responses"),
    "visits": ("visit", "Website visit", "website visits"),
    "activity": ("any", "Activity", "activities"),
}

REASON = pl.Struct(
    {"direction": pl.String(), "field": pl.String(), "text": pl.String(), "weight": pl.Float64()},
)


def field_name(field: str) -> str:
    """A business field in plain words; an extra column by its own name (`x_form_submissions`: Form submissions)."""
    plain = field.removeprefix(WEB_PREFIX).removeprefix(EXTRA_PREFIX).replace("_", " ")
    return FIELD_NAMES.get(field) or plain[:1].upper() + plain[1:]


def reasons(
    people: pl.DataFrame, features: pl.DataFrame, contributions: Mapping[str, Floats], policy: Reasons
) -> pl.DataFrame:
    """`reasons` (strongest raising ones first, then lowering), `reasons_text`, `reasons_json` and `top_reason`.

    One row for each row of `people`, which `features` and `contributions` are parallel to. `reasons_text` has at most
    255 characters and is cut between reasons. `top_reason` is direction and field of the strongest reason of all.
    """
    fields, weights = _weights(people, contributions, policy)
    chosen = _chosen(weights)
    facts = people.hstack([values.alias(f"f_{values.name}") for values in features.iter_columns()])
    told = _told(facts, fields, weights, chosen)
    folded = told.group_by("row", maintain_order=True).agg(
        pl.struct("direction", "field", "text", "weight").alias("reasons"),
        _sentence().alias("reasons_text"),
        pl.concat_str("direction", pl.lit(":"), "field").get(pl.col("weight").abs().arg_max()).alias("top_reason"),
    )
    rows = pl.DataFrame({"row": np.arange(len(people))}, schema={"row": pl.Int64})
    return (
        rows.join(folded, on="row", how="left", maintain_order="left")
        .with_columns(
            pl.col("reasons").fill_null(pl.lit([], dtype=pl.List(REASON))), pl.col("reasons_text").fill_null("")
        )
        .with_columns(pl.struct("reasons").struct.json_encode().alias("reasons_json"))
        .drop("row")
    )


def _weights(people: pl.DataFrame, contributions: Mapping[str, Floats], policy: Reasons) -> tuple[list[str], Floats]:
    """Contributions summed by business field; what may not be said about a person is 0."""
    summed: dict[str, Floats] = {}
    for feature, values in contributions.items():
        field = field_of(feature)
        summed[field] = summed[field] + values if field in summed else np.asarray(values, dtype=np.float64)
    hidden = [PROTECTED] if policy.location == "show" else [PROTECTED, LOCATION]
    fields = sorted(field for field in summed if not any(words.search(field) for words in hidden))
    weights = np.zeros((len(people), len(fields)))
    forbidden = {
        "email": people["consent_email"].eq("refused").to_numpy(),
        "phone": people["consent_phone"].eq("refused").to_numpy(),
        "tracking": ~people["may_tracking"].to_numpy(),
    }
    for position, field in enumerate(fields):
        purpose = _purpose(field)
        values = summed[field].round(6)
        weights[:, position] = np.where(forbidden[purpose], 0.0, values) if purpose else values
    return fields, weights


def _purpose(field: str) -> str | None:
    """The purpose without which a field isn't mentioned: no nudge towards a channel that the person refused."""
    if field in EMAIL_FIELDS:
        return "email"
    if field in PHONE_FIELDS:
        return "phone"
    return "tracking" if field == "visits" or field.startswith(WEB_PREFIX) else None


def _chosen(weights: Floats) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions (rows, fields) of the reasons, slot by slot: the strongest raising ones, then the lowering ones."""
    if not weights.size:
        return []
    strongest = np.abs(weights).max(axis=1, initial=0.0)
    enough = np.maximum(strongest * NOISE, 1e-6)
    slots = []
    for signed, most in ((weights, MOST_RAISING), (-weights, MOST_LOWERING)):
        order = np.argsort(-signed, axis=1, kind="stable")
        for slot in range(min(most, weights.shape[1])):
            fields = order[:, slot]
            rows = np.flatnonzero(signed[np.arange(len(signed)), fields] >= enough)
            slots.append((rows, fields[rows]))
    return slots


def _told(
    facts: pl.DataFrame, fields: list[str], weights: Floats, chosen: list[tuple[np.ndarray, np.ndarray]]
) -> pl.DataFrame:
    """One row a reason in the order of the card: row, direction, field, text, weight."""
    rows = np.concatenate([rows for rows, _ in chosen]) if chosen else np.empty(0, dtype=np.int64)
    positions = np.concatenate([fields for _, fields in chosen]) if chosen else np.empty(0, dtype=np.int64)
    slots = np.repeat(np.arange(len(chosen)), [len(rows) for rows, _ in chosen])
    order = np.lexsort((slots, rows))
    rows, positions = rows[order], positions[order]
    found = weights[rows, positions] if len(rows) else np.empty(0)
    needed = np.unique(positions)
    statements = facts.select(_statement(fields[each], facts.schema).alias(fields[each]) for each in needed)
    in_a_row = pl.concat(statements.get_columns()) if len(needed) else pl.Series(dtype=pl.String)
    texts = in_a_row.gather(np.searchsorted(needed, positions) * len(facts) + rows)
    return pl.DataFrame(
        {
            "row": rows.astype(np.int64),
            "direction": np.where(found > 0, "raises", "lowers"),
            "field": np.array(fields, dtype=object)[positions] if fields else [],
            "text": texts,
            "weight": found.round(4),
        },
        schema={
            "row": pl.Int64(),
            "direction": pl.String(),
            "field": pl.String(),
            "text": pl.String(),
            "weight": pl.Float64(),
        },
    )


def _sentence() -> pl.Expr:
    """`Raises – a; b. Lowers – c.` from as many reasons as fit."""
    first = pl.col("direction") != pl.col("direction").shift(1)
    lead_in = pl.when(pl.col("direction") == "raises").then(pl.lit("Raises – ")).otherwise(pl.lit("Lowers – "))
    between = pl.when(pl.col("direction").shift(1).is_null()).then(pl.lit("")).when(first).then(pl.lit(". "))
    part = pl.concat_str(
        between.otherwise(pl.lit("; ")),
        pl.when(first.fill_null(True)).then(lead_in).otherwise(pl.lit("")),
        pl.col("text"),
    )
    fits = part.str.len_chars().cum_sum() < TEXT_LENGTH
    return pl.concat_str(part.filter(fits).str.join(""), pl.lit("."))


def _statement(field: str, schema: pl.Schema) -> pl.Expr:
    if field in _COUNTED:
        return _counted(field)
    fixed = _statements().get(field)
    if fixed is not None:
        return fixed
    column = f"f_{field}"
    name = field_name(field)
    if column not in schema:
        return pl.lit(name)
    return _valued(name, pl.col(field) if field in schema else pl.col(column))


@cache
def _statements() -> dict[str, pl.Expr]:
    country = pl.coalesce("country", "country_code")
    return {
        "job_title": _valued("Job title", pl.col("title")),
        "company_size": _valued("Company size", _whole(pl.col("f_employees")) + " employees"),
        "industry": _valued("Industry", pl.col("industry")),
        "revenue": _valued("Revenue", _whole(pl.col("f_revenue"))),
        "country": _valued("Country", country),
        "email": _email(),
        "phone": pl.when(pl.col("f_has_phone")).then(pl.lit("Phone number known")).otherwise(_none("phone number")),
        "company": _valued("Company", pl.col("company")),
        "website": _valued("Website", pl.col("website")),
        "lead_source": _valued("Lead source", pl.col("lead_source")),
        "tenure": _valued("Known since", _date(pl.col("created_at"))),
    }


def _valued(name: str, value: pl.Expr) -> pl.Expr:
    text = value.cast(pl.String)
    short = pl.when(text.str.len_chars() > VALUE_LENGTH).then(text.str.slice(0, VALUE_LENGTH - 1) + "…").otherwise(text)
    small = name[:1].lower() + name[1:]
    return pl.when(text.is_null()).then(_none(small)).otherwise(pl.lit(f"{name}: ") + short)


def _none(name: str) -> pl.Expr:
    return pl.lit("No date of first contact" if name == "known since" else f"No {name}")


def _whole(number: pl.Expr) -> pl.Expr:
    """With a comma between thousands."""
    text = number.round().cast(pl.Int64).cast(pl.String)
    for _ in range(4):
        text = text.str.replace(r"^(\d+)(\d{3})(,|$)", "${1},${2}${3}")
    return text


def _date(time: pl.Expr) -> pl.Expr:
    return time.dt.strftime("%-d %b %Y")


def _email() -> pl.Expr:
    behind = domain(pl.col("email"))
    said = {
        EmailKind.WORK: pl.lit("Work e-mail address at ") + behind,
        EmailKind.FREE_MAIL: pl.lit("Free-mail address at ") + behind,
        EmailKind.ROLE: pl.lit("Shared e-mail address at ") + behind,
        EmailKind.DISPOSABLE: pl.lit("Disposable e-mail address"),
        EmailKind.INVALID: pl.lit("E-mail address that can't be right"),
    }
    worded = [pl.when(pl.col("f_email_kind") == kind.value).then(text.str.slice(0, 80)) for kind, text in said.items()]
    return pl.coalesce(*worded, pl.lit("No e-mail address"))


def _counted(field: str) -> pl.Expr:
    """The last day, and how many in 90 days. A month without any activity is told as silence."""
    scope, one, many = _COUNTED[field]
    since, recent = pl.col(f"f_days_since_{scope}"), pl.col(f"f_{scope}_90d").cast(pl.Int64)
    microseconds = (since * (DAY / timedelta(microseconds=1))).round().cast(pl.Int64)
    last = _date(pl.col("as_of") - pl.duration(microseconds=microseconds, time_unit="us"))
    said = (
        pl.when(since.is_null())
        .then(pl.lit(f"No {many} yet"))
        .when(since > (30 if field == "activity" else 90))
        .then(pl.lit(f"No {many} since ") + last)
        .when(recent == 1)
        .then(pl.lit(f"{one} on ") + last)
        .otherwise(recent.cast(pl.String) + f" {many} in 90 days, the last on " + last)
    )
    if field != "meetings":
        return said
    return pl.when(pl.col("f_meetings_ahead") > 0).then(pl.lit("Meeting booked")).otherwise(said)
