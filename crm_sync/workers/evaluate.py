"""The evaluate leg's tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import shared_task

from crm_sync.workers.process import installation, nudge, told

if TYPE_CHECKING:
    from crm_sync.flows.evaluate import Evaluated


@shared_task(name="evaluate.waiting")
def waiting() -> None:
    """Evaluate batch by batch until nobody waits; an urgent one lets the push leg go on at once."""
    from crm_sync.flows.evaluate import LARGE_BATCH, evaluate

    ours = installation()

    def batch() -> Evaluated:
        return evaluate(ours.transaction, ours, ours.now(), span=ours.evaluation_span, large=LARGE_BATCH)

    with told(leg="evaluate"):
        while (evaluated := batch()).people:
            if evaluated.entries and evaluated.urgent:
                nudge("push.due")


@shared_task(name="evaluate.ageing")
def ageing() -> None:
    """Let those wait whose score changes by time alone."""
    from crm_sync.store import inbox

    ours = installation()
    with ours.transaction() as session:
        aged = inbox.add_ageing(session, ours.now(), most=20_000)
    if aged:
        nudge("evaluate.waiting")
