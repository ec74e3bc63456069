"""The pull leg's tasks."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task

from crm_sync.errors import CrmSyncError
from crm_sync.workers.process import installation, nudge, told

SOON = timedelta(seconds=30)
"""When a feed is looked at again whose CRM can't be asked now."""

SELDOM = timedelta(minutes=10)
"""When a feed is looked at again that nothing uses: a mapping may come to use it, and hurries it then."""


@shared_task(name="pull.due")
def due() -> None:
    """Nudge a worker for each feed whose time has come."""
    from crm_sync.store import feeds

    ours = installation()
    with ours.transaction() as session:
        found = feeds.due(session, ours.now())
    for connection, name in found:
        nudge("pull.feed", connection, name)


@shared_task(name="pull.feed")
def feed(connection: int, name: str) -> None:
    """Read one feed page by page until it has no more; each page lets the evaluate leg go on."""
    from crm_sync.flows.pull import pull
    from crm_sync.store import feeds

    ours = installation()
    if not ours.may_pull(connection):
        return
    with told(leg="pull", connection_id=connection, feed=name):
        try:
            source = ours.source(connection, name)
        except CrmSyncError as error:
            with ours.transaction() as session:
                feeds.postpone(session, connection, name, ours.now() + SOON, problem=str(error))
            raise
        if source is None:
            with ours.transaction() as session:
                feeds.postpone(session, connection, name, ours.now() + SELDOM)
            return
        while True:
            pulled = pull(ours.transaction, source, ours.now(), span=ours.lease_span)
            if pulled.waiting or not pulled.more:
                nudge("evaluate.waiting")
            if not pulled.more:
                return
