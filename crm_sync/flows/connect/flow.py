"""The paragraph: sign in, see that it is the right org, look around, save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.changes import Feed
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.keys import Keys
from crm_sync.domain.records import OrgIdentity
from crm_sync.errors import ConfigError
from crm_sync.flows.connect.look import Steps, sign_in
from crm_sync.flows.connect.request import Connected, Means, Person, Request, Tally
from crm_sync.flows.connect.walk import look_around
from crm_sync.flows.connect.wrong_org import stop
from crm_sync.ports import Check
from crm_sync.store import audit, connections, feeds, outbox
from crm_sync.store.engine import Transaction

NOT_READY = "not everything that it needs was there when it was connected"


def connect(transaction: Transaction, keys: Keys, request: Request, means: Means, person: Person) -> Connected:
    """Walk through everything that a connection needs, and save it in one commit at the end.

    Nothing is saved unless sign-in and identity worked; what fails later is told and leaves the connection observing.
    Repeating is harmless: a connection of this name gets the new credentials, keeps its cursors, and stays paused or
    observing where an admin had put it so.
    """
    with transaction() as session:
        standing = _standing(session, request)
    tally = Tally()
    kept = Kept(transaction, keys, request, standing)
    steps = Steps(person)
    connector = means.open(means.meter(standing) if standing else tally, kept.keep)
    try:
        signed_in = sign_in(connector, steps, means.now)
        if signed_in is None:
            return Connected(checks=tuple(steps.checks))
        identity, ahead = signed_in
        if not _is_meant(transaction, steps, request, standing, identity, means.now()):
            return Connected(checks=tuple(steps.checks), identity=identity)
        look_around(connector, steps, request, means.mapping(standing.id) if standing else None, ahead)
        followed = connector.feeds()
    finally:
        connector.close()

    with transaction() as session:
        connection = _save(
            session, keys, request, standing, identity, followed, kept.credentials, steps.checks, means.now()
        )
    if standing is None:
        tally.charge(means.meter(connection))
    return Connected(checks=tuple(steps.checks), connection=connection, identity=identity)


class Kept:
    """The credentials as they stand now. A renewed one that replaces its predecessor for good is stored at once.

    Anything else waits for the walk's end: what leads to another org must never reach a connection that pushes.
    """

    def __init__(self, transaction: Transaction, keys: Keys, request: Request, standing: Connection | None) -> None:
        self._transaction = transaction
        self._keys = keys
        self._request = request
        self._standing = standing
        self.credentials = dict(request.credentials)

    def keep(self, renewed: Mapping[str, str]) -> None:
        spent = self.credentials.get("refresh_token", "")
        self.credentials = dict(renewed)
        if renewed.get("refresh_token", "") == spent:
            return
        with self._transaction() as session:
            if self._standing is None:
                _save_credentials(session, self._keys, self._request, renewed)
            elif connections.credentials(session, self._standing.id, self._keys).get("refresh_token") == spent:
                # The same grant leads to the same portal, and its old token is worth nothing from now on.
                connections.save_credentials(session, self._standing.id, renewed, self._keys)


def _standing(session: Session, request: Request) -> Connection | None:
    """The connection of this name, if there is one; ConfigError where it belongs to another CRM."""
    for known in connections.listed(session):
        if known.name == request.name:
            if known.kind is not request.kind:
                raise ConfigError(
                    f"{known.name!r} is a {known.kind} connection already; choose another name with --name"
                )
            return known
    return None


def _twin(transaction: Transaction, request: Request, identity: OrgIdentity) -> str:
    """The name of another connection to this org, "" where there is none."""
    with transaction() as session:
        known = connections.listed(session)
    others = (each for each in known if each.kind is request.kind and each.name != request.name)
    return next((each.name for each in others if each.org_id == identity.org_id), "")


def _is_meant(
    transaction: Transaction,
    steps: Steps,
    request: Request,
    standing: Connection | None,
    identity: OrgIdentity,
    now: datetime,
) -> bool:
    """Whether this org may be joined under this name. Another one than before stops the connection until confirmed."""
    if standing is not None and standing.org_id == identity.org_id:
        return True
    if twin := _twin(transaction, request, identity):
        found = f"{identity.name} ({identity.org_id}) is connected already, as {twin!r}"
        advice = f"Two would write over each other and spend its calls twice: give --name {twin}."
        steps.add(Check(name="same org", passed=False, found=found, advice=advice))
        return False
    if standing is None or not standing.org_id:
        return True
    name, other = "same org", f"this connection was confirmed for {standing.org_name} ({standing.org_id})"
    if standing.is_test is not identity.is_test:
        # People of a test org and of production never meet, and those of this connection have met already.
        found = f"{other}, and one of the two is a test org"
        steps.add(Check(name=name, passed=False, found=found, advice="Connect this one under another --name."))
        return False
    if request.confirm_org:
        steps.add(Check(name=name, passed=True, found=f"{other}; the one that answers now takes its place"))
        return True
    advice = "Nothing is pulled or pushed until that org is signed in to again, or this one confirmed: --confirm-org."
    steps.add(Check(name=name, passed=False, found=other, advice=advice))
    stop(transaction, standing, identity, actor=request.actor, now=now)
    return False


def _save(
    session: Session,
    keys: Keys,
    request: Request,
    standing: Connection | None,
    identity: OrgIdentity,
    followed: Sequence[Feed],
    credentials: Mapping[str, str],
    checks: Sequence[Check],
    now: datetime,
) -> Connection:
    _save_credentials(session, keys, request, credentials)
    connection = connections.named(session, request.name)
    feeds.declare(session, connection.id, followed, now)
    if not connections.confirm_identity(session, connection.id, identity):
        # Cursors and what was read belong to the org that was there before.
        connections.replace_identity(session, connection.id, identity)
        feeds.restart(session, connection.id, now)
    state, reason = _next_state(request, standing, ready=all(check.passed for check in checks))
    connections.set_state(session, connection.id, state, reason)
    if state is ConnectionState.ACTIVE:
        outbox.release_held(session, connection.id, now)
        feeds.hurry(session, connection.id, now)
    payload = {
        "connection": request.name,
        "org": identity.org_id,
        "before": standing.state if standing else "",
        "after": state,
        "failed": [check.name for check in checks if not check.passed],
    }
    _tell(session, request, connection, "connected", payload, now)
    return connections.named(session, request.name)


def _save_credentials(session: Session, keys: Keys, request: Request, credentials: Mapping[str, str]) -> None:
    connections.save(
        session, name=request.name, kind=request.kind, base_url=request.base_url, credentials=credentials, keys=keys
    )


def _tell(
    session: Session,
    request: Request,
    connection: Connection,
    kind: str,
    payload: Mapping[str, object],
    now: datetime,
) -> None:
    entry = AuditEntry(actor=request.actor, kind=kind, subject=f"connection:{connection.id}", payload=payload)
    audit.append(session, [entry], now)


def _next_state(request: Request, standing: Connection | None, *, ready: bool) -> tuple[ConnectionState, str]:
    """Active where all is well; what an admin decided (paused, observing) stays."""
    if standing and standing.org_id and standing.state is ConnectionState.PAUSED:
        return ConnectionState.PAUSED, standing.state_reason
    if request.observe:
        return ConnectionState.OBSERVING, "asked for when it was connected"
    if standing and standing.state is ConnectionState.OBSERVING and standing.state_reason != NOT_READY:
        return ConnectionState.OBSERVING, standing.state_reason
    return (ConnectionState.ACTIVE, "") if ready else (ConnectionState.OBSERVING, NOT_READY)
