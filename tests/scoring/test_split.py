"""The split: an order in time, a gap of a horizon, and no account on two sides."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from crm_sync.errors import ConfigError
from crm_sync.scoring.groups import groups
from crm_sync.scoring.split import split
from tests.scoring.lives import NOW

HORIZON = timedelta(days=60)


def some_keys(seed: int, rows: int = 2_000, days: int = 700) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    at = np.sort(draw.uniform(0, days, rows))
    return pl.DataFrame(
        {
            "person_id": draw.integers(0, rows // 4, rows),
            "account": draw.integers(0, rows // 6, rows),
            "as_of": [NOW - timedelta(days=days - each) for each in at],
        }
    )


@pytest.mark.parametrize("seed", range(6))
def test_no_account_stands_on_two_sides_and_labels_end_before_the_test_begins(seed: int):
    keys = some_keys(seed)

    sides = split(keys, HORIZON)

    fit, later, test = (set(keys["account"].filter(pl.Series(s))) for s in (sides.fit, sides.later, sides.test))
    assert not fit & later
    assert not (fit | later) & test
    learned = keys["as_of"].filter(pl.Series(sides.fit | sides.later))
    assert learned.max() + HORIZON <= sides.test_from <= keys["as_of"].filter(pl.Series(sides.test)).min()
    assert keys["as_of"].filter(pl.Series(sides.fit)).max() < keys["as_of"].filter(pl.Series(sides.later)).min()
    assert sides.fit.sum() > sides.later.sum() > 50
    assert sides.test.sum() > 100


def test_where_the_gap_leaves_nothing_the_history_is_too_short():
    with pytest.raises(ConfigError, match="history is too short"):
        split(some_keys(1, days=50), HORIZON)


def held(pairs: list[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"person_id": [p for p, _ in pairs], "record_id": [r for _, r in pairs], "role": ["account"] * len(pairs)},
        schema={"person_id": pl.Int64, "record_id": pl.Int64, "role": pl.String},
    )


def people(rows: list[tuple[int, str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "person_id": [row[0] for row in rows],
            "company": [row[1] for row in rows],
            "email": [row[2] for row in rows],
            "email_kind": ["work"] * len(rows),
        },
        schema={"person_id": pl.Int64, "company": pl.String, "email": pl.String, "email_kind": pl.String},
    )


def test_people_of_one_account_company_or_domain_belong_together():
    found = groups(
        held([(1, 70), (2, 70)]),
        people(
            [
                (1, "Acme", "a@acme.example"),
                (2, None, "b@other.example"),
                (3, "ACME", None),
                (4, None, "c@acme.example"),
                (5, "Globex", None),
            ]
        ),
    )

    assert dict(found.iter_rows()) == {1: 1, 2: 1, 3: 1, 4: 1, 5: 5}


def test_a_company_that_everybody_has_is_a_placeholder_and_joins_nobody():
    crowd = [(number, "Private person", f"p{number}@mail.example") for number in range(1, 60)]

    found = groups(held([]), people(crowd))

    assert found["account"].n_unique() == 59
