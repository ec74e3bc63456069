"""Another org answers than the one that was confirmed: nothing may be read from it or written to it."""

from __future__ import annotations

from datetime import datetime

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.records import OrgIdentity
from crm_sync.store import audit, connections
from crm_sync.store.engine import Transaction


def stop(transaction: Transaction, connection: Connection, identity: OrgIdentity, *, actor: str, now: datetime) -> None:
    """Put a connection into WRONG_ORG, in one commit with the audit entry. Repeating adds no second entry."""
    if connection.state is ConnectionState.WRONG_ORG:
        return
    reason = f"{identity.name} ({identity.org_id}) answered"
    payload = {"connection": connection.name, "confirmed": connection.org_id, "answered": identity.org_id}
    entry = AuditEntry(actor=actor, kind="wrong_org", subject=f"connection:{connection.id}", payload=payload)
    with transaction() as session:
        connections.set_state(session, connection.id, ConnectionState.WRONG_ORG, reason)
        audit.append(session, [entry], now)
