"""Training: trees beside the rules and a logistic baseline; chosen, calibrated and measured on later people."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import catboost
import numpy as np
import numpy.typing as npt
import polars as pl
from catboost import CatBoostClassifier, Pool
from sklearn.linear_model import LogisticRegression

from crm_sync.domain.features import field_of
from crm_sync.domain.policies import Buckets, PolicyVersion
from crm_sync.domain.scores import Floats
from crm_sync.errors import ConfigError
from crm_sync.scoring import baseline
from crm_sync.scoring.artifacts import (
    BucketRate,
    Calibration,
    Fold,
    LeftOutField,
    LeftOutPeople,
    Manifest,
    Measured,
    Report,
    checksum,
)
from crm_sync.scoring.dataset import Dataset
from crm_sync.scoring.leaks import is_category, leaks
from crm_sync.scoring.measures import log_loss, measure, rates
from crm_sync.scoring.scorer import calibrated, pool_of
from crm_sync.scoring.split import Split, split

TREES, DEPTH, SEEDS = 300, 4, 5
LEAST, FIRM_POSITIVES, FIRM_PEOPLE = 40, 120, 1_000
"""Under LEAST people of either kind nothing is trained; under the other two a model is provisional (facts: Einstein and
Dynamics ask for the same)."""

NOTHING_LEFT = "no field is left to learn from: none differs between people and is known as it stood at the time"
LEAST_IN_A_FOLD = 5
LEAST_TO_CALIBRATE = 200
HOT, WARM, COOL = 0.10, 0.30, 0.60
"""Shares of people that a model's own bucket edges put at least into A, B and C."""

Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model version that isn't stored yet."""

    trees: bytes
    manifest: Manifest


def train(
    data: Dataset,
    policy: PolicyVersion,
    *,
    seed: int,
    keep: Iterable[str] = (),
    sampled_from: int = 0,
    mappings: dict[str, str] | None = None,
    threads: int = 2,
) -> Trained:
    """Fit, choose, calibrate, fit again on all but the test, and measure that. Same data and seed, same version.

    What came last before the gap says most of what comes next, so it isn't left to choosing alone.
    Raises ConfigError with one sentence where there is too little to learn from.
    """
    _enough(data)
    if not data.features.width:
        raise ConfigError(NOTHING_LEFT)
    sides = split(data.keys, data.horizon)
    _enough_in_each(data, sides)
    learned = sides.fit | sides.later
    found = leaks(
        data.features.filter(pl.Series(learned)),
        data.labels[learned],
        data.keys["person_id"].filter(pl.Series(learned)),
        keep,
    )
    inputs = [name for name in data.features.columns if field_of(name) not in found]
    categories = [name for name in inputs if is_category(data.features[name])]
    numbers = [name for name in inputs if name not in categories]
    if not any(data.features[name].filter(pl.Series(sides.fit)).n_unique() > 1 for name in inputs):
        raise ConfigError(NOTHING_LEFT)
    first, chosen, losses = _best(data, sides, numbers, categories, seed, threads)
    later = _raw(first, data.features.filter(pl.Series(sides.later)), numbers, categories)
    calibration, said = platt(later, data.labels[sides.later])
    model = _fitted(_pool(data, learned, numbers, categories), chosen, threads)
    raw = _raw(model, data.features, numbers, categories)
    if calibration:
        calibration = levelled(calibration, raw[sides.later], data.labels[sides.later])
        said = f"slope {calibration.slope:.2f}, intercept {calibration.intercept:+.2f}"
    probability = calibrated(raw, calibration).round(9)
    logistic = baseline.probabilities(data.features.select(inputs), data.labels, learned)
    proposed, told = _proposed(probability[learned], probability[sides.test], data.labels[sides.test])
    scores: dict[Literal["model", "rules", "logistic"], tuple[Floats, Buckets]] = {
        "model": (probability, proposed),
        "rules": (data.rules, policy.buckets),
        "logistic": (logistic, proposed),
    }
    people = data.keys["person_id"].to_numpy()[sides.test]
    trees = _bytes_of(model)
    reached = data.keys.with_columns(label=data.labels).group_by("person_id").agg(pl.col("label").max())["label"]
    report = Report(
        until=data.until,
        horizon_days=data.horizon.days,
        seen_by_horizon=round(data.seen_by_horizon, 4),
        ages_days=tuple(age.total_seconds() / 86_400 for age in data.ages),
        seed=chosen,
        seeds_log_loss=losses,
        provisional=_is_provisional(reached),
        people=len(reached),
        positives=int(reached.sum()),
        negatives=int((~reached).sum()),
        sampled_from=sampled_from,
        folds={
            "fit": _fold(data, sides.fit),
            "later": _fold(data, sides.later),
            "test": _fold(data, sides.test),
        },
        people_left_out=tuple(LeftOutPeople(**asdict(each)) for each in data.people_left_out),
        fields_left_out=tuple(
            LeftOutField(what=what, why=why)
            for what, why in [*((each.what, each.why) for each in data.fields_left_out), *_told(found)]
        ),
        assumed_static=data.assumed,
        from_history=data.tracked,
        measures={
            name: _measured(score[sides.test], data.labels[sides.test], people, edges, seed)
            for name, (score, edges) in scores.items()
        },
        calibration=said,
        buckets=told,
        importance=_importance(model, inputs := [*numbers, *categories]),
        mappings=mappings or {},
        policy=policy.content_hash,
        catboost=catboost.__version__,
    )
    manifest = Manifest(
        numbers=tuple(numbers),
        categories=tuple(categories),
        calibration=calibration,
        proposed=proposed,
        checksum=checksum(trees),
        report=report,
    )
    return Trained(trees=trees, manifest=manifest)


