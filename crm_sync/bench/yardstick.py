"""The work that a score can't do without, timed alone: `python -m crm_sync.bench.yardstick SEED` tells JSON.

300 trees of depth 4 over as many columns as we have features, asked for probabilities and exact contributions in
batches of 200 with one thread. The data are random: what trees cost doesn't depend on what they found.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from catboost import CatBoostClassifier, Pool

from crm_sync.bench.costs import cpu_seconds
from crm_sync.domain.features import FEATURES

BATCH = 200
BATCHES = 100
TRAINED_ON = 5_000


def cpu_a_lead(seed: int) -> float:
    """CPU seconds for the probability and the contributions of one lead."""
    rng = np.random.default_rng(seed)
    categories = [position for position, feature in enumerate(FEATURES.values()) if feature.type == "category"]
    rows = _rows(rng, TRAINED_ON, categories)
    model = CatBoostClassifier(
        iterations=300, depth=4, random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False
    )
    model.fit(Pool(rows, rng.random(TRAINED_ON) < 0.2, cat_features=categories))
    pools = [Pool(_rows(rng, BATCH, categories), cat_features=categories) for _ in range(BATCHES)]
    began = cpu_seconds()
    for pool in pools:
        model.predict_proba(pool, thread_count=1)
        model.get_feature_importance(pool, type="ShapValues", shap_calc_type="Regular", thread_count=1)
    return (cpu_seconds() - began) / (BATCH * BATCHES)


def _rows(rng: np.random.Generator, count: int, categories: list[int]) -> list[list[float | str]]:
    """Floats, and texts where a column is a category."""
    values = rng.random((count, len(FEATURES)))
    return [
        [f"c{int(value * 12)}" if position in categories else float(value) for position, value in enumerate(row)]
        for row in values.tolist()
    ]


if __name__ == "__main__":
    json.dump({"cpu_a_lead": cpu_a_lead(int(sys.argv[1])), "features": len(FEATURES)}, sys.stdout)
