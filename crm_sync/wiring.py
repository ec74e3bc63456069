"""The one place that joins settings, database, connectors and published versions into a working installation."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from sqlalchemy import Engine
from sqlmodel import Session

from connectors import registry
from crm_sync.domain.budgets import stretch
from crm_sync.domain.changes import POLL, Feed, Role, Walk
from crm_sync.domain.connections import PULLING, PUSHING, Connection, ConnectionId
from crm_sync.domain.keys import Keys
from crm_sync.domain.mappings import MappingVersion, parse_mapping
from crm_sync.domain.records import CrmKind
from crm_sync.errors import AuthError, ConfigError
from crm_sync.flows.pull import Source, is_wanted
from crm_sync.ports import Connector, Meter, SaveCredentials
from crm_sync.settings import Settings
from crm_sync.store import budgets, connections, model_versions, versions
from crm_sync.store.budgets import ConnectionMeter
from crm_sync.store.engine import Transaction, make_engine, transactions

log = logging.getLogger("crm_sync")

if TYPE_CHECKING:  # a command loads only the flow that it runs
    from crm_sync.domain.policies import PolicyVersion
    from crm_sync.domain.scores import Scorer
    from crm_sync.flows.connect import Means
    from crm_sync.flows.push import Target

Parsed = TypeVar("Parsed", "MappingVersion", "PolicyVersion")

CLAIM_MARGIN = timedelta(seconds=60)
"""How much longer a lease or claim lasts than the calls that are made under it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connector with the address and the mark of the credentials that it was opened with."""

    connector: Connector
    base_url: str
    mark: str
    confirmed: bool = False


@dataclass
class Installation:
    """One process's view of an installation: an engine, and clients that are made when first used.

    Made after a fork, never before. Everything that outlives a call is in the database.
    """

    settings: Settings
    draw: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._connectors: dict[ConnectionId, Opened] = {}
        self._parsed: dict[str, MappingVersion | PolicyVersion] = {}
        self._scorer: Scorer | None = None
        self._model_problem = ""

    def now(self) -> datetime:
        """The time that decisions are made at. A rehearsal may set it apart from the machine's."""
        return datetime.now(UTC) + self.settings.clock_offset

    @cached_property
    def engine(self) -> Engine:
        return make_engine(self.settings.database_url)

    @cached_property
    def transaction(self) -> Transaction:
        return transactions(self.engine)

    @cached_property
    def keys(self) -> Keys:
        return Keys(self.settings.secret_key)

    @property
    def lease_span(self) -> timedelta:
        """How long a lease on a feed lasts: a page is a few calls, each with its total deadline (law 14)."""
        return self.settings.call_deadline * 2 + CLAIM_MARGIN

    @property
    def claim_span(self) -> timedelta:
        """How long a claim on outbox entries lasts: with an owner for each record, a batch is some thirty calls."""
        return self.settings.call_deadline * 32 + CLAIM_MARGIN

    @property
    def evaluation_span(self) -> timedelta:
        """How long a claim on waiting people lasts: no CRM is called under it."""
        return timedelta(minutes=3)

    def connector(self, connection: Connection) -> Connector:
        """The connector of a connection, made once in this process, and again when address or credentials changed."""
        known = self._connectors.get(connection.id)
        if known and known.base_url == connection.base_url and known.mark == connection.credentials_mark:
            return known.connector
        with self.transaction() as session:
            credentials = connections.credentials(session, connection.id, self.keys)
        made = Opened(self.open_connector(connection, credentials), connection.base_url, connection.credentials_mark)
        self._connectors[connection.id] = made
        return made.connector

    def confirmed_connector(self, connection: Connection) -> Connector:
        """The connector that the legs work with: it was seen, once for each opening, to lead to the confirmed org.

        Raises AuthError where it doesn't, or isn't let in: the connection is stopped, nothing is read or written.
        """
        connector = self.connector(connection)
        if not self._connectors[connection.id].confirmed:
            self._confirm(connection, connector)
            self._connectors[connection.id] = replace(self._connectors[connection.id], confirmed=True)
        return connector

    def _confirm(self, connection: Connection, connector: Connector) -> None:
        try:
            identity = connector.identity()
        except AuthError as error:
            with self.transaction() as session:
                connections.needs_sign_in(session, connection, str(error), actor="worker", now=self.now())
            raise
        if connection.org_id and identity.org_id != connection.org_id:
            from crm_sync.flows.connect import wrong_org

            wrong_org.stop(self.transaction, connection, identity, actor="worker", now=self.now())
            raise AuthError(
                f"{connection.name} leads to {identity.name} ({identity.org_id}) now, not to {connection.org_name}; "
                f"if that is meant, run `crm-sync connect {connection.kind} --name {connection.name} --confirm-org`"
            )

    def open_connector(self, connection: Connection, credentials: Mapping[str, str]) -> Connector:
        """A connector with these credentials, metered on this connection's budget."""

        def save(renewed: Mapping[str, str]) -> None:
            with self.transaction() as session:
                mark = connections.save_credentials(session, connection.id, renewed, self.keys)
            if opened := self._connectors.get(connection.id):
                self._connectors[connection.id] = replace(opened, mark=mark)

        return registry.open_connector(
            connection.kind,
            base_url=connection.base_url,
            credentials=credentials,
            meter=self.meter(connection),
            save_credentials=save,
            deadline=self.settings.call_deadline,
            now=_machine_time,
            hold_credentials=lambda: connections.held_credentials(
                self.engine, self.transaction, connection.id, self.keys
            ),
        )

    def means(self, kind: CrmKind, base_url: str, credentials: Mapping[str, str]) -> Means:
        """What the connect flow works with: credentials that no connection holds yet."""

        def open_it(meter: Meter, save: SaveCredentials) -> Connector:
            return registry.open_connector(
                kind,
                base_url=base_url,
                credentials=credentials,
                meter=meter,
                save_credentials=save,
                deadline=self.settings.call_deadline,
                now=_machine_time,
            )

        from crm_sync.flows.connect import Means

        return Means(open=open_it, meter=self.meter, mapping=self.mapping_by_id, now=self.now)

    def meter(self, connection: Connection) -> Meter:
        """The budget of one connection."""
        return ConnectionMeter(self.transaction, connection, _machine_time)

    def forget_connectors(self) -> None:
        """Close every connector, so that the next use signs in again with what is stored now."""
        for opened in self._connectors.values():
            opened.connector.close()
        self._connectors.clear()

    def mappings(self, session: Session) -> dict[ConnectionId, MappingVersion]:
        """The mapping in force for each connection, parsed once for each content."""
        return {
            connection: self._once(version.content_hash, version.content, parse_mapping)
            for connection, version in versions.mappings(session).items()
        }

    def policy(self, session: Session) -> PolicyVersion:
        """The policy in force, or ConfigError that says how to publish one."""
        version = versions.policy(session)
        if version is None:
            raise ConfigError("no policy is published yet; run `crm-sync policy publish FILE`")
        from crm_sync.domain.policies import parse_policy

        return self._once(version.content_hash, version.content, parse_policy)

    def mapping_of(self, connection: Connection) -> MappingVersion | None:
        """The mapping in force for one connection."""
        return self.mapping_by_id(connection.id)

    def mapping_by_id(self, connection: ConnectionId) -> MappingVersion | None:
        with self.transaction() as session:
            return self.mappings(session).get(connection)

    def person_objects(self, connection: Connection, connector: Connector) -> list[str]:
        """The objects whose records are people: those that the mapping in force names, else all that there are."""
        mapping = self.mapping_of(connection)
        feeds = (feed.object for feed in connector.feeds() if feed.role is Role.PERSON)
        return list(mapping.people) if mapping else list(dict.fromkeys(feeds))

    def _once(self, hash: str, content: str, parse: Callable[[str], Parsed]) -> Parsed:
        if hash not in self._parsed:
            self._parsed[hash] = parse(content)
        return cast(Parsed, self._parsed[hash])

    def may_pull(self, connection: int) -> bool:
        """Whether this connection is read now: a message may come after a pause, or while the CRM wants us to wait."""
        with self.transaction() as session:
            found = connections.by_id(session, ConnectionId(connection))
        return found.state in PULLING and (found.wait_until is None or found.wait_until <= self.now())

    def feeds(self, connection: Connection, mapping: MappingVersion, calls_a_day: int) -> list[Feed]:
        """The feeds that `mapping` needs, each as often as the settings say: what changes slowly is asked for less.

        Polls are further apart where our share of the day, `calls_a_day`, would not last for the whole day; a pace
        faster than the usual one is the admin's own choice.
        Raises ConfigError or AuthError where the stored credentials can't be used. No call is made.
        """
        pace = self.settings.poll_every / POLL

        def often(feed: Feed) -> timedelta:
            match feed.walk:
                case Walk.CHANGES:
                    return feed.every * pace
                case Walk.WHOLE:
                    return timedelta(hours=mapping.reread[feed.object])
                case _:
                    return feed.every

        known = self.connector(connection).feeds()
        found = [replace(feed, every=often(feed)) for feed in known if is_wanted(feed, mapping)]
        if pace < 1:
            return found
        calls = {True: 0.0, False: 0.0}
        for feed in found:
            calls[feed.walk is Walk.CHANGES] += timedelta(days=1) / feed.every
        apart = stretch(calls[True], calls[False], calls_a_day)
        return [replace(feed, every=feed.every * apart) if feed.walk is Walk.CHANGES else feed for feed in found]

    def source(self, connection: int, feed: str) -> Source | None:
        """One feed, ready to be read; None where nothing uses it or the connection has no mapping yet."""
        with self.transaction() as session:
            found = connections.by_id(session, ConnectionId(connection))
            mapping = self.mappings(session).get(found.id)
            calls_a_day = budgets.share_of_the_day(session, found)
        if mapping is None:
            return None
        connector = self.confirmed_connector(found)
        wanted = next((known for known in self.feeds(found, mapping, calls_a_day) if known.name == feed), None)
        if wanted is None:
            return None
        return Source(connection=found, connector=connector, feed=wanted, mapping=mapping, keys=self.keys)

    def target(self, connection: int) -> Target | None:
        """One connection, ready to be written into; None where it doesn't push now."""
        with self.transaction() as session:
            found = connections.by_id(session, ConnectionId(connection))
            mapping = self.mappings(session).get(found.id)
        waits = found.wait_until is not None and found.wait_until > _machine_time()
        if mapping is None or waits or found.state not in PUSHING:
            return None
        from crm_sync.flows.push import Target

        return Target(
            connection=found,
            connector=self.confirmed_connector(found),
            mapping=mapping,
            most_attempts=self.settings.push_max_attempts,
        )

    @property
    def models(self) -> Path:
        """Where model versions stand. Machines that share a database share this folder too."""
        return self.settings.home / "models"

    def scorer(self) -> Scorer | None:
        """The champion model, or None while the rule score is in use: always on day one, and when its files fail.

        It is read once in this process, and again when another one is promoted. What is wrong with it is told once.
        """
        with self.transaction() as session:
            champion = model_versions.champion(session)
        if champion is None:
            self._scorer = None
        elif self._scorer is None or self._scorer.version != champion:
            self._scorer = self._load(champion)
        return self._scorer

    def _load(self, champion: str) -> Scorer | None:
        from crm_sync.scoring import scorer  # CatBoost takes a second to import, and not every command scores

        try:
            found = scorer.load(self.models, champion)
        except ConfigError as error:
            if str(error) != self._model_problem:
                log.error("%s; the rules score meanwhile", error)
            self._model_problem = str(error)
            return None
        self._model_problem = ""
        return found

    def close(self) -> None:
        """Let go of sockets and database connections."""
        self.forget_connectors()
        if "engine" in self.__dict__:
            self.engine.dispose()


def _machine_time() -> datetime:
    """Budgets and tokens follow the real time, whatever a rehearsal does."""
    return datetime.now(UTC)
