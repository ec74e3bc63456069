"""What one worker process holds: its installation, made after the fork, and the way to nudge other workers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import current_app
from celery.signals import worker_process_init, worker_process_shutdown
from kombu.exceptions import OperationalError

if TYPE_CHECKING:
    from crm_sync.wiring import Installation

log = logging.getLogger("crm_sync.workers")

_held: dict[str, Installation] = {}


@worker_process_init.connect
def begin(**_: Any) -> None:
    """Make the installation in the child: the parent opens no connection and imports no Polars (design, prefork)."""
    installation()


@worker_process_shutdown.connect
def end(**_: Any) -> None:
    if held := _held.pop("installation", None):
        held.close()


def installation() -> Installation:
    """This process's installation."""
    if "installation" not in _held:
        from crm_sync.settings import Settings
        from crm_sync.wiring import Installation

        _held["installation"] = Installation(Settings.from_env())
    return _held["installation"]


def nudge(task: str, *args: Any) -> None:
    """Ask whoever is free to look at the rows now. Best effort: a lost nudge costs a minute, never a lead."""
    try:
        current_app.send_task(task, args=args, expires=60, retry=False)
    except OperationalError as error:
        log.warning("nudge lost task=%s reason=%s", task, type(error).__name__)
