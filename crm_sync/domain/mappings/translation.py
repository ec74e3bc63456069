"""From CRM records to canonical frames, leniently: what can't be read becomes null and is named in `unreadable`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from crm_sync.domain.columns import (
    DEAL_COLUMNS,
    DIRECTION_OF,
    DTYPES,
    PERSON_COLUMNS,
    UTC_TIME,
    Kind,
    Shape,
)
from crm_sync.domain.documents import did_you_mean
from crm_sync.domain.mappings.versions import (
    ActivityObject,
    Choice,
    DirectionChoice,
    MappingVersion,
    Milestone,
    OnlyWhen,
    Source,
)
from crm_sync.domain.records import Value
from crm_sync.errors import ConfigError

TRUE_WORDS = frozenset({"true", "yes", "y", "1", "1.0", "allowed", "granted", "opt-in", "optin", "opted in"})
FALSE_WORDS = frozenset(
    {"false", "no", "n", "0", "0.0", "refused", "denied", "withdrawn", "opt-out", "optout", "opted out"}
)

Rows = Sequence[Mapping[str, Value]]


def translate(mapping: MappingVersion, object: str, ids: Sequence[int], fields: Rows) -> pl.DataFrame:
    """One row a record, in the order given: `record_id`, `role`, every canonical column, `is_lost` and `unreadable`.

    `ids` are ours. People, accounts and consents share the columns of people, so their frames can be joined end to
    end; deals have columns of their own. `unreadable` lists the columns whose value was there but made no sense.
    Raises ConfigError for an object that the mapping doesn't name.
    """
    if object not in mapping.roles or object in mapping.activities:
        raise ConfigError(f"{object} is not mapped; {did_you_mean(object, list(mapping.roles))}", field=object)
    shapes = DEAL_COLUMNS if object in mapping.deals else {**PERSON_COLUMNS, **mapping.extras}
    read = _Reader(fields)
    columns = {
        column: read.column(source, shapes[column])
        for column, source in mapping.sources_of(object).items()
        if not (column == "owner_id" and object in mapping.accounts)
    }
    if "email" in columns:
        columns["email"] = columns["email"].str.to_lowercase()
    if object in mapping.people:
        columns["is_converted"] = _reached(mapping.conversion, object, read)
    frame = pl.DataFrame(
        {
            "record_id": pl.Series(ids, dtype=pl.Int64),
            "role": pl.Series([mapping.roles[object].value] * len(ids), dtype=pl.String),
            **columns,
        }
    )
    return frame.with_columns(
        *(pl.lit(None, DTYPES[shape]).alias(name) for name, shape in shapes.items() if name not in columns),
        _reached(mapping.lost, object, read).alias("is_lost"),
        read.unreadable(columns, mapping.sources_of(object), shapes),
    ).select("record_id", "role", *shapes, "is_lost", "unreadable")


def translate_activities(
    mapping: MappingVersion, object: str, ids: Sequence[int], fields: Rows, created: Sequence[datetime]
) -> pl.DataFrame:
    """One row an activity that counts: activity_id, kind, direction, occurred_at, known_from and outcome.

    `created` are the CRM's creation stamps: an activity is known from then, whatever date a rep typed (law 4).
    Records that aren't activities by the mapping, or whose time can't be read, are left out.
    """
    activity = mapping.activities.get(object)
    if activity is None:
        raise ConfigError(f"{object} is not mapped as an activity.", field=object)
    read = _Reader(fields)
    frame = pl.DataFrame(
        {
            "activity_id": pl.Series(ids, dtype=pl.Int64),
            "kind": _kinds(activity, read),
            "direction": _directions(activity, read),
            "occurred_at": read.column(activity.occurred_at, Shape.TIME),
            "known_from": pl.Series(list(created), dtype=UTC_TIME),
            "outcome": _outcome(activity, read),
        }
    )
    counts = [_counts(condition, read) for condition in activity.only_when]
    given = pl.col("kind").replace_strict(
        {kind.value: direction.value for kind, direction in DIRECTION_OF.items()}, default=None, return_dtype=pl.String
    )
    return frame.filter(pl.col("kind").is_not_null() & pl.col("occurred_at").is_not_null(), *counts).with_columns(
        direction=pl.coalesce(given, "direction")
    )


class _Reader:
    """Reads whole columns out of rows; each CRM field is turned to text once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._texts: dict[str, pl.Series] = {}
        self.rows = len(rows)

    def text(self, name: str) -> pl.Series:
        """Trimmed, without control characters and doubled blanks; null for what is empty or only punctuation."""
        if name not in self._texts:
            raw = pl.Series([row.get(name) for row in self._rows], dtype=pl.String, strict=False)
            self._texts[name] = _cleaned(raw)
        return self._texts[name]

    def column(self, source: Source, shape: Shape) -> pl.Series:
        """The first of the source's fields that says something readable."""
        read = [_READ[shape](self.text(name)) for name in source]
        return read[0] if len(read) == 1 else pl.select(pl.coalesce(read)).to_series()

    def unreadable(
        self, values: Mapping[str, pl.Series], sources: Mapping[str, Source], shapes: Mapping[str, Shape]
    ) -> pl.Expr:
        """Names of the columns whose value was there and came out as null, one list a record."""
        lost = [
            pl.when(pl.lit(self._said(sources[column]) & values[column].is_null())).then(pl.lit(column))
            for column in sources
            if shapes[column] is not Shape.TEXT and values[column].null_count()
        ]
        if not lost:
            return pl.lit([], dtype=pl.List(pl.String)).alias("unreadable")
        return pl.concat_list(lost).list.drop_nulls().alias("unreadable")

    def _said(self, source: Source) -> pl.Series:
        said = self.text(source[0]).is_not_null()
        for name in source[1:]:
            said = said | self.text(name).is_not_null()
        return said


