"""File locks (flock) that last as long as some process keeps the descriptor, and are let go of by the kernel.

A lock is inherited with its descriptor: a server that is started with the descriptor of a lock holds it, and so do
its own children, until the last of them is gone. That is how we know that a server has really ended, whatever pid
files say.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def take(path: Path) -> int:
    """Wait until nobody else holds `path` in any way; the descriptor holds it alone."""
    return _lock(path, fcntl.LOCK_EX)


def try_take(path: Path) -> int | None:
    """Like `take`, but None where somebody holds it."""
    try:
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def share(path: Path) -> int:
    """Hold `path` together with others who share it; waits while somebody holds it alone."""
    return _lock(path, fcntl.LOCK_SH)


def only_mine(descriptor: int) -> bool:
    """Turn a shared hold into a sole one. False where others share it; the hold is then lost."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(path: Path, how: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
