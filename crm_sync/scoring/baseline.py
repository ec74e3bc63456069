"""The logistic baseline: what a plain model makes of the same features. It is measured and never used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.linear_model import LogisticRegression

from crm_sync.domain.scores import Floats
from crm_sync.scoring.leaks import is_category

FREQUENT = 20
"""A category that fewer learned rows have is one of the rest."""


def probabilities(features: pl.DataFrame, labels: npt.NDArray[np.bool_], learned: npt.NDArray[np.bool_]) -> Floats:
    """Probabilities of every row from a model fitted on the `learned` ones."""
    blocks = [_block(features[name], learned) for name in features.columns]
    matrix = np.hstack(blocks)
    spread = matrix[learned].std(axis=0)
    matrix = (matrix - matrix[learned].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(C=0.1, solver="newton-cholesky", max_iter=200).fit(matrix[learned], labels[learned])
    found: Floats = model.predict_proba(matrix)[:, 1]
    return found


def _block(values: pl.Series, learned: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    if is_category(values):
        counts = values.filter(pl.Series(learned)).drop_nulls().value_counts()
        frequent = sorted(word for word, count in counts.iter_rows() if count >= FREQUENT)
        return np.column_stack([np.zeros(len(values)), *((values == word).fill_null(False) for word in frequent)])
    numbers = values.cast(pl.Float64).to_numpy()
    known = np.isfinite(numbers)
    spread = np.sign(numbers) * np.log1p(np.abs(numbers))
    middle = np.median(spread[learned & known]) if (learned & known).any() else 0.0
    return np.column_stack([np.where(known, spread, middle), known]).astype(np.float64)