def _cleaned(raw: pl.Series) -> pl.Series:
    text = raw.str.replace_all(r"[\s\p{Cc}\u{200B}\u{FEFF}]+", " ").str.strip_chars()
    empty = ~text.str.contains(r"[^\p{P}\p{Z}]")
    return text.set(empty.fill_null(False), None)


def _numbers(text: pl.Series) -> pl.Series:
    grouped = text.str.contains(r"^-?\d{1,3}(,\d{3})+(\.\d+)?$").fill_null(False)
    plain = text.str.replace_all(",", "").zip_with(grouped, text) if grouped.any() else text
    numbers = plain.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(True), None)


def _truths(text: pl.Series) -> pl.Series:
    words = {**dict.fromkeys(TRUE_WORDS, True), **dict.fromkeys(FALSE_WORDS, False)}
    return text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)


def _times(text: pl.Series) -> pl.Series:
    """ISO 8601 with a zone, a plain date (its midnight in UTC), or milliseconds since 1970 as HubSpot sometimes has."""
    stamps = text.str.to_datetime("%+", time_zone="UTC", time_unit="us", strict=False)
    if stamps.null_count() == text.null_count():
        return stamps
    days = text.str.to_datetime("%Y-%m-%d", time_zone="UTC", time_unit="us", strict=False)
    millis = text.set(~text.str.contains(r"^\d{12,14}$").fill_null(False), None).cast(pl.Int64) * 1000
    return pl.select(pl.coalesce(stamps, days, millis.cast(UTC_TIME))).to_series()


def _texts(text: pl.Series) -> pl.Series:
    return text


_READ = {Shape.TEXT: _texts, Shape.NUMBER: _numbers, Shape.TRUTH: _truths, Shape.TIME: _times}


def _kinds(activity: ActivityObject, read: _Reader) -> pl.Series:
    if isinstance(activity.kind, Kind):
        return pl.Series([activity.kind.value] * read.rows, dtype=pl.String)
    choices = activity.kind if isinstance(activity.kind, tuple) else (activity.kind,)
    return pl.select(pl.coalesce([_chosen(choice, read) for choice in choices])).to_series()


def _directions(activity: ActivityObject, read: _Reader) -> pl.Series:
    if isinstance(activity.direction, DirectionChoice):
        return _chosen(activity.direction, read)
    return pl.Series([activity.direction.value if activity.direction else None] * read.rows, dtype=pl.String)


def _chosen(choice: Choice, read: _Reader) -> pl.Series:
    found = read.column(choice.field, Shape.TEXT).str.to_lowercase()
    words = {word.lower(): meaning.value for word, meaning in choice.values.items()}
    exact = {word: meaning for word, meaning in words.items() if not word.endswith("*")}
    options = [found.replace_strict(exact, default=None, return_dtype=pl.String)]
    for word, meaning in words.items():
        if word.endswith("*"):
            begins = found.str.starts_with(word[:-1])
            options.append(pl.select(pl.when(begins).then(pl.lit(meaning))).to_series())
    return pl.select(pl.coalesce(*options, pl.lit(choice.otherwise, pl.String))).to_series()


def _outcome(activity: ActivityObject, read: _Reader) -> pl.Series:
    if activity.outcome is None:
        return pl.Series([None] * read.rows, dtype=pl.String)
    return read.column(activity.outcome, Shape.TEXT).str.to_lowercase()


def _counts(condition: OnlyWhen, read: _Reader) -> pl.Series:
    found = read.text(condition.field).str.to_lowercase().fill_null("")
    if condition.one_of:
        return found.is_in([value.lower() for value in condition.one_of])
    return ~found.is_in([value.lower() for value in condition.none_of])


def _reached(milestones: Sequence[Milestone], object: str, read: _Reader) -> pl.Series:
    """Whether each record has reached one of these; null where none is declared for `object`."""
    declared = [milestone for milestone in milestones if milestone.object == object]
    if not declared:
        return pl.Series([None] * read.rows, dtype=pl.Boolean)
    reached = pl.Series([False] * read.rows, dtype=pl.Boolean)
    for milestone in declared:
        said = read.text(milestone.field).str.to_lowercase()
        reached = reached | said.is_in([word.lower() for word in milestone.one_of]).fill_null(False)
    return reached
