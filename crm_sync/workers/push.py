"""The push leg's tasks."""

from __future__ import annotations

from celery import shared_task

from crm_sync.workers.process import installation, nudge, told


@shared_task(name="push.due")
def due() -> None:
    """Nudge a worker for each connection that has something to push."""
    from crm_sync.store import outbox

    ours = installation()
    with ours.transaction() as session:
        found = outbox.due_connections(session, ours.now())
    for connection in found:
        nudge("push.connection", connection)


@shared_task(name="push.connection")
def connection(connection: int) -> None:
    """Push what waits for one connection, batch by batch."""
    from crm_sync.flows.push import push

    ours = installation()
    with told(leg="push", connection_id=connection):
        while target := ours.target(connection):
            if not push(ours.transaction, target, ours.now(), span=ours.claim_span, draw=ours.draw).more:
                return
