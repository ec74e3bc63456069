"""People as they were known: nothing that was recorded later is in a snapshot (law 5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from crm_sync.domain.columns import UTC_TIME
from crm_sync.scoring.past import as_of, read_past, unknown_shares
from tests.scoring.lives import MAPPINGS, Life, a_lead, ago, rows_of


def records(life: Life, at: datetime) -> pl.DataFrame:
    """The records of a lead as they were known then."""
    schema = {"person_id": pl.Int64, "as_of": UTC_TIME}
    moments = pl.DataFrame({"person_id": [life.person], "as_of": [at]}, schema=schema)
    return as_of(read_past(rows_of(life), MAPPINGS), moments)


def seen(life: Life, at: datetime) -> dict[str, Any]:
    """The only one of them; empty where there is none."""
    found = records(life, at)
    return found.row(0, named=True) if len(found) else {}


def test_a_record_that_did_not_exist_yet_is_not_there():
    assert seen(a_lead(created=10), ago(11)) == {}


def test_before_the_first_pull_only_columns_declared_static_are_known():
    found = seen(a_lead(Phone="+1 415 555 2671"), ago(300))

    assert found["industry"] == "Manufacturing"
    assert found["phone"] is None
    assert "phone" in found["unknown"]


def test_what_was_recorded_in_time_is_known_whatever_the_mapping_says():
    life = a_lead(created=400, pulled=ago(350), Phone="+1 415 555 2671")

    assert seen(life, ago(300))["phone"] == "+1 415 555 2671"
    assert seen(life, ago(360))["phone"] is None


def test_a_later_version_is_not_known_before_it_was_recorded():
    life = a_lead(created=400, pulled=ago(400), later=[(100, {"Title": "Chief Executive Officer"})])

    assert seen(life, ago(101))["title"] == "Head of Purchasing"
    assert seen(life, ago(99))["title"] == "Chief Executive Officer"


@pytest.mark.parametrize(
    ("days", "title"),
    [
        pytest.param(390, "Clerk", id="before-both"),
        pytest.param(200, "Manager", id="between"),
        pytest.param(50, "Director", id="after-both"),
    ],
)
def test_history_rows_take_a_field_back(days: float, title: str):
    life = a_lead(Title="Director", changes=[(300, "Title", "Clerk", "Manager"), (100, "Title", "Manager", "Director")])

    assert seen(life, ago(days))["title"] == title


def test_a_field_with_history_needs_no_declaration():
    life = a_lead(Phone="222", changes=[(300, "Phone", "111", "222")])

    assert seen(life, ago(350))["phone"] == "111"
    assert "phone" not in seen(life, ago(350))["unknown"]


def test_merged_and_deleted_records_say_nothing():
    assert seen(a_lead(life="merged"), ago(100)) == {}


def test_columns_that_cannot_be_known_are_counted():
    shares = unknown_shares(records(a_lead(Phone="222"), ago(100)), MAPPINGS)

    assert shares["phone"] == 1.0
    assert "industry" not in shares
