"""Publish: check a field mapping or a policy, tell what it touches, and put it in force with all that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.budgets import calls_to_push, time_for
from crm_sync.domain.connections import Connection, ConnectionId, refuse_other_org
from crm_sync.domain.fields import OWN_FIELDS, Catalogue
from crm_sync.domain.mappings import MappingVersion, parse_mapping
from crm_sync.domain.policies import PolicyVersion
from crm_sync.errors import AuthError, ConfigError, Family, GoneError
from crm_sync.ports import Connector
from crm_sync.store import audit, connections, feeds, inbox, outbox, people, versions
from crm_sync.store.engine import Transaction
from crm_sync.store.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What evaluating and pushing comes to in one connection: the most that it can be.

    `calls` and `time` are what writing every record would take; unchanged ones are read again and not written.
    """

    connection: str
    records: int
    calls: int
    time: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whom a publication lets evaluate anew, and what follows from it in each CRM (law 17)."""

    people: int
    loads: tuple[Load, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Who publishes, and why."""

    author: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """`changed` is false where the very same was in force already; then nothing was written."""

    changed: bool
    people: int = 0


def mapping_problems(connector: Connector, connection: Connection, mapping: MappingVersion) -> list[str]:
    """What stands between a mapping and the live CRM, one sentence each; one call for each object.

    Raises ConfigError where the mapping is meant for another CRM, or where another org answers than was confirmed.
    """
    if mapping.crm is not connection.kind:
        raise ConfigError(f"this mapping is for {mapping.crm}, and {connection.name!r} is {connection.kind}")
    refuse_other_org(connection, connector.identity())
    return mapping.problems(_catalogues(connector, mapping), connector.own_field_names(OWN_FIELDS))


def _catalogues(connector: Connector, mapping: MappingVersion) -> Mapping[str, Catalogue]:
    catalogues: dict[str, Catalogue] = {}
    for object in mapping.roles:
        try:
            catalogues[object] = connector.catalogue(object)
        except (ConfigError, AuthError, GoneError):
            # The sign-in has just worked, so it is this object that isn't there or is hidden from our user.
            continue
    return catalogues


def reach(transaction: Transaction, connection: ConnectionId | None = None) -> Reach:
    """Whom publishing lets evaluate anew: everybody, or for a mapping everybody with a record in its connection."""
    with transaction() as session:
        who, records = people.reach(session, connection)
        known = connections.listed(session)
    loads = [_load(one, records[one.id]) for one in known if one.id in records]
    return Reach(people=who, loads=tuple(loads))


def _load(connection: Connection, records: int) -> Load:
    calls = calls_to_push(connection.kind, records)
    return Load(connection=connection.name, records=records, calls=calls, time=time_for(connection.kind, calls))


def publish_mapping(
    transaction: Transaction, connection: Connection, mapping: MappingVersion, text: str, by: Publisher, now: datetime
) -> Published:
    """Put a mapping in force, let everybody with a record there be evaluated, and hurry the feeds: one commit.

    What we hold is translated anew; an object of which a field is named for the first time is walked again from its
    beginning, so that old records get their value. What was held because a mapping or a field was wrong is tried again.

    Repeating is harmless: the very same mapping changes nothing. The caller has seen that it has no problems.
    """
    with transaction() as session:
        before = versions.mapping(session, connection.id)
        version = Version(content=text, content_hash=mapping.content_hash)
        if not versions.publish_mapping(session, connection.id, version, author=by.author, reason=by.reason, now=now):
            return Published(changed=False)
        touched = inbox.add_everybody(session, why="mapping", now=now, connection=connection.id)
        feeds.hurry(session, connection.id, now)
        feeds.walk_again(session, connection.id, newly_named(mapping, before), now)
        outbox.release_held(session, connection.id, now, family=Family.CONFIG)
        _tell(session, "mapping_published", f"connection:{connection.id}", before, version, touched, by, now)
    return Published(changed=True, people=touched)


def newly_named(mapping: MappingVersion, before: Version | None) -> list[str]:
    """Objects of which `mapping` names a field that the mapping before didn't."""
    if before is None:
        return []
    held = parse_mapping(before.content)
    return [object for object in mapping.roles if set(mapping.fields_of(object)) - set(held.fields_of(object))]


def publish_policy(
    transaction: Transaction, policy: PolicyVersion, text: str, by: Publisher, now: datetime
) -> Published:
    """Put a policy in force and let everybody be evaluated: one commit. The very same policy changes nothing."""
    with transaction() as session:
        before = versions.policy(session)
        version = Version(content=text, content_hash=policy.content_hash)
        if not versions.publish_policy(session, version, author=by.author, reason=by.reason, now=now):
            return Published(changed=False)
        touched = inbox.add_everybody(session, why="policy", now=now)
        _tell(session, "policy_published", "policy", before, version, touched, by, now)
    return Published(changed=True, people=touched)


def _tell(
    session: Session,
    kind: str,
    subject: str,
    before: Version | None,
    after: Version,
    touched: int,
    by: Publisher,
    now: datetime,
) -> None:
    payload = {
        "before": before.content_hash if before else "",
        "after": after.content_hash,
        "reason": by.reason,
        "people": touched,
    }
    audit.append(session, [AuditEntry(actor=f"user:{by.author}", kind=kind, subject=subject, payload=payload)], now)
