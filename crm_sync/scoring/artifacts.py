"""Model versions on disk: a folder for each, named by its content, with the trees and a manifest that checks them.

A folder is complete from the moment it exists, and never changed. It holds no personal data: categories are those
that at least ten people share.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crm_sync.domain.policies import Buckets
from crm_sync.errors import ConfigError

MODEL, MANIFEST = "model.cbm", "manifest.json"
PREFIX = "catboost-"
VERSION = re.compile(rf"{PREFIX}[0-9a-f]{{12}}")


class Told(BaseModel):
    """A part of a manifest: immutable, without room for what we don't know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True, ser_json_inf_nan="constants")


class LeftOutField(Told):
    what: str
    why: str


class LeftOutPeople(Told):
    what: str
    count: int
    why: str


class Fold(Told):
    """One side of the split. `people` and `converted` count people, `snapshots` and `positives` rows."""

    snapshots: int
    positives: int
    people: int
    converted: int
    since: datetime
    until: datetime


class BucketRate(Told):
    snapshots: int
    converted: int
    low: float
    high: float


class Measured(Told):
    """One scorer on the newest ripe fold; measures.Measures says what each number is."""

    auc: float
    auc_low: float
    auc_high: float
    log_loss: float
    brier: float
    ece: float
    ece_floor: float
    capture: float
    buckets: dict[str, BucketRate]


class Calibration(Told):
    """Platt's curve: probability = 1 / (1 + exp(-(slope x log-odds of the trees + intercept)))."""

    slope: Annotated[float, Field(gt=0)]
    intercept: float


class Report(Told):
    """What training found, as people read it."""

    until: datetime
    horizon_days: int
    seen_by_horizon: float
    ages_days: tuple[float, ...]
    seed: int
    seeds_log_loss: dict[int, float]
    provisional: bool
    people: int
    positives: int
    negatives: int
    sampled_from: int
    folds: dict[Literal["fit", "later", "test"], Fold]
    people_left_out: tuple[LeftOutPeople, ...]
    fields_left_out: tuple[LeftOutField, ...]
    assumed_static: tuple[str, ...]
    from_history: tuple[str, ...]
    measures: dict[Literal["model", "rules", "logistic"], Measured]
    calibration: str
    buckets: str
    importance: dict[str, float]
    mappings: dict[str, str]
    policy: str
    catboost: str


class Manifest(Told):
    """Everything that a scorer has to know beside the trees, and what the version is worth.

    `numbers` and `categories` are the features in the order of the trees; flags are numbers. `proposed` are bucket
    edges that fit this model; those of the policy in force count (law 11).
    """

    format: Literal[1] = 1
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    calibration: Calibration | None
    proposed: Buckets
    checksum: str
    report: Report

    def text(self) -> str:
        """As it is stored: one spelling for one content."""
        return json.dumps(json.loads(self.model_dump_json()), sort_keys=True, indent=1) + "\n"


def version_of(manifest: Manifest) -> str:
    """The name of a model version: the same for the same trees, calibration and report."""
    return PREFIX + hashlib.sha256(manifest.text().encode()).hexdigest()[:12]


def checksum(trees: bytes) -> str:
    return hashlib.sha256(trees).hexdigest()


def save(folder: Path, trees: bytes, manifest: Manifest) -> str:
    """Put a version below `folder` and return its name. Doing it again changes nothing.

    Raises ConfigError where it can't be written; then nothing of it is left.
    """
    version = version_of(manifest)
    unfinished = folder / f".{version}.{os.getpid()}"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        (unfinished / MODEL).write_bytes(trees)
        (unfinished / MANIFEST).write_text(manifest.text(), encoding="utf-8")
        if not _is_whole(folder / version):
            shutil.rmtree(folder / version, ignore_errors=True)
            unfinished.rename(folder / version)
    except OSError as error:
        raise ConfigError(
            f"the model can't be stored below {folder} ({error.strerror}); make room there or set CRM_SYNC_HOME"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return version


def _is_whole(folder: Path) -> bool:
    try:
        read(folder.parent, folder.name)
    except ConfigError:
        return False
    return True


def read(folder: Path, version: str) -> tuple[Manifest, bytes]:
    """Manifest and trees of a version, checked against its name. Raises ConfigError with one sentence."""
    place = folder / version
    remedy = "restore the folder from a backup, or run `crm-sync train` and promote the new version"
    try:
        manifest = Manifest.model_validate_json((place / MANIFEST).read_bytes())
        trees = (place / MODEL).read_bytes()
    except OSError as error:
        raise ConfigError(f"the model {version} can't be read from {place} ({error.strerror}); {remedy}") from error
    except ValidationError as error:
        raise ConfigError(f"the manifest of the model {version} in {place} is damaged; {remedy}") from error
    if checksum(trees) != manifest.checksum or version_of(manifest) != version:
        raise ConfigError(f"the model {version} in {place} is damaged; {remedy}")
    return manifest, trees
