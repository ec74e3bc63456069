"""Records of one object type: the rows, the ways to find them, and their property history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sortedcontainers import SortedList

from crm_sync.sandbox.hubspot.index import SearchIndex
from crm_sync.sandbox.hubspot.objects import ObjectType
from crm_sync.sandbox.hubspot.stamps import iso

HISTORY_SHOWN = 20


class Record:
    """One row. Stamps are milliseconds; `properties` holds text, and only what isn't empty.

    The stamp properties and hs_object_id are not in `properties`: they are the attributes. `history` holds, for
    properties that changed since the load, what HubSpot shows as propertiesWithHistory, newest first.
    """

    __slots__ = ("archived_at", "created", "history", "id", "modified", "properties")

    def __init__(self, id: int, properties: dict[str, str], created: int, modified: int) -> None:
        self.id = id
        self.properties = properties
        self.created = created
        self.modified = modified
        self.archived_at: int | None = None
        self.history: dict[str, list[dict[str, Any]]] | None = None


class Table:
    """The rows of one type. `aliases` leads from ids that were merged away to the record that lives on."""

    def __init__(self, type: ObjectType) -> None:
        self.type = type
        self.rows: dict[int, Record] = {}
        self.live: SortedList = SortedList()
        self.archived: SortedList = SortedList()
        self.aliases: dict[int, int] = {}
        self.index = SearchIndex(self.rows)
        self._unique: dict[str, dict[str, int]] = {}

    def load(self, records: Iterable[Record]) -> None:
        """Take over many new records at once."""
        added = list(records)
        for record in added:
            self.rows[record.id] = record
        self.live.update(r.id for r in added if r.archived_at is None)
        self.archived.update(r.id for r in added if r.archived_at is not None)
        self._unique.clear()
        self.index.reloaded()

    def add(self, record: Record) -> None:
        """Take in one new record; the caller tells the index."""
        self.rows[record.id] = record
        self.live.add(record.id)
        for name in self._unique:
            self.claim(record, name)

    def find(self, id: str, *, archived: bool = False) -> Record | None:
        """The live (or archived) record with exactly this id."""
        record = self.rows.get(int(id)) if id.isascii() and id.isdigit() else None
        if record is None or (record.archived_at is not None) != archived:
            return None
        return record

    def resolve(self, id: str, *, archived: bool = False) -> Record | None:
        """As `find`, and an id that was merged away leads to the survivor."""
        if id.isascii() and id.isdigit() and int(id) in self.aliases:
            id = str(self.aliases[int(id)])
        return self.find(id, archived=archived)

    def holder(self, name: str, value: str) -> Record | None:
        """The live record that holds `value` in a unique property; case doesn't matter."""
        id = self._holders(name).get(value.strip().lower())
        return None if id is None else self.find(str(id))

    def claim(self, record: Record, name: str) -> None:
        """Note that `record` holds what now stands in its unique property."""
        value = record.properties.get(name)
        if value is not None:
            self._holders(name).setdefault(value.lower(), record.id)

    def release(self, record: Record, name: str) -> None:
        value = record.properties.get(name)
        if value is not None and self._holders(name).get(value.lower()) == record.id:
            del self._holders(name)[value.lower()]

    def archive(self, record: Record, at: int) -> None:
        record.archived_at = at
        self.live.remove(record.id)
        self.archived.add(record.id)
        for name in self._unique:
            self.release(record, name)
        self.index.gone(record.id)

    def restore(self, record: Record) -> None:
        record.archived_at = None
        self.archived.remove(record.id)
        self.live.add(record.id)
        for name in self._unique:
            self.claim(record, name)

    def remove(self, record: Record) -> None:
        """Forget the record wholly, as a merge or a privacy deletion does."""
        for name in self._unique:
            self.release(record, name)
        del self.rows[record.id]
        (self.live if record.archived_at is None else self.archived).remove(record.id)
        self.index.gone(record.id)

    def value(self, record: Record, name: str) -> str | None:
        """What stands in a property, stamps and id included."""
        if name == "hs_object_id":
            return str(record.id)
        if name == self.type.modified:
            return iso(record.modified)
        if name == self.type.created or (name == "hs_createdate" and name not in record.properties):
            return iso(record.created)
        return record.properties.get(name)

    def history(self, record: Record, name: str) -> list[dict[str, Any]]:
        """Versions of a property, newest first. A value that never changed has one, from the record's creation."""
        versions = (record.history or {}).get(name)
        if versions is not None:
            return versions[:HISTORY_SHOWN]
        value = self.value(record, name)
        return [] if value is None else [first_version(record, value)]

    def _holders(self, name: str) -> dict[str, int]:
        if name not in self._unique:
            holders: dict[str, int] = {}
            for id in self.live:
                value = self.rows[id].properties.get(name)
                if value is not None:
                    holders.setdefault(value.lower(), id)
            self._unique[name] = holders
        return self._unique[name]


def first_version(record: Record, value: str) -> dict[str, Any]:
    return {
        "value": value,
        "timestamp": iso(record.created),
        "sourceType": record.properties.get("hs_object_source", "IMPORT"),
        "sourceId": record.properties.get("hs_object_source_id", "1"),
    }
