"""Seal: chain the newest audit entries into a block, and write its root where the database can't reach it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from crm_sync.domain.keys import Keys
from crm_sync.store import audit
from crm_sync.store.engine import Transaction


def seal(transaction: Transaction, keys: Keys, roots: Path, now: datetime) -> audit.Block | None:
    """One block of what was committed since the last one, if anything.

    The root goes into `roots` after the commit. A crash between the two leaves a block without an outside root, which
    the next one covers: the roots are chained.
    """
    with transaction() as session:
        block = audit.seal(session, keys, now)
    if block is not None:
        roots.parent.mkdir(parents=True, exist_ok=True)
        with roots.open("a") as file:
            file.write(f"{block.number} {block.root.hex()}\n")
    return block


def outside_roots(roots: Path) -> list[tuple[int, str]]:
    """Block numbers and roots as they were written outside the database; empty where there are none yet."""
    if not roots.exists():
        return []
    pairs = (line.split() for line in roots.read_text().splitlines() if line.strip())
    return [(int(number), root) for number, root in pairs]
