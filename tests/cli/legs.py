"""Running all three legs in this process, by the same wiring that the workers use, until nothing waits."""

from __future__ import annotations

from crm_sync.flows.evaluate import evaluate
from crm_sync.flows.pull import pull
from crm_sync.flows.push import push
from crm_sync.settings import Settings
from crm_sync.store import feeds, outbox
from crm_sync.store.connections import listed
from crm_sync.wiring import Installation


def settle(settings: Settings) -> None:
    """Pull what was never read and every change of people, evaluate who waits, push what waits.

    Other feeds are read once: HubSpot lets a portal search a few times a second, and each feed is a search.
    """
    ours = Installation(settings)
    try:
        with ours.transaction() as session:
            followed = [
                (each.id, feed.name, feed.watermark is None)
                for each in listed(session)
                for feed in feeds.status(session, each.id, ours.now())
            ]
        for connection, name, is_first in followed:
            source = ours.source(connection, name)
            if source is None:
                with ours.transaction() as session:
                    feeds.postpone(session, connection, name, ours.now())
                continue
            if not is_first and name not in source.mapping.people:
                continue
            while pull(ours.transaction, source, ours.now(), span=ours.lease_span, early=True).more:
                pass
        while evaluate(ours.transaction, ours, ours.now(), span=ours.evaluation_span).people:
            pass
        with ours.transaction() as session:
            due = outbox.due_connections(session, ours.now())
        for connection in due:
            while (target := ours.target(connection)) and push(
                ours.transaction, target, ours.now(), span=ours.claim_span, draw=ours.draw
            ).more:
                pass
    finally:
        ours.close()
