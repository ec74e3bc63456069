"""The state of one HubSpot portal, and what tests and the control routes may do to it."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.hubspot import actions
from crm_sync.sandbox.hubspot.associations import Associations
from crm_sync.sandbox.hubspot.authors import Author
from crm_sync.sandbox.hubspot.behaviour import Behaviour
from crm_sync.sandbox.hubspot.derived import derived_values
from crm_sync.sandbox.hubspot.ids import RecordNumbers
from crm_sync.sandbox.hubspot.limits import Allowance, Limits
from crm_sync.sandbox.hubspot.objects import OBJECT_TYPES, object_type
from crm_sync.sandbox.hubspot.owners import Owners
from crm_sync.sandbox.hubspot.pipelines import Pipelines
from crm_sync.sandbox.hubspot.records import Record, Table
from crm_sync.sandbox.hubspot.representation import Viewer
from crm_sync.sandbox.hubspot.row_faults import RowFaults
from crm_sync.sandbox.hubspot.schema import Schema
from crm_sync.sandbox.hubspot.sign_in import (
    CLIENT_ID,
    CLIENT_KEY,
    PRIVATE_APP_KEY,
    REFRESH_KEY,
    App,
    SignIn,
)
from crm_sync.sandbox.hubspot.stamps import iso, parse_ms, to_ms
from crm_sync.sandbox.hubspot.values import stored
from crm_sync.sandbox.journal import Journal

CRM = "hubspot"
PRIVATE_APP_ID, OAUTH_APP_ID, INSTALLER_ID = 1_834_410, 2_207_316, 771_200


class HubSpotPortal:
    """A portal that starts with HubSpot's standard properties and pipelines, and no records.

    It comes with one private app (token `PRIVATE_APP_KEY`) and one OAuth app (`CLIENT_ID`, `CLIENT_KEY`, refresh
    token `REFRESH_KEY`), both with every scope. Nothing in it depends on the machine's clock or on chance: `clock`
    and `seed` decide. Safe under threads: `lock` is held while a request or an action is at work.
    """

    def __init__(
        self,
        *,
        clock: SandboxClock,
        journal: Journal,
        portal_id: int = 4_411_220,
        seed: int = 0,
        time_zone: str = "Europe/Berlin",
        token: str = PRIVATE_APP_KEY,
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_KEY,
        refresh_token: str = REFRESH_KEY,
        batch_update_trace_207: bool = True,
        rotate_refresh_tokens: bool = False,
        allowance: Allowance | None = None,
    ) -> None:
        self.clock = clock
        self.journal = journal
        self.portal_id = portal_id
        self.time_zone = time_zone
        self.lock = threading.RLock()
        self.behaviour = Behaviour(
            batch_update_trace_207=batch_update_trace_207, rotate_refresh_tokens=rotate_refresh_tokens
        )
        self.schema = Schema()
        self.owners = Owners()
        self.pipelines = Pipelines()
        self.associations = Associations()
        self.tables = {t.name: Table(t) for t in OBJECT_TYPES}
        self.numbers = RecordNumbers(seed)
        self.limits = Limits(time_zone, allowance)
        self.row_faults = RowFaults(seed)
        self.blocked_emails: set[str] = set()
        self.random = random.Random(seed)
        self.sign_in = SignIn(
            portal_id=portal_id,
            private_apps={token: App(app_id=PRIVATE_APP_ID, name="Lead scoring", user_id=INSTALLER_ID, private=True)},
            client_id=client_id,
            client_key=client_secret,
            refresh_key=refresh_token,
            oauth_app=App(app_id=OAUTH_APP_ID, name="Lead scoring", user_id=INSTALLER_ID, private=False),
        )

    def now(self) -> int:
        """The portal's time in milliseconds."""
        return to_ms(self.clock.now())

    def seed(self, object_type: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Load rows as they are: nothing is checked but the property names, and nothing is noted in the journal.

        A row is `{"properties", "id"?, "created"?, "modified"?, "archived"?, "history"?}`; `created` is now where it
        is missing, `modified` the same as `created`. History entries are `{"value", "timestamp", "sourceType",
        "sourceId"}`, in any order. Rows of `owners` have the wire's owner fields. Returns the ids in order.
        """
        with self.lock:
            if object_type == "owners":
                return [self.owners.add({**row.get("properties", {}), **row}, self.now()) for row in rows]
            table = self.table(object_type)
            records = [self._record(table, row) for row in rows]
            table.load(records)
            return [str(r.id) for r in records]

    def associate(
        self, from_type: str, to_type: str, pairs: Iterable[tuple[str, str]], *, label: str | None = None
    ) -> None:
        """Load ties in both directions, as if they had always been there: no stamps, roll-ups or journal.

        Without `label` a contact's or deal's first company becomes its primary one, and a contact's
        associatedcompanyid follows; `Primary` names it, other labels are made as needed.
        """
        with self.lock:
            pair = (self.table(from_type).type.name, self.table(to_type).type.name)
            if not self.associations.known(pair):
                raise ValueError(f"{pair[0]} and {pair[1]} can't be associated.")
            type = None if label is None else self.associations.labelled(pair, label)
            for here, there in pairs:
                if type is None:
                    self.associations.add_default(pair, int(here), int(there))
                else:
                    self.associations.add(pair, int(here), int(there), type)
                self._load_primary(pair, int(here), int(there))
            self.tables["contacts"].index.reloaded()

    def act(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Do what `action["do"]` names (see `actions`), and answer what came of it. Raises ValueError on nonsense."""
        with self.lock:
            return actions.act(self, action)

    def get(self, object_type: str, id: str | int) -> dict[str, Any] | None:
        """Everything that a record or owner holds now, archived ones too; None where it is gone. For tests."""
        with self.lock:
            if object_type == "owners":
                return self.owners.rows.get(str(id))
            table = self.table(object_type)
            record = table.rows.get(int(id))
            return None if record is None else self._shown_whole(table, record)

    def rows(self, object_type: str) -> Iterator[dict[str, Any]]:
        """Every record of a type as `get` shows it, archived ones too, by id. For tests."""
        with self.lock:
            if object_type == "owners":
                return iter(list(self.owners.rows.values()))
            table = self.table(object_type)
            return iter([self._shown_whole(table, table.rows[id]) for id in sorted(table.rows)])

    def table(self, word: str) -> Table:
        """The table of an object type by any of its names; raises ValueError."""
        found = object_type(word)
        if found is None:
            raise ValueError(f"There is no object type {word}.")
        return self.tables[found.name]

    def note_write(
        self, table: Table, record: Record, name: str, before: str | None, after: str | None, author: Author
    ) -> None:
        self.journal.write(
            at=self.clock.now(),
            crm=CRM,
            call=author.call,
            actor=author.actor,
            object=table.type.name,
            record_id=str(record.id),
            field=name,
            before=before,
            after=after,
            no_op=before == after,
        )

    def v3_associations(
        self, pair: tuple[str, str], here: int, partners: Iterable[int] | None = None
    ) -> Iterator[dict[str, str]]:
        """The ties of a record in the form of the v3 API: one entry for each type, named after the pair.

        Those to `partners`, which are tied to it, or all.
        """
        here_type, there_type = self.tables[pair[0]].type, self.tables[pair[1]].type
        word = f"{here_type.singular}_to_{there_type.singular}"
        primary = self.associations.primary_type(pair)
        for there in self.live_partners(pair, here) if partners is None else partners:
            for type_id in self.associations.of(pair, here)[there]:
                unlabelled = primary is not None and type_id != primary.type_id
                yield {"id": str(there), "type": f"{word}_unlabeled" if unlabelled else word}

    def live_partners(self, pair: tuple[str, str], here: int) -> list[int]:
        """The records of the other type tied to `here` by id, archived ones left out."""
        rows = self.tables[pair[1]].rows
        return sorted(t for t in self.associations.of(pair, here) if t in rows and rows[t].archived_at is None)

    def correlation_id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _record(self, table: Table, row: Mapping[str, Any]) -> Record:
        known = self.schema.properties[table.type.name]
        properties = {name: text for name, value in row["properties"].items() if (text := stored(value)) is not None}
        unknown = properties.keys() - known.keys()
        if unknown:
            raise ValueError(
                f"{table.type.name} have no property {', '.join(sorted(unknown))}: make it by set_property."
            )
        created_in, modified_in, id_in = (
            properties.pop(name, None) for name in (table.type.created, table.type.modified, "hs_object_id")
        )
        created = _moment(row.get("created") or created_in, self.now)
        modified = _moment(row.get("modified") or modified_in, lambda: created)
        id = row.get("id") or id_in
        record = Record(self.numbers.next() if id is None else int(id), properties, created, modified)
        if row.get("archived"):
            record.archived_at = modified
        if row.get("history"):
            record.history = {name: _versions(versions) for name, versions in row["history"].items()}
        for name, value in derived_values(self, table, record, properties.keys(), modified, loading=True).items():
            if value is not None and name in known:
                properties[name] = value
        return record

    def _load_primary(self, pair: tuple[str, str], here: int, there: int) -> None:
        if pair == ("companies", "contacts"):
            pair, here, there = ("contacts", "companies"), there, here
        contact = self.tables["contacts"].rows.get(here)
        if pair != ("contacts", "companies") or contact is None:
            return
        primary = self.associations.primary(pair, here)
        if primary is not None:
            contact.properties["associatedcompanyid"] = str(primary)

    def _shown_whole(self, table: Table, record: Record) -> dict[str, Any]:
        viewer = Viewer(self, table, None, properties=record.properties, history=record.history or ())
        return viewer.show(record)


def _moment(value: Any, otherwise: Any) -> int:
    if value is None:
        return int(otherwise())
    ms = parse_ms(value)
    if ms is None:
        raise ValueError(f"{value} is no moment: use ISO-8601 with a zone, milliseconds or a datetime.")
    return ms


def _versions(raw: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """History as given by a load, newest first."""
    found = []
    for version in raw:
        at = _moment(version["timestamp"], None)
        found.append((at, {**version, "value": stored(version.get("value")) or "", "timestamp": iso(at)}))
    return [version for _, version in sorted(found, key=lambda pair: -pair[0])]
