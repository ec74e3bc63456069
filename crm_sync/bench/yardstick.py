"""The work that a score can't do without, timed alone: `python -m crm_sync.bench.yardstick SEED MODEL_FILE` tells JSON.

300 trees of depth 4 over our features, asked for probabilities and exact contributions in batches of 200 with one
thread. They are fitted to random data: what trees cost doesn't depend on what they found. The measured process scores
with the same trees, which are left in MODEL_FILE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
from catboost import CatBoostClassifier

from crm_sync.bench.costs import cpu_seconds
from crm_sync.domain.features import CATEGORIES, FEATURES
from crm_sync.scoring.artifacts import Manifest
from crm_sync.scoring.scorer import ModelScorer, pool_of

TREES, DEPTH = 300, 4
BATCH = 200
BATCHES = 100
TRAINED_ON = 5_000
CATEGORICAL = [name for name, feature in FEATURES.items() if feature.type == "category"]
NUMERIC = [name for name, feature in FEATURES.items() if feature.type != "category"]
SOME_WORDS = tuple(f"word {number}" for number in range(12))
"""What industries and lead sources are called here; the other categories have words of their own."""


def cpu_a_lead(seed: int, model_file: Path) -> float:
    """CPU seconds for the probability and the contributions of one lead."""
    rng = np.random.default_rng(seed)
    model = CatBoostClassifier(
        iterations=TREES, depth=DEPTH, random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False
    )
    converted = rng.random(TRAINED_ON) < 0.2
    model.fit(pool_of(_features(rng, TRAINED_ON), NUMERIC, CATEGORICAL, converted))
    model.save_model(str(model_file))
    pools = [pool_of(_features(rng, BATCH), NUMERIC, CATEGORICAL) for _ in range(BATCHES)]
    began = cpu_seconds()
    for pool in pools:
        model.predict_proba(pool, thread_count=1)
        model.get_feature_importance(pool, type="ShapValues", thread_count=1, shap_mode="UsePreCalc")
    return (cpu_seconds() - began) / (BATCH * BATCHES)


def scorer(model_file: Path) -> ModelScorer:
    """The trees at work as a champion's are."""
    manifest = Manifest.model_construct(numbers=tuple(NUMERIC), categories=tuple(CATEGORICAL), calibration=None)
    return ModelScorer("bench", manifest, model_file.read_bytes())


def _features(rng: np.random.Generator, count: int) -> pl.DataFrame:
    numbers = {name: rng.random(count) for name in NUMERIC}
    words = {name: rng.choice(CATEGORIES.get(name, SOME_WORDS), count) for name in CATEGORICAL}
    return pl.DataFrame({**numbers, **words})


if __name__ == "__main__":
    json.dump({"cpu_a_lead": cpu_a_lead(int(sys.argv[1]), Path(sys.argv[2]))}, sys.stdout)
