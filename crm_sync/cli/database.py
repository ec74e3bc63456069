"""`crm-sync database …`: the schema of a database of your own."""

from __future__ import annotations

from contextlib import ExitStack

import typer

from crm_sync.cli.opened import held
from crm_sync.cli.output import say
from crm_sync.settings import Settings
from crm_sync.store import schema

app = typer.Typer(help="Bring the database's schema to the head that this version needs.", no_args_is_help=True)


@app.command(epilog="Example: CRM_SYNC_DATABASE_URL=postgresql://owner@db/crm_sync crm-sync database upgrade")
def upgrade() -> None:
    """Bring the database to the head. Run it as the database's owner, once before each new version."""
    with ExitStack() as stack:
        settings = held(stack, Settings.from_env())
        say(f"The database is at revision {schema.upgrade(settings.database_url)}.")
