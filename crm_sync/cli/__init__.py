"""`crm-sync …`: one command group a file, thin like the workers."""

from __future__ import annotations

import sys
from collections.abc import Callable

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
    policy,
    poll,
    refusals,
    routing,
    sandbox,
    status,
    up,
)
from crm_sync.cli.output import errors

TRY = "Try it on this machine"
SET_UP = "Set up: join CRMs, say what counts"
RUN = "Run: start it, hold it, let it go on"
LOOK = "Look: what it does and why"
MEND = "Mend: what a CRM refused"

app = typer.Typer(
    name="crm-sync",
    help="Scores, buckets, reasons and owners for leads, written back into Salesforce and HubSpot.",
    epilog="Begin with: crm-sync demo\n\nThen join a CRM: crm-sync connect salesforce\n\n"
    "Every command says more, with an example: crm-sync connect --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def command(panel: str, run: Callable[..., None], example: str) -> None:
    """A command of its own in a panel of `crm-sync --help`, with an example below its help."""
    app.command(rich_help_panel=panel, epilog=f"Example: {example}")(run)


command(TRY, demo.demo, "crm-sync demo --people 1000 --activities 8000")
app.add_typer(sandbox.app, name="sandbox", rich_help_panel=TRY)

command(SET_UP, connect.connect, "crm-sync connect salesforce --name acme --observe")
app.add_typer(fields.app, name="fields", rich_help_panel=SET_UP)
app.add_typer(mapping.app, name="mapping", rich_help_panel=SET_UP)
app.add_typer(policy.app, name="policy", rich_help_panel=SET_UP)
app.add_typer(routing.app, name="routing", rich_help_panel=SET_UP)
app.add_typer(database.app, name="database", rich_help_panel=SET_UP)

command(RUN, up.up, "crm-sync up --sandbox")
command(RUN, poll.poll, "crm-sync poll acme")
command(RUN, connections.observe, "crm-sync observe acme --reason 'trying a new policy'")
command(RUN, connections.pause, "crm-sync pause acme --reason 'data import until noon'")
command(RUN, connections.resume, "crm-sync resume acme")

command(LOOK, status.status, "crm-sync status --json")
command(LOOK, explain.explain, "crm-sync explain 00QPL00000001232AA")
command(LOOK, doctor.doctor, "crm-sync doctor")
app.add_typer(audit.app, name="audit", rich_help_panel=LOOK)

app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=MEND)


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


command(LOOK, version, "crm-sync version")


def main() -> None:
    """Run a command. What a user or the machine did is one sentence and exit code 1; a bug is a full traceback."""
    try:
        app(prog_name="crm-sync")
    except Exception as error:
        if (told := refusals.sentence(error)) is None:
            raise
        errors.print("crm-sync:", told, style="red", markup=False)
        sys.exit(1)
