"""Rows that stand in the database and are valid by default: a test states only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlmodel import Session

from crm_sync.domain.changes import Role
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.echoes import prepare, sort
from crm_sync.domain.keys import Keys
from crm_sync.domain.people import record_keys
from crm_sync.domain.records import CrmKind, Life, OrgIdentity, RecordBatch
from crm_sync.store import connections, people, records
from crm_sync.store.engine import run

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
_numbers = count(1)


def a_connection(
    session: Session,
    keys: Keys,
    *,
    kind: CrmKind = CrmKind.SALESFORCE,
    state: ConnectionState = ConnectionState.ACTIVE,
    is_test: bool = False,
) -> Connection:
    """A connection that is stored, confirmed and in `state`."""
    name = f"{kind}-{next(_numbers)}"
    id = connections.save(
        session, name=name, kind=kind, base_url="http://127.0.0.1:1", credentials={"method": "session"}, keys=keys
    )
    identity = OrgIdentity(org_id=f"00D{id}", name=name, is_test=is_test, time_zone="UTC", user_id="005A")
    connections.confirm_identity(session, id, identity)
    connections.set_state(session, id, state)
    return connections.by_id(session, id)


def a_batch(object: str, rows: list[dict[str, Any]], *, stamp: datetime = NOW) -> RecordBatch:
    """Records as a connector hands them over; each row has its id under `Id`."""
    return RecordBatch(
        object=object,
        ids=[row["Id"] for row in rows],
        stamps=[stamp] * len(rows),
        created=[stamp] * len(rows),
        fields=rows,
        lives=[Life.OPEN] * len(rows),
        successors=[""] * len(rows),
        ties=[()] * len(rows),
    )


def stored_records(
    session: Session, connection: Connection, rows: list[dict[str, Any]], *, object: str = "Lead", now: datetime = NOW
) -> dict[str, int]:
    """Person records that were pulled, by CRM id."""
    batch = a_batch(object, rows)
    prepared = prepare(batch, own_names={}, owner_field="OwnerId")
    order = sort(prepared, records.known(session, connection.id, object, batch.ids))
    return records.store(session, connection.id, Role.PERSON, prepared, order, now).ids


def linked_people(
    session: Session, connection: Connection, keys: Keys, emails: dict[str, str], *, now: datetime = NOW
) -> dict[str, int]:
    """Person records with these addresses, linked: CRM id to person."""
    rows = [{"Id": crm_id, "Email": email} for crm_id, email in emails.items()]
    ids = stored_records(session, connection, rows, now=now)
    found = {
        ids.get(crm_id) or _record_id(session, connection, crm_id): record_keys(
            kind=connection.kind, connection=connection.id, crm_id=crm_id, successor="", email=email, crm_link=None
        )
        for crm_id, email in emails.items()
    }
    linked = people.link(session, connection.realm, found, keys, now)
    by_record = dict(zip(found, emails, strict=True))
    return {by_record[record]: person for record, person in linked.people.items()}


def _record_id(session: Session, connection: Connection, crm_id: str) -> int:
    return records.known(session, connection.id, "Lead", [crm_id])[crm_id].record_id


def empty(session: Session, table: str) -> None:
    """Delete every row of a table, to break something on purpose."""
    run(session, f"DELETE FROM {table}")
