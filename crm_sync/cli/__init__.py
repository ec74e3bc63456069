"""`crm-sync …`: one command group a file, thin like the workers. What there is stands in `commands.py`."""

from __future__ import annotations

import gc
import sys

import typer

from crm_sync.cli.commands import Commands

app = typer.Typer(
    cls=Commands,
    name="crm-sync",
    help="Scores, buckets, reasons and owners for leads, written back into Salesforce and HubSpot.",
    epilog="Begin with: crm-sync demo\n\nThen join a CRM: crm-sync connect salesforce\n\n"
    "Every command says more, with an example: crm-sync connect --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _crm_sync() -> None:
    """Options of every command; there are none."""


def main() -> None:
    """Run a command. What a user or the machine did is one sentence and exit code 1; a bug is a full traceback."""
    # Modules make objects that stay: to look at them again and again for garbage is a sixth of a short command's time.
    gc.set_threshold(50_000)
    try:
        app(prog_name="crm-sync")
    except Exception as error:
        # Imported here: most commands need none of what it knows.
        from crm_sync.cli import refusals
        from crm_sync.cli.output import errors

        if (told := refusals.sentence(error)) is None:
            raise
        errors.print("crm-sync:", told, style="red", markup=False)
        sys.exit(1)
