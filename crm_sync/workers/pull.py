"""The pull leg's tasks."""

from __future__ import annotations

from celery import shared_task

from crm_sync.workers.process import installation, nudge


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
    source = ours.source(connection, name)
    if source is None:
        with ours.transaction() as session:
            feeds.postpone(session, connection, name, ours.now())
        return
    while True:
        pulled = pull(ours.transaction, source, ours.now(), span=ours.lease_span)
        if pulled.waiting or not pulled.more:
            nudge("evaluate.waiting")
        if not pulled.more:
            return
