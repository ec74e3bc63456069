"""The doctor's visit: look again at a connection that stands already. Nothing is written to the CRM."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.records import OrgIdentity
from crm_sync.errors import CrmSyncError
from crm_sync.flows.connect.look import Steps, clocks, of_need, own_fields, people_of, refused, sign_in
from crm_sync.flows.connect.wrong_org import stop
from crm_sync.ports import Check, Connector
from crm_sync.store.engine import Transaction


def revisit(
    transaction: Transaction,
    connection: Connection,
    open: Callable[[], Connector],
    mapping: MappingVersion | None,
    steps: Steps,
    *,
    actor: str,
    now: Callable[[], datetime],
) -> bool:
    """Look at state, sign-in, identity, access, our fields and clocks. Whether the right org let us in.

    The one thing that is changed: where another org answers than was confirmed, the connection is stopped.
    """
    steps.add(_state(connection))
    if connection.wait_until is not None and connection.wait_until > now():
        found = f"the CRM asked us to wait until {connection.wait_until:%Y-%m-%d %H:%M:%S} UTC, so it wasn't asked"
        steps.add(Check(name="calls", passed=True, found=found))
        return False
    try:
        connector = open()
    except CrmSyncError as error:
        steps.add(refused("credentials", error))
        return False
    signed_in = sign_in(connector, steps, now)
    if signed_in is None:
        return False
    identity, ahead = signed_in
    if connection.org_id not in ("", identity.org_id):
        steps.add(_other_org(connection, identity))
        stop(transaction, connection, identity, actor=actor, now=now())
        return False
    objects = people_of(connector, mapping)
    needed = {*objects, *(mapping.roles if mapping else ())}
    steps.tried("access", lambda: [of_need(check, needed) for check in connector.permissions()])
    for object in objects:
        own_fields(connector, steps, object, mapping, connection=connection.name)
    steps.add(clocks(ahead))
    return True


def _state(connection: Connection) -> Check:
    name, state = connection.name, connection.state
    found = f"{state}: {connection.state_reason}" if connection.state_reason else str(state)
    match state:
        case ConnectionState.NEEDS_SIGN_IN:
            advice = f"Sign in again: `crm-sync connect {connection.kind} --name {name}`."
        case ConnectionState.WRONG_ORG:
            advice = (
                f"Sign in to the right org, or confirm this one: `crm-sync connect {connection.kind} --name {name}`."
            )
        case ConnectionState.PAUSED:
            return Check(name="state", passed=True, found=f"{found}; `crm-sync resume {name}` starts it")
        case ConnectionState.OBSERVING:
            return Check(name="state", passed=True, found=f"{found}; `crm-sync resume {name}` lets it be written to")
        case ConnectionState.ACTIVE:
            return Check(name="state", passed=True, found=found)
    return Check(name="state", passed=False, found=found, advice=advice)


def _other_org(connection: Connection, identity: OrgIdentity) -> Check:
    return Check(
        name="same org",
        passed=False,
        found=f"confirmed was {connection.org_name} ({connection.org_id}), {identity.org_id} answers; it was stopped",
        advice=f"Sign in to the right org: `crm-sync connect {connection.kind} --name {connection.name}`.",
    )
