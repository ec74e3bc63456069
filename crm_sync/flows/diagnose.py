"""Diagnose: look at what an installation stands on. Nothing is changed; each Check says what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from celery import Celery
from kombu import Connection as BrokerConnection
from kombu.exceptions import OperationalError
from sqlalchemy import Engine

from crm_sync.domain.connections import PULLING, Connection
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.policies import PolicyVersion
from crm_sync.errors import ConfigError
from crm_sync.ports import Check
from crm_sync.store import feeds, schema
from crm_sync.store.engine import Transaction
from crm_sync.store.feeds import FeedStatus

LEAST_FREE = 1 << 30
"""Bytes that have to be free: PostgreSQL stops when a disk is full."""

ANSWER_WITHIN = 1.0
"""Seconds that workers and broker get."""

STANDS_STILL = timedelta(minutes=2)
"""After its time a feed is read within seconds; what is later than this waits for nobody."""


def home(path: Path) -> Check:
    """Room where the data lives."""
    standing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(standing).free
    found = f"{path}, {free / (1 << 30):.1f} GiB free"
    if free < LEAST_FREE:
        return Check(name="disk", passed=False, found=found, advice="Make room, or name another CRM_SYNC_HOME.")
    return Check(name="disk", passed=True, found=found)


def secret_key(file: Path | None, home: Path) -> Check:
    """Where the key is that seals credentials; None where the environment holds it. Its value is never looked at."""
    if file is None:
        return Check(name="secret key", passed=True, found="from CRM_SYNC_SECRET_KEY")
    mode = file.stat().st_mode & 0o777
    found = f"{file}, mode {mode:o}"
    if mode & 0o077:
        return Check(name="secret key", passed=False, found=found, advice=f"Run: chmod 600 '{file}'.")
    if file.resolve().is_relative_to(home.resolve()):
        advice = (
            f"Move it out of {home} (CRM_SYNC_SECRET_KEY_FILE names it): a copy of the data alone must open nothing."
        )
        return Check(name="secret key", passed=False, found=found, advice=advice)
    return Check(name="secret key", passed=True, found=f"{found}; keep a copy of it apart from the backups")


def database(engine: Engine) -> Check:
    """Whether the database can be reached and is at the head that this version needs."""
    try:
        standing = schema.current(engine)
        schema.check(engine)
    except ConfigError as error:
        return Check(name="database", passed=False, found="not usable", advice=_sentence(error))
    with engine.connect() as connection:
        version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    return Check(name="database", passed=True, found=f"PostgreSQL {version}, schema at {standing}")


def broker(url: str) -> Check:
    """A real ping through the transport that the workers use."""
    limits = {"socket_connect_timeout": 3, "socket_timeout": 3}
    with BrokerConnection(url, connect_timeout=3, transport_options=limits) as connection:
        try:
            connection.connect()
            # Redis connects when it is first used.
            connection.channel().close()
        except (OSError, OperationalError, *connection.connection_errors, *connection.channel_errors) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            return Check(
                name="broker",
                passed=False,
                found=f"{connection.as_uri()} doesn't answer ({reason})",
                advice="Start it, or correct CRM_SYNC_BROKER_URL. Nothing is lost meanwhile.",
            )
        return Check(name="broker", passed=True, found=connection.as_uri())


def workers(url: str) -> Check:
    """Ask the workers through the broker, and wait a second."""
    with Celery(broker=url, set_as_current=False) as app:
        answers = app.control.ping(timeout=ANSWER_WITHIN)
    names = sorted(name for answer in answers for name in answer)
    if not names:
        advice = "Start them: `crm-sync up`, or your Celery services (docs/production.md)."
        return Check(name="workers", passed=False, found="none answered within a second", advice=advice)
    return Check(name="workers", passed=True, found=f"{len(names)} answered: {', '.join(names)}")


def policy(read: Callable[[], PolicyVersion]) -> Check:
    """Whether a policy is in force that this version understands."""
    try:
        found = read()
    except ConfigError as error:
        return Check(name="policy", passed=False, found="none in force", advice=_sentence(error))
    if problems := found.problems():
        return Check(name="policy", passed=False, found=problems[0], advice="Publish a corrected policy.")
    return Check(name="policy", passed=True, found=f"version {found.content_hash[:12]}")


def mapping(
    connection: Connection, version: MappingVersion | None, ask: Callable[[], Iterable[str]] | None
) -> Iterator[Check]:
    """Whether a mapping is in force and fits the CRM as it is now: fields come and go (schema drift).

    `ask` asks the CRM for problems; None where it doesn't let us in.
    """
    if version is None:
        advice = f"Run `crm-sync mapping publish FILE --connection {connection.name}`; until then nothing is pulled."
        yield Check(name="mapping", passed=False, found="none in force", advice=advice)
        return
    named = f"version {version.content_hash[:12]}"
    if ask is None:
        yield Check(name="mapping", passed=True, found=f"{named} is in force; it couldn't be held against the CRM")
        return
    problems = list(ask())
    for problem in problems:
        yield Check(name="mapping", passed=False, found=problem)
    if not problems:
        yield Check(name="mapping", passed=True, found=f"{named} fits the CRM")


def pulling(transaction: Transaction, connection: Connection, now: datetime) -> Iterator[Check]:
    """The last sign of beat and workers at one connection: is any feed read when its time comes, and is one refused."""
    if connection.state not in PULLING:
        return
    with transaction() as session:
        followed = feeds.status(session, connection.id, now)
    for feed in followed:
        if feed.last_problem:
            advice = "It is tried again by itself; if it stays, correct what it names."
            yield Check(name=f"feed {feed.name}", passed=False, found=feed.last_problem, advice=advice)
    if followed:
        yield _freshness(followed, now)


def _freshness(followed: list[FeedStatus], now: datetime) -> Check:
    # A feed of an object that no mapping names never moves, so the one that is due latest tells whether any moves.
    late = now - max(feed.next_due for feed in followed)
    if late > STANDS_STILL and not any(feed.leased for feed in followed):
        minutes = round(late.total_seconds() / 60)
        advice = "Start beat and the workers: `crm-sync up`, or your Celery services."
        return Check(name="pulling", passed=False, found=f"no feed was read for {minutes:,} minutes", advice=advice)
    known = [feed.watermark for feed in followed if feed.watermark]
    until = f"read up to {max(known):%Y-%m-%d %H:%M:%S} UTC" if known else "nothing read yet"
    return Check(name="pulling", passed=True, found=until)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
