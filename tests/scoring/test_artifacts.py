"""Model versions on disk: whatever happens to the files, one clear sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_sync.errors import ConfigError
from crm_sync.scoring import artifacts, scorer
from crm_sync.scoring.artifacts import MANIFEST, MODEL
from crm_sync.scoring.dataset import build
from crm_sync.scoring.training import Trained, train
from tests.scoring.lives import MAPPINGS, NOW, POLICY, a_market


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(build(a_market(600), MAPPINGS, POLICY, until=NOW), POLICY, seed=0)


@pytest.fixture
def stored(trained: Trained, tmp_path: Path) -> Path:
    return tmp_path / artifacts.save(tmp_path, trained.trees, trained.manifest)


def test_what_was_stored_is_read_again(stored: Path, trained: Trained):
    assert artifacts.read(stored.parent, stored.name) == (trained.manifest, trained.trees)
    assert scorer.load(stored.parent, stored.name).version == stored.name


def test_storing_it_again_changes_nothing(stored: Path, trained: Trained):
    before = (stored / MODEL).stat().st_mtime_ns

    assert artifacts.save(stored.parent, trained.trees, trained.manifest) == stored.name
    assert (stored / MODEL).stat().st_mtime_ns == before
    assert [each.name for each in stored.parent.iterdir()] == [stored.name]


def test_storing_it_again_mends_a_damaged_one(stored: Path, trained: Trained):
    (stored / MODEL).write_bytes(b"")

    artifacts.save(stored.parent, trained.trees, trained.manifest)

    assert artifacts.read(stored.parent, stored.name)[1] == trained.trees


def _cut(folder: Path) -> None:
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-1])


def _nicer(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    told["report"]["measures"]["model"]["auc"] = 0.99
    (folder / MANIFEST).write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        pytest.param(_cut, "is damaged", id="trees-cut-off"),
        pytest.param(_nicer, "is damaged", id="report-embellished"),
        pytest.param(lambda f: (f / MANIFEST).write_text("{"), "manifest .* is damaged", id="manifest-garbage"),
        pytest.param(lambda f: (f / MANIFEST).unlink(), "can't be read", id="manifest-missing"),
        pytest.param(lambda f: (f / MODEL).unlink(), "can't be read", id="trees-missing"),
    ],
)
def test_a_damaged_version_is_told_in_one_sentence(stored: Path, harm: Callable[[Path], object], words: str):
    harm(stored)

    with pytest.raises(ConfigError, match=words) as told:
        scorer.load(stored.parent, stored.name)

    assert "crm-sync train" in str(told.value)


def test_where_it_cannot_be_written_nothing_is_left(trained: Trained, tmp_path: Path):
    taken = tmp_path / "models"
    taken.write_text("a file where the folder should be")

    with pytest.raises(ConfigError, match="can't be stored"):
        artifacts.save(taken, trained.trees, trained.manifest)

    assert taken.read_text() == "a file where the folder should be"
