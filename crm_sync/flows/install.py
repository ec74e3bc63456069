"""Install: our own fields in a CRM; looked at, created, removed.

Each raises ConfigError, before anything is done, where another org answers than the connection was confirmed for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.connections import Connection, refuse_other_org
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.own_fields import installable, look, names_on
from crm_sync.errors import Family
from crm_sync.ports import Check, Connector
from crm_sync.store import audit, outbox
from crm_sync.store.engine import Transaction


def check(
    connector: Connector, connection: Connection, objects: Sequence[str], mapping: MappingVersion | None
) -> Iterator[tuple[str, list[Check]]]:
    """Each object with a Check for each of our fields on it. One call an object; nothing is written anywhere."""
    refuse_other_org(connection, connector.identity())
    spelled = connector.own_field_names(OWN_FIELDS)
    for object in objects:
        seen = look(object, names_on(object, spelled, mapping), connector.catalogue(object))
        yield object, [_check(connection, name, fault) for name, fault in seen.faults.items()]


def _check(connection: Connection, name: str, fault: str) -> Check:
    if not fault:
        return Check(name=name, passed=True, found="as it should be")
    return Check(
        name=name, passed=False, found=fault, advice=f"Run `crm-sync fields install --connection {connection.name}`."
    )


def install(
    transaction: Transaction,
    connector: Connector,
    connection: Connection,
    objects: Sequence[str],
    mapping: MappingVersion | None,
    *,
    actor: str,
    now: datetime,
) -> Iterator[tuple[str, list[Check]]]:
    """Create what is missing on each object. Repeating is harmless: what is there stays as it is.

    What was held because a field was wrong is tried again.

    An audit entry follows each object, so that what was done is told even where a later object is refused.
    """
    refuse_other_org(connection, connector.identity())
    spelled = connector.own_field_names(OWN_FIELDS)
    for object in objects:
        checks = connector.install_fields(object, installable(names_on(object, spelled, mapping), spelled))
        _tell(transaction, connection, "fields_installed", object, checks, actor, now)
        with transaction() as session:
            outbox.release_held(session, connection.id, now, family=Family.CONFIG)
        yield object, checks


def remove(
    transaction: Transaction,
    connector: Connector,
    connection: Connection,
    objects: Sequence[str],
    *,
    actor: str,
    now: datetime,
) -> Iterator[tuple[str, list[Check]]]:
    """Delete the fields that crm-sync created, with the values in them, and nothing else. Repeating is harmless."""
    refuse_other_org(connection, connector.identity())
    for object in objects:
        checks = connector.remove_fields(object, OWN_FIELDS)
        _tell(transaction, connection, "fields_removed", object, checks, actor, now)
        yield object, checks


def _tell(
    transaction: Transaction,
    connection: Connection,
    kind: str,
    object: str,
    checks: Sequence[Check],
    actor: str,
    now: datetime,
) -> None:
    fields: Mapping[str, str] = {check.name: check.found for check in checks}
    entry = AuditEntry(
        actor=actor,
        kind=kind,
        subject=f"connection:{connection.id}",
        payload={"connection": connection.name, "object": object, "fields": fields},
    )
    with transaction() as session:
        audit.append(session, [entry], now)
