"""Promote: put a model version in use, or go back to what was in use before; everybody is evaluated again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.policies import Buckets, PolicyVersion, parse_policy, with_buckets
from crm_sync.errors import ConfigError
from crm_sync.scoring import scorer
from crm_sync.store import audit, inbox, model_versions, versions
from crm_sync.store.engine import Transaction
from crm_sync.store.model_versions import ModelVersion, WayBack
from crm_sync.store.versions import Version

RULES = "rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What scores now and what did before (`rules` or a version), and how many people wait to be evaluated for it.

    `changed` is false where it was in use already; then nothing was written.
    """

    changed: bool
    version: str
    before: str
    people: int = 0


def promote(
    transaction: Transaction,
    folder: Path,
    version: str,
    now: datetime,
    *,
    author: str,
    reason: str = "",
    adopt_buckets: bool = False,
) -> Promoted:
    """Make `version` the champion and let everybody be evaluated, at low priority: one commit with its audit entry.

    With `adopt_buckets` the policy is published again with the bucket edges that the version proposes, in the same
    commit (and a smaller dead band, where it is wider than a bucket). The files are read first: a damaged version is
    refused. Repeating is harmless.
    """
    proposed = scorer.load(folder, version).manifest.proposed
    with transaction() as session:
        model_versions.lock(session)
        changed, before = model_versions.put_in_use(
            session, version, kind="promoted", author=author, reason=reason, now=now
        )
        policy = _adopt(session, proposed, 0, author, f"bucket edges of {version}", now) if adopt_buckets else ""
        if not changed and not policy:
            return Promoted(changed=False, version=version, before=before or RULES)
        return _everybody(session, "model_promoted", version, before, policy, author, reason, now)


def rollback(
    transaction: Transaction,
    folder: Path,
    now: datetime,
    *,
    author: str,
    reason: str = "",
    adopt_buckets: bool = False,
) -> Promoted:
    """Put back in use what was so before the champion was promoted: another version, or the rules.

    With `adopt_buckets` the policy is published again with the bucket edges and the dead band of the policy that was in
    force then, in the same commit; whatever else has been published since stays.
    Raises ConfigError where the rules score already, or where the earlier version's files are damaged.
    """
    with transaction() as session:
        model_versions.lock(session)
        back = model_versions.way_back(session)
        if back is None:
            raise ConfigError("the rules score already: there is no model to go back from")
        if back.version:
            scorer.load(folder, back.version.name)
        name = back.version.name if back.version else None
        _, before = model_versions.put_in_use(session, name, kind="rolled_back", author=author, reason=reason, now=now)
        earlier, policy = policy_before(back), ""
        if adopt_buckets and earlier:
            why = f"bucket edges from before {before}"
            policy = _adopt(session, earlier.buckets, earlier.dead_band, author, why, now)
        return _everybody(session, "model_rolled_back", name, before, policy, author, reason, now)


def policy_before(back: WayBack) -> PolicyVersion | None:
    """The policy that was in force before the champion was promoted; None where nobody noted it."""
    return parse_policy(back.policy) if back.policy else None


def found(transaction: Transaction, begins: str) -> ModelVersion:
    """The one version whose name begins so. Raises ConfigError where there is none, or more than one."""
    with transaction() as session:
        matching = model_versions.by_name(session, begins)
    if not matching:
        raise ConfigError(f"there is no model version {begins!r}; `crm-sync models list` names them all")
    if len(matching) > 1:
        named = ", ".join(each.name for each in matching)
        raise ConfigError(f"{begins!r} may be {named}; give more of its name")
    return matching[0]


def _adopt(session: Session, proposed: Buckets, dead_band: int, author: str, reason: str, now: datetime) -> str:
    """Publish the policy in force with other bucket edges; its hash, empty where they were the same."""
    standing = versions.policy(session)
    if standing is None:
        return ""
    text = with_buckets(standing.content, proposed, dead_band=dead_band)
    hash = parse_policy(text).content_hash
    changed = versions.publish_policy(
        session, Version(content=text, content_hash=hash), author=author, reason=reason, now=now
    )
    return hash if changed else ""


def _everybody(
    session: Session,
    kind: str,
    version: str | None,
    before: str | None,
    policy: str,
    author: str,
    reason: str,
    now: datetime,
) -> Promoted:
    touched = inbox.add_everybody(session, why="model", now=now)
    payload = {"before": before or RULES, "after": version or RULES, "reason": reason, "people": touched}
    if policy:
        payload["policy"] = policy
    subject = f"model:{version or RULES}"
    audit.append(session, [AuditEntry(actor=f"user:{author}", kind=kind, subject=subject, payload=payload)], now)
    return Promoted(changed=True, version=version or RULES, before=before or RULES, people=touched)
