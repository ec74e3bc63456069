"""`crm-sync …`: one command group a file, thin like the workers."""

from __future__ import annotations

import sys

import typer

from crm_sync import __version__
from crm_sync.cli import (
    audit,
    connect,
    connections,
    database,
    dead_letters,
    demo,
    doctor,
    explain,
    fields,
    mapping,
    models,
    policy,
    sandbox,
    status,
    train,
    up,
)
from crm_sync.cli.output import errors
from crm_sync.errors import CrmSyncError

app = typer.Typer(
    name="crm-sync",
    help="Scores, buckets, reasons and owners for leads, written back into Salesforce and HubSpot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(demo.demo)
app.command()(up.up)
app.command()(status.status)
app.command()(explain.explain)
app.command()(connections.observe)
app.command()(connections.pause)
app.command()(connections.resume)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(audit.app, name="audit")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(database.app, name="database")
app.command()(connect.connect)
app.command()(doctor.doctor)
app.add_typer(fields.app, name="fields")
app.add_typer(mapping.app, name="mapping")
app.add_typer(policy.app, name="policy")
app.command()(train.train)
app.add_typer(models.app, name="models")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run a command. A user's mistake is one sentence and exit code 1; a bug is a full traceback."""
    try:
        app()
    except CrmSyncError as error:
        errors.print("crm-sync:", str(error), style="red", markup=False)
        sys.exit(1)
