"""`crm-sync train` and `crm-sync models …` as a user types them, with nothing to learn from yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_sync.domain.keys import Keys
from crm_sync.domain.policies import parse_policy
from crm_sync.examples import example_policy
from crm_sync.flows.publish import Publisher, publish_policy
from crm_sync.scoring import artifacts
from crm_sync.scoring.dataset import build
from crm_sync.scoring.training import train
from crm_sync.settings import Settings
from crm_sync.store import model_versions
from crm_sync.store.engine import Transaction
from tests.cli.conftest import Run
from tests.rows import a_connection, linked_people
from tests.scoring.lives import MAPPINGS, NOW, POLICY, a_market


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model version."""
    folder = tmp_path_factory.mktemp("models")
    found = train(build(a_market(600), MAPPINGS, POLICY, until=NOW), POLICY, seed=0)
    artifacts.save(folder, found.trees, found.manifest)
    return folder


@pytest.fixture
def version(trained: Path, settings: Settings, transaction: Transaction, keys: Keys) -> str:
    """That version as a candidate of this test's installation, which knows two people and has a policy."""
    [name] = [each.name for each in trained.iterdir()]
    manifest, trees = artifacts.read(trained, name)
    artifacts.save(settings.home / "models", trees, manifest)
    policy = example_policy()
    publish_policy(transaction, parse_policy(policy), policy, Publisher(author="test", reason=""), NOW)
    with transaction() as session:
        model_versions.add(session, name, manifest.text(), author="ana", now=NOW)
        connection = a_connection(session, keys)
        linked_people(session, connection, keys, {"00Q1": "a@acme.example", "00Q2": "b@acme.example"})
    return name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["train", "--as-of", "yesterday"], "is no date or time", id="date"),
        pytest.param(["train", "--ages", "0,soon"], "are no numbers of days", id="ages"),
        pytest.param(["train", "--ages", "-1"], "may not be below 0", id="age-below-0"),
        pytest.param(["train"], "no policy is published yet", id="nothing-published"),
        pytest.param(["models", "show", "catboost-1"], "there is no model version 'catboost-1'", id="unknown"),
        pytest.param(["models", "promote", "best", "--yes"], "there is no model version 'best'", id="promote-unknown"),
        pytest.param(["models", "rollback", "--yes"], "the rules score already", id="nowhere-to-go-back"),
    ],
)
def test_a_mistake_is_one_sentence(crm_sync: Run, arguments: list[str], words: str):
    ran = crm_sync(*arguments)

    assert ran.code == 1
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_without_a_mapping_that_declares_a_conversion_it_says_so(crm_sync: Run, transaction: Transaction):
    policy = example_policy()
    publish_policy(transaction, parse_policy(policy), policy, Publisher(author="test", reason=""), NOW)

    assert "declares a conversion" in crm_sync("train").err


def test_without_a_model_the_list_says_how_to_get_one(crm_sync: Run):
    assert "Train one with: crm-sync train" in crm_sync("models", "list").out


def test_a_version_is_listed_and_shown(crm_sync: Run, version: str):
    [listed] = crm_sync("models", "list", "--json").json()  # type: ignore[misc]
    shown = crm_sync("models", "show", version)

    assert listed["version"] == version
    assert not listed["champion"]
    assert "On the newest ripe part" in shown.out
    assert "phone: what stood there at the time" in shown.out
    assert crm_sync("models", "show", version[-12:-4], "--json").json()["version"] == version  # type: ignore[index]


def test_promoting_tells_first_how_many_records_it_touches(crm_sync: Run, version: str):
    asked = crm_sync("models", "promote", version)

    assert asked.code == 1
    assert "2 people, evaluated again at low priority" in asked.out
    assert "2 records, at most" in asked.out
    assert "Nothing was changed" in asked.err
    assert not crm_sync("models", "list", "--json").json()[0]["champion"]  # type: ignore[index]


def test_promoting_and_going_back(crm_sync: Run, version: str):
    there = crm_sync("models", "promote", version, "--yes", "--buckets", "--json").json()
    listed = crm_sync("models", "list").out
    back = crm_sync("models", "rollback", "--yes", "--json").json()

    assert there == {"changed": True, "version": version, "before": "rules", "people": 2}
    assert "in use" in listed
    assert back == {"changed": True, "version": "rules", "before": version, "people": 2}
