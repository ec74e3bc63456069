"""Read models: the chain from CRM change to CRM answer for one lead, and the state of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session

from crm_sync.store.engine import rows


def find(session: Session, text: str, digests: Sequence[bytes]) -> list[int]:
    """People with a record of this CRM id, or with one of these identity keys."""
    found = rows(
        session,
        """
        SELECT link.person_id FROM record JOIN link ON link.record_id = record.id AND link.to_at IS NULL
        WHERE record.role = 'person'
          AND (record.crm_id = :text OR (length(:text) = 15 AND left(record.crm_id, 15) = :text))
        UNION SELECT person_id FROM identity_key WHERE value = ANY(CAST(:digests AS bytea[]))
        ORDER BY 1
        """,
        text=text,
        digests=list(digests),
    )
    return [row.person_id for row in found]


def records(session: Session, person: int) -> Sequence[Any]:
    """The person's records: where they are, how they were recognised, what the CRM showed and accepted."""
    return rows(
        session,
        """
        SELECT record.id, connection.name AS connection, connection.state AS connection_state, record.object,
               record.crm_id, record.life, record.successor, record.stamp, record.seen_at, record.owner,
               record.own_shown, record.own_accepted, link.evidence, link.from_at,
               (SELECT count(*) FROM record_version WHERE record_id = record.id) AS versions,
               (SELECT max(known_from) FROM record_version WHERE record_id = record.id) AS known_from,
               (SELECT count(*) FROM tie JOIN activity USING (connection_id, object, crm_id)
                WHERE tie.connection_id = record.connection_id AND tie.to_object = record.object
                  AND tie.to_id = record.crm_id) AS activities
        FROM link JOIN record ON record.id = link.record_id JOIN connection ON connection.id = record.connection_id
        WHERE link.person_id = :person AND link.to_at IS NULL ORDER BY record.id
        """,
        person=person,
    )


def evaluations(session: Session, person: int, *, most: int = 5) -> Sequence[Any]:
    """The person's newest evaluations, newest first."""
    return rows(
        session,
        """
        SELECT id, number, as_of, why, state, findings, probability, score, bucket, fit, engagement, reasons,
               model_version, mapping_versions, policy_version, inputs_hash, desired,
               data_until
        FROM evaluation WHERE person_id = :person ORDER BY number DESC LIMIT :most
        """,
        person=person,
        most=most,
    )


def entries(session: Session, person: int, *, most: int = 20) -> Sequence[Any]:
    """Outbox entries of the person's records with their deliveries, newest first."""
    return rows(
        session,
        """
        SELECT outbox.id, outbox.record_id, outbox.kind, outbox.why, outbox.number, outbox.state, outbox.attempts,
               outbox.family, outbox.code, outbox.field, outbox.words, outbox.created_at, outbox.settled_at,
               outbox.next_try, outbox.desired,
               coalesce((SELECT jsonb_agg(jsonb_build_object('at', at, 'attempt', attempt, 'call', call_id,
                         'sent', sent, 'result', result) ORDER BY id) FROM delivery WHERE outbox_id = outbox.id),
                        '[]') AS deliveries
        FROM outbox JOIN link ON link.record_id = outbox.record_id AND link.to_at IS NULL
        WHERE link.person_id = :person ORDER BY outbox.id DESC LIMIT :most
        """,
        person=person,
        most=most,
    )


def assignments(session: Session, person: int, *, most: int = 10) -> Sequence[Any]:
    """Who got the person's leads by which rule, newest first."""
    return rows(
        session,
        """
        SELECT assignment.id, assignment.record_id, assignment.at, assignment.why, assignment.rule, assignment.state,
               assignment.policy_version, pool.name AS pool, assignment.member, assignment.owner_before,
               assignment.owner, crm_user.name AS owner_name, assignment.skipped, assignment.turns_before,
               assignment.turns_after
        FROM assignment JOIN link ON link.record_id = assignment.record_id AND link.to_at IS NULL
             LEFT JOIN pool ON pool.id = assignment.pool_id
             LEFT JOIN crm_user ON crm_user.connection_id = assignment.connection_id
                  AND crm_user.crm_id = assignment.owner
        WHERE link.person_id = :person ORDER BY assignment.id DESC LIMIT :most
        """,
        person=person,
        most=most,
    )


def assigned(session: Session, connection: int, object: str, crm_id: str) -> Any:
    """Who got one record last, and by which rule; None where nobody did."""
    found = rows(
        session,
        """
        SELECT assignment.rule, assignment.owner, crm_user.name AS owner_name
        FROM assignment JOIN record ON record.id = assignment.record_id
             LEFT JOIN crm_user ON crm_user.connection_id = assignment.connection_id
                  AND crm_user.crm_id = assignment.owner
        WHERE record.connection_id = :connection AND record.object = :object AND record.crm_id = :crm_id
        ORDER BY assignment.id DESC LIMIT 1
        """,
        connection=connection,
        object=object,
        crm_id=crm_id,
    )
    return found[0] if found else None


def person(session: Session, person: int) -> Any:
    """The person's own row, and whether they wait in the inbox."""
    [row] = rows(
        session,
        """
        SELECT person.id, person.created_at, person.erased_at, person.evaluation_number, person.evaluated_at,
               person.evaluate_again_at, inbox.why AS waiting_why, inbox.since AS waiting_since
        FROM person LEFT JOIN inbox ON inbox.person_id = person.id WHERE person.id = :person
        """,
        person=person,
    )
    return row


