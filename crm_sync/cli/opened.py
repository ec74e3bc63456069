"""An installation, opened for one command: embedded servers held while it runs, the schema at its head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from crm_sync.cli.output import note
from crm_sync.settings import Settings
from crm_sync.store import schema
from crm_sync.wiring import Installation


@contextmanager
def opened() -> Iterator[Installation]:
    """The installation that the environment describes.

    Without CRM_SYNC_DATABASE_URL and CRM_SYNC_BROKER_URL the embedded servers are started (or joined, where `crm-sync
    up` runs already) and their schema brought to its head; a database of your own is only checked.
    """
    with ExitStack() as stack:
        settings = held(stack, Settings.from_env())
        installation = Installation(settings)
        stack.callback(installation.close)
        schema.check(installation.engine)
        yield installation


def held(stack: ExitStack, settings: Settings) -> Settings:
    """Settings that name a database and a broker, which stay up until `stack` is closed."""
    if not settings.embedded:
        return settings
    from crm_sync import embedded

    servers = stack.enter_context(embedded.running(settings.home / "servers", report=note))
    schema.upgrade(servers.database_url)
    return replace(settings, database_url=servers.database_url, broker_url=servers.broker_url)
