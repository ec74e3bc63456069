"""Steer: let a connection pull and push, only observe, or do nothing; with an audit entry in the same commit."""

from __future__ import annotations

from datetime import datetime

from crm_sync.domain.audit import connection_state
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.errors import ConfigError
from crm_sync.store import audit, connections, feeds, outbox
from crm_sync.store.engine import Transaction


def steer(
    transaction: Transaction, connection: Connection, state: ConnectionState, *, actor: str, reason: str, now: datetime
) -> int:
    """Put a connection into `state`. Returns how many held entries wait again.

    Repeating is harmless. Pausing takes effect at the next call: what is in flight is settled, nothing new begins.
    """
    if connection.state is ConnectionState.WRONG_ORG:
        raise ConfigError(
            f"{connection.name} answers for another org than the one it was connected to; "
            f"run `crm-sync connect {connection.kind} --name {connection.name} --confirm-org` first"
        )
    with transaction() as session:
        connections.set_state(session, connection.id, state, reason)
        released = 0
        if state is ConnectionState.ACTIVE:
            released = outbox.release_held(session, connection.id, now)
            feeds.hurry(session, connection.id, now)
        audit.append(session, [connection_state(connection, state, actor=actor, reason=reason)], now)
    return released
