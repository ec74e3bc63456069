"""Audit entries: who or what did what to which subject, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crm_sync.domain.connections import Connection, ConnectionState


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing that happened.

    `actor` is a leg (`pull`, `evaluate`, `push`) or a user, `subject` a pseudonym such as `person:17` or `record:4`.
    The payload may hold a person's values; it stands apart, so that it can be erased or expire.
    """

    actor: str
    kind: str
    subject: str
    payload: Mapping[str, Any]


def connection_state(connection: Connection, after: ConnectionState, *, actor: str, reason: str) -> AuditEntry:
    """What the log tells when a connection changes its state, by an admin or by what a leg met."""
    return AuditEntry(
        actor=actor,
        kind="connection_state",
        subject=f"connection:{connection.id}",
        payload={"connection": connection.name, "before": connection.state, "after": after, "reason": reason},
    )


def payload_text(entry: AuditEntry) -> str:
    """The payload as it is stored and digested: sorted keys, so that the same payload gives the same bytes."""
    return orjson.dumps(entry.payload, option=orjson.OPT_SORT_KEYS, default=str).decode().replace("\\u0000", "")


def payload_digest(salt: bytes, payload: str) -> bytes:
    """What the chain covers: nobody guesses a short payload from it without the salt."""
    return hashlib.sha256(salt + payload.encode()).digest()
