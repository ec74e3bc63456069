"""`crm-sync fields …`: our own fields in a CRM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from crm_sync.cli.checks import Told
from crm_sync.cli.opened import opened
from crm_sync.cli.prompts import agreed, user_name
from crm_sync.domain.connections import Connection, ConnectionState
from crm_sync.errors import ConfigError, CrmSyncError
from crm_sync.flows import install as installing
from crm_sync.ports import Check
from crm_sync.store import connections
from crm_sync.wiring import Installation

app = typer.Typer(help="Our own fields in a CRM: install, check and remove them.", no_args_is_help=True)

ALL = "all"
Found = Iterable[tuple[str, list[Check]]]

Name = Annotated[
    str, typer.Option("--connection", help="Which connection, or `all`. May be left out where there is only one.")
]
Objects = Annotated[list[str] | None, typer.Option("--object", help="Which object (may be given again).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: crm-sync fields install --connection salesforce --object Lead")
def install(connection: Name = "", object: Objects = None, json: Json = False) -> None:
    """Create our fields where they are missing. Repeating changes nothing."""
    with opened() as installation:
        told = Told(as_json=json)
        for one in _wanted(installation, connection):
            _tell(told, one, _installed(installation, one, object))
        told.leave()


@app.command(epilog="Example: crm-sync fields check --connection all")
def check(connection: Name = "", object: Objects = None, json: Json = False) -> None:
    """Look whether our fields are there and can be written. Nothing is changed."""
    with opened() as installation:
        told = Told(as_json=json)
        for one in _wanted(installation, connection):
            _tell(told, one, _checked(installation, one, object))
        told.leave()


@app.command(epilog="Example: crm-sync fields remove --connection salesforce")
def remove(
    connection: Name = "",
    object: Objects = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Delete the fields that crm-sync created, with the values in them."""
    with opened() as installation:
        told = Told(as_json=json)
        for one in _wanted(installation, connection):
            if one.state is ConnectionState.ACTIVE:
                raise ConfigError(
                    f"{one.name} is active and writes into our fields; run `crm-sync pause {one.name}` first"
                )
            where = ", ".join(_objects(installation, one, object))
            kind = "test" if one.is_test else "production"
            if not agreed(f"Delete our fields, and what is in them, from {where} in {one.org_name} ({kind})?", yes=yes):
                raise typer.Exit(1)
            _tell(told, one, _removed(installation, one, object))
        told.leave()


def _tell(told: Told, connection: Connection, found: Found) -> None:
    """One connection's objects, each as soon as it is known. A refused call ends this connection only."""
    try:
        for object, made in found:
            told.add(made, connection=connection.name, object=object)
    except CrmSyncError as error:
        told.add(Check(name="refused", passed=False, advice=str(error)), connection=connection.name, object="")


def _wanted(installation: Installation, name: str) -> list[Connection]:
    with installation.transaction() as session:
        known = connections.listed(session)
        if not known:
            raise ConfigError("there is no connection yet; run `crm-sync connect salesforce` or `… connect hubspot`")
        if name == ALL or (not name and len(known) == 1):
            return known
        if not name:
            names = ", ".join(one.name for one in known)
            raise ConfigError(f"there are several connections ({names}); name one with --connection, or `all`")
        return [connections.named(session, name)]


def _objects(installation: Installation, connection: Connection, chosen: list[str] | None) -> list[str]:
    return chosen or installation.person_objects(connection, installation.connector(connection))


# Generators, so that a connector that can't be opened is told like any other refusal, beside its connection.


def _installed(
    installation: Installation, connection: Connection, chosen: list[str] | None
) -> Iterator[tuple[str, list[Check]]]:
    yield from installing.install(
        installation.transaction,
        installation.connector(connection),
        connection,
        _objects(installation, connection, chosen),
        installation.mapping_of(connection),
        actor=f"user:{user_name()}",
        now=installation.now(),
    )


def _checked(
    installation: Installation, connection: Connection, chosen: list[str] | None
) -> Iterator[tuple[str, list[Check]]]:
    yield from installing.check(
        installation.connector(connection),
        connection,
        _objects(installation, connection, chosen),
        installation.mapping_of(connection),
    )


def _removed(
    installation: Installation, connection: Connection, chosen: list[str] | None
) -> Iterator[tuple[str, list[Check]]]:
    yield from installing.remove(
        installation.transaction,
        installation.connector(connection),
        connection,
        _objects(installation, connection, chosen),
        actor=f"user:{user_name()}",
        now=installation.now(),
    )
