"""`crm-sync train` and `crm-sync models …` as a user types them, with nothing to learn from yet."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from crm_sync.domain.keys import Keys
from crm_sync.domain.mappings import parse_mapping
from crm_sync.domain.policies import Buckets, parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.examples import example_mapping, example_policy
from crm_sync.flows.publish import Publisher, publish_policy
from crm_sync.scoring import artifacts
from crm_sync.scoring.dataset import build
from crm_sync.scoring.training import train
from crm_sync.settings import Settings
from crm_sync.store import model_versions, versions
from crm_sync.store.engine import Transaction
from crm_sync.store.versions import Version
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
    policy = (files("crm_sync.examples.data") / "policy.yaml").read_text(encoding="utf-8")  # asks nobody for consent
    publish_policy(transaction, parse_policy(policy), policy, Publisher(author="test", reason=""), NOW)
    mapping = example_mapping(CrmKind.SALESFORCE)
    mapped = Version(content=mapping, content_hash=parse_mapping(mapping).content_hash)
    with transaction() as session:
        model_versions.add(session, name, manifest.text(), author="ana", now=NOW)
        connection = a_connection(session, keys)
        linked_people(session, connection, keys, {"00Q1": "a@acme.example", "00Q2": "b@acme.example"})
        versions.publish_mapping(session, connection.id, mapped, author="test", reason="", now=NOW)
    return name


@pytest.fixture
def proposed(trained: Path) -> Buckets:
    """The bucket edges that the version proposes."""
    [name] = [each.name for each in trained.iterdir()]
    return artifacts.read(trained, name)[0].proposed


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


def in_force(transaction: Transaction) -> Buckets:
    with transaction() as session:
        found = versions.policy(session)
    assert found is not None
    return parse_policy(found.content).buckets


def champion(crm_sync: Run) -> bool:
    return bool(crm_sync("models", "list", "--json").json()[0]["champion"])  # type: ignore[index]


def test_promoting_tells_first_how_many_records_it_touches(crm_sync: Run, version: str):
    asked = crm_sync("models", "promote", version, "--buckets", "kept")

    assert asked.code == 1
    assert "2 people, evaluated again at low priority" in asked.out
    assert "2 records, at most" in asked.out
    assert "Nothing was changed" in asked.err
    assert not champion(crm_sync)


def test_promoting_tells_how_many_records_each_bucket_would_get_by_either_edges(
    crm_sync: Run, version: str, proposed: Buckets
):
    asked = crm_sync("models", "promote", version)

    header, kept, by_model = [line.split() for line in asked.out.splitlines()[-3:]]
    assert header == ["edges", "A", "B", "C", "D"]
    assert kept[:3] == ["kept", "A", "from"]
    assert by_model[:4] == ["proposed", "A", "from", f"{proposed.A},"]
    assert sum(map(int, kept[-4:])) == sum(map(int, by_model[-4:])) == 2


@pytest.mark.parametrize("yes", [[], ["--yes"], ["--yes", "--json"]], ids=["alone", "yes", "json"])
def test_without_a_terminal_the_edges_have_to_be_chosen(
    crm_sync: Run, version: str, transaction: Transaction, yes: list[str]
):
    before = in_force(transaction)

    asked = crm_sync("models", "promote", version, *yes)

    assert asked.code == 1
    assert "add --buckets proposed to publish the latter, or --buckets kept to leave the policy as it is" in asked.err
    assert len(asked.err.strip().splitlines()) == 1
    assert not champion(crm_sync)
    assert in_force(transaction) == before


@pytest.mark.parametrize("word", ["proposed", "kept"])
def test_at_a_terminal_it_asks_which_edges(
    crm_sync: Run, version: str, transaction: Transaction, proposed: Buckets, word: str
):
    before = in_force(transaction)

    ran = crm_sync("models", "promote", version, stdin=f"all\n{word}\ny\n", terminal=True)

    assert ran.code == 0, ran.err
    assert "Which bucket edges? (proposed, kept)" in ran.err
    assert champion(crm_sync)
    assert in_force(transaction) == (proposed if word == "proposed" else before)


def test_promoting_and_going_back(crm_sync: Run, version: str, transaction: Transaction, proposed: Buckets):
    before = in_force(transaction)

    there = crm_sync("models", "promote", version, "--yes", "--buckets", "proposed", "--json").json()
    listed = crm_sync("models", "list").out
    assert in_force(transaction) == proposed
    back = crm_sync("models", "rollback", "--yes", "--buckets", "earlier", "--json").json()

    assert there == {
        "changed": True, "version": version, "before": "rules", "people": 2, "buckets": dict(proposed.edges()),
    }  # fmt: skip
    assert "in use" in listed
    assert back == {
        "changed": True, "version": "rules", "before": version, "people": 2, "buckets": dict(before.edges()),
    }  # fmt: skip
    assert in_force(transaction) == before


def test_going_back_asks_for_the_edges_too(crm_sync: Run, version: str, transaction: Transaction, proposed: Buckets):
    before = in_force(transaction)
    crm_sync("models", "promote", version, "--yes", "--buckets", "proposed")

    refused = crm_sync("models", "rollback", "--yes")
    assert (refused.code, champion(crm_sync)) == (1, True)
    assert "add --buckets earlier to publish the latter, or --buckets kept" in refused.err
    assert in_force(transaction) == proposed

    ran = crm_sync("models", "rollback", stdin="earlier\ny\n", terminal=True)
    assert ran.code == 0, ran.err
    assert not champion(crm_sync)
    assert in_force(transaction) == before


def test_where_the_edges_were_kept_there_is_nothing_to_choose_on_the_way_back(crm_sync: Run, version: str):
    crm_sync("models", "promote", version, "--yes", "--buckets", "kept")

    assert crm_sync("models", "rollback", "--yes").code == 0
    assert not champion(crm_sync)


def test_promoting_again_changes_nothing(crm_sync: Run, version: str):
    crm_sync("models", "promote", version, "--yes", "--buckets", "proposed")

    assert "nothing was changed" in crm_sync("models", "promote", version).out
    assert "nothing was changed" in crm_sync("models", "promote", version, "--buckets", "kept").out


def test_edges_may_follow_a_model_that_is_in_use(
    crm_sync: Run, version: str, transaction: Transaction, proposed: Buckets
):
    before = in_force(transaction)
    crm_sync("models", "promote", version, "--yes", "--buckets", "kept")

    assert "is in use" in crm_sync("models", "promote", version, "--yes", "--buckets", "proposed").out
    assert in_force(transaction) == proposed

    crm_sync("models", "rollback", "--yes", "--buckets", "earlier")
    assert in_force(transaction) == before
