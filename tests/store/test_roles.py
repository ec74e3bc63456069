"""A PostgreSQL of one's own: who may bring it to the head, who may work in it, and what an admin is told to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from crm_sync import embedded
from crm_sync.embedded import Servers
from crm_sync.errors import ConfigError
from crm_sync.store import schema
from crm_sync.store.engine import make_engine

MAKE_ROLE = "CREATE ROLE crm_sync_app NOLOGIN"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Servers]:
    """A whole PostgreSQL, since roles belong to all of it: an owner and a worker without any right to make roles."""
    with embedded.running(tmp_path / "servers", durable=False) as up:
        sockets = parse_qs(urlsplit(up.database_url).query)["host"][0]
        with (Path(sockets).parent / "pg_hba.conf").open("a") as rules:
            rules.write("local all crm_owner,crm_worker trust\n")
        admin(up, "CREATE ROLE crm_owner LOGIN", "CREATE ROLE crm_worker LOGIN", "CREATE DATABASE crm OWNER crm_owner")
        admin(up, "SELECT pg_reload_conf()")
        yield up


def admin(servers: Servers, *statements: str) -> None:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def url(servers: Servers, role: str) -> str:
    parts = urlsplit(servers.database_url)
    return f"postgresql://{role}@/crm?{parts.query}"


def check(database_url: str) -> None:
    """What every command does first."""
    with closing_engine(database_url) as engine:
        schema.check(engine)


@contextmanager
def closing_engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def test_given_an_owner_who_may_not_create_roles_when_upgraded_then_the_sql_for_an_admin_is_told(
    cluster: Servers,
) -> None:
    with pytest.raises(ConfigError) as refusal:
        schema.upgrade(url(cluster, "crm_owner"))

    told = str(refusal.value)
    assert "CREATE ROLE crm_sync_app NOLOGIN; GRANT crm_sync_app TO crm_owner;" in told
    admin(cluster, *told.partition("run: ")[2].rstrip(";").split("; "))
    assert schema.upgrade(url(cluster, "crm_owner")) == schema.head()
    check(url(cluster, "crm_owner"))


def test_given_a_worker_of_its_own_when_it_may_not_take_the_role_then_the_grant_is_told_and_helps(
    cluster: Servers,
) -> None:
    admin(cluster, MAKE_ROLE)
    schema.upgrade(url(cluster, "crm_owner"))

    with pytest.raises(ConfigError) as refusal:
        check(url(cluster, "crm_worker"))

    assert 'GRANT crm_sync_app TO "crm_worker";' in str(refusal.value)
    admin(cluster, 'GRANT crm_sync_app TO "crm_worker"')
    check(url(cluster, "crm_worker"))


def test_given_a_worker_of_its_own_when_it_works_then_it_can_neither_migrate_nor_rewrite_the_audit_log(
    cluster: Servers,
) -> None:
    admin(cluster, MAKE_ROLE, "GRANT crm_sync_app TO crm_worker")
    schema.upgrade(url(cluster, "crm_owner"))

    with closing_engine(url(cluster, "crm_worker")) as engine:
        for forbidden in (
            "DELETE FROM audit_entry",
            "UPDATE audit_block SET entries = 0",
            "CREATE TABLE stray (a int)",
        ):
            with engine.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
                connection.execute(text(forbidden))


def test_given_a_database_that_nobody_upgraded_when_opened_then_it_says_to_upgrade_it(cluster: Servers) -> None:
    with pytest.raises(ConfigError, match="run `crm-sync database upgrade` as the database's owner"):
        check(url(cluster, "crm_worker"))


def test_given_a_statement_that_fails_when_logged_then_no_value_of_a_lead_is_in_it(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failure:
        connection.execute(text("SELECT CAST(:email AS uuid), :phone"), {"email": "1", "phone": "ada@example.com"})

    assert "ada@example.com" not in str(failure.value)
