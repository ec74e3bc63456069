"""A Salesforce org in memory: its state, what people do in it, and how a test looks inside."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce.access import Access
from crm_sync.sandbox.salesforce.actions import Actions
from crm_sync.sandbox.salesforce.allowance import Allowance
from crm_sync.sandbox.salesforce.automation import AssignmentRule, Automation
from crm_sync.sandbox.salesforce.beginnings import furnish
from crm_sync.sandbox.salesforce.cursors import Cursors
from crm_sync.sandbox.salesforce.custom_fields import CustomFields
from crm_sync.sandbox.salesforce.ids import eighteen, full_id
from crm_sync.sandbox.salesforce.lives import Lives
from crm_sync.sandbox.salesforce.seeding import Seeding
from crm_sync.sandbox.salesforce.sessions import Credentials, Sessions
from crm_sync.sandbox.salesforce.soql.query import Queries
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.transactions import Transactions
from crm_sync.sandbox.salesforce.writes import Writer

DEFAULT_ORG_ID = eighteen("00DSB0000000001")


class SalesforceOrg:
    """One org. Safe under threads: each of its methods, and each HTTP call, has it to itself.

    It begins with three users (see Credentials): `integration_id`, `admin_id` and `limited_id`; with an assignment
    rule that gives leads to the admin unless a write says Sforce-Auto-Assign: FALSE, as a real org may; and with two
    formula fields whose values drift without a stamp. The same `seed` and the same history give the same ids, tokens,
    locators and row faults.
    """

    def __init__(
        self,
        *,
        clock: SandboxClock,
        journal: Journal,
        org_id: str = DEFAULT_ORG_ID,
        seed: int = 0,
        name: str = "Acme",
        is_sandbox: bool = True,
        my_domain: str = "acme.my.salesforce.com",
        credentials: Credentials | None = None,
    ) -> None:
        self.clock = clock
        self.journal = journal
        self.org_id = full_id(org_id)
        self.my_domain = my_domain
        self.credentials = credentials or Credentials()
        self.public_key = self.credentials.public_key
        self.sign_in_refusal: tuple[str, str] | None = None
        self.lock = threading.RLock()

        self.store = Store(clock, journal)
        self.access = Access(self.store)
        self.queries = Queries(self.store, self.access)
        self.automation = Automation(random.Random(seed))
        self.transactions = Transactions()
        self.writer = Writer(self.store, self.access, self.automation, self.transactions)
        self.lives = Lives(self.store, self.access, self.automation, self.writer)
        self.custom_fields = CustomFields(self.store, self.access)
        self.sessions = Sessions(clock, self.org_id, seed)
        self.allowance = Allowance()
        self.cursors = Cursors(self.store, random.Random(seed))
        self._actions = Actions(self)

        furnish(self.store, self.access, self.credentials, org_id=self.org_id, name=name, is_sandbox=is_sandbox)
        self.integration_id = self.user_id(self.credentials.integration.username)
        self.admin_id = self.user_id(self.credentials.admin.username)
        self.limited_id = self.user_id(self.credentials.limited.username)
        self.automation.assignment = AssignmentRule(default_owner=self.admin_id)

    def seed(self, object: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Load rows as they stood in an org long in use: no triggers, no rules, no journal. Returns their ids.

        Rows may set Id and the system fields (datetime or ISO text). Without them ids are numbered, CreatedDate is
        now, and LastModifiedDate and SystemModstamp follow CreatedDate. An unknown field raises Refusal.
        """
        with self.lock:
            ids = Seeding(self.store, object, self.admin_id).load(rows)
            self.access.changed()
            return ids

    def act(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Let a person, an admin or a system job do something; see `actions` for the verbs and their keys."""
        with self.lock:
            self.settle()
            return self._actions.act(action)

    def get(self, object: str, id: str) -> dict[str, Any] | None:
        """One row with all its fields, deleted or not; None once it is purged."""
        with self.lock:
            self.settle()
            kind = self.store.schema.object(object)
            row = self.store.row(kind.name, full_id(id))
            return row and {name: self.store.read(kind.name, row, column) for name, column in kind.fields.items()}

    def rows(self, object: str) -> Iterator[dict[str, Any]]:
        """All rows of an object with the fields that are kept, deleted ones included."""
        with self.lock:
            self.settle()
            kind = self.store.schema.object(object)
            empty = {column.name: column.empty for column in kind.fields.values() if not column.computed}
            return iter([{**empty, **row} for row in self.store.table(kind.name).rows.values()])

    def settle(self) -> None:
        """Commit the open transactions whose time has come."""
        self.transactions.settle(self.clock.now())

    def user_id(self, username: str) -> str:
        """The id of the user with this username; raises KeyError."""
        for row in self.store.table("User").rows.values():
            if row["Username"].lower() == username.lower():
                return str(row["Id"])
        raise KeyError(username)
