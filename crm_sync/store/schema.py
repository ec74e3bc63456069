"""The database's schema: is it at the head that this code was written for, and bringing it there."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

import migrations
from crm_sync.errors import ConfigError
from crm_sync.store.engine import APPLICATION_ROLE, make_engine

FOLDER = Path(migrations.__file__).parent


def revisions() -> list[str]:
    """Every revision that this code knows, oldest first, as the names of the migrations begin.

    Alembic is asked only to migrate: importing it costs a third of a second, and every command looks whether the
    schema is at its head.
    """
    return sorted(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py"))


def head() -> str:
    """The revision that this code was written for."""
    return revisions()[-1]


def current(engine: Engine) -> str:
    """The revision that the database is at; empty for a fresh one. ConfigError where it can't be reached."""
    try:
        with engine.connect() as connection:
            if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return ""
            return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")
    except OperationalError as error:
        lines = str(error.orig).strip().splitlines() if error.orig else ["no answer"]
        raise ConfigError(
            f"the database can't be reached ({lines[0]}); check CRM_SYNC_DATABASE_URL, or unset it for the embedded one"
        ) from error


def upgrade(url: str) -> str:
    """Bring the database at `url` to the head, as its owner. Two at once are harmless: the second waits its turn."""
    engine = make_engine(url, application_role=False)
    try:
        standing = current(engine)
        if standing == head():
            return standing
        check_not_newer(standing)
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7700000)")
            _check_role(connection)
            _migrate(connection)
    except ProgrammingError as error:
        lines = str(error.orig).strip().splitlines()
        raise ConfigError(
            f"the database can't be upgraded ({lines[0]}); upgrade it as the role that owns the database"
        ) from error
    finally:
        engine.dispose()
    return head()


def _check_role(connection: Connection) -> None:
    """Raise ConfigError with the SQL for an admin where the application's role is missing and we may not make it."""
    role = "SELECT 1 FROM pg_roles WHERE rolname = %s"
    may_make = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    standing = connection.exec_driver_sql(role, (APPLICATION_ROLE,)).scalar()
    if not standing and not connection.exec_driver_sql(may_make).scalar():
        user = connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar_one()
        raise ConfigError(
            f"the role {APPLICATION_ROLE} doesn't exist in this PostgreSQL and {user} may not create it; let an admin "
            f"run: CREATE ROLE {APPLICATION_ROLE} NOLOGIN; GRANT {APPLICATION_ROLE} TO {user};"
        )


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check(engine: Engine) -> None:
    """Raise ConfigError where the database is not at our head, saying what to do."""
    standing = current(engine)
    check_not_newer(standing)
    if standing != head():
        raise ConfigError(
            f"the database is at revision {standing or 'none'}, this version needs {head()}; "
            "run `crm-sync database upgrade`"
        )


def check_not_newer(standing: str) -> None:
    """Raise ConfigError where a newer version of crm-sync has been at this database."""
    if standing and standing not in revisions():
        raise ConfigError(
            f"the database is at revision {standing}, which this version doesn't know; install the newer crm-sync that "
            "upgraded it, or restore a backup"
        )
