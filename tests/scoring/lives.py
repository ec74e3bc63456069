"""Lives of leads as the database would hand them to training; valid by default, so that a test states what matters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np

from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.mappings import MappingVersion, parse_mapping
from crm_sync.domain.policies import PolicyVersion, parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.examples import example_mapping, example_policy
from crm_sync.scoring.past import Rows

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HERE = ConnectionId(1)
SALESFORCE = parse_mapping(example_mapping(CrmKind.SALESFORCE))
MAPPINGS: Mapping[ConnectionId, MappingVersion] = {HERE: SALESFORCE}
POLICY: PolicyVersion = parse_policy(example_policy())

_numbers = itertools.count(1)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One lead: the rows that tell of it."""

    person: int
    record: int
    versions: Sequence[Any]
    changes: Sequence[Any]
    activities: Sequence[Any]
    also_held: Sequence[Any] = field(default_factory=list)


def a_lead(
    *,
    created: float = 400,
    converted: float | None = None,
    history: bool = True,
    pulled: datetime = NOW,
    changes: Sequence[tuple[float, str, Any, Any]] = (),
    later: Sequence[tuple[float, Mapping[str, Any]]] = (),
    done: Sequence[tuple[float, str]] = (),
    known: Sequence[tuple[float, float, str]] = (),
    account: str = "",
    life: str = "",
    **fields: Any,
) -> Life:
    """A lead created so many days ago in the United States, first pulled today.

    `changes` are rows of LeadHistory (days ago, field, old, new), `later` further versions (days ago, fields), `done`
    activities (days ago, Salesforce's TaskSubtype), `known` the same with the day that they were recorded in between.
    """
    number = next(_numbers)
    held: dict[str, Any] = {
        "Email": f"lead{number}@firm{number}.example",
        "LastName": f"Lead {number}",
        "Company": account or f"Firm {number}",
        "Title": "Head of Purchasing",
        "Country": "United States",
        "Industry": "Manufacturing",
        "LeadSource": "Web",
        "Status": "Open - Not Contacted",
        "IsConverted": converted is not None,
        "ConvertedDate": ago(converted).date().isoformat() if converted is not None else None,
        "CreatedDate": ago(created).isoformat(),
    } | fields
    told = [*changes, *([(converted, "leadConverted", None, None)] if converted is not None and history else [])]
    base = {
        "record_id": number,
        "connection_id": int(HERE),
        "object": "Lead",
        "role": "person",
        "life": life or ("converted" if converted is not None else "open"),
        "created_at": ago(created),
    }
    versions = [SimpleNamespace(**base, known_from=pulled, valid_from=pulled, fields=held)]
    for at, more in later:
        held = held | dict(more)
        versions.append(SimpleNamespace(**base, known_from=ago(at), valid_from=ago(at), fields=held))
    return Life(
        person=number,
        record=number,
        versions=versions,
        changes=[
            SimpleNamespace(
                record_id=number,
                connection_id=int(HERE),
                object="Lead",
                at=ago(at),
                fields={"Field": name, "OldValue": old, "NewValue": new},
            )
            for at, name, old, new in sorted(told, key=lambda each: -each[0])
        ],
        activities=[
            _task(number, at, recorded, subtype) for at, recorded, subtype in [*((at, at, s) for at, s in done), *known]
        ],
    )


def _task(person: int, at: float, recorded: float, subtype: str) -> Any:
    fields = {
        "Subject": "Something",
        "TaskSubtype": subtype,
        "CallType": "Outbound" if subtype == "Call" else None,
        "CompletedDateTime": ago(at).isoformat(),
        "IsClosed": True,
    }
    return SimpleNamespace(
        person_id=person, connection_id=int(HERE), object="Task", known_from=ago(recorded), fields=fields
    )


def rows_of(*lives: Life) -> Rows:
    return Rows(
        held=[SimpleNamespace(person_id=life.person, record_id=life.record) for life in lives]
        + [row for life in lives for row in life.also_held],
        versions=[row for life in lives for row in life.versions],
        changes=[row for life in lives for row in life.changes],
        activities=[row for life in lives for row in life.activities],
    )


def a_market(people: int = 900, seed: int = 5, **fields: Any) -> Rows:
    """Leads of two years. Those who call convert more often, and so do directors: something can be learned."""
    draw = np.random.default_rng(seed)
    lives = []
    for _ in range(people):
        created = float(draw.uniform(30, 730))
        keen, director = draw.random() < 0.4, draw.random() < 0.3
        converts = draw.random() < (0.45 if keen else 0.08) * (1.3 if director else 0.8)
        delay = float(draw.uniform(4, 27))
        calls = [(created - float(draw.uniform(0.1, 3)), "Call") for _ in range(2 if keen else 0)]
        lives.append(
            a_lead(
                created=created,
                converted=created - delay if converts and created > delay else None,
                done=[(at, kind) for at, kind in calls if at > 0],
                Title="Director of Purchasing" if director else "Clerk",
                **fields,
            )
        )
    return rows_of(*lives)
