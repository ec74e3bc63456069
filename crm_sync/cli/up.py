"""`crm-sync up`: everything of one installation in one terminal."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from typing import Annotated

import typer

from crm_sync.cli import sandboxed
from crm_sync.cli.opened import held
from crm_sync.cli.output import errors, note, say
from crm_sync.cli.stack import Stack
from crm_sync.errors import ConfigError
from crm_sync.flows import diagnose
from crm_sync.settings import Settings
from crm_sync.store import schema
from crm_sync.store.engine import make_engine


def up(
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Run the sandbox CRMs beside it.")] = False,
    people: Annotated[int, typer.Option(min=1, help="How many people live in the sandbox.")] = 5_000,
) -> None:
    """Run servers, workers and beat until Ctrl-C.

    Without CRM_SYNC_DATABASE_URL and CRM_SYNC_BROKER_URL an embedded PostgreSQL and Valkey run with it. In production
    run the workers as services instead; docs/production.md has the commands.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with ExitStack() as stack:
        settings = held(stack, Settings.from_env())
        engine = make_engine(settings.database_url)
        schema.check(engine)
        engine.dispose()
        broker = diagnose.broker(settings.broker_url)
        if not broker.passed:
            raise ConfigError(f"the broker {broker.found}; start it, or correct CRM_SYNC_BROKER_URL")
        processes = stack.enter_context(Stack(settings, _line))
        if sandbox:
            ready = sandboxed.start(processes, settings.home / "run", people=people, activities=people * 8)
            say(sandboxed.how_to_connect(ready))
        processes.start_workers()
        say("crm-sync is up: pull, evaluate and push work. Ctrl-C stops it.")
        while not stopping.wait(1):
            if ended := processes.ended():
                name, code = ended[0]
                raise ConfigError(f"{name} ended with exit code {code}; its last lines above say why")
        note("stopping …")


def _line(name: str, line: str) -> None:
    errors.print(f"{name:>9} | {line}", markup=False, style="dim")
