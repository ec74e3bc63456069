"""The process that is measured: `python -m crm_sync.bench.measured first|steady CRM READY_FILE MODEL_FILE`.

`first` joins an empty installation to a full CRM and takes all three legs over everybody in it. `steady` goes on from
there: an idle poll, 1,000 changed leads there and back, and ten echo cycles. Apart, so that each has a peak of memory
of its own. Both tell JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crm_sync.bench import yardstick
from crm_sync.bench.costs import Costs, Meters, Statements, peak_memory
from crm_sync.bench.joining import join
from crm_sync.bench.legs import Legs
from crm_sync.domain.changes import Feed, Role, Walk
from crm_sync.domain.records import CrmKind
from crm_sync.domain.scores import Scorer
from crm_sync.sandbox.client import SandboxClient
from crm_sync.settings import Settings
from crm_sync.store import connections
from crm_sync.store.engine import rows
from crm_sync.wiring import Installation

CHANGED = 1_000
ECHO_CYCLES = 10
AN_HOUR_AND_MORE = 4_000
PEOPLE = {CrmKind.SALESFORCE: "Lead", CrmKind.HUBSPOT: "contacts"}
Told = dict[str, Any]


class Scoring(Installation):
    """An installation whose champion is the yardstick's model; which one is asked for as often as ever."""

    model: Scorer | None = None

    def scorer(self) -> Scorer | None:
        super().scorer()
        return self.model


def first(legs: Legs, meters: Meters) -> Told:
    """Everything that the CRM holds, pulled, evaluated and pushed."""
    follow = legs.feeds(Walk.CHANGES)
    with meters.over() as people:
        read = legs.pull([feed for feed in follow if feed.role is Role.PERSON])
    with meters.over() as others:
        read_others = legs.pull([feed for feed in follow if feed.role is not Role.PERSON])
    with meters.over() as evaluating:
        evaluated = legs.evaluate()
    with meters.over() as one_batch:
        batch = legs.push_batch(CHANGED)
    with meters.over() as pushing:
        delivered = legs.push()
    return {
        "pull": _told(people, rows=read),
        "pull_others": _told(others, rows=read_others),
        "evaluate": _told(evaluating, people=evaluated),
        "push": _told(_sum(one_batch, pushing), delivered=delivered + batch.delivered),
        "push_batch": _told(one_batch, delivered=batch.delivered),
        "peak_memory": peak_memory(),
    }


def steady(legs: Legs, meters: Meters, kind: CrmKind) -> Told:
    """What it costs from day two on."""
    follow = legs.feeds(Walk.CHANGES)
    _quiet(legs, meters, follow)
    with meters.over() as idle:
        idle_rows = legs.pull(follow)
    apart = {feed.name: _walk(legs, meters, feed) for feed in legs.feeds() if feed.walk is not Walk.CHANGES}
    changed = _change(legs, meters.crm, kind)
    with meters.over() as pulling:
        pulled = legs.pull([feed for feed in follow if feed.object == PEOPLE[kind]])
    with meters.over() as deciding:
        evaluated = legs.evaluate()
    with meters.over() as pushing:
        delivered = legs.push()
    with meters.over() as echoes:
        echoed = [_cycle(legs, meters.crm, follow) for _ in range(ECHO_CYCLES)]
    return {
        "idle": _told(idle, rows=idle_rows, objects=len(follow)),
        "apart": apart,
        "changed": changed,
        "pull": _told(pulling, rows=pulled),
        "evaluate": _told(deciding, people=evaluated),
        "push": _told(pushing, delivered=delivered),
        "echo": _told(echoes, rows=sum(row for row, _ in echoed), people=sum(people for _, people in echoed)),
        "peak_memory": peak_memory(),
    }


def _quiet(legs: Legs, meters: Meters, follow: list[Feed]) -> None:
    """Let our own writes come back, and time pass until neither overlap nor sweep holds rows."""
    legs.pull(follow)
    legs.evaluate()
    legs.push()
    for _ in range(2):
        meters.crm.advance(AN_HOUR_AND_MORE)
        legs.pull(follow)


def _walk(legs: Legs, meters: Meters, feed: Feed) -> Told:
    with meters.over() as costs:
        read = legs.pull([feed])
    return _told(costs, rows=read, every=feed.every.total_seconds())


def _change(legs: Legs, crm: SandboxClient, kind: CrmKind) -> int:
    """Somebody edits a scoring input of 1,000 open leads."""
    with legs.installation.transaction() as session:
        found = rows(
            session,
            """
            SELECT crm_id FROM record WHERE connection_id = :connection AND object = :object AND life = 'open'
            ORDER BY id LIMIT :most
            """,
            connection=legs.connection,
            object=PEOPLE[kind],
            most=CHANGED,
        )
    field, values = ("Title", "fields") if kind is CrmKind.SALESFORCE else ("jobtitle", "properties")
    crm.act(
        [
            {"do": "edit", "object": PEOPLE[kind], "id": row.crm_id, values: {field: f"Director of Sales {n}"}}
            for n, row in enumerate(found)
        ]
    )
    return len(found)


def _cycle(legs: Legs, crm: SandboxClient, follow: list[Feed]) -> tuple[int, int]:
    """One poll after another, as time goes by. Rows that came back, and people who were evaluated."""
    read = legs.pull(follow)
    evaluated = legs.evaluate()
    legs.push()
    crm.advance(10)
    return read, evaluated


def _sum(*parts: Costs) -> Costs:
    return Costs(
        cpu=sum(part.cpu for part in parts),
        statements=sum(part.statements for part in parts),
        calls=sum((part.calls for part in parts), start=type(parts[0].calls)()),
        writes=sum(part.writes for part in parts),
        no_op_writes=sum(part.no_op_writes for part in parts),
    )


def _told(costs: Costs, **more: Any) -> Told:
    return {
        "cpu": costs.cpu,
        "statements": costs.statements,
        "calls": sum(costs.calls.values()),
        "by_operation": dict(costs.calls),
        "writes": costs.writes,
        "no_op_writes": costs.no_op_writes,
        **more,
    }


def measure(what: str, kind: CrmKind, ready: Mapping[str, Any], model_file: Path) -> Told:
    """Do `first` or `steady` in the installation that the environment names."""
    installation = Scoring(Settings.from_env())
    installation.model = yardstick.scorer(model_file)
    statements = Statements(installation.engine)
    with SandboxClient(ready[kind.value]["url"]) as crm:
        meters = Meters(statements=statements, crm=crm)
        if what == "first":
            legs = Legs(installation=installation, connection=join(installation, kind, ready))
            told = first(legs, meters)
        else:
            with installation.transaction() as session:
                connection = connections.named(session, kind.value)
            told = steady(Legs(installation=installation, connection=connection.id), meters, kind)
    installation.close()
    return told


if __name__ == "__main__":
    _what, _crm, _ready, _model = sys.argv[1:]
    json.dump(measure(_what, CrmKind(_crm), json.loads(Path(_ready).read_text()), Path(_model)), sys.stdout)
