"""When people converted or were lost: the milestones that the mappings declare, with their times (the label, law 2).

The time is that of a history row where there is one, else the record's own dated field, else the first version that
shows the milestone after one that didn't. A date without a time of day is its beginning: better a snapshot too few
than one that was taken after the fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from crm_sync.domain.changes import Role
from crm_sync.domain.columns import UTC_TIME
from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.mappings.versions import Milestone
from crm_sync.domain.records import Life
from crm_sync.scoring.past import Rows

HORIZONS = tuple(timedelta(days=days) for days in (30, 60, 90, 120, 180))
"""What a horizon may be. The shortest counts that sees most of the conversions."""

AGES = tuple(timedelta(days=days) for days in (0, 2, 7, 14, 30, 60, 120, 240, 480))
"""How long after they became known people are looked back at: leads are scored at any age, most often when young."""

SEEN = 0.8
"""The share of conversions that a horizon has to see (the market's 80 to 90 %)."""

ENOUGH_DELAYS = 40


def conversions(rows: Rows, mappings: Mapping[ConnectionId, MappingVersion]) -> pl.DataFrame:
    """person_id and converted_at, one row for each person who converted; null where nobody can say when.

    Source for `leadConverted`: Object Reference, LeadHistory: the row that a conversion leaves.
    """
    declared = {
        (connection, conversion.object): [c for c in mapping.conversion if c.object == conversion.object]
        for connection, mapping in mappings.items()
        for conversion in mapping.conversion
    }
    changes = _by_record(rows.changes)
    reached: dict[int, datetime | None] = {}
    speaking = [row for row in rows.versions if row.life in (Life.OPEN, Life.CONVERTED)]
    for record, found in groupby(speaking, key=lambda row: row.record_id):
        versions = list(found)
        wanted = declared.get((ConnectionId(versions[0].connection_id), versions[0].object), [])
        times = [_reached(c, versions, changes.get(record, [])) for c in wanted if _shows(c, versions[-1].fields)]
        if times:
            reached[record] = min((at for at in times if at is not None), default=None)
    people: dict[int, datetime | None] = {}
    for row in rows.held:
        if row.record_id in reached:
            people[row.person_id] = _earliest(people, row.person_id, reached[row.record_id])
    return pl.DataFrame(
        {"person_id": list(people), "converted_at": list(people.values())},
        schema={"person_id": pl.Int64(), "converted_at": UTC_TIME},
    )


def _earliest(people: Mapping[int, datetime | None], person: int, at: datetime | None) -> datetime | None:
    """The earlier of two; an unknown time spoils a known one, since it may have come before."""
    if person not in people:
        return at
    before = people[person]
    return min(before, at) if before is not None and at is not None else None


def losses(rows: Rows, mappings: Mapping[ConnectionId, MappingVersion]) -> pl.DataFrame:
    """person_id and lost_at, one row for each person all of whose records are lost today; reopened ones aren't.

    Where nobody can say when, it is the latest that it can have been: the CRM's stamp of the first version that
    shows it. Until then somebody counts as open.
    """
    changes = _by_record(rows.changes)
    since: dict[int, datetime | None] = {}
    speaking = [row for row in rows.versions if row.role == Role.PERSON and row.life in (Life.OPEN, Life.CONVERTED)]
    for record, found in groupby(speaking, key=lambda row: row.record_id):
        versions = list(found)
        mapping = mappings.get(ConnectionId(versions[0].connection_id))
        wanted = [m for m in mapping.lost if m.object == versions[0].object] if mapping else []
        since[record] = _lost_since(wanted, versions, changes.get(record, []))
    people: dict[int, datetime | None] = {}
    for row in rows.held:
        if row.record_id in since:
            at, before = since[row.record_id], people.get(row.person_id, datetime.min.replace(tzinfo=UTC))
            people[row.person_id] = max(before, at) if before is not None and at is not None else None
    lost = {person: at for person, at in people.items() if at is not None}
    return pl.DataFrame(
        {"person_id": list(lost), "lost_at": list(lost.values())},
        schema={"person_id": pl.Int64(), "lost_at": UTC_TIME},
    )


def _lost_since(wanted: Sequence[Milestone], versions: Sequence[Any], changes: Sequence[Any]) -> datetime | None:
    """When a record was lost for the last time; None where it isn't."""
    for milestone in wanted:
        if not _shows(milestone, versions[-1].fields):
            continue
        told = list(_told(milestone, changes))
        if told:
            return max(told)
        dated = moment(versions[-1].fields.get(milestone.at)) if milestone.at else None
        shown_from: datetime = versions[-1].valid_from
        for row in reversed(versions):
            if not _shows(milestone, row.fields):
                break
            shown_from = row.valid_from
        return dated or shown_from
    return None


def _by_record(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.record_id, []).append(row)
    return found


def _shows(milestone: Milestone, fields: Mapping[str, Any]) -> bool:
    value = fields.get(milestone.field)
    return value is not None and str(value).strip().lower() in {word.lower() for word in milestone.one_of}


def _reached(conversion: Milestone, versions: Sequence[Any], changes: Sequence[Any]) -> datetime | None:
    told = list(_told(conversion, changes))
    if told:
        return min(told)
    dated = moment(versions[-1].fields.get(conversion.at)) if conversion.at else None
    if dated is not None:
        created: datetime = versions[0].created_at
        return max(dated, created)
    showing = [_shows(conversion, row.fields) for row in versions]
    first = showing.index(True)
    shown_from: datetime | None = versions[first].valid_from if first else None
    return shown_from


def _told(milestone: Milestone, changes: Iterable[Any]) -> Iterator[datetime]:
    words = {word.lower() for word in milestone.one_of}
    for row in changes:
        name, value = row.fields.get("Field"), str(row.fields.get("NewValue")).lower()
        if (name == milestone.field and value in words) or (
            name == "leadConverted" and milestone.field == "IsConverted"
        ):
            at: datetime = row.at
            yield at


def moment(value: Any) -> datetime | None:
    """A time as CRMs write it: ISO 8601, a date, or milliseconds since 1970; None where it is none of these."""
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal()):
            return datetime.fromtimestamp(float(value) / 1000, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def horizon(delays: pl.Series) -> timedelta:
    """The shortest horizon that sees 80 % of conversions, by how long after somebody became known each one came.

    The longest where none does.
    """
    wanted = SEEN * len(delays)
    return next((span for span in HORIZONS if len(delays) and int((delays <= span).sum()) >= wanted), HORIZONS[-1])


def ripe_delays(people: pl.DataFrame, until: datetime) -> pl.Series:
    """Delays of the people who have been known long enough to have taken the longest horizon; of all, if few have.

    `people` has born and converted_at. Those who came lately would only show their quick conversions.
    """
    delayed = people.filter(pl.col("converted_at") <= until).with_columns(
        delay=pl.max_horizontal(pl.col("converted_at") - pl.col("born"), pl.duration())
    )
    ripe = delayed.filter(pl.col("born") <= until - HORIZONS[-1])
    return (ripe if len(ripe) >= ENOUGH_DELAYS else delayed)["delay"]
