"""All rows of the org: tables, the clock that stamps them, and units of work that can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce.fields import Field
from crm_sync.sandbox.salesforce.formulas import FORMULAS
from crm_sync.sandbox.salesforce.ids import Mint
from crm_sync.sandbox.salesforce.schema import ObjectType, Schema
from crm_sync.sandbox.salesforce.stamps import stamp
from crm_sync.sandbox.salesforce.table import Row, Table

CRM = "salesforce"


@dataclass(slots=True)
class _Unit:
    before: list[tuple[str, str, Row | None]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    afterwards: list[Callable[[], object]] = field(default_factory=list)


class Store:
    """Rows by object and id. Values are kept as the API shows them, so that a page of them is written out as it is.

    `taken_back` counts the units that were undone, so that what was derived inside one can be thrown away.
    """

    def __init__(self, clock: SandboxClock, journal: Journal) -> None:
        self.clock = clock
        self.journal = journal
        self.schema = Schema()
        self.mint = Mint()
        self.tables = {name: Table(kind.stamp_field) for name, kind in self.schema.objects.items()}
        self.taken_back = 0
        self._units: list[_Unit] = []

    def now(self) -> str:
        return stamp(self.clock.now())

    def table(self, object: str) -> Table:
        return self.tables[object]

    def row(self, object: str, record_id: str | None) -> Row | None:
        return self.tables[object].get(record_id) if record_id else None

    def find(self, record_id: str) -> tuple[ObjectType, Row] | None:
        """A row by nothing but its id."""
        for name in self.schema.of_id(record_id):
            row = self.tables[name].get(record_id)
            if row is not None:
                return self.schema.objects[name], row
        return None

    def read(self, object: str, row: Row, column: Field) -> Any:
        """What a reader sees in `column`."""
        if column.computed:
            return FORMULAS[object, column.name](self, row)
        return row.get(column.name, column.empty)

    def reader(self, object: str, column: Field) -> Callable[[Row], Any]:
        """The same as a function of the row, for walking many."""
        if column.computed:
            formula = FORMULAS[object, column.name]
            return lambda row: formula(self, row)
        name, empty = column.name, column.empty
        return lambda row: row.get(name, empty)

    def put(self, object: str, row: Row) -> None:
        before = self.tables[object].put(row)
        if self._units:
            self._units[-1].before.append((object, row["Id"], before))

    def remove(self, object: str, record_id: str) -> None:
        before = self.tables[object].remove(record_id)
        if self._units:
            self._units[-1].before.append((object, record_id, before))

    def note(self, **write: Any) -> None:
        """Tell the journal of one field write; inside a unit, only once it stands."""
        write = {"crm": CRM, "at": self.clock.now(), **write}
        if self._units:
            self._units[-1].notes.append(write)
        else:
            self.journal.write(**write)

    def afterwards(self, action: Callable[[], object]) -> None:
        """Do something that can't be taken back; inside a unit, only once it stands."""
        if self._units:
            self._units[-1].afterwards.append(action)
        else:
            action()

    @contextmanager
    def unit(self) -> Iterator[None]:
        """What is put, removed and noted inside stands as a whole, or not at all if an error leaves it."""
        mine = _Unit()
        self._units.append(mine)
        try:
            yield
        except BaseException:
            self._units.pop()
            self._take_back(mine)
            raise
        self._units.pop()
        if self._units:
            self._units[-1].before.extend(mine.before)
            self._units[-1].notes.extend(mine.notes)
            self._units[-1].afterwards.extend(mine.afterwards)
        else:
            for action in mine.afterwards:
                action()
            for write in mine.notes:
                self.journal.write(**write)

    def _take_back(self, unit: _Unit) -> None:
        self.taken_back += 1
        for object, record_id, before in reversed(unit.before):
            if before is None:
                self.tables[object].remove(record_id)
            else:
                self.tables[object].put(before)
