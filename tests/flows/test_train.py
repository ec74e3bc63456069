"""From a pulled sandbox to a champion that scores, and back: train, promote, evaluate, roll back."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import IntegrityError, ProgrammingError

from crm_sync.domain.records import CrmKind
from crm_sync.domain.scores import counted
from crm_sync.embedded import Servers
from crm_sync.errors import ConfigError
from crm_sync.examples import example_mapping, example_policy
from crm_sync.flows.evaluate import foresee
from crm_sync.flows.promote import promote, rollback
from crm_sync.flows.train import Candidate, train
from crm_sync.sandbox.serve import Options, Sandbox, running
from crm_sync.scoring.scorer import load
from crm_sync.store import audit, model_versions
from crm_sync.store.engine import rows, run
from crm_sync.wiring import Installation
from tests.conftest import url_of
from tests.joined import evaluate_everybody, join, pull_everything, set_policy, settings_for

PEOPLE, ACTIVITIES = 1_800, 13_500


@dataclass(frozen=True, slots=True)
class Company:
    """A database into which both sandbox CRMs were pulled, and a candidate trained on it; tests get copies."""

    database: str
    models: Path
    candidate: Candidate


@pytest.fixture(scope="module")
def company(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    name, home = f"company_{template}", tmp_path_factory.mktemp("home")
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    installation = Installation(settings_for(url_of(servers, name), home))
    try:
        _pull_a_population(installation)
        candidate = train(installation.transaction, installation, installation.models, installation.now())
    finally:
        installation.close()
    yield Company(name, installation.models, candidate)
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _pull_a_population(installation: Installation) -> None:
    sandbox = Sandbox(seed=1)
    sandbox.fill(people=PEOPLE, activities=ACTIVITIES)
    with running(sandbox, Options()) as ready:
        for kind in CrmKind:
            pull_everything(installation, join(installation, kind, ready[kind.value]["url"], example_mapping(kind)))
    set_policy(installation, example_policy())


@pytest.fixture
def installation(company: Company, servers: Servers, tmp_path: Path) -> Iterator[Installation]:
    """An installation of this test's own over a copy of the company."""
    name = f"copy_{tmp_path.name}_{company.database}"[:60]
    with psycopg.connect(servers.database_url, autocommit=True) as admin, ExitStack() as stack:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(company.database))
        )
        shutil.copytree(company.models, tmp_path / "models")
        made = Installation(settings_for(url_of(servers, name), tmp_path))
        stack.callback(lambda: admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))))
        stack.callback(made.close)
        yield made


def last_evaluations(installation: Installation) -> dict[int, Any]:
    with installation.transaction() as session:
        found = rows(
            session,
            """
            SELECT DISTINCT ON (person_id) person_id, state, score, bucket, reasons, model_version, desired
            FROM evaluation ORDER BY person_id, number DESC
            """,
        )
    return {row.person_id: row for row in found}


def promoted(installation: Installation, company: Company, **how: Any) -> Any:
    version = company.candidate.version
    return promote(
        installation.transaction, installation.models, version, installation.now(), author="ana", reason="try", **how
    )


def test_the_model_ranks_later_people_it_has_never_seen(company: Company):
    report = company.candidate.manifest.report

    assert 0.65 < report.measures["model"].auc < 0.92
    assert report.positives >= 60
    assert report.folds["fit"].until < report.folds["later"].until < report.folds["test"].since
    assert {"x_web_page_views", "phone"} <= {each.what for each in report.fields_left_out}
    assert not {"status", "owner"} & set(report.importance)
    assert "consent_unknown" in {each.what for each in report.people_left_out}


def test_the_same_history_gives_the_same_version(company: Company, installation: Installation):
    from crm_sync.flows.train import Wanted

    wanted = Wanted(until=company.candidate.manifest.report.until)

    again = train(installation.transaction, installation, installation.models, installation.now(), wanted=wanted)

    assert again.version == company.candidate.version
    assert not again.is_new


def test_a_candidate_scores_nobody(company: Company, installation: Installation):
    assert installation.scorer() is None


def test_a_champion_scores_and_says_why_and_going_back_brings_the_rules(company: Company, installation: Installation):
    evaluate_everybody(installation)
    by_rules = last_evaluations(installation)

    done = promoted(installation, company)
    evaluate_everybody(installation)
    by_model = last_evaluations(installation)

    assert done.changed
    assert done.before == "rules"
    assert done.people == len(by_rules)
    scored = [person for person, each in by_model.items() if each.state == "scored"]
    assert {by_model[person].model_version for person in scored} == {company.candidate.version}
    assert any(by_model[person].reasons for person in scored)
    assert {p: e.state for p, e in by_model.items()} == {p: e.state for p, e in by_rules.items()}

    back = rollback(installation.transaction, installation.models, installation.now(), author="ana")
    evaluate_everybody(installation)

    assert (back.version, back.before) == ("rules", company.candidate.version)
    after = last_evaluations(installation)
    assert all(abs(after[p].score - by_rules[p].score) <= 1 for p in scored)  # a point may fade in the meantime
    unscored = by_rules.keys() - scored
    assert unscored
    assert all(by_rules[p].desired == by_model[p].desired == after[p].desired for p in unscored)  # byte-equal


