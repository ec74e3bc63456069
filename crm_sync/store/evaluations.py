"""Evaluations, and the rows that one batch of them reads. Every statement takes the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlmodel import Session

from crm_sync.store.engine import rows, run


def records_of(session: Session, people: Sequence[int]) -> Sequence[Any]:
    """The CRM records of these people with their current fields, what the CRM accepted, and what is under way.

    Under way is the newest state that waits, or that the CRM refused for good: the same again is no news to it.
    """
    return rows(
        session,
        """
        SELECT link.person_id, record.id, record.connection_id, record.object, record.crm_id, record.life,
               record.stamp, record.created_at, record.owner, record.owner_accepted, record.own_accepted,
               record_version.fields, connection.kind,
               CASE WHEN newest.state <> 'delivered' THEN newest.desired END AS pending
        FROM link JOIN record ON record.id = link.record_id
             JOIN connection ON connection.id = record.connection_id
             LEFT JOIN record_version ON record_version.id = record.version_id
             LEFT JOIN LATERAL (
                SELECT state, desired FROM outbox WHERE outbox.record_id = record.id AND kind = 'fields'
                   AND why <> 'repair' AND state NOT IN ('superseded', 'closed') ORDER BY number DESC, id DESC LIMIT 1
             ) AS newest ON true
        WHERE link.person_id = ANY(CAST(:people AS bigint[])) AND link.to_at IS NULL
        ORDER BY record.id
        """,
        people=list(people),
    )


def companions_of(session: Session, people: Sequence[int]) -> Sequence[Any]:
    """Accounts and consents that a record of these people is tied to, once for each such record."""
    # LATERAL … OFFSET 0 fixes the order of look-ups: on a first pull the planner has no statistics yet, and what it
    # then picks costs seconds where index look-ups cost milliseconds.
    return rows(
        session,
        """
        SELECT mine.person_id, mine.record_id, mine.connection_id, other.object, other.role, other.life, version.fields
        FROM unnest(CAST(:people AS bigint[])) AS person (id)
        CROSS JOIN LATERAL (
            SELECT link.person_id, record.id AS record_id, record.connection_id, record.object, record.crm_id
            FROM link JOIN record ON record.id = link.record_id
            WHERE link.person_id = person.id AND link.to_at IS NULL OFFSET 0
        ) AS mine
        CROSS JOIN LATERAL (
            SELECT to_object, to_id FROM tie
            WHERE connection_id = mine.connection_id AND object = mine.object AND crm_id = mine.crm_id OFFSET 0
        ) AS near
        CROSS JOIN LATERAL (
            SELECT id, object, role, life, version_id FROM record
            WHERE connection_id = mine.connection_id AND object = near.to_object AND crm_id = near.to_id
              AND role IN ('account', 'consent') OFFSET 0
        ) AS other
        JOIN record_version AS version ON version.id = other.version_id
        ORDER BY other.id, mine.record_id
        """,
        people=list(people),
    )


def activities_of(session: Session, people: Sequence[int]) -> Sequence[Any]:
    """Activities tied to a record of these people, once for each person, with the CRM's fields."""
    return rows(
        session,
        """
        SELECT DISTINCT ON (mine.person_id, done.id) mine.person_id, done.*
        FROM unnest(CAST(:people AS bigint[])) AS person (id)
        CROSS JOIN LATERAL (
            SELECT link.person_id, record.connection_id, record.object, record.crm_id
            FROM link JOIN record ON record.id = link.record_id
            WHERE link.person_id = person.id AND link.to_at IS NULL OFFSET 0
        ) AS mine
        CROSS JOIN LATERAL (
            SELECT object, crm_id FROM tie
            WHERE connection_id = mine.connection_id AND to_object = mine.object AND to_id = mine.crm_id OFFSET 0
        ) AS near
        CROSS JOIN LATERAL (
            SELECT id, connection_id, object, known_from, fields FROM activity
            WHERE connection_id = mine.connection_id AND object = near.object AND crm_id = near.crm_id
              AND life = 'open' OFFSET 0
        ) AS done
        ORDER BY mine.person_id, done.id
        """,
        people=list(people),
    )


