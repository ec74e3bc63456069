"""Housekeeping: the sealer of the audit log."""

from __future__ import annotations

from celery import shared_task

from crm_sync.workers.process import installation


@shared_task(name="keep.seal")
def seal() -> None:
    """Chain what was committed since the last block, and write the block's root outside the database."""
    from crm_sync.flows.seal import seal

    ours = installation()
    seal(ours.transaction, ours.keys, ours.settings.home / "audit-roots.log", ours.now())
