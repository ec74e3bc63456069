"""The audit log: entries appended in the commit of what they tell of, sealed into chained blocks seconds later.

A block covers every entry whose transaction is at or past the end of the block before it and below the snapshot's
xmin at sealing: all transactions below xmin have ended, so no entry can still slip in below a sealed block.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from crm_sync.domain.audit import AuditEntry, payload_digest, payload_text
from crm_sync.domain.keys import Keys
from crm_sync.store.engine import rows, run

SEALING = 7_700_002


def append(session: Session, entries: Sequence[AuditEntry], now: datetime) -> None:
    """Append entries, in order, in one statement."""
    if not entries:
        return
    payloads = [payload_text(entry) for entry in entries]
    salts = [os.urandom(16) for _ in entries]
    run(
        session,
        """
        WITH incoming AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('audit_entry', 'id')) AS id, told.*
            FROM unnest(CAST(:actors AS text[]), CAST(:kinds AS text[]), CAST(:subjects AS text[]),
                        CAST(:digests AS bytea[]), CAST(:salts AS bytea[]), CAST(:payloads AS text[]))
                 AS told (actor, kind, subject, digest, salt, payload)
        ), payloads AS (
            INSERT INTO audit_payload (entry_id, salt, payload) SELECT id, salt, payload FROM incoming
        )
        INSERT INTO audit_entry (id, at, actor, kind, subject, digest) OVERRIDING SYSTEM VALUE
        SELECT id, :now, actor, kind, subject, digest FROM incoming
        """,
        now=now,
        actors=[entry.actor for entry in entries],
        kinds=[entry.kind for entry in entries],
        subjects=[entry.subject for entry in entries],
        digests=[payload_digest(salt, text) for salt, text in zip(salts, payloads, strict=True)],
        salts=salts,
        payloads=payloads,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A sealed run of entries."""

    number: int
    entries: int
    root: bytes


def seal(session: Session, keys: Keys, now: datetime) -> Block | None:
    """Chain what has been committed since the last block. None where there is nothing new or somebody else seals."""
    [free] = rows(session, "SELECT pg_try_advisory_xact_lock(:lock) AS free", lock=SEALING)
    if not free.free:
        return None
    [last] = rows(
        session,
        """
        SELECT coalesce(max(number), 0) AS number, coalesce(max(to_transaction::text::bigint), 0) AS until,
               pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
               (SELECT root FROM audit_block ORDER BY number DESC LIMIT 1) AS root
        FROM audit_block
        """,
    )
    count, body = _body(session, last.until, last.xmin)
    if not count:
        return None
    root = keys.audit_root(bytes(last.root or b""), body)
    run(
        session,
        """
        INSERT INTO audit_block (number, from_transaction, to_transaction, entries, sealed_at, root)
        VALUES (:number, CAST(CAST(:low AS text) AS xid8), CAST(CAST(:high AS text) AS xid8), :entries, :now, :root)
        """,
        number=last.number + 1,
        low=str(last.until),
        high=str(last.xmin),
        entries=count,
        now=now,
        root=root,
    )
    return Block(number=last.number + 1, entries=count, root=root)


def _body(session: Session, low: int, high: int) -> tuple[int, bytes]:
    """How many entries a block holds, and the digest of all that the chain covers of them, in order."""
    digest = hashlib.sha256(f"{low}-{high}".encode())
    count = 0
    for row in rows(
        session,
        """
        SELECT id, at, actor, kind, subject, digest FROM audit_entry
        WHERE transaction >= CAST(CAST(:low AS text) AS xid8) AND transaction < CAST(CAST(:high AS text) AS xid8)
        ORDER BY transaction, id
        """,
        low=str(low),
        high=str(high),
    ):
        line = f"{row.id}|{row.at.timestamp():.6f}|{row.actor}|{row.kind}|{row.subject}|".encode()
        digest.update(line + bytes(row.digest) + b"\n")
        count += 1
    return count, digest.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `verify` found. `damage` is empty where the log is whole."""

    blocks: int
    entries: int
    unsealed: int
    erased: int
    damage: tuple[str, ...]


def verify(session: Session, keys: Keys, outside: Sequence[tuple[int, str]] = ()) -> Verdict:
    """Walk the whole chain again, and hold every payload against its digest.

    `outside` are block roots (number, hex) as they were written outside the database: they tell a tail that was cut
    off, or a chain that somebody with the key wrote anew.
    """
    damage: list[str] = []
    previous, until, entries = b"", 0, 0
    known: dict[int, str] = {}
    blocks: Sequence[Any] = rows(
        session,
        """
        SELECT number, from_transaction::text::bigint AS low, to_transaction::text::bigint AS high, entries, root
        FROM audit_block ORDER BY number
        """,
    )
    for expected, block in enumerate(blocks, start=1):
        count, body = _body(session, block.low, block.high)
        if block.number != expected or block.low != until:
            damage.append(f"block {expected} is missing before block {block.number}")
        if count != block.entries:
            damage.append(f"block {block.number} holds {count} entries, {block.entries} were sealed")
        elif keys.audit_root(previous, body) != bytes(block.root):
            damage.append(f"block {block.number} was changed after it was sealed")
        previous, until, entries = bytes(block.root), block.high, entries + count
        known[block.number] = bytes(block.root).hex()
    for number, root in outside:
        if known.get(number) != root:
            damage.append(f"block {number} is not the one whose root was written outside")
    [rest] = rows(
        session,
        "SELECT count(*) AS n FROM audit_entry WHERE transaction >= CAST(CAST(:until AS text) AS xid8)",
        until=str(until),
    )
    changed = rows(
        session,
        """
        SELECT id FROM audit_entry JOIN audit_payload ON entry_id = id
        WHERE digest <> sha256(salt || convert_to(payload, 'UTF8')) ORDER BY id LIMIT 20
        """,
    )
    damage += [f"the payload of entry {row.id} was changed" for row in changed]
    [erased] = rows(
        session,
        "SELECT count(*) AS n FROM audit_entry WHERE NOT EXISTS (SELECT FROM audit_payload WHERE entry_id = id)",
    )
    return Verdict(blocks=len(blocks), entries=entries, unsealed=rest.n, erased=erased.n, damage=tuple(damage))


def about(session: Session, subjects: Sequence[str]) -> list[Any]:
    """Entries about these subjects, oldest first, with their payloads (None where erased)."""
    return list(
        rows(
            session,
            """
            SELECT id, at, actor, kind, subject, payload FROM audit_entry LEFT JOIN audit_payload ON entry_id = id
            WHERE subject = ANY(CAST(:subjects AS text[])) ORDER BY id
            """,
            subjects=list(subjects),
        )
    )


def everything(session: Session, after: int = 0, *, page: int = 5_000) -> Iterator[Any]:
    """Every entry after number `after`, in order, page by page."""
    while found := rows(
        session,
        """
        SELECT id, at, actor, kind, subject, encode(digest, 'hex') AS digest, payload
        FROM audit_entry LEFT JOIN audit_payload ON entry_id = id
        WHERE id > :after ORDER BY id LIMIT :page
        """,
        after=after,
        page=page,
    ):
        yield from found
        after = found[-1].id
