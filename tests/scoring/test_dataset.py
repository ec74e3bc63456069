"""The training set: who is in it, what may be known, and what followed (laws 4, 5 and 8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from crm_sync.domain.mappings import MappingVersion
from crm_sync.errors import ConfigError
from crm_sync.scoring.dataset import Dataset, build
from tests.scoring.lives import HERE, MAPPINGS, NOW, POLICY, SALESFORCE, Life, a_lead, ago, rows_of

MONTH = (timedelta(days=30),)
CROWD = [{"created": 500.0 + n, "converted": 480.0 + n} for n in range(45)]


def a_dataset(*lives: Life, ages: tuple[timedelta, ...] = MONTH, **build_with: Any) -> Dataset:
    """The set of these leads, beside a crowd that converted within three weeks (so the horizon is 30 days)."""
    crowd = [*(a_lead(**each) for each in CROWD), a_lead(Industry="Insurance")]
    return build(rows_of(*crowd, *lives), MAPPINGS, POLICY, until=NOW, ages=ages, **build_with)


def snapshots(data: Dataset, life: Life) -> pl.DataFrame:
    rows = data.keys.hstack(data.features).with_columns(label=data.labels)
    return rows.filter(pl.col("person_id") == life.person)


def test_an_activity_that_was_recorded_later_is_not_seen_though_it_is_dated_earlier():
    back_dated = a_lead(created=400, known=[(375, 365, "Call")])
    in_time = a_lead(created=400, known=[(375, 374, "Call")])

    data = a_dataset(back_dated, in_time)

    assert snapshots(data, back_dated)["call_30d"].to_list() == [0]
    assert snapshots(data, in_time)["call_30d"].to_list() == [1]


@pytest.mark.parametrize(
    ("converted", "label"),
    [
        pytest.param(350, True, id="within-the-horizon"),
        pytest.param(300, False, id="after-the-horizon"),
        pytest.param(None, False, id="never"),
    ],
)
def test_the_label_is_a_conversion_within_the_horizon(converted: float | None, label: bool):
    life = a_lead(created=400, converted=converted)

    data = a_dataset(life)

    assert data.horizon == timedelta(days=30)
    assert snapshots(data, life)["label"].to_list() == [label]


def test_nobody_is_looked_at_once_they_have_converted():
    life = a_lead(created=400, converted=390)

    assert len(snapshots(a_dataset(life, ages=(timedelta(0), timedelta(days=11))), life)) == 1


LOSING = MappingVersion.model_validate(
    SALESFORCE.model_dump()
    | {"lost": [{"object": "Lead", "field": "Status", "one_of": ["Lost"], "at": None}]}
    | {"candidates": {"Lead": ["Status"]}}
)


def a_lost_lead(day: float, *changes: tuple[float, str, str, str], **fields: Any) -> Life:
    return a_lead(created=400, changes=[(day, "Status", "Open", "Lost"), *changes], **{"Status": "Lost"} | fields)


@pytest.mark.parametrize(
    ("life", "labels"),
    [
        pytest.param(a_lost_lead(380), [], id="before-they-are-looked-at"),
        pytest.param(a_lost_lead(360), [False], id="later-within-the-horizon"),
        pytest.param(a_lost_lead(380, (375, "Status", "Lost", "Open"), Status="Open"), [False], id="reopened"),
        pytest.param(
            a_lost_lead(390, (385, "Status", "Lost", "Open"), (360, "Status", "Open", "Lost")), [False], id="lost-again"
        ),
        pytest.param(a_lead(created=400, Status="Lost"), [False], id="nobody-knows-since-when"),
        pytest.param(
            a_lead(created=400, pulled=ago(399), later=[(380, {"Status": "Lost"})]), [], id="since-a-version-of-ours"
        ),
    ],
)
def test_who_was_lost_is_not_looked_at_from_then_on(life: Life, labels: list[bool]):
    crowd = [*(a_lead(**each) for each in CROWD), a_lead(Industry="Insurance")]

    data = build(rows_of(*crowd, life), {HERE: LOSING}, POLICY, until=NOW, ages=MONTH)

    assert snapshots(data, life)["label"].to_list() == labels
    assert ("lost at once", 1 - len(labels)) in [(each.what, each.count) for each in data.people_left_out] or labels


def test_where_nothing_is_declared_lost_a_lost_lead_is_looked_at_like_any_other():
    life = a_lost_lead(380)

    assert snapshots(a_dataset(life), life)["label"].to_list() == [False]


def test_whose_horizon_is_not_over_is_neither_positive_nor_negative():
    too_young, waiting = a_lead(created=59), a_lead(created=59, converted=20)
    old_enough = a_lead(created=61)

    data = a_dataset(too_young, waiting, old_enough)

    assert [len(snapshots(data, life)) for life in (too_young, waiting, old_enough)] == [0, 0, 1]
    assert ("too young", 2) in [(each.what, each.count) for each in data.people_left_out]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"Country": "Germany"}, "consent_unknown", id="never-asked-where-the-law-wants-it"),
        pytest.param({"Email": "test@test.com", "LastName": "Test"}, "test_record", id="made-up"),
    ],
)
def test_who_may_not_be_scored_is_not_learned_from(fields: dict[str, str], why: str):
    life = a_lead(created=400, converted=350, **fields)

    data = a_dataset(life)

    assert not len(snapshots(data, life))
    assert (why, 1) in [(each.what, each.count) for each in data.people_left_out]


@pytest.mark.parametrize("refusal", ["HasOptedOutProfiling", "HasOptedOutProcessing", "ShouldForget"])
def test_who_refused_or_asked_to_be_forgotten_is_not_learned_from(refusal: str):
    life = refusing(a_lead(created=400, converted=350), refusal)

    assert not len(snapshots(a_dataset(life), life))


def refusing(life: Life, refusal: str) -> Life:
    """The same lead with an Individual that refuses."""
    row = SimpleNamespace(
        record_id=100_000 + life.record,
        connection_id=int(HERE),
        object="Individual",
        role="consent",
        life="open",
        created_at=ago(1),
        known_from=NOW,
        valid_from=NOW,
        fields={refusal: True},
    )
    held = SimpleNamespace(person_id=life.person, record_id=row.record_id)
    return replace(life, versions=[*life.versions, row], also_held=[held])


def test_a_field_without_a_past_is_no_feature_and_is_named():
    data = a_dataset(a_lead(Phone="+1 415 555 2671"))

    assert "has_phone" not in data.features.columns
    assert "phone" in [each.what for each in data.fields_left_out]
    assert "industry" in data.assumed


def test_status_owner_and_our_own_fields_are_never_features():
    data = a_dataset(a_lead(created=400))

    assert not {"status", "owner_id", "is_converted"} & set(data.features.columns)


def test_without_anybody_to_learn_from_it_says_so():
    with pytest.raises(ConfigError, match="nobody to learn from"):
        build(rows_of(), MAPPINGS, POLICY, until=NOW)


def test_a_column_declared_static_may_be_learned_from():
    static = (*SALESFORCE.static, "phone", "mobile")
    declared = MappingVersion.model_validate(SALESFORCE.model_dump() | {"static": static})
    lives = [a_lead(created=400 + n, Phone="+1 415 555 2671" if n % 2 else None) for n in range(4)]

    data = build(rows_of(*lives), {HERE: declared}, POLICY, until=NOW, ages=MONTH)

    assert "has_phone" in data.features.columns