def _enough(data: Dataset) -> None:
    reached = data.keys.with_columns(label=data.labels).group_by("person_id").agg(pl.col("label").max())["label"]
    positives, negatives = int(reached.sum()), int((~reached).sum())
    if min(positives, negatives) < LEAST:
        raise ConfigError(
            f"there is too little to learn from: {positives} people converted within {data.horizon.days} days and "
            f"{negatives} did not; at least {LEAST} of each are needed, so the rule score stays in use"
        )


def _is_provisional(reached: pl.Series) -> bool:
    return int(reached.sum()) < FIRM_POSITIVES or len(reached) < FIRM_PEOPLE


def _enough_in_each(data: Dataset, sides: Split) -> None:
    for name, side in (("training", sides.fit), ("calibration", sides.later), ("test", sides.test)):
        labels = data.labels[side]
        if min(int(labels.sum()), int((~labels).sum())) < LEAST_IN_A_FOLD:
            raise ConfigError(
                f"there is too little to learn from once it is divided in time: the part for {name} has "
                f"{int(labels.sum())} conversions among {len(labels)} snapshots; train again when more has happened"
            )


def _told(found: dict[str, str]) -> list[tuple[str, str]]:
    hint = "known from the start after all? keep it with --keep"
    return [(field, f"seems to know the outcome: {why}; {hint} {field}") for field, why in found.items()]


def _best(
    data: Dataset, sides: Split, numbers: Sequence[str], categories: Sequence[str], seed: int, threads: int
) -> tuple[CatBoostClassifier, int, dict[int, float]]:
    """The model of the seed that says best what came later, that seed, and the log-loss of each."""
    fit = _pool(data, sides.fit, numbers, categories)
    later = data.features.filter(pl.Series(sides.later))
    models: dict[int, CatBoostClassifier] = {}
    losses: dict[int, float] = {}
    for each in range(seed, seed + SEEDS):
        models[each] = model = _fitted(fit, each, threads)
        raw = _raw(model, later, numbers, categories)
        losses[each] = round(log_loss(calibrated(raw, None), data.labels[sides.later]), 6)
    chosen = min(losses, key=lambda each: (losses[each], each))
    return models[chosen], chosen, losses


def _pool(data: Dataset, side: Truths, numbers: Sequence[str], categories: Sequence[str]) -> Pool:
    return pool_of(data.features.filter(pl.Series(side)), numbers, categories, data.labels[side].astype(np.int8))


def _fitted(pool: Pool, seed: int, threads: int) -> CatBoostClassifier:
    model = CatBoostClassifier(
        iterations=TREES,
        depth=DEPTH,
        learning_rate=0.05,
        # Somebody has several snapshots with the same traits: halves of rows and a quarter of the features for each
        # tree keep the trees from learning people by heart.
        bootstrap_type="Bernoulli",
        subsample=0.5,
        rsm=0.25,
        random_seed=seed,
        thread_count=threads,
        max_ctr_complexity=1,
        one_hot_max_size=32,
        allow_writing_files=False,
        verbose=False,
    )
    return model.fit(pool)


