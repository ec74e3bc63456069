"""Training: what it refuses, what it finds, and that the same data give the same version."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from crm_sync.domain.reasons import field_of
from crm_sync.errors import ConfigError
from crm_sync.scoring.artifacts import Calibration, version_of
from crm_sync.scoring.dataset import Dataset, build
from crm_sync.scoring.leaks import leaks
from crm_sync.scoring.scorer import ModelScorer, calibrated, pool_of
from crm_sync.scoring.split import split
from crm_sync.scoring.training import Trained, levelled, platt, train
from tests.scoring.lives import MAPPINGS, NOW, POLICY, a_lead, a_market, rows_of


@pytest.fixture(scope="module")
def data() -> Dataset:
    return build(a_market(), MAPPINGS, POLICY, until=NOW)


@pytest.fixture(scope="module")
def trained(data: Dataset) -> Trained:
    return train(data, POLICY, seed=0)


def test_what_can_be_learned_is_learned(trained: Trained):
    report = trained.manifest.report

    assert report.horizon_days == 30
    assert report.measures["model"].auc > 0.7
    assert report.measures["model"].auc > report.measures["rules"].auc
    assert report.importance["calls"] + report.importance["activity"] > report.importance["job_title"] > 0
    rates = [report.measures["model"].buckets[name] for name in "AD"]
    assert rates[0].converted / rates[0].snapshots > rates[1].converted / rates[1].snapshots


def test_the_same_data_and_seed_give_the_same_version(data: Dataset, trained: Trained):
    again = train(data, POLICY, seed=0, threads=1)

    assert version_of(again.manifest) == version_of(trained.manifest)
    assert again.trees == trained.trees


def test_the_newest_people_before_the_gap_are_learned_from():
    lives = []
    for n in range(960):
        created, director = 730 - n * 0.7, n >= 490 and n % 2 == 0
        converts = n % 10 < 8 if director else (n % 5 == 0 and n < 490) or n % 20 == 1
        title = "Director of Purchasing" if director else "Clerk"
        industry = ("Manufacturing", "Insurance", "Retail")[n % 3]
        converted = created - 9 if converts else None
        lives.append(a_lead(created=created, converted=converted, Title=title, Industry=industry))
    data = build(rows_of(*lives), MAPPINGS, POLICY, until=NOW, ages=(timedelta(0),))
    sides = split(data.keys, data.horizon)
    directors = (data.features["title_rank"] == "director").to_numpy()
    assert not directors[sides.fit].any()
    assert directors[sides.later].any()

    report = train(data, POLICY, seed=0).manifest.report

    assert report.measures["model"].auc > 0.8


def test_fewer_than_1000_people_make_it_provisional(trained: Trained):
    assert trained.manifest.report.provisional


def test_where_everybody_was_alike_nothing_is_trained():
    lives = [a_lead(created=730 - n, converted=720 - n if n % 3 == 0 else None) for n in range(690)]
    data = build(rows_of(*lives), MAPPINGS, POLICY, until=NOW, ages=(timedelta(0),))

    with pytest.raises(ConfigError, match="no field is left to learn from"):
        train(data, POLICY, seed=0)


def test_under_40_conversions_nothing_is_trained():
    few = rows_of(*(a_lead(created=200 + n, converted=180 + n if n < 39 else None) for n in range(300)))
    data = build(few, MAPPINGS, POLICY, until=NOW)

    with pytest.raises(ConfigError, match=r"39 people converted within 30 days and 261 did not; at least 40"):
        train(data, POLICY, seed=0)


def scorer_of(trained: Trained) -> ModelScorer:
    return ModelScorer(version_of(trained.manifest), trained.manifest, trained.trees)


def test_contributions_add_up_to_the_log_odds_of_the_trees(data: Dataset, trained: Trained):
    rows = data.features.head(200)
    scorer = scorer_of(trained)

    scored = scorer.score(rows)

    calibration = trained.manifest.calibration
    slope, intercept = (calibration.slope, calibration.intercept) if calibration else (1.0, 0.0)
    odds = (np.log(scored.probability / (1 - scored.probability)) - intercept) / slope
    left = odds - sum(scored.contributions.values())
    assert np.ptp(left) < 1e-4  # the base value, the same for everybody
    assert set(scored.contributions) == {field_of(name) for name in data.features.columns if name in _inputs(trained)}


def _inputs(trained: Trained) -> set[str]:
    return {*trained.manifest.numbers, *trained.manifest.categories}


@pytest.mark.parametrize("size", [1, 7, 17, 18, 60])
def test_equal_rows_get_equal_answers_in_batches_of_any_size(data: Dataset, trained: Trained, size: int):
    scorer, rows = scorer_of(trained), data.features.head(120)
    whole = scorer.score(rows)

    parts = [scorer.score(rows[start : start + size]) for start in range(0, len(rows), size)]

    assert np.concatenate([part.probability for part in parts]).tobytes() == whole.probability.tobytes()
    for field, values in whole.contributions.items():
        assert np.concatenate([part.contributions[field] for part in parts]).tobytes() == values.tobytes()


def test_an_empty_batch_has_no_scores(data: Dataset, trained: Trained):
    assert not len(scorer_of(trained).score(data.features.clear()).probability)


def test_columns_in_another_order_change_nothing(data: Dataset, trained: Trained):
    scorer, rows = scorer_of(trained), data.features.head(30)

    turned = scorer.score(rows.select(reversed(rows.columns)))

    assert turned.probability.tobytes() == scorer.score(rows).probability.tobytes()


def test_a_missing_feature_is_refused_and_a_missing_extra_column_is_empty(data: Dataset):
    rows = data.features.head(3)

    with pytest.raises(ConfigError, match="wants features that aren't there"):
        pool_of(rows.drop("tenure_days"), ["tenure_days"], [])
    assert pool_of(rows, ["tenure_days", "x_points"], ["x_words"]).shape == (3, 3)


def test_a_curve_that_would_turn_the_ranking_around_is_refused():
    draw = np.random.default_rng(1)
    raw = draw.normal(size=600)
    labels = draw.random(600) < 1 / (1 + np.exp(raw))

    calibration, said = platt(raw, labels)

    assert calibration is None
    assert "turns the ranking around" in said


def test_the_calibration_follows_the_base_rate():
    draw = np.random.default_rng(2)
    raw = draw.normal(size=4_000)
    labels = draw.random(4_000) < 1 / (1 + np.exp(-(raw - 2)))

    calibration, _ = platt(raw, labels)

    assert calibration is not None
    assert calibration.slope == pytest.approx(1, abs=0.2)
    assert calibration.intercept == pytest.approx(-2, abs=0.2)


def test_a_curve_is_levelled_to_how_many_converted_and_keeps_its_slope():
    draw = np.random.default_rng(4)
    raw = draw.normal(size=4_000) - 1
    labels = draw.random(4_000) < 0.2

    found = levelled(Calibration(slope=0.7, intercept=0.6), raw, labels)

    assert found.slope == 0.7
    assert calibrated(raw, found).mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_a_field_that_knows_the_outcome_is_found_and_may_be_kept_by_name():
    draw = np.random.default_rng(3)
    labels = draw.random(2_000) < 0.3
    features = pl.DataFrame(
        {
            "industry": np.where(draw.random(2_000) < 0.5, "steel", "glass"),
            "x_rep_tag": np.where(labels, "will buy", "lost"),
            "x_last_stage": np.where(labels & (draw.random(2_000) < 0.3), "signed", "open"),
            "revenue": draw.random(2_000) + labels * 5.0,
        }
    )
    people = pl.Series(range(2_000))

    found = leaks(features, labels, people, keep=())

    assert set(found) == {"x_rep_tag", "x_last_stage", "revenue"}
    assert "alone ranks conversions at an AUC of 1.00" in found["revenue"]
    assert "'signed'" in found["x_last_stage"]
    assert set(leaks(features, labels, people, keep=["x_rep_tag", "revenue"])) == {"x_last_stage"}
