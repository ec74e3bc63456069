"""Public data through the product's own path: load, map, pull, train, promote, evaluate, push; on a slice of each.

The data are no part of the repository: they lie in `../shared/data` beside it or in the folder that CRM_SYNC_DATA
names. Where they are absent, these tests are left out. docs/real-data.md has the same with all rows.
"""

from __future__ import annotations

import csv
import gzip
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from crm_sync.domain.connections import Connection
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.records import CrmKind
from crm_sync.flows.promote import promote
from crm_sync.flows.train import Wanted, train
from crm_sync.sandbox.client import SandboxClient
from crm_sync.sandbox.load import load, read_loadfile
from crm_sync.sandbox.serve import Options, Sandbox, running
from crm_sync.store.engine import rows
from crm_sync.wiring import Installation
from tests.joined import evaluate_everybody, join, pull_everything, push_everything, set_policy, settings_for

ROOT = Path(__file__).parent.parent.parent
FOLDERS = [Path(os.environ["CRM_SYNC_DATA"])] if "CRM_SYNC_DATA" in os.environ else [ROOT.parent / "shared" / "data"]
DATA = next((folder for folder in FOLDERS if folder.is_dir()), None)

pytestmark = [pytest.mark.skipif(DATA is None, reason="the public data are not on this machine"), pytest.mark.slow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some rows of a data set; `record` names the row's record where a record has many, `also` lies beside it."""

    name: str
    file: str
    every: int
    until: datetime
    age: float
    least_auc: float
    separator: str = ","
    record: str = ""
    also: tuple[str, ...] = ()


SLICES = [
    Slice(
        name="xeducation",
        file="xeducation_leads.csv.gz",
        every=8,
        until=datetime(2026, 11, 1, tzinfo=UTC),
        age=0,
        least_auc=0.8,
    ),
    Slice(
        name="bpi2012",
        file="bpi2012_loan_events.csv.gz",
        every=10,
        until=datetime(2012, 3, 15, tzinfo=UTC),
        age=1,
        least_auc=0.6,
        record="case_id",
    ),
]


def cut(chosen: Slice, folder: Path) -> Path:
    """Every nth record of the file, with all of its rows."""
    assert DATA is not None
    for name in chosen.also:
        shutil.copy(DATA / name, folder / name)
    place = folder / chosen.file.removesuffix(".gz")
    with gzip.open(DATA / chosen.file, "rt", newline="") as source, place.open("w", newline="") as target:
        reader = csv.DictReader(source, delimiter=chosen.separator)
        writer = csv.DictWriter(target, reader.fieldnames or [], delimiter=chosen.separator)
        writer.writeheader()
        writer.writerows(_every(reader, chosen))
    return place


def _every(reader: csv.DictReader[str], chosen: Slice) -> Iterator[dict[str, str]]:
    seen: dict[str, int] = {}
    for number, row in enumerate(reader):
        position = seen.setdefault(row[chosen.record], len(seen)) if chosen.record else number
        if position % chosen.every == 0:
            yield row


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(settings_for(database_url, tmp_path / "home"))
    yield made
    made.close()


def example(name: str) -> str:
    return (files("crm_sync.examples.data") / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("chosen", SLICES, ids=lambda chosen: chosen.name)
def test_given_public_data_when_it_travels_the_whole_route_then_open_leads_hold_a_score_of_the_model(
    chosen: Slice, installation: Installation, tmp_path: Path
):
    file = cut(chosen, tmp_path)
    set_policy(installation, example("policy"))
    with running(Sandbox(seed=1), Options()) as ready, SandboxClient(ready["salesforce"]["url"]) as client:
        loaded = load(file, read_loadfile(chosen.name), client)
        connection = join(installation, CrmKind.SALESFORCE, ready["salesforce"]["url"], example(chosen.name))
        pull_everything(installation, connection)
        wanted = Wanted(until=chosen.until, ages=(timedelta(days=chosen.age),))
        candidate = train(
            installation.transaction, installation, installation.models, installation.now(), wanted=wanted
        )
        promote(
            installation.transaction,
            installation.models,
            candidate.version,
            installation.now(),
            author="test",
            adopt_buckets=True,
        )
        evaluate_everybody(installation)
        pushed = push_everything(installation, connection)
        scored = scored_leads(installation)
        shown = scores_shown(installation, connection, list(scored))

    assert loaded.converted > 100
    measured = candidate.manifest.report.measures["model"]
    assert chosen.least_auc < measured.auc < 0.95
    assert pushed["refused"] == 0
    assert len(scored) > 30  # most cases of BPI are decided
    assert shown == scored


def scores_shown(installation: Installation, connection: Connection, leads: list[str]) -> dict[str, int]:
    """What a rep sees on these leads in the CRM."""
    connector = installation.connector(connection)
    field = connector.own_field_names(OWN_FIELDS)["score"]
    found = connector.read("Lead", leads, [field])
    return {id: int(values[field]) for id, values in zip(found.ids, found.fields, strict=True)}


def scored_leads(installation: Installation) -> dict[str, int]:
    """Score of each open lead by CRM id, as it was decided by the champion."""
    with installation.transaction() as session:
        found = rows(
            session,
            """
            SELECT record.crm_id, last.desired->>'score' AS score FROM record
                 JOIN link ON link.record_id = record.id AND link.to_at IS NULL
                 CROSS JOIN LATERAL (SELECT * FROM evaluation WHERE person_id = link.person_id
                                     ORDER BY number DESC LIMIT 1) AS last
            WHERE record.life = 'open' AND record.object = 'Lead' AND last.state = 'scored'
              AND starts_with(last.model_version, 'catboost-')
            """,
        )
    return {row.crm_id: int(row.score) for row in found}
