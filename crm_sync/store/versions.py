"""Published mappings and policies: immutable versions, one in force for each connection, and one policy for all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from crm_sync.domain.connections import ConnectionId
from crm_sync.store.engine import rows, run

PUBLISHING = 7_700_003
"""Advisory lock: of two who publish at once the second compares with what the first put in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The text of a published document, and its hash."""

    content: str
    content_hash: str


def publish_mapping(
    session: Session, connection: ConnectionId, version: Version, *, author: str, reason: str, now: datetime
) -> bool:
    """Put a mapping version in force. False where the very same is in force already."""
    run(session, "SELECT pg_advisory_xact_lock(:lock)", lock=PUBLISHING)
    if (standing := mapping(session, connection)) and standing.content_hash == version.content_hash:
        return False
    run(
        session,
        "UPDATE mapping_version SET published = false WHERE connection_id = :connection AND published",
        connection=connection,
    )
    run(
        session,
        """
        INSERT INTO mapping_version (connection_id, content, content_hash, author, reason, created_at, published)
        VALUES (:connection, :content, :hash, :author, :reason, :now, true)
        """,
        connection=connection,
        content=version.content,
        hash=version.content_hash,
        author=author,
        reason=reason,
        now=now,
    )
    return True


def publish_policy(session: Session, version: Version, *, author: str, reason: str, now: datetime) -> bool:
    """Put a policy version in force. False where the very same is in force already."""
    run(session, "SELECT pg_advisory_xact_lock(:lock)", lock=PUBLISHING)
    if (standing := policy(session)) and standing.content_hash == version.content_hash:
        return False
    run(session, "UPDATE policy_version SET published = false WHERE published")
    run(
        session,
        """
        INSERT INTO policy_version (content, content_hash, author, reason, created_at, published)
        VALUES (:content, :hash, :author, :reason, :now, true)
        """,
        content=version.content,
        hash=version.content_hash,
        author=author,
        reason=reason,
        now=now,
    )
    return True


def mapping(session: Session, connection: ConnectionId) -> Version | None:
    """The mapping in force for a connection."""
    return mappings(session).get(connection)


def mappings(session: Session) -> dict[ConnectionId, Version]:
    """The mapping in force for each connection that has one."""
    found = rows(session, "SELECT connection_id, content, content_hash FROM mapping_version WHERE published")
    return {
        ConnectionId(row.connection_id): Version(content=row.content, content_hash=row.content_hash) for row in found
    }


def policy(session: Session) -> Version | None:
    """The policy in force."""
    found = rows(session, "SELECT content, content_hash FROM policy_version WHERE published")
    return Version(content=found[0].content, content_hash=found[0].content_hash) if found else None