def reckoning(session: Session, connection: int) -> Any:
    """Counts that add up: every person record of a connection is scored, not scored, held, waiting or gone."""
    [row] = rows(
        session,
        """
        WITH each AS (
            SELECT record.id, record.life, inbox.person_id IS NOT NULL AS waits,
                   record.own_accepted ->> 'state' AS state,
                   EXISTS (SELECT FROM outbox WHERE record_id = record.id AND outbox.state IN ('waiting', 'in_flight'))
                       AS under_way,
                   EXISTS (SELECT FROM outbox WHERE record_id = record.id AND outbox.state IN ('held', 'dead')
                           AND NOT EXISTS (SELECT FROM outbox AS later WHERE later.record_id = outbox.record_id
                                           AND later.id > outbox.id)) AS held
            FROM record LEFT JOIN link ON link.record_id = record.id AND link.to_at IS NULL
                 LEFT JOIN inbox ON inbox.person_id = link.person_id
            WHERE record.connection_id = :connection AND record.role = 'person'
        ), sorted AS (
            SELECT CASE WHEN life <> 'open' THEN 'gone' WHEN waits OR under_way THEN 'waiting' WHEN held THEN 'held'
                        WHEN state IS NULL THEN 'untouched' WHEN state = 'scored' THEN 'scored'
                        ELSE 'not scored' END AS fate, CASE WHEN life = 'open' THEN state ELSE life END AS reason
            FROM each
        )
        SELECT (SELECT count(*) FROM sorted) AS records,
               (SELECT jsonb_object_agg(fate, n) FROM (SELECT fate, count(*) AS n FROM sorted GROUP BY 1) AS f)
                   AS fates,
               (SELECT jsonb_object_agg(coalesce(reason, ''), n) FROM (
                    SELECT reason, count(*) AS n FROM sorted WHERE fate IN ('not scored', 'gone') GROUP BY 1) AS r)
                   AS reasons
        """,
        connection=connection,
    )
    return row


def budgets(session: Session, connection: int) -> Sequence[Any]:
    """The budget rows of a connection."""
    return rows(
        session,
        "SELECT span, taken, allowed, seen_used, resets_at FROM budget WHERE connection_id = :connection ORDER BY span",
        connection=connection,
    )


def progress(session: Session) -> Any:
    """How far the first round is: rows pulled, people evaluated, entries delivered, and whether all has settled."""
    [row] = rows(
        session,
        """
        SELECT (SELECT coalesce(sum(rows_read), 0) FROM feed WHERE strpos(name, chr(58)) = 0) AS rows_read,
               (SELECT count(*) FROM person) AS people,
               (SELECT count(*) FROM person WHERE evaluated_at IS NOT NULL) AS evaluated,
               (SELECT count(*) FROM outbox WHERE state = 'delivered') AS delivered,
               NOT EXISTS (SELECT FROM feed WHERE walking_first AND last_problem = '')
               AND NOT EXISTS (SELECT FROM inbox)
               AND NOT EXISTS (SELECT FROM outbox WHERE state IN ('waiting', 'in_flight')) AS settled
        """,
    )
    return row


def examples(session: Session) -> Sequence[Any]:
    """One open record for each of four situations that a rep meets: hot, cold, not scored, unknown consent."""
    return rows(
        session,
        """
        WITH newest AS (
            SELECT DISTINCT ON (person_id) * FROM evaluation ORDER BY person_id, number DESC
        ), shown AS (
            SELECT newest.*, record.id AS record_id, record.connection_id, record.object, record.crm_id
            FROM newest JOIN link ON link.person_id = newest.person_id AND link.to_at IS NULL
                 JOIN record ON record.id = link.record_id AND record.life = 'open' AND record.own_accepted <> '{}'
        )
        (SELECT 'hot' AS situation, * FROM shown WHERE state = 'scored' ORDER BY score DESC, person_id LIMIT 1)
        UNION ALL
        (SELECT 'cold', * FROM shown WHERE state = 'scored' ORDER BY score, person_id LIMIT 1)
        UNION ALL
        (SELECT 'not scored', * FROM shown WHERE state NOT IN ('scored', 'consent_unknown', 'converted')
         ORDER BY state = 'not_enough_data' DESC, person_id LIMIT 1)
        UNION ALL
        (SELECT 'unknown consent', * FROM shown WHERE state = 'consent_unknown' ORDER BY person_id LIMIT 1)
        """,
    )


def delivered(session: Session, kind: str) -> int:
    """How many outbox entries the CRMs of this kind took."""
    [row] = rows(
        session,
        """
        SELECT count(*) AS n FROM outbox JOIN connection ON connection.id = connection_id
        WHERE outbox.state = 'delivered' AND connection.kind = :kind
        """,
        kind=kind,
    )
    return int(row.n)


def standing(session: Session, connection: int, object: str, crm_id: str) -> Any:
    """When one record was last pulled and its person last evaluated, and whether anything is still on its way."""
    [row] = rows(
        session,
        """
        SELECT record.seen_at, person.evaluated_at,
               EXISTS (SELECT FROM inbox WHERE person_id = person.id)
               OR EXISTS (SELECT FROM outbox WHERE record_id = record.id AND state IN ('waiting', 'in_flight'))
                   AS under_way
        FROM record JOIN link ON link.record_id = record.id AND link.to_at IS NULL
             JOIN person ON person.id = link.person_id
        WHERE connection_id = :connection AND object = :object AND crm_id = :crm_id
        """,
        connection=connection,
        object=object,
        crm_id=crm_id,
    )
    return row
