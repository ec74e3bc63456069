"""`crm-sync mapping …`: which CRM field says what; checked against the live CRM, published, shown."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_sync.cli import documents
from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json
from crm_sync.domain.mappings import parse_mapping
from crm_sync.domain.records import CrmKind
from crm_sync.errors import ConfigError
from crm_sync.examples import example_mapping
from crm_sync.flows import publish as publishing
from crm_sync.store import connections, versions

app = typer.Typer(help="Which CRM field says what: check, publish and show field mappings.", no_args_is_help=True)

File = Annotated[str, typer.Argument(help="A YAML file, or - for standard input.", show_default=False)]
Connection = Annotated[str, typer.Option("--connection", help="The connection it is for.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: crm-sync mapping check mapping.yaml --connection salesforce")
def check(file: File, connection: Connection, json: Json = False) -> None:
    """Look what stands between a mapping and the live CRM. Nothing is written."""
    mapping = parse_mapping(documents.read_text(file, what="mapping"))
    with opened() as installation:
        with installation.transaction() as session:
            found = connections.named(session, connection)
        problems = publishing.mapping_problems(installation.connector(found), found, mapping)
        documents.refuse("mapping", problems, as_json=json)
        documents.tell_checked("mapping", publishing.reach(installation.transaction, found.id), as_json=json)


@app.command(epilog="Example: crm-sync mapping publish mapping.yaml --connection salesforce --reason 'budget added'")
def publish(
    file: File,
    connection: Connection,
    author: Annotated[str, typer.Option(help="Who publishes, for the audit log (default: who is logged in).")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Put a mapping in force. Everybody with a record in the connection is evaluated again, at low priority."""
    text = documents.read_text(file, what="mapping")
    mapping = parse_mapping(text)
    with opened() as installation:
        with installation.transaction() as session:
            found = connections.named(session, connection)
            standing = versions.mapping(session, found.id)
        problems = publishing.mapping_problems(installation.connector(found), found, mapping)
        documents.refuse("mapping", problems, as_json=json)
        reach = publishing.reach(installation.transaction, found.id)
        repeats = standing is not None and standing.content_hash == mapping.content_hash
        if not repeats and not documents.agrees(reach, yes=yes, as_json=json):
            documents.not_published()
        published = publishing.publish_mapping(
            installation.transaction, found, mapping, text, documents.publisher(author, reason), installation.now()
        )
        documents.tell_published("mapping", published, reach, as_json=json)


@app.command(epilog="Example: crm-sync mapping show --connection salesforce")
def show(connection: Connection, json: Json = False) -> None:
    """Print the mapping in force for a connection."""
    with opened() as installation, installation.transaction() as session:
        found = connections.named(session, connection)
        version = versions.mapping(session, found.id)
    if version is None:
        raise ConfigError(
            f"no mapping is published for {connection!r} yet; run `crm-sync mapping publish FILE "
            f"--connection {connection}` (`crm-sync mapping example {found.kind}` prints one to start from)"
        )
    if json:
        emit_json({"content_hash": version.content_hash, "content": version.content})
    else:
        typer.echo(version.content.rstrip())


@app.command(epilog="Example: crm-sync mapping example salesforce > mapping.yaml")
def example(crm: Annotated[CrmKind, typer.Argument(help="Which CRM.", show_default=False)]) -> None:
    """Print a mapping to start from."""
    typer.echo(example_mapping(crm).rstrip())