def last_of(session: Session, people: Sequence[int]) -> Sequence[Any]:
    """The newest evaluation of each of these people that has one."""
    return rows(
        session,
        """
        SELECT person.id AS person_id, last.id, last.number, last.state, last.score, last.bucket, last.fit,
               last.engagement, last.reasons, last.desired, last.desired_reason, last.inputs_hash, last.model_version,
               last.mapping_versions, last.policy_version
        FROM unnest(CAST(:people AS bigint[])) AS person (id) CROSS JOIN LATERAL (
            SELECT * FROM evaluation WHERE person_id = person.id ORDER BY number DESC LIMIT 1
        ) AS last
        """,
        people=list(people),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One evaluation, ready to be stored.

    `desired` is the state of our own fields by neutral name, `desired_reason` the top reason that stands in it. Both
    are those of an earlier evaluation where this one is not worth a write.
    """

    person_id: int
    number: int
    why: str
    state: str
    findings: list[str]
    probability: float | None
    score: int | None
    bucket: str | None
    fit: int | None
    engagement: int | None
    reasons: list[dict[str, Any]]
    model_version: str
    mapping_versions: dict[str, str]
    policy_version: str
    inputs_hash: str
    desired: dict[str, Any]
    desired_reason: str | None
    data_until: datetime | None


def store(session: Session, decided: Sequence[Decided], as_of: datetime) -> dict[int, int]:
    """Keep these evaluations. Returns their ids by person. A repeat of a number is refused by its unique key."""
    if not decided:
        return {}

    def text(values: Any) -> str:
        return orjson.dumps(values).decode()

    found = rows(
        session,
        """
        INSERT INTO evaluation (person_id, number, as_of, why, state, findings, probability, score, bucket, fit,
                                engagement, reasons, model_version, mapping_versions, policy_version, inputs_hash,
                                desired, desired_reason, data_until)
        SELECT person_id, number, :as_of, why, state, findings, probability, score, bucket, fit, engagement, reasons,
               model_version, mapping_versions, policy_version, inputs_hash, desired, desired_reason,
               data_until
        FROM unnest(CAST(:people AS bigint[]), CAST(:numbers AS bigint[]), CAST(:why AS text[]),
                    CAST(:states AS text[]), CAST(:findings AS jsonb[]), CAST(:probabilities AS float8[]),
                    CAST(:scores AS int[]), CAST(:buckets AS text[]), CAST(:fits AS int[]),
                    CAST(:engagements AS int[]), CAST(:reasons AS jsonb[]), CAST(:models AS text[]),
                    CAST(:mappings AS jsonb[]), CAST(:policies AS text[]), CAST(:hashes AS text[]),
                    CAST(:desired AS jsonb[]), CAST(:top AS text[]), CAST(:data_until AS timestamptz[]))
             AS e (person_id, number, why, state, findings, probability, score, bucket, fit, engagement, reasons,
                   model_version, mapping_versions, policy_version, inputs_hash, desired, desired_reason,
                   data_until)
        RETURNING id, person_id
        """,
        as_of=as_of,
        people=[each.person_id for each in decided],
        numbers=[each.number for each in decided],
        why=[each.why for each in decided],
        states=[each.state for each in decided],
        findings=[text(each.findings) for each in decided],
        probabilities=[each.probability for each in decided],
        scores=[each.score for each in decided],
        buckets=[each.bucket for each in decided],
        fits=[each.fit for each in decided],
        engagements=[each.engagement for each in decided],
        reasons=[text(each.reasons) for each in decided],
        models=[each.model_version for each in decided],
        mappings=[text(each.mapping_versions) for each in decided],
        policies=[each.policy_version for each in decided],
        hashes=[each.inputs_hash for each in decided],
        desired=[text(each.desired) for each in decided],
        top=[each.desired_reason for each in decided],
        data_until=[each.data_until for each in decided],
    )
    return {row.person_id: row.id for row in found}


def schedule(session: Session, again: dict[int, datetime | None], now: datetime) -> None:
    """Note when these people were evaluated, and when time alone will change their score (law 6)."""
    run(
        session,
        """
        UPDATE person SET evaluated_at = :now, evaluate_again_at = plan.again
        FROM unnest(CAST(:people AS bigint[]), CAST(:again AS timestamptz[])) AS plan (person_id, again)
        WHERE person.id = plan.person_id
        """,
        now=now,
        people=list(again),
        again=list(again.values()),
    )


def last_delivered(session: Session, records: Sequence[int]) -> dict[int, Any]:
    """The entry that the CRM last accepted for each of these records: its evaluation and number."""
    found = rows(
        session,
        """
        SELECT record.id AS record_id, last.evaluation_id, last.number
        FROM unnest(CAST(:records AS bigint[])) AS record (id) CROSS JOIN LATERAL (
            SELECT evaluation_id, number FROM outbox
            WHERE record_id = record.id AND kind = 'fields' AND state = 'delivered' ORDER BY id DESC LIMIT 1
        ) AS last
        """,
        records=list(records),
    )
    return {row.record_id: row for row in found}


def newest_for_records(session: Session, records: Sequence[int]) -> dict[int, Any]:
    """For each record: its person's newest evaluation, and by kind the highest number delivered or on its way."""
    found = rows(
        session,
        """
        SELECT record.id AS record_id, last.id AS evaluation_id, last.number, last.desired,
               coalesce((SELECT jsonb_object_agg(kind, number) FROM (
                    SELECT kind, max(number) AS number FROM outbox WHERE outbox.record_id = record.id
                      AND state IN ('delivered', 'waiting', 'in_flight') GROUP BY kind) AS each), '{}') AS standing
        FROM unnest(CAST(:records AS bigint[])) AS record (id)
             LEFT JOIN link ON link.record_id = record.id AND link.to_at IS NULL
             LEFT JOIN LATERAL (
                SELECT id, number, desired FROM evaluation WHERE person_id = link.person_id
                ORDER BY number DESC LIMIT 1
             ) AS last ON true
        """,
        records=list(set(records)),
    )
    return {row.record_id: row for row in found}