def _raw(
    model: CatBoostClassifier, features: pl.DataFrame, numbers: Sequence[str], categories: Sequence[str]
) -> Floats:
    pool = pool_of(features, numbers, categories)
    return np.asarray(model.predict(pool, prediction_type="RawFormulaVal", thread_count=1), dtype=np.float64)


def platt(raw: Floats, labels: Truths) -> tuple[Calibration | None, str]:
    """A calibration from snapshots that the trees never saw, and what to say about it.

    None where there are too few of them, or where the curve would turn the ranking around (slope not above 0).
    """
    if len(labels) < LEAST_TO_CALIBRATE:
        return None, f"not calibrated: {len(labels)} later snapshots are fewer than {LEAST_TO_CALIBRATE}"
    curve = LogisticRegression(C=1e6).fit(raw.reshape(-1, 1), labels)
    slope, intercept = round(float(curve.coef_[0, 0]), 6), round(float(curve.intercept_[0]), 6)
    if slope <= 0:
        return None, f"not calibrated: the slope would be {slope:.2f}, which turns the ranking around"
    return Calibration(slope=slope, intercept=intercept), f"slope {slope:.2f}, intercept {intercept:+.2f}"


def levelled(calibration: Calibration, raw: Floats, labels: Truths) -> Calibration:
    """The same slope with the intercept at which as many are expected to convert as did.

    The slope comes from trees that had never seen these people. Their intercept also makes up for a rate of conversions
    that had moved since, which trees grown again know already: kept, it would count twice.
    """
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        expected = calibrated(raw, calibration.model_copy(update={"intercept": middle})).mean()
        low, high = (middle, high) if expected < labels.mean() else (low, middle)
    return calibration.model_copy(update={"intercept": round(low, 6)})


def _proposed(learned: Floats, tested: Floats, labels: Truths) -> tuple[Buckets, str]:
    """Bucket edges for this model, and whether the buckets kept apart on the newest fold.

    The best tenth of those it learned from is A, the next fifth B, the next three tenths C; whole points.
    """
    points = learned * 100
    edges = [max(1, int(np.floor(np.quantile(points, 1 - share) + 0.5))) for share in (COOL, WARM, HOT)]
    c = edges[0]
    b = max(edges[1], c + 1)
    a = min(100, max(edges[2], b + 1))
    slack = max(0, min(3, min(a - b, b - c, c) - 1))
    found = Buckets(A=a, B=b, C=c, hysteresis=slack)
    each = rates(tested, labels, found)
    parted = [
        f"{one} and {two}" for one, two in (("A", "B"), ("B", "C"), ("C", "D")) if each[one].low <= each[two].high
    ]
    said = "the buckets keep apart" if not parted else f"not surely apart on the newest fold: {', '.join(parted)}"
    return found, said


def _measured(score: Floats, labels: Truths, people: npt.NDArray[np.int64], edges: Buckets, seed: int) -> Measured:
    found = {name: round(value, 6) for name, value in asdict(measure(score, labels, people, seed)).items()}
    buckets = {
        name: BucketRate(
            snapshots=each.snapshots, converted=each.converted, low=round(each.low, 4), high=round(each.high, 4)
        )
        for name, each in rates(score, labels, edges).items()
    }
    return Measured(**found, buckets=buckets)


def _fold(data: Dataset, side: Truths) -> Fold:
    keys, labels = data.keys.filter(pl.Series(side)), data.labels[side]
    reached = keys.with_columns(label=labels).group_by("person_id").agg(pl.col("label").max())["label"]
    return Fold(
        snapshots=len(keys),
        positives=int(labels.sum()),
        people=len(reached),
        converted=int(reached.sum()),
        since=keys["as_of"][0],
        until=keys["as_of"][-1],
    )


def _importance(model: CatBoostClassifier, inputs: Sequence[str]) -> dict[str, float]:
    """How much each business field moves the score, in percent, the strongest first."""
    found: dict[str, float] = {}
    for name, value in zip(inputs, model.get_feature_importance(thread_count=1), strict=True):
        found[field_of(name)] = found.get(field_of(name), 0.0) + float(value)
    return {field: round(value, 2) for field, value in sorted(found.items(), key=lambda each: (-each[1], each[0]))}


def _bytes_of(model: CatBoostClassifier) -> bytes:
    """The trees without the time, random id and threads that CatBoost notes: the same trees are the same bytes."""
    told = model.get_metadata()
    for name in ("train_finish_time", "model_guid"):
        told[name] = ""
    told["params"] = re.sub(r'"thread_count":\d+', '"thread_count":1', told["params"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path))
        return path.read_bytes()
