"""How good scores are, measured on people that nothing was fitted on.

Ties are shared: a capture or an AUC never depends on the order of rows. Source for the floor of the calibration
error and its use: 0.8 x sqrt(Brier x bins / n) is what a perfect model still shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from crm_sync.domain.policies import Buckets

BINS = 15
CAPTURE = 0.2
RESAMPLES = 400

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many of a bucket converted, with its 95 % interval (Wilson)."""

    snapshots: int
    converted: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """One scorer on one fold. `auc_low` and `auc_high` are its 95 % interval by resampling people.

    `ece` is the expected calibration error over 15 bins of equal mass, `ece_floor` what chance alone makes of it.
    `capture` is the share of conversions among the best fifth.
    """

    auc: float
    auc_low: float
    auc_high: float
    log_loss: float
    brier: float
    ece: float
    ece_floor: float
    capture: float


def measure(probability: Floats, converted: Truths, people: Ints, seed: int) -> Measures:
    """All measures of one scorer. Both classes have to be there."""
    low, high = auc_interval(probability, converted, people, seed)
    brier = float(np.mean((probability - converted) ** 2))
    return Measures(
        auc=auc(probability, converted),
        auc_low=low,
        auc_high=high,
        log_loss=log_loss(probability, converted),
        brier=brier,
        ece=calibration_error(probability, converted),
        ece_floor=0.8 * math.sqrt(brier * BINS / len(probability)),
        capture=capture(probability, converted),
    )


def auc(scores: Floats, converted: Truths, weights: Floats | None = None) -> float:
    """The chance that somebody who converted scores above somebody who didn't; NaN where one class is missing."""
    order = np.argsort(scores, kind="stable")
    return _auc_of_sorted(
        scores[order], converted[order], (np.ones(len(scores)) if weights is None else weights)[order]
    )


def _auc_of_sorted(scores: Floats, converted: Truths, weights: Floats) -> float:
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    positive = np.add.reduceat(weights * converted, starts)
    negative = np.add.reduceat(weights * ~converted, starts)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else math.nan


def auc_interval(scores: Floats, converted: Truths, people: Ints, seed: int) -> tuple[float, float]:
    """95 % interval of the AUC: people are drawn again with all of their snapshots."""
    order = np.argsort(scores, kind="stable")
    scores, converted = scores[order], converted[order]
    _, who = np.unique(people[order], return_inverse=True)
    count = int(who.max()) + 1
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        times = np.bincount(draw.integers(0, count, count), minlength=count).astype(np.float64)
        found.append(_auc_of_sorted(scores, converted, times[who]))
    low, high = np.nanpercentile(found, [2.5, 97.5]) if np.isfinite(found).any() else (math.nan, math.nan)
    return float(low), float(high)


def log_loss(probability: Floats, converted: Truths) -> float:
    safe = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(converted, np.log(safe), np.log1p(-safe))))


def calibration_error(probability: Floats, converted: Truths) -> float:
    """Mean gap between what was said and what came, over bins of equal mass (equal width flatters a low base rate)."""
    order = np.argsort(probability, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    gaps = [abs(probability[part].mean() - converted[part].mean()) * len(part) for part in bins]
    return float(sum(gaps) / len(order))


def capture(scores: Floats, converted: Truths) -> float:
    """The share of conversions among the best fifth; who ties at its border counts in proportion."""
    wanted = CAPTURE * len(scores)
    border = np.partition(scores, -math.ceil(wanted))[-math.ceil(wanted)]
    above, tied = scores > border, scores == border
    share = (wanted - above.sum()) / tied.sum()
    return float((converted[above].sum() + share * converted[tied].sum()) / converted.sum())


def rates(probability: Floats, converted: Truths, edges: Buckets) -> dict[str, Rate]:
    """How each bucket converted, by the edges given (points of the shown score)."""
    shown = np.floor(probability * 100 + 0.5)
    found: dict[str, Rate] = {}
    taken = np.zeros(len(shown), dtype=np.bool_)
    for name, edge in (*edges.edges(), ("D", 0)):
        here = (shown >= edge) & ~taken
        taken |= here
        low, high = wilson(int(converted[here].sum()), int(here.sum()))
        found[name] = Rate(snapshots=int(here.sum()), converted=int(converted[here].sum()), low=low, high=high)
    return found


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a share; everything where nobody was tried."""
    if not tries:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    share, spread = hits / tries, z * z / tries
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / tries + spread / tries / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
