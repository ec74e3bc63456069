"""`crm-sync connect …`: join an org or portal to this installation."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from crm_sync.cli import checks, credentials
from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json
from crm_sync.cli.prompts import agreed, user_name
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.domain.records import CrmKind
from crm_sync.errors import ConfigError
from crm_sync.flows.connect import Connected, Person, Request
from crm_sync.flows.connect import connect as walk_through
from crm_sync.wiring import Installation


def connect(
    crm: Annotated[CrmKind, typer.Argument(help="Which CRM.", show_default=False)],
    name: Annotated[str, typer.Option(help="What to call this connection (default: the CRM's name).")] = "",
    url: Annotated[str, typer.Option(help="Where it answers: the org's My Domain address.")] = "",
    method: Annotated[str, typer.Option(help="How to sign in (docs/connect.md lists the ways).")] = "",
    credential: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, or NAME=@FILE for a secret. May be given again.")
    ] = None,
    credentials_file: Annotated[str, typer.Option(help="A JSON object of credentials; - reads standard input.")] = "",
    object: Annotated[
        list[str] | None, typer.Option(help="A person object to look at (default: all). May be given again.")
    ] = None,
    install_fields: Annotated[bool, typer.Option("--install-fields", help="Create our fields if missing.")] = False,
    observe: Annotated[bool, typer.Option("--observe", help="Begin without writing scores into this CRM.")] = False,
    confirm_org: Annotated[
        bool, typer.Option("--confirm-org", help="Another org than before is meant to answer from now on.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before the test write.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Sign in to a CRM, look whether everything is there that we need, and remember the connection.

    Secrets come from the environment, a file or a hidden prompt, and are kept sealed.
    """
    name = _name(name or crm.value)
    access = credentials.gather(crm, url=url, method=method, pairs=credential or [], file=credentials_file)
    request = Request(
        name=name,
        kind=crm,
        base_url=access.base_url,
        credentials=access.credentials,
        actor=f"user:{user_name()}",
        objects=tuple(object or ()),
        install_fields=install_fields,
        observe=observe,
        confirm_org=confirm_org,
    )
    person = Person(
        sees=lambda check: None if json else checks.tell(check),
        agrees=lambda question: agreed(question, yes=yes),
    )
    with opened() as installation:
        means = installation.means(crm, access.base_url, access.credentials)
        connected = walk_through(installation.transaction, installation.keys, request, means, person)
        if json:
            emit_json(_plain(connected))
        elif connected.connection:
            _tell(installation, connected.connection)
    if connected.connection is None:
        raise typer.Exit(1)


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name) or name == "all":
        raise ConfigError(
            f"{name!r} can't name a connection: use letters, digits, dots, dashes and underscores, 60 at most, and "
            "not `all`"
        )
    return name


def _tell(installation: Installation, connection: Connection) -> None:
    """The state, how to change it, and what to do next."""
    name, state = connection.name, connection.state
    typer.echo(
        f"\n{name} is connected and {state}" + (f": {connection.state_reason}." if connection.state_reason else ".")
    )
    match state:
        case ConnectionState.ACTIVE:
            typer.echo(f"`crm-sync observe {name}` stops writing to it, `crm-sync pause {name}` stops everything.")
        case ConnectionState.OBSERVING:
            typer.echo(f"It is read and nothing is written to it. `crm-sync resume {name}` lets it be written to.")
        case _:
            typer.echo(f"Nothing is read or written. `crm-sync resume {name}` starts it.")
    if installation.mapping_of(connection) is None:
        typer.echo(
            f"Next: `crm-sync mapping example {connection.kind} > mapping.yaml`, then "
            f"`crm-sync mapping publish mapping.yaml --connection {name}`."
        )


def _plain(connected: Connected) -> dict[str, object]:
    connection, identity = connected.connection, connected.identity
    return {
        "connection": connection.name if connection else None,
        "state": connection.state if connection else None,
        "org": {"id": identity.org_id, "name": identity.name, "test": identity.is_test, "time_zone": identity.time_zone}
        if identity
        else None,
        "steps": [checks.plain(check) for check in connected.checks],
    }
