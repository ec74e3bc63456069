"""When people converted, and how long after it is waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from crm_sync.scoring.conversions import conversions, horizon, moment, ripe_delays
from tests.scoring.lives import MAPPINGS, NOW, a_lead, ago, rows_of


def converted_at(*lives: object) -> list[datetime | None]:
    return conversions(rows_of(*lives), MAPPINGS)["converted_at"].to_list()  # type: ignore[arg-type]


def test_the_history_row_tells_the_moment():
    assert converted_at(a_lead(converted=100.3)) == [ago(100.3)]


def test_without_history_a_date_counts_from_its_beginning():
    day = ago(100.3).replace(hour=0, minute=0, second=0, microsecond=0)

    assert converted_at(a_lead(converted=100.3, history=False)) == [day]


def test_nobody_converts_before_they_are_known():
    assert converted_at(a_lead(created=100.1, converted=100, history=False)) == [ago(100.1)]


def test_the_version_that_first_shows_it_tells_where_nothing_else_does():
    life = a_lead(pulled=ago(300), IsConverted=False, later=[(50, {"IsConverted": True})])

    assert converted_at(life) == [ago(50)]


def test_a_conversion_that_was_there_from_the_first_pull_has_no_known_time():
    life = a_lead(IsConverted=True, ConvertedDate=None, life="converted")

    assert converted_at(life) == [None]


def test_who_has_not_converted_is_not_in_it():
    assert converted_at(a_lead()) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC), id="date"),
        pytest.param("2026-11-22T12:00:00+02:00", datetime(2026, 11, 22, 10, tzinfo=UTC), id="offset"),
        pytest.param("1795348800000", datetime(2026, 11, 22, 12, tzinfo=UTC), id="milliseconds"),
        pytest.param("soon", None, id="words"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_moments_are_read_as_crms_write_them(value: object, found: datetime | None):
    assert moment(value) == found


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param([5, 10, 20, 29, 100], 30, id="four-in-five-within-a-month"),
        pytest.param([5, 10, 59, 61, 100], 90, id="four-in-five-within-three"),
        pytest.param([200, 300], 180, id="none-of-them"),
        pytest.param([], 180, id="nobody-converted"),
    ],
)
def test_the_horizon_is_the_shortest_that_sees_most(days: list[float], expected: int):
    delays = pl.Series([timedelta(days=each) for each in days], dtype=pl.Duration("us"))

    assert horizon(delays) == timedelta(days=expected)


def test_those_who_came_lately_do_not_shorten_the_horizon():
    long_ago = [(ago(400), ago(400 - 100))] * 50
    lately = [(ago(20), ago(15))] * 200
    people = pl.DataFrame(
        {"born": [each[0] for each in (*long_ago, *lately)], "converted_at": [each[1] for each in (*long_ago, *lately)]}
    )

    assert ripe_delays(people, NOW).to_list() == [timedelta(days=100)] * 50
