"""Databases for tests: copies of a migrated template that are emptied and used again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from crm_sync.embedded import Servers
from crm_sync.store.engine import make_engine

_SHAPE = """
    SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
           (SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
           (SELECT count(*) FROM pg_trigger WHERE tgenabled = 'O'), (SELECT count(*) FROM pg_index),
           (SELECT string_agg(version_num, ',') FROM alembic_version)
"""
_TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
       AND NOT relispartition AND relname <> 'alembic_version'
"""


@dataclass(frozen=True, slots=True)
class Place:
    """One database, with an engine under the application's role that stays open from test to test."""

    name: str
    url: str
    engine: Engine


class Places:
    """The databases of one pytest process. One that a test has changed the schema of is thrown away."""

    def __init__(self, servers: Servers, template: str) -> None:
        self._servers, self._template = servers, template
        self._free: list[Place] = []
        with psycopg.connect(self._url(template)) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()
            tables = [row[0] for row in connection.execute(_TABLES)]
        delete = sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for table in tables)
        self._empty = sql.SQL("SET session_replication_role = replica; ") + delete

    def take(self) -> Place:
        if self._free:
            return self._free.pop()
        name = f"test_{uuid.uuid4().hex}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._as_owner(create.format(sql.Identifier(name), sql.Identifier(self._template)))
        url = self._url(name)
        return Place(name, url, make_engine(url))

    def give_back(self, place: Place) -> None:
        if self._emptied(place):
            self._free.append(place)
        else:
            self._drop(place)

    def close(self) -> None:
        while self._free:
            self._drop(self._free.pop())

    def _emptied(self, place: Place) -> bool:
        """Whether it is as new: nothing in it, numbers begin at 1, and its schema is the template's."""
        try:
            with psycopg.connect(place.url, options="-c lock_timeout=2000") as connection:
                if connection.execute(_SHAPE).fetchone() != self._shape:
                    return False
                connection.execute(self._empty)
                connection.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")
        except psycopg.Error:  # a test left a lock behind, or the database itself is gone
            return False
        return True

    def _drop(self, place: Place) -> None:
        place.engine.dispose()
        self._as_owner(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.name)))

    def _as_owner(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._servers.database_url, autocommit=True) as connection:
            connection.execute(statement)

    def _url(self, name: str) -> str:
        return make_url(self._servers.database_url).set(database=name).render_as_string(hide_password=False)
