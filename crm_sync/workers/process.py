"""What one worker process holds: its installation, made after the fork, and the way to nudge other workers."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import current_app
from celery.beat import SchedulingError
from celery.signals import beat_init, worker_init, worker_process_init, worker_process_shutdown
from kombu.exceptions import OperationalError

from crm_sync.errors import CrmSyncError

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


@beat_init.connect
def say_once(**_: Any) -> None:
    """Without a broker, beat says one line for each nudge that it can't send instead of sixty."""
    logging.getLogger("celery.beat").addFilter(_shortened)


def _shortened(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], SchedulingError):
        record.msg, record.args, record.exc_info = str(record.exc_info[1]), (), None
    return True


@worker_init.connect
@beat_init.connect
def end_with_parent(**_: Any) -> None:
    """Stop when the process that started us ends, however it ends: its end of the pipe closes then."""
    if pipe := os.environ.get("CRM_SYNC_PARENT_PIPE"):
        threading.Thread(target=_wait_for_parent, args=(int(pipe),), daemon=True).start()


def _wait_for_parent(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def installation() -> Installation:
    """This process's installation."""
    if "installation" not in _held:
        from crm_sync.settings import Settings
        from crm_sync.wiring import Installation

        _held["installation"] = Installation(Settings.from_env())
    return _held["installation"]


@contextmanager
def told(**fields: Any) -> Iterator[None]:
    """A failure that somebody can act on is one line in the log, with what it is about; a bug keeps its traceback."""
    try:
        yield
    except CrmSyncError as error:
        about = " ".join(f"{name}={value}" for name, value in fields.items())
        log.warning("%s family=%s code=%s: %s", about, error.family, error.code, error)


def nudge(task: str, *args: Any) -> None:
    """Ask whoever is free to look at the rows now. Best effort: a lost nudge costs a minute, never a lead."""
    try:
        current_app.send_task(task, args=args, expires=60, retry=False)
    except OperationalError as error:
        log.warning("nudge lost task=%s reason=%s", task, type(error).__name__)
