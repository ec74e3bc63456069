"""A sandbox CRM joined to an installation, with our fields, the example mapping and the example policy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from crm_sync.cli.sandboxed import credentials
from crm_sync.domain.connections import ConnectionId, ConnectionState
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.mappings import parse_mapping
from crm_sync.domain.policies import parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.flows.publish import Publisher, publish_mapping, publish_policy
from crm_sync.store import connections, feeds
from crm_sync.wiring import Installation

BY = Publisher(author="bench", reason="the example that is shipped")


def join(installation: Installation, kind: CrmKind, ready: Mapping[str, Any]) -> ConnectionId:
    """Join the CRM that a sandbox's ready file names, under the name of its kind. All is in place to pull."""
    with installation.transaction() as session:
        id = connections.save(
            session,
            name=kind.value,
            kind=kind,
            base_url=ready[kind.value]["url"],
            credentials=credentials(ready, kind),
            keys=installation.keys,
        )
        connection = connections.by_id(session, id)
    connector = installation.connector(connection)
    identity = connector.identity()
    with installation.transaction() as session:
        connections.confirm_identity(session, id, identity)
        connections.set_state(session, id, ConnectionState.ACTIVE)
        feeds.declare(session, id, connector.feeds(), installation.now())
        connection = connections.by_id(session, id)
    text, policy = _example(f"mapping-{kind}.yaml"), _example("policy.yaml")
    mapping = parse_mapping(text)
    for object in mapping.people:
        connector.install_fields(object, OWN_FIELDS)
    publish_mapping(installation.transaction, connection, mapping, text, BY, installation.now())
    publish_policy(installation.transaction, parse_policy(policy), policy, BY, installation.now())
    return id


def _example(name: str) -> str:
    return (files("crm_sync.examples") / name).read_text(encoding="utf-8")
