"""Measures against numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crm_sync.domain.policies import Buckets
from crm_sync.scoring.measures import auc, auc_interval, calibration_error, capture, log_loss, measure, rates, wilson


def test_auc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half():
    scores = np.array([0.9, 0.8, 0.8, 0.1])

    assert auc(scores, np.array([True, True, False, False])) == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_auc_says_nothing_where_one_class_is_missing():
    assert math.isnan(auc(np.array([0.1, 0.2]), np.array([True, True])))


def test_who_ties_at_the_border_of_the_best_fifth_counts_in_proportion():
    scores = np.full(10, 0.3)
    converted = np.array([True, *[False] * 9])

    assert capture(scores, converted) == pytest.approx(0.2)


def test_capture_takes_the_best_fifth():
    scores = np.linspace(0, 1, 10)
    converted = np.array([False] * 8 + [True, True])

    assert capture(scores, converted) == 1.0


def test_the_calibration_error_is_nought_where_every_bin_keeps_its_word():
    probability = np.repeat([0.0, 1.0], 150)
    converted = probability == 1.0

    assert calibration_error(probability, converted) == 0.0
    assert log_loss(probability, converted) < 1e-5


def test_the_floor_of_the_calibration_error_is_what_chance_alone_shows():
    draw = np.random.default_rng(3)
    probability = draw.uniform(0.05, 0.4, 3_000)
    converted = draw.random(3_000) < probability

    found = measure(probability, converted, np.arange(3_000), seed=1)

    assert found.ece < 2 * found.ece_floor
    assert found.auc_low < found.auc < found.auc_high


def test_the_interval_is_wider_where_the_same_people_stand_for_many_rows():
    draw = np.random.default_rng(4)
    scores = draw.random(200)
    converted = draw.random(200) < scores
    apart = auc_interval(scores, converted, np.arange(200), 1)
    repeated = auc_interval(np.tile(scores, 5), np.tile(converted, 5), np.tile(np.arange(200), 5), 1)

    assert repeated[1] - repeated[0] == pytest.approx(apart[1] - apart[0], rel=0.1)


def test_everybody_is_in_exactly_one_bucket():
    probability = np.array([0.60, 0.595, 0.3, 0.01])
    found = rates(probability, np.array([True, False, True, False]), Buckets(A=60, B=40, C=20))

    assert [found[name].snapshots for name in "ABCD"] == [2, 0, 1, 1]
    assert found["A"].converted == 1
    assert (found["B"].low, found["B"].high) == (0.0, 1.0)


def test_the_interval_of_a_share_is_wilsons():
    assert wilson(7, 10) == pytest.approx((0.3968, 0.8922), abs=1e-4)
