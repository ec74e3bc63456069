"""The champion at work: probabilities, and exactly what each business field added to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from catboost import CatBoostClassifier, FeaturesData, Pool

from crm_sync.domain.columns import EXTRA_PREFIX
from crm_sync.domain.features import FEATURES, field_of
from crm_sync.domain.scores import Floats, Scored
from crm_sync.errors import ConfigError
from crm_sync.scoring.artifacts import Calibration, Manifest, read

MISSING = ""
"""Stands for a category that isn't known. CatBoost takes no null there."""

FEW = 18
"""Below so many rows exact contributions are cheaper row by row: precomputing costs as much as some 18 of them."""


class ModelScorer:
    """Scores features with one model version. One thread; equal rows get equal answers in batches of any size."""

    def __init__(self, version: str, manifest: Manifest, trees: bytes) -> None:
        self.version = version
        self.manifest = manifest
        self._model = CatBoostClassifier()
        try:  # CatBoost raises nothing narrower; the checksum was right, so the file isn't at fault
            self._model.load_model(blob=trees)
        except Exception as error:
            raise ConfigError(
                f"the model {version} can't be loaded by this version of CatBoost; train again"
            ) from error
        inputs = [*manifest.numbers, *manifest.categories]
        unknown = [name for name in inputs if name not in FEATURES and not name.startswith(EXTRA_PREFIX)]
        if unknown or list(self._model.feature_names_) != inputs:
            named = f" ({', '.join(unknown)})" if unknown else ""
            raise ConfigError(f"the model {version} was trained on other features{named}; train again")
        self._fields = list(dict.fromkeys(field_of(name) for name in inputs))
        membership = np.zeros((len(inputs), len(self._fields)))
        for position, name in enumerate(inputs):
            membership[position, self._fields.index(field_of(name))] = 1
        self._membership = membership

    def score(self, features: pl.DataFrame) -> Scored:
        """Probabilities, and contributions by business field in log-odds before calibration.

        Extra columns that this batch lacks are empty: whoever else is in it, equal rows get equal answers.
        """
        if not len(features):
            return Scored(probability=np.empty(0), contributions={})
        pool = pool_of(features, self.manifest.numbers, self.manifest.categories)
        mode = "NoPreCalc" if len(features) < FEW else "UsePreCalc"
        shap = self._model.get_feature_importance(pool, type="ShapValues", thread_count=1, shap_mode=mode)
        raw = self._model.predict(pool, prediction_type="RawFormulaVal", thread_count=1)
        by_field = (shap[:, :-1] @ self._membership).round(6)
        return Scored(
            probability=calibrated(np.asarray(raw, dtype=np.float64), self.manifest.calibration).round(9),
            contributions={field: by_field[:, position] for position, field in enumerate(self._fields)},
        )


def load(folder: Path, version: str) -> ModelScorer:
    """The scorer of a stored version. Raises ConfigError with one sentence where its files are missing or damaged."""
    return ModelScorer(version, *read(folder, version))


def calibrated(raw: Floats, calibration: Calibration | None) -> Floats:
    """Log-odds of the trees as probabilities."""
    odds = raw if calibration is None else calibration.slope * raw + calibration.intercept
    found: Floats = 1 / (1 + np.exp(-odds))
    return found


def pool_of(
    features: pl.DataFrame, numbers: Sequence[str], categories: Sequence[str], labels: np.ndarray | None = None
) -> Pool:
    """Features as CatBoost takes them, numbers first; the one way in for training and scoring.

    Raises ConfigError where a column that is no extra one is missing.
    """
    missing = [name for name in (*numbers, *categories) if name not in features.columns]
    if strange := [name for name in missing if not name.startswith(EXTRA_PREFIX)]:
        raise ConfigError(f"the model wants features that aren't there ({', '.join(strange)}); train again")
    rows = len(features)
    matrix = np.full((rows, len(numbers)), np.nan, dtype=np.float32)
    for position, name in enumerate(numbers):
        if name in features.columns:
            matrix[:, position] = features[name].cast(pl.Float32, strict=False).to_numpy()
    words = np.full((rows, len(categories)), MISSING.encode(), dtype=object)
    for position, name in enumerate(categories):
        if name in features.columns:
            words[:, position] = features[name].cast(pl.String).fill_null(MISSING).cast(pl.Binary).to_list()
    data = FeaturesData(
        num_feature_data=matrix if numbers else None,
        cat_feature_data=words if categories else None,
        num_feature_names=list(numbers) if numbers else None,
        cat_feature_names=list(categories) if categories else None,
    )
    return Pool(data, label=labels)
