"""One CRM to test a connector in: what people, admins and the weather do there, in words that every CRM has.

The contract suite speaks only to this. A new CRM joins it by one subclass, named in conftest.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from crm_sync.domain.changes import Feed
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.records import CrmKind
from crm_sync.ports import Connector, Meter, Usage
from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.faults import Fault, Faults
from crm_sync.sandbox.journal import Call, Journal


class Trouble(StrEnum):
    """What can happen to one HTTP call on its way."""

    LOST_ANSWER = "lost_answer"  # the CRM acts, then the connection closes without a word
    RESET = "reset"  # the connection closes before the CRM acts
    HTML = "html"  # 200 with a web page
    EMPTY = "empty"  # 200 without a body
    TRUNCATED = "truncated"  # 200, and the connection closes in the middle of the JSON
    MAINTENANCE = "maintenance"  # 503 with a web page
    DRIP = "drip"  # the answer comes in pieces, four a second or so


_PAGE = "<html><body><h1>We'll be back shortly.</h1></body></html>"
_FAULTS: Mapping[Trouble, Mapping[str, Any]] = {
    Trouble.LOST_ANSWER: {"do": "lose"},
    Trouble.RESET: {"do": "reset"},
    Trouble.HTML: {"do": "answer", "status": 200, "content": _PAGE},
    Trouble.EMPTY: {"do": "answer", "status": 200, "content": ""},
    Trouble.TRUNCATED: {"do": "truncate"},
    Trouble.MAINTENANCE: {"do": "answer", "status": 503, "content": _PAGE},
    Trouble.DRIP: {"do": "drip", "seconds": 3},
}


@dataclass
class CountingMeter(Meter):
    """A budget without an end that remembers what went through it."""

    reserved: list[str] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    def reserve(self, window: str, calls: int = 1) -> None:
        self.reserved.extend([window] * calls)

    def seen(self, usage: Usage) -> None:
        self.usages.append(usage)


class World(ABC):
    """A CRM, and a connector that is signed in to it.

    `people` is the feed of people that can be converted (leads in Salesforce, contacts in HubSpot) by their
    changes, `sweep` the same by SWEEP. `name_field` is a plain text field of theirs that people edit. The own
    fields are installed where a test calls `install`.
    """

    kind: CrmKind
    connector: Connector
    meter: CountingMeter
    people: Feed
    sweep: Feed
    journal: Journal
    clock: SandboxClock
    faults: Faults
    name_field: str
    write_batch: int  # records in one call of writes

    @abstractmethod
    def open(
        self,
        *,
        base_url: str | None = None,
        credentials: Mapping[str, str] | None = None,
        deadline: timedelta = timedelta(seconds=60),
        meter: Meter | None = None,
    ) -> Connector:
        """Another connector to the same CRM; `credentials` are laid over the right ones. Closed with the world."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def wrong_credentials(self) -> Mapping[str, str]:
        """What to lay over the right credentials so that the CRM doesn't let us in."""

    @abstractmethod
    def add_people(self, n: int, **fields: Any) -> list[str]:
        """Add `n` people that differ in `name_field` and e-mail; `fields` are the CRM's names. Ids in order."""

    @abstractmethod
    def touch(self, ids: Sequence[str], at: datetime | None = None) -> None:
        """A person edits another field of each of these records, now or `at`."""

    @abstractmethod
    def tie(self, ids: Sequence[str], at: datetime) -> None:
        """Give all of these records one and the same modification stamp."""

    @abstractmethod
    def delete(self, id: str) -> None: ...

    @abstractmethod
    def merge(self, loser: str, winner: str) -> str:
        """Merge two people; answers the id that lives on."""

    @abstractmethod
    def convert(self, id: str) -> str | None:
        """Convert a lead and answer the contact's id; None where the CRM has no conversion of records."""

    @abstractmethod
    def value(self, id: str, field: str) -> Any:
        """What stands in the CRM, past the connector."""

    @abstractmethod
    def refuse(self, id: str) -> None:
        """The CRM refuses every write of this record because of the record itself."""

    @abstractmethod
    def hide(self, id: str, *, seconds: float) -> None:
        """A person edits the record now; queries show it only `seconds` later, with the earlier stamp."""

    @abstractmethod
    def expire_sessions(self) -> None:
        """No access token given out so far is valid any more."""

    @abstractmethod
    def limit(self, calls: int) -> None:
        """After `calls` more, the CRM refuses every call of the day."""

    @abstractmethod
    def write_path(self) -> str:
        """A regular expression for the path of a batch of writes."""

    @abstractmethod
    def change_path(self) -> str:
        """A regular expression for the path of a page of changes of people."""

    def trouble(self, what: Trouble, *, path: str = "", times: int = 1) -> None:
        """The next `times` calls whose path holds the regular expression meet this trouble."""
        self.faults.add([Fault.model_validate({"crm": self.kind, "path": path, "times": times} | _FAULTS[what])])

    def own(self, name: str) -> str:
        return self.connector.own_field_names(OWN_FIELDS)[name]

    def install(self) -> None:
        failed = [c for c in self.connector.install_fields(self.people.object, OWN_FIELDS) if not c.passed]
        assert not failed, failed

    def mark(self) -> int:
        """The number of the last call so far."""
        return max((c.number for c in self.journal.calls), default=0)

    def calls(self, since: int = 0) -> list[Call]:
        """The CRM's calls after `since`, sign-ins and faults apart."""
        apart = ("sign_in", "fault")
        return [c for c in self.journal.calls if c.crm == self.kind and c.number > since and c.operation not in apart]

    def now(self) -> datetime:
        """Whole seconds of the CRM's clock."""
        return self.clock.now().astimezone(UTC).replace(microsecond=0)
