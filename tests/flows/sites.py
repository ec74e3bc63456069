"""One installation joined to one CRM, in plain words: what people do there, what the legs do, what a rep then sees."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import yaml
from sqlmodel import Session

from crm_sync.domain.changes import Feed, Role, Walk
from crm_sync.domain.connections import PULLING, Connection, ConnectionId, ConnectionState
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.keys import Keys
from crm_sync.domain.mappings import MappingVersion, parse_mapping
from crm_sync.domain.policies import PolicyVersion, parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.domain.scores import Scorer
from crm_sync.examples import example_mapping, example_policy
from crm_sync.flows.evaluate import Evaluated, evaluate
from crm_sync.flows.publish import Publisher, publish_mapping, publish_policy
from crm_sync.flows.pull import Pulled, Source, is_wanted, pull
from crm_sync.flows.push import Pushed, Target, push
from crm_sync.flows.steer import steer
from crm_sync.ports import Connector
from crm_sync.sandbox.faults import Fault
from crm_sync.sandbox.journal import FieldWrite
from crm_sync.store import audit, connections, feeds, inbox, outbox, versions
from crm_sync.store.engine import Transaction, make_engine, rows, run
from tests.connectors.world import World

SPAN = timedelta(minutes=10)
BY = Publisher(author="ops", reason="a test")
MOST_ATTEMPTS = 4

# A field of the customer's own, on which people refuse profiling: the same in both CRMs, so that tests are too.
REFUSAL = {CrmKind.SALESFORCE: "No_Profiling__c", CrmKind.HUBSPOT: "no_profiling"}
_numbers = itertools.count(1)
_mapping, _policy = cache(parse_mapping), cache(parse_policy)


read_yaml = partial(yaml.load, Loader=yaml.CSafeLoader)  # ten times as fast as in Python, for every test
write_yaml = partial(yaml.dump, Dumper=yaml.CSafeDumper)


@dataclass
class Office:
    """One installation: a database, a policy, and the sites that it is joined to. Speaks as wiring does to flows."""

    transaction: Transaction
    database_url: str
    keys: Keys
    model: Scorer | None = None
    sites: list[Site] = field(default_factory=list)

    def mappings(self, session: Session) -> dict[ConnectionId, MappingVersion]:
        return {id: _mapping(version.content) for id, version in versions.mappings(session).items()}

    def policy(self, session: Session) -> PolicyVersion:
        found = versions.policy(session)
        assert found is not None
        return _policy(found.content)

    def scorer(self) -> Scorer | None:
        return self.model

    def publish_policy(self, now: datetime, **sections: Any) -> int:
        """Put the shipped policy in force, with some of its sections replaced. Returns who is evaluated anew."""
        text = write_yaml(read_yaml(example_policy()) | sections, allow_unicode=True)
        return publish_policy(self.transaction, parse_policy(text), text, BY, now).people

    def join(self, world: World, *, name: str = "", is_test: bool = False) -> Site:
        """Connect a CRM as an admin would: identity confirmed, our fields installed, the example mapping published."""
        world.clock.freeze()
        site = Site(office=self, world=world, name=name or f"{world.kind}-{len(self.sites) + 1}")
        site.begin(is_test=is_test)
        self.sites.append(site)
        return site

    def evaluate(self, now: datetime, *, most: int = 200) -> Evaluated:
        """Evaluate one batch of who waits."""
        return evaluate(self.transaction, self, now, span=SPAN, most=most)

    def evaluate_all(self, now: datetime) -> int:
        """Evaluate until nobody waits. Returns how many evaluations were kept."""
        kept = 0
        while (done := self.evaluate(now)).people:
            kept += done.kept
        return kept

    def ask(self, statement: str, **values: Any) -> list[Any]:
        with self.transaction() as session:
            return list(rows(session, statement, **values))

    def do(self, statement: str, **values: Any) -> int:
        with self.transaction() as session:
            return run(session, statement, **values)

    def ask_as_owner(self, statement: str) -> None:
        """Change the schema, to break something on purpose."""
        engine = make_engine(self.database_url, application_role=False)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def count(self, table: str) -> int:
        [row] = self.ask(f"SELECT count(*) AS n FROM {table}")
        return int(row.n)

    def entries(self, *states: str) -> list[Any]:
        """Outbox entries, oldest first; all or those in `states`."""
        return [row for row in self.ask("SELECT * FROM outbox ORDER BY id") if not states or row.state in states]

    def audit(self, kind: str = "") -> list[Any]:
        """Audit entries with their payloads, oldest first."""
        with self.transaction() as session:
            return [entry for entry in audit.everything(session) if not kind or entry.kind == kind]


@dataclass
class Site:
    """One CRM, and the connection to it."""

    office: Office
    world: World
    name: str
    id: ConnectionId = field(init=False)
    draw: random.Random = field(default_factory=lambda: random.Random(7))

    def begin(self, *, is_test: bool) -> None:
        _add_refusal_field(self.world)
        mapping = parse_mapping(self.mapping_text())
        for object in mapping.people:
            failed = [c for c in self.connector.install_fields(object, OWN_FIELDS) if not c.passed]
            assert not failed, failed
        identity = replace(self.connector.identity(), is_test=is_test)
        with self.transaction() as session:
            self.id = connections.save(
                session, name=self.name, kind=self.kind, base_url="http://x", credentials={}, keys=self.office.keys
            )
            connections.confirm_identity(session, self.id, identity)
            connections.set_state(session, self.id, ConnectionState.ACTIVE)
            feeds.declare(session, self.id, self.connector.feeds(), self.now)
        self.publish()
        wanted = {feed.name for feed in self.feeds()}
        with self.transaction() as session:
            for feed in self.connector.feeds():
                if feed.name not in wanted:
                    feeds.postpone(session, self.id, feed.name, self.now)

    @property
    def kind(self) -> CrmKind:
        return self.world.kind

    @property
    def connector(self) -> Connector:
        return self.world.connector

    @property
    def transaction(self) -> Transaction:
        return self.office.transaction

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    @property
    def object(self) -> str:
        """The object of the people that can be converted."""
        return self.world.people.object

    @property
    def connection(self) -> Connection:
        with self.transaction() as session:
            return connections.by_id(session, self.id)

    @property
    def mapping(self) -> MappingVersion:
        with self.transaction() as session:
            return self.office.mappings(session)[self.id]

    def later(self, **span: float) -> datetime:
        """Time passes, in the CRM and here."""
        return self.world.clock.advance(timedelta(**span))

    # What people and admins do

    def mapping_text(self, **people: Any) -> str:
        """The example mapping with the field on which people refuse profiling, and further columns of people."""
        document = read_yaml(example_mapping(self.kind))
        document["people"][self.object]["fields"] |= {"do_not_profile": REFUSAL[self.kind]} | people
        return write_yaml(document, allow_unicode=True)

    def mapping_text_without(self, own: str) -> str:
        """The mapping as it is, but one of our fields isn't written any more."""
        document = read_yaml(self.mapping_text())
        document["people"][self.object]["own_fields"] = {o.name: "default" for o in OWN_FIELDS if o.name != own}
        return write_yaml(document, allow_unicode=True)

    def publish(self, text: str | None = None) -> int:
        """Put a mapping in force; returns how many people wait because of it."""
        text = text or self.mapping_text()
        return publish_mapping(self.transaction, self.connection, parse_mapping(text), text, BY, self.now).people

    def unmap_people(self) -> None:
        """The mapping names these people no longer."""
        document = read_yaml(self.mapping_text())
        document["people"] = {"Contact": document["people"].get("Contact", {"fields": {"email": "email"}})}
        document["conversion"], document["candidates"], document["deny"] = [], {}, {}
        self.publish(write_yaml(document, allow_unicode=True))

    def steer(self, state: ConnectionState) -> int:
        return steer(self.transaction, self.connection, state, actor="user:ops", reason="a test", now=self.now)

    def crm_fields(self, **columns: Any) -> dict[str, Any]:
        """Our columns in this CRM's names."""
        sources = {**self.mapping.sources_of(self.object), "do_not_profile": (REFUSAL[self.kind],)}
        return {sources[column][0]: value for column, value in columns.items()}

    def add(self, n: int = 1, **columns: Any) -> list[str]:
        """People with a work address each, in the United States; columns by our names."""
        ids = []
        for _ in range(n):
            number = next(_numbers)
            values = {
                "email": f"jane.doe{number}@acme{number}.com",
                "last_name": f"Doe{number}",
                "company": f"Acme {number}",
                "title": "Head of Purchasing",
                "country": "United States",
                "phone": f"+1 415 555 {2000 + number}",
            } | columns
            ids += self.world.add_people(1, **self.crm_fields(**values))
        return ids

    def edit(self, id: str, **columns: Any) -> None:
        """A person saves a record."""
        self.write(id, self.crm_fields(**columns))

    def write(self, id: str, fields: Mapping[str, Any]) -> None:
        """A person saves a record; fields by the CRM's names."""
        if self.kind is CrmKind.SALESFORCE:
            self.act("edit", object=self.object, id=id, fields=dict(fields))
        else:
            self.act("edit", object=self.object, id=id, properties=dict(fields))

    def overwrite(self, id: str, **own: Any) -> None:
        """Somebody else writes into our fields."""
        self.write(id, {self.world.own(name): value for name, value in own.items()})

    def refuse_profiling(self, id: str, refused: bool = True) -> None:
        value: Any = refused if self.kind is CrmKind.SALESFORCE else str(refused).lower()
        self.edit(id, do_not_profile=value)

    def another_owner(self) -> str:
        """Somebody whom no lead belongs to yet."""
        if self.kind is CrmKind.SALESFORCE:
            return str(self.world.org.limited_id)  # type: ignore[attr-defined]
        return str(self.act("add_owner", email=f"rep{next(_numbers)}@ours.com", firstName="Rea", lastName="Reed")["id"])

    def lose_answers(self) -> None:
        """The CRM accepts what we write, and we hear nothing of it."""
        body = "PATCH" if self.kind is CrmKind.SALESFORCE else ""
        self.world.faults.add([Fault(crm=self.kind.value, path=self.world.write_path(), body=body, do="lose")])

    def join(self, lead: str, other: str) -> None:
        """Two records are found to be one person: by their address, or where that is unique by the CRM's own link."""
        if self.kind is CrmKind.SALESFORCE:
            self.edit(lead, email=self.value(other, "Email"))
            return
        for id in (lead, other):
            self.edit(id, crm_link="003000000000777AAA")

    def part(self, lead: str) -> None:
        """What joined a record to another person was a mistake."""
        if self.kind is CrmKind.SALESFORCE:
            self.edit(lead, email=f"somebody.else{next(_numbers)}@another-firm.com")
        else:
            self.edit(lead, crm_link="")

    def lock(self, id: str) -> None:
        """Every write of this record is refused because somebody else is at it."""
        if self.kind is CrmKind.SALESFORCE:
            words = "unable to obtain exclusive access to this record"
            self.act("plan_row_fault", object=self.object, id=id, code="UNABLE_TO_LOCK_ROW", message=words, times=100)
        else:
            self.act("plan_row_fault", object=self.object, id=id, kind="locked")

    def lift_limit(self) -> None:
        """There are calls left again. (A clock that stands still would spend HubSpot's calls of a second.)"""
        self.world.limit(10_000)
        if self.kind is CrmKind.HUBSPOT:
            self.act("set_limits", enforce=False)

    def heal(self) -> None:
        """The CRM refuses single records no longer."""
        self.act("clear_row_faults")

    def add_time_field(self, name: str) -> None:
        if self.kind is CrmKind.SALESFORCE:
            self.act("add_field", object=self.object, name=name, metadata={"type": "DateTime", "label": name})
        else:
            self.act("set_property", object=self.object, name=name, label=name, type="datetime", fieldType="date",
                     groupName="contactinformation")  # fmt: skip

    def refeed(self) -> None:
        """Every feed is read from its beginning, as after a new field was mapped."""
        with self.transaction() as session:
            feeds.restart(session, self.id, self.now)

    def undelete(self, id: str) -> None:
        self.act("undelete" if self.kind is CrmKind.SALESFORCE else "restore", object=self.object, id=id)

    def act(self, do: str, **what: Any) -> dict[str, Any]:
        there = self.world.org if self.kind is CrmKind.SALESFORCE else self.world.portal  # type: ignore[attr-defined]
        return dict(there.act({"do": do, **what}) or {})

    def call_in(self, id: str, on: datetime | None = None) -> str:
        """Somebody calls us, which makes them warmer; a rep notes it now, as of `on`. Returns the call's id."""
        on = on or self.now
        if self.kind is CrmKind.SALESFORCE:
            fields = {
                "Subject": "Call", "Status": "Completed", "TaskSubtype": "Call", "CallType": "Inbound", "WhoId": id,
                "ActivityDate": f"{on:%Y-%m-%d}",
            }  # fmt: skip
            return str(self.act("create", object="Task", fields=fields)["id"])
        at = f"{on:%Y-%m-%dT%H:%M:%SZ}"
        properties = {"hs_call_direction": "INBOUND", "hs_timestamp": at, "hs_call_status": "COMPLETED"}
        tied = [{"object": "contacts", "id": id}]
        return str(self.act("create", object="calls", properties=properties, associations=tied)["id"])

    def touch_call(self, call: str) -> None:
        """A rep corrects what they noted about a call."""
        if self.kind is CrmKind.SALESFORCE:
            self.act("edit", object="Task", id=call, fields={"Subject": "Call about prices"})
        else:
            self.act("edit", object="calls", id=call, properties={"hs_call_title": "Call about prices"})

    # What the legs do

    def feeds(self, *walks: Walk) -> Iterator[Feed]:
        mapping = self.mapping
        order = [Role.OWNER, Role.ACCOUNT, Role.CONSENT, Role.PERSON]
        chosen = [f for f in self.connector.feeds() if is_wanted(f, mapping) and (not walks or f.walk in walks)]
        yield from sorted(chosen, key=lambda f: order.index(f.role) if f.role in order else len(order))

    def source(self, feed: Feed, connector: Connector | None = None) -> Source:
        return Source(
            connection=self.connection,
            connector=connector or self.connector,
            feed=feed,
            mapping=self.mapping,
            keys=self.office.keys,
        )

    def pull_feed(self, feed: Feed, connector: Connector | None = None) -> list[Pulled]:
        """Every page that one feed has now, whether it is due or not."""
        return self._pages(self.source(feed, connector))

    def _pages(self, source: Source) -> list[Pulled]:
        pages: list[Pulled] = []
        while not pages or pages[-1].more:
            pages.append(pull(self.transaction, source, self.now, span=SPAN, early=True))
        return pages

    def pull(self, *walks: Walk) -> int:
        """Read every feed that is used (of these walks); returns how many people it let wait."""
        if self.connection.state not in PULLING:
            return 0
        source = self.source(self.world.people)
        pages = [page for feed in list(self.feeds(*walks)) for page in self._pages(replace(source, feed=feed))]
        problems = [page.problem for page in pages if page.problem]
        assert not problems, problems
        return sum(page.waiting for page in pages)

    def target(self, connector: Connector | None = None) -> Target:
        return Target(
            connection=self.connection,
            connector=connector or self.connector,
            mapping=self.mapping,
            most_attempts=MOST_ATTEMPTS,
        )

    def push(self, connector: Connector | None = None, *, most: int = 1_000) -> Pushed:
        """Push one batch, if this connection has something to push and may."""
        with self.transaction() as session:
            if self.id not in outbox.due_connections(session, self.now):
                return Pushed()
        return push(self.transaction, self.target(connector), self.now, span=SPAN, draw=self.draw, most=most)

    def settle(self, connector: Connector | None = None) -> None:
        """All three legs until nothing waits that may go on now."""
        for _ in range(10):
            self.pull(Walk.CHANGES, Walk.ARCHIVED)
            self.office.evaluate_all(self.now)
            pushes = [self.push(connector)]
            while pushes[-1].more:
                pushes.append(self.push(connector))
            if not any(p.delivered or p.unchanged or p.refused or p.closed for p in pushes):
                return
            self.later(seconds=1)
        raise AssertionError("the legs still find something to do after ten rounds")

    def age(self) -> int:
        """Let those wait whose score changes by time alone."""
        with self.transaction() as session:
            return inbox.add_ageing(session, self.now, most=10_000)

    def idle(self, cycles: int) -> None:
        """Poll after poll of a CRM in which nobody does anything."""
        for _ in range(cycles):
            self.later(seconds=60)
            self.pull()
            self.office.evaluate_all(self.now)
            self.push()

    # What can be seen

    def value(self, id: str, name: str) -> Any:
        """What stands in a field of ours, or under a CRM field's own name."""
        own = self.connector.own_field_names(OWN_FIELDS)
        return self.world.value(id, own.get(name, name))

    def shown(self, id: str) -> dict[str, Any]:
        """Our fields as they stand in the CRM, the numbers as numbers and what is empty as None."""
        return {own.name: _plain(own.name, self.value(id, own.name)) for own in OWN_FIELDS}

    def written(self, *ids: str, since: int = 0) -> list[FieldWrite]:
        """Field writes that came by API, of these records (or all) and after call number `since`."""
        return [
            w for w in self.world.journal.writes
            if w.call > since and w.crm == self.kind and (not ids or w.record_id in ids)
        ]  # fmt: skip

    def mark(self) -> int:
        return self.world.mark()

    def record(self, id: str) -> Any:
        [row] = self.office.ask(
            "SELECT * FROM record WHERE connection_id = :connection AND crm_id = :id AND role = 'person'",
            connection=self.id,
            id=id,
        )
        return row

    def person(self, id: str) -> int:
        [row] = self.office.ask(
            "SELECT person_id FROM link WHERE record_id = :record AND to_at IS NULL", record=self.record(id).id
        )
        return int(row.person_id)

    def person_row(self, id: str) -> Any:
        [row] = self.office.ask("SELECT * FROM person WHERE id = :person", person=self.person(id))
        return row

    def history(self, id: str) -> list[Any]:
        """Everything decided about the person of a record, oldest first."""
        return self.office.ask(
            "SELECT * FROM evaluation WHERE person_id = :person ORDER BY number", person=self.person(id)
        )

    def versions(self, id: str) -> list[Any]:
        return self.office.ask(
            "SELECT * FROM record_version WHERE record_id = :record ORDER BY id", record=self.record(id).id
        )

    def told(self, id: str, kind: str = "") -> list[Any]:
        """Audit entries about a record, oldest first."""
        subject = f"record:{self.record(id).id}"
        return [entry for entry in self.office.audit(kind) if entry.subject == subject]


def _plain(name: str, value: Any) -> Any:
    if value in (None, ""):
        return None
    return int(float(value)) if name in ("score", "fit", "engagement") else value


def _add_refusal_field(world: World) -> None:
    name = REFUSAL[world.kind]
    if world.kind is CrmKind.SALESFORCE:
        metadata = {"type": "Checkbox", "label": "No profiling", "defaultValue": "false"}
        world.org.act({"do": "add_field", "object": "Lead", "name": name, "metadata": metadata})  # type: ignore[attr-defined]
        return
    options = [{"label": word, "value": word} for word in ("true", "false")]
    world.act(  # type: ignore[attr-defined]
        "set_property", name=name, label="No profiling", type="bool", fieldType="booleancheckbox",
        groupName="contactinformation", options=options,
    )  # fmt: skip


def payloads(entries: Sequence[Any]) -> list[dict[str, Any]]:
    """The payloads of audit entries."""
    return [read_yaml(entry.payload) for entry in entries]
