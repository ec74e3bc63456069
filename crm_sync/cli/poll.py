"""`crm-sync poll`: ask the CRMs for changes once, now, without workers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say
from crm_sync.domain.changes import Walk
from crm_sync.domain.connections import PULLING, Connection
from crm_sync.flows.pull import pull
from crm_sync.store import connections
from crm_sync.wiring import Installation


@dataclass(kw_only=True)
class Polled:
    """What one connection was asked and told."""

    connection: str
    objects: int = 0
    rows: int = 0
    waiting: int = 0
    problem: str = ""


def poll(
    name: Annotated[str, typer.Argument(help="A connection, as `crm-sync status` lists it; without it, all.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the CRMs for changes once, now. Who changed waits for the workers (`crm-sync up`)."""
    with opened() as installation:
        with installation.transaction() as session:
            chosen = [connections.named(session, name)] if name else connections.listed(session)
        found = [_poll(installation, connection) for connection in chosen]
    if json:
        emit_json([asdict(each) for each in found])
    elif not found:
        say("No connection yet. Run `crm-sync connect salesforce` or `crm-sync connect hubspot`.")
    else:
        for each in found:
            say(_told(each))
    if any(each.problem for each in found):
        raise typer.Exit(1)


def _poll(installation: Installation, connection: Connection) -> Polled:
    """Every object by its changes; a refusal ends the poll of this connection."""
    polled = Polled(connection=connection.name)
    if connection.state not in PULLING:
        polled.problem = f"it is {connection.state}; see `crm-sync status`"
        return polled
    if connection.wait_until is not None and connection.wait_until > installation.now():
        polled.problem = f"the CRM asked us to wait until {connection.wait_until:%Y-%m-%d %H:%M:%S} UTC"
        return polled
    for feed in installation.connector(connection).feeds():
        if feed.walk is Walk.CHANGES and not polled.problem:
            _read(installation, connection, feed.name, polled)
    return polled


def _read(installation: Installation, connection: Connection, feed: str, polled: Polled) -> None:
    """One object to its end, whether its time has come or not."""
    source = installation.source(connection.id, feed)
    if source is None:
        return
    polled.objects += 1
    while True:
        page = pull(installation.transaction, source, installation.now(), span=installation.lease_span, early=True)
        polled.rows += page.rows
        polled.waiting += page.waiting
        polled.problem = page.problem
        if not page.more:
            return


def _told(polled: Polled) -> str:
    if polled.problem:
        return f"{polled.connection}: {polled.problem}"
    return (
        f"{polled.connection}: {polled.objects} objects asked, {polled.rows:,} rows came, "
        f"{polled.waiting:,} people wait to be evaluated."
    )