def test_promoting_twice_changes_nothing_the_second_time(company: Company, installation: Installation):
    promoted(installation, company)

    assert not promoted(installation, company).changed


def test_what_was_decided_stands_in_the_audit_log(company: Company, installation: Installation):
    promoted(installation, company)
    rollback(installation.transaction, installation.models, installation.now(), author="bo", reason="too cold")

    with installation.transaction() as session:
        told = [(row.kind, row.actor) for row in audit.everything(session, 0) if row.kind.startswith("model")]
    assert told[-3:] == [
        ("model_trained", "user:train"),
        ("model_promoted", "user:ana"),
        ("model_rolled_back", "user:bo"),
    ]


def test_without_a_model_there_is_no_way_back(installation: Installation):
    with pytest.raises(ConfigError, match="rules score already"):
        rollback(installation.transaction, installation.models, installation.now(), author="ana")


def test_its_bucket_edges_can_come_with_it_and_every_comment_stays(company: Company, installation: Installation):
    promoted(installation, company, adopt_buckets=True)

    with installation.transaction() as session:
        assert installation.policy(session).buckets == company.candidate.manifest.proposed
        [published] = rows(session, "SELECT content FROM policy_version WHERE published")
    assert published.content.count("#") == example_policy().count("#")


def test_going_back_can_bring_the_edges_and_the_dead_band_from_before(company: Company, installation: Installation):
    with installation.transaction() as session:
        before = installation.policy(session)
    promoted(installation, company, adopt_buckets=True)

    rollback(installation.transaction, installation.models, installation.now(), author="ana", adopt_buckets=True)

    with installation.transaction() as session:
        after = installation.policy(session)
    assert (after.buckets, after.dead_band) == (before.buckets, before.dead_band)


def test_what_is_foreseen_is_what_comes(company: Company, installation: Installation):
    evaluate_everybody(installation)
    scorer = load(installation.models, company.candidate.version)
    edges = company.candidate.manifest.proposed

    foreseen = foresee(installation.transaction, installation, scorer, installation.now())
    kept = installation.scorer()
    promoted(installation, company, adopt_buckets=True)
    evaluate_everybody(installation)

    assert kept is None
    found = Counter()
    with installation.transaction() as session:
        for row in rows(
            session,
            """
            SELECT last.bucket, count(*) AS n FROM record JOIN link ON link.record_id = record.id AND to_at IS NULL
                 CROSS JOIN LATERAL (SELECT bucket FROM evaluation WHERE person_id = link.person_id
                                     ORDER BY number DESC LIMIT 1) AS last
            WHERE record.life = 'open' AND record.role = 'person' AND last.bucket IS NOT NULL GROUP BY last.bucket
            """,
        ):
            found[row.bucket] = row.n
    assert foreseen.people == foreseen.everybody
    assert counted(foreseen.scores, edges) == dict(found)


def test_of_many_people_a_sample_is_foreseen(company: Company, installation: Installation):
    foreseen = foresee(installation.transaction, installation, None, installation.now(), most=50)

    assert foreseen.people == 50 < foreseen.everybody


def test_a_damaged_champion_is_told_once_and_the_rules_score_meanwhile(
    company: Company, installation: Installation, caplog: pytest.LogCaptureFixture
):
    promoted(installation, company)
    trees = installation.models / company.candidate.version / "model.cbm"
    whole = trees.read_bytes()
    trees.write_bytes(whole[:-100])

    with caplog.at_level(logging.ERROR, logger="crm_sync"):
        assert installation.scorer() is None
        assert installation.scorer() is None
    assert [record.message for record in caplog.records if "is damaged" in record.message] == [
        f"the model {company.candidate.version} in {trees.parent} is damaged; restore the folder from a backup, or run "
        "`crm-sync train` and promote the new version; the rules score meanwhile"
    ]

    trees.write_bytes(whole)
    found = installation.scorer()
    assert found is not None
    assert found.version == company.candidate.version


def test_a_damaged_version_is_not_promoted(company: Company, installation: Installation):
    (installation.models / company.candidate.version / "manifest.json").unlink()

    with pytest.raises(ConfigError, match="can't be read"):
        promoted(installation, company)

    assert installation.scorer() is None


def test_another_process_notices_a_new_champion(company: Company, installation: Installation):
    other = Installation(installation.settings)
    try:
        assert other.scorer() is None
        promoted(installation, company)
        found = other.scorer()
        assert found is not None
        assert other.scorer() is found
        rollback(installation.transaction, installation.models, installation.now(), author="ana")
        assert other.scorer() is None
    finally:
        other.close()


def test_there_is_one_champion_at_most_whatever_the_code_does(company: Company, installation: Installation):
    with installation.transaction() as session:
        model_versions.add(
            session, "catboost-000000000000", company.candidate.manifest.text(), author="x", now=installation.now()
        )

    with pytest.raises(IntegrityError), installation.transaction() as session:
        run(session, "UPDATE model_version SET champion = true")


def test_the_application_cannot_rewrite_who_was_promoted_when(company: Company, installation: Installation):
    promoted(installation, company)

    with pytest.raises(ProgrammingError, match="permission denied"), installation.transaction() as session:
        run(session, "UPDATE promotion SET author = 'nobody'")
