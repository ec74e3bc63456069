"""`crm-sync observe|pause|resume NAME`: what a connection may do."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from crm_sync.cli.opened import opened
from crm_sync.cli.output import say
from crm_sync.domain.connections import ConnectionState
from crm_sync.flows.steer import steer
from crm_sync.store import connections

Name = Annotated[str, typer.Argument(help="The connection's name, as `crm-sync status` lists it.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log.")]


def observe(name: Name, reason: Reason = "") -> None:
    """Pull and evaluate, but write nothing into this CRM."""
    _steer(name, ConnectionState.OBSERVING, reason)


def pause(name: Name, reason: Reason = "") -> None:
    """Do nothing with this CRM, at once: no pull, no push."""
    _steer(name, ConnectionState.PAUSED, reason)


def resume(name: Name, reason: Reason = "") -> None:
    """Pull, evaluate and push again; what was held waits again."""
    _steer(name, ConnectionState.ACTIVE, reason)


def _steer(name: str, state: ConnectionState, reason: str) -> None:
    with opened() as installation:
        with installation.transaction() as session:
            connection = connections.named(session, name)
        released = steer(
            installation.transaction,
            connection,
            state,
            actor=f"user:{getpass.getuser()}",
            reason=reason,
            now=installation.now(),
        )
    say(f"{name} is {state}." + (f" {released} held entries wait again." if released else ""))
