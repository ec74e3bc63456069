"""Connections, their sealed credentials and their state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text
from sqlmodel import Session

from crm_sync.domain.audit import connection_state
from crm_sync.domain.connections import Connection, ConnectionId, ConnectionState
from crm_sync.domain.keys import Keys
from crm_sync.domain.records import CrmKind, OrgIdentity
from crm_sync.errors import ConfigError
from crm_sync.store import audit
from crm_sync.store.engine import Transaction, rows, run

RENEWING = 77_003
"""The space of advisory locks in which a connection's id means that its credentials are being renewed."""

EVERYTHING = """
    SELECT id, name, kind, base_url, org_id, org_name, is_test, time_zone, state, state_reason, wait_until,
           md5(sealed_credentials) AS credentials_mark
    FROM connection ORDER BY name
"""


def _domain(row: Any) -> Connection:
    return Connection(
        id=ConnectionId(row.id),
        name=row.name,
        kind=CrmKind(row.kind),
        base_url=row.base_url,
        org_id=row.org_id or "",
        org_name=row.org_name,
        is_test=row.is_test,
        time_zone=row.time_zone,
        state=ConnectionState(row.state),
        state_reason=row.state_reason,
        wait_until=row.wait_until,
        credentials_mark=row.credentials_mark,
    )


def save(
    session: Session, *, name: str, kind: CrmKind, base_url: str, credentials: Mapping[str, str], keys: Keys
) -> ConnectionId:
    """Add a connection, or give the one of this name new credentials. A name keeps its CRM kind."""
    found = rows(session, "SELECT kind FROM connection WHERE name = :name", name=name)
    if found and found[0].kind != kind:
        raise ConfigError(f"connection {name!r} is a {found[0].kind} connection; choose another name with --name")
    [row] = rows(
        session,
        """
        INSERT INTO connection (name, kind, base_url, sealed_credentials)
        VALUES (:name, :kind, :base_url, :sealed)
        ON CONFLICT (name) DO UPDATE SET base_url = excluded.base_url, sealed_credentials = excluded.sealed_credentials
        RETURNING id
        """,
        name=name,
        kind=kind.value,
        base_url=base_url,
        sealed=keys.seal(credentials),
    )
    return ConnectionId(row.id)


def listed(session: Session) -> list[Connection]:
    """Every connection, by name."""
    return [_domain(row) for row in rows(session, EVERYTHING)]


def named(session: Session, name: str) -> Connection:
    """The connection of this name, or ConfigError that lists the names there are."""
    for connection in (everything := listed(session)):
        if connection.name == name:
            return connection
    names = ", ".join(c.name for c in everything) or "none yet; run `crm-sync connect`"
    raise ConfigError(f"there is no connection {name!r} (there is: {names})")


def by_id(session: Session, connection: ConnectionId) -> Connection:
    """The connection of this id."""
    [found] = [known for known in listed(session) if known.id == connection]
    return found


def credentials(session: Session, connection: ConnectionId, keys: Keys) -> dict[str, str]:
    [row] = rows(session, "SELECT sealed_credentials FROM connection WHERE id = :id", id=connection)
    return keys.open(row.sealed_credentials)


def save_credentials(session: Session, connection: ConnectionId, renewed: Mapping[str, str], keys: Keys) -> str:
    """Keep renewed credentials; returns the mark that they are known by."""
    [row] = rows(
        session,
        "UPDATE connection SET sealed_credentials = :sealed WHERE id = :id RETURNING md5(sealed_credentials) AS mark",
        id=connection,
        sealed=keys.seal(renewed),
    )
    return str(row.mark)


def confirm_identity(session: Session, connection: ConnectionId, identity: OrgIdentity) -> bool:
    """Note which org answers. False where another one was confirmed before: then nothing is noted."""
    return bool(
        run(
            session,
            """
            UPDATE connection SET org_id = :org_id, org_name = :org_name, is_test = :is_test, time_zone = :time_zone,
                   user_id = :user_id
            WHERE id = :id AND (org_id IS NULL OR org_id = :org_id)
            """,
            id=connection,
            org_id=identity.org_id,
            org_name=identity.name,
            is_test=identity.is_test,
            time_zone=identity.time_zone,
            user_id=identity.user_id,
        )
    )


def replace_identity(session: Session, connection: ConnectionId, identity: OrgIdentity) -> None:
    """Note which org answers, whichever was confirmed before: an admin said that this one is meant."""
    run(session, "UPDATE connection SET org_id = NULL WHERE id = :id", id=connection)
    confirm_identity(session, connection, identity)


def set_state(session: Session, connection: ConnectionId, state: ConnectionState, reason: str = "") -> None:
    run(
        session,
        "UPDATE connection SET state = :state, state_reason = :reason, wait_until = NULL WHERE id = :id",
        id=connection,
        state=state.value,
        reason=reason,
    )


def needs_sign_in(session: Session, connection: Connection, reason: str, *, actor: str, now: datetime) -> None:
    """The CRM doesn't let us in: stop until somebody signs in again, with an audit entry.

    Where the connection doesn't pull anyway nothing happens: a pause by an admin stays one.
    """
    stopped = run(
        session,
        """
        UPDATE connection SET state = 'needs_sign_in', state_reason = :reason, wait_until = NULL
        WHERE id = :id AND state IN ('observing', 'active')
        """,
        id=connection.id,
        reason=reason,
    )
    if stopped:
        told = connection_state(connection, ConnectionState.NEEDS_SIGN_IN, actor=actor, reason=reason)
        audit.append(session, [told], now)


def wait(session: Session, connection: ConnectionId, until: datetime) -> None:
    """Nothing is asked of this CRM before `until`, by any worker."""
    run(
        session,
        "UPDATE connection SET wait_until = greatest(wait_until, :until) WHERE id = :id",
        id=connection,
        until=until,
    )


@contextmanager
def held_credentials(
    engine: Engine, transaction: Transaction, connection: ConnectionId, keys: Keys
) -> Iterator[dict[str, str]]:
    """Keep other workers from renewing these credentials, and yield them as they are stored now.

    The lock is a session's, not a transaction's: none is open while the CRM is asked for a new token.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock:
        lock.execute(text("SELECT pg_advisory_lock(:space, :id)"), {"space": RENEWING, "id": connection})
        try:
            with transaction() as session:
                stored = credentials(session, connection, keys)
            yield stored
        finally:
            lock.execute(text("SELECT pg_advisory_unlock(:space, :id)"), {"space": RENEWING, "id": connection})
