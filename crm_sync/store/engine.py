"""The database engine, and transactions: committed at the end, rolled back on any error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import orjson
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, InvalidParameterValue, SerializationFailure
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from crm_sync.errors import ConfigError
from crm_sync.store import arrays

Transaction = Callable[[], AbstractContextManager[Session]]
"""Opens a transaction as a context: `with transaction() as session`."""

Result = TypeVar("Result")

APPLICATION_ROLE = "crm_sync_app"


def driver_url(url: str) -> str:
    """`url` with the driver that we use, whatever way its scheme is spelled."""
    _, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}"


def make_engine(url: str, *, application_role: bool = True) -> Engine:
    """An engine on `url`. No connection is made yet.

    With `application_role` every connection works under the role that can't rewrite the audit log (law 18);
    migrations go without.
    """
    engine = create_engine(
        driver_url(url),
        pool_size=4,
        max_overflow=4,
        pool_pre_ping=False,
        hide_parameters=True,  # an error is logged with its statement, and leads' values are in no log (law 19)
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={"application_name": "crm-sync"},
    )

    @event.listens_for(engine, "connect")
    def dump_lists(connection: Any, _: Any) -> None:
        arrays.register(connection.adapters)

    if application_role:

        @event.listens_for(engine, "connect")
        def take_role(connection: Any, _: Any) -> None:
            try:
                connection.execute(f"SET ROLE {APPLICATION_ROLE}")
            except (InsufficientPrivilege, InvalidParameterValue) as error:
                refusal = _role_refused(connection.info.user, error)
                connection.close()
                raise ConfigError(refusal) from error
            connection.commit()

    return engine


def _role_refused(user: str, error: Exception) -> str:
    if isinstance(error, InsufficientPrivilege):
        return (
            f"the role {user} may not work as {APPLICATION_ROLE}; let an admin run: "
            f'GRANT {APPLICATION_ROLE} TO "{user}";'
        )
    return f"the role {APPLICATION_ROLE} doesn't exist yet; run `crm-sync database upgrade` as the database's owner"


def transactions(engine: Engine) -> Transaction:
    """The way to open transactions on `engine`."""

    @contextmanager
    def transaction() -> Iterator[Session]:
        with Session(engine) as session, session.begin():
            yield session

    return transaction


def committed(transaction: Transaction, work: Callable[[Session], Result], *, tries: int = 4) -> Result:
    """Do `work` in a transaction and commit; do it again where PostgreSQL chose it as the victim of a deadlock.

    Everything takes its row locks in the order record, outbox, person, inbox, and by id within each, so this is rare.
    """
    for attempt in range(1, tries + 1):
        try:
            with transaction() as session:
                return work(session)
        except OperationalError as error:
            if attempt == tries or not isinstance(error.orig, DeadlockDetected | SerializationFailure):
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def rows(session: Session, statement: str, **values: Any) -> Sequence[Any]:
    """Run one SQL statement and fetch its rows."""
    return session.connection().execute(text(statement), values).all()


def run(session: Session, statement: str, **values: Any) -> int:
    """Run one SQL statement; how many rows it touched."""
    return session.connection().execute(text(statement), values).rowcount


def reachable(engine: Engine) -> None:
    """Raise ConfigError with one sentence where the database can't be reached."""
    try:
        with engine.connect():
            pass
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
        raise ConfigError(
            f"the database can't be reached ({reason}); check CRM_SYNC_DATABASE_URL or run `crm-sync up`"
        ) from error
