"""The evaluate leg's tasks."""

from __future__ import annotations

from celery import shared_task

from crm_sync.workers.process import installation, nudge


@shared_task(name="evaluate.waiting")
def waiting() -> None:
    """Evaluate batch by batch until nobody waits; an urgent one lets the push leg go on at once."""
    from crm_sync.flows.evaluate import evaluate

    ours = installation()
    while (evaluated := evaluate(ours.transaction, ours, ours.now(), span=ours.evaluation_span)).people:
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
