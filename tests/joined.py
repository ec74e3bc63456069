"""A sandbox CRM joined to an installation, and everything in it pulled, as the product does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.mappings import parse_mapping
from crm_sync.domain.policies import parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.flows.evaluate import evaluate
from crm_sync.flows.publish import Publisher, publish_mapping, publish_policy
from crm_sync.flows.pull import Source, pull
from crm_sync.flows.push import push
from crm_sync.sandbox.hubspot import PRIVATE_APP_KEY
from crm_sync.sandbox.salesforce.sessions import Credentials
from crm_sync.settings import Settings
from crm_sync.store import connections, feeds
from crm_sync.wiring import Installation
from tests.conftest import SECRET_KEY

BY = Publisher(author="test", reason="")


def settings_for(url: str, home: Path) -> Settings:
    env = {"CRM_SYNC_DATABASE_URL": url, "CRM_SYNC_BROKER_URL": "redis://nobody", "CRM_SYNC_SECRET_KEY": SECRET_KEY}
    return replace(Settings.from_env(env), home=home)


def credentials_of(kind: CrmKind) -> dict[str, str]:
    if kind is CrmKind.HUBSPOT:
        return {"method": "private_app", "access_token": PRIVATE_APP_KEY}
    app = Credentials()
    return {
        "method": "client_credentials",
        "consumer_key": app.consumer_key,
        "consumer_secret": app.consumer_secret,
    }


def join(installation: Installation, kind: CrmKind, url: str, mapping_text: str) -> Connection:
    """A connection that is active, with our fields in the CRM and a mapping in force."""
    with installation.transaction() as session:
        id = connections.save(
            session,
            name=kind.value,
            kind=kind,
            base_url=url,
            credentials=credentials_of(kind),
            keys=installation.keys,
        )
        connection = connections.by_id(session, id)
    connector = installation.connector(connection)
    with installation.transaction() as session:
        connections.confirm_identity(session, id, connector.identity())
        connections.set_state(session, id, ConnectionState.ACTIVE)
        feeds.declare(session, id, connector.feeds(), installation.now())
        connection = connections.by_id(session, id)
    mapping = parse_mapping(mapping_text)
    for object in mapping.people:
        connector.install_fields(object, OWN_FIELDS)
    publish_mapping(installation.transaction, connection, mapping, mapping_text, BY, installation.now())
    return connection


def set_policy(installation: Installation, text: str) -> None:
    publish_policy(installation.transaction, parse_policy(text), text, BY, installation.now())


def pull_everything(installation: Installation, connection: Connection) -> None:
    """Walk every feed to its end, once; one that nothing uses is put off, as the worker does."""
    for feed in installation.connector(connection).feeds():
        if source := installation.source(connection.id, feed.name):
            _walk(installation, source)
            continue
        with installation.transaction() as session:
            feeds.postpone(session, connection.id, feed.name, installation.now())


def _walk(installation: Installation, source: Source) -> None:
    more = True
    while more:
        pulled = pull(installation.transaction, source, installation.now(), span=installation.lease_span, early=True)
        assert not pulled.problem, pulled.problem
        more = pulled.more


def evaluate_everybody(installation: Installation) -> None:
    while evaluate(
        installation.transaction, installation, installation.now(), span=installation.evaluation_span
    ).people:
        pass


def push_everything(installation: Installation, connection: Connection) -> dict[str, Any]:
    """Write what waits, until nothing does. Returns what came of it, summed."""
    done = {"delivered": 0, "unchanged": 0, "refused": 0, "closed": 0}
    more = True
    while more:
        target = installation.target(connection.id)
        assert target is not None
        pushed = push(
            installation.transaction, target, installation.now(), span=installation.claim_span, draw=installation.draw
        )
        done = {name: count + getattr(pushed, name) for name, count in done.items()}
        more = pushed.more
    return done
