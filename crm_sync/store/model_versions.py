"""Model versions: candidates and the one champion, and how it came to be that. Without a champion the rules score.

The trees stand in a folder below the installation's home; here stand their names and manifests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlmodel import Session

from crm_sync.store.engine import rows, run

PROMOTING = 7_700_004
"""Advisory lock: of two who promote at once the second sees what the first did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A stored model version. `name` follows from its content; `champion` is true for the one in use."""

    id: int
    name: str
    manifest: Mapping[str, Any]
    author: str
    created_at: datetime
    champion: bool


def add(session: Session, name: str, manifest: str, *, author: str, now: datetime) -> bool:
    """Keep a candidate. False where the very same one is there already."""
    return bool(
        run(
            session,
            """
            INSERT INTO model_version (name, manifest, author, created_at)
            VALUES (:name, CAST(:manifest AS jsonb), :author, :now) ON CONFLICT (name) DO NOTHING
            """,
            name=name,
            manifest=orjson.dumps(orjson.loads(manifest)).decode(),
            author=author,
            now=now,
        )
    )


def listed(session: Session) -> list[ModelVersion]:
    """Every version, the newest first."""
    return [_version(row) for row in rows(session, "SELECT * FROM model_version ORDER BY id DESC")]


def by_name(session: Session, begins: str) -> list[ModelVersion]:
    """Versions whose name, or whose hash within it, begins so; the newest first."""
    found = rows(
        session,
        """
        SELECT * FROM model_version
        WHERE starts_with(name, :begins) OR starts_with(split_part(name, '-', 2), :begins) ORDER BY id DESC
        """,
        begins=begins,
    )
    return [_version(row) for row in found]


def champion(session: Session) -> str | None:
    """The name of the version in use; None while the rules score."""
    found = rows(session, "SELECT name FROM model_version WHERE champion")
    return str(found[0].name) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """What stood before the champion was promoted: the version in use (None: the rules), and the policy in force
    (empty where nobody noted it)."""

    version: ModelVersion | None
    policy: str


def way_back(session: Session) -> WayBack | None:
    """Where going back from the champion leads; None while the rules score."""
    found = rows(
        session,
        """
        SELECT promotion.before_id, policy_version.content AS policy
        FROM promotion JOIN model_version AS current ON current.id = promotion.version_id
             LEFT JOIN policy_version ON policy_version.id = promotion.policy_before_id
        WHERE current.champion AND promotion.kind = 'promoted' ORDER BY promotion.id DESC LIMIT 1
        """,
    )
    if not found:
        return None
    earlier = rows(session, "SELECT * FROM model_version WHERE id = :id", id=found[0].before_id)
    return WayBack(version=_version(earlier[0]) if earlier else None, policy=found[0].policy or "")


def put_in_use(
    session: Session, name: str | None, *, kind: str, author: str, reason: str, now: datetime
) -> tuple[bool, str | None]:
    """Make `name` the champion (None: let the rules score). Whether that changed anything, and who was it before.

    `kind` is `promoted` or `rolled_back`. To be done under `lock`, and before another policy is published with it.
    """
    standing = champion(session)
    if standing == name:
        return False, standing
    run(session, "UPDATE model_version SET champion = false WHERE champion")
    if name is not None:
        run(session, "UPDATE model_version SET champion = true WHERE name = :name", name=name)
    run(
        session,
        """
        INSERT INTO promotion (kind, version_id, before_id, policy_before_id, author, reason, at)
        VALUES (:kind, (SELECT id FROM model_version WHERE name = :name),
                (SELECT id FROM model_version WHERE name = :standing),
                (SELECT id FROM policy_version WHERE published), :author, :reason, :now)
        """,
        kind=kind,
        name=name,
        standing=standing,
        author=author,
        reason=reason,
        now=now,
    )
    return True, standing


def lock(session: Session) -> None:
    """Wait until nobody else promotes; held until the commit."""
    run(session, "SELECT pg_advisory_xact_lock(:lock)", lock=PROMOTING)


def _version(row: Any) -> ModelVersion:
    return ModelVersion(
        id=row.id,
        name=row.name,
        manifest=row.manifest,
        author=row.author,
        created_at=row.created_at,
        champion=row.champion,
    )
