"""Loading rows in bulk, as they stood in an org that has been in use for years: nothing is checked or triggered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from crm_sync.sandbox.salesforce.derived import DERIVATIONS
from crm_sync.sandbox.salesforce.refusals import no_such_column
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row
from crm_sync.sandbox.salesforce.values import seed_converter

Convert = Callable[[Any], Any]

_KNOWN_BY = {
    "LeadStatus": "ApiName",
    "OpportunityStage": "ApiName",
    "User": "Username",
    "Profile": "Name",
    "PermissionSet": "Name",
}


class Seeding:
    """Rows of one object on their way in. A row whose Id or natural key is there already takes its place."""

    def __init__(self, store: Store, object: str, creator: str) -> None:
        self._store = store
        self._kind = store.schema.object(object)
        self._converters: dict[str, Convert | None] = {}
        self._known_by = _KNOWN_BY.get(object, "")
        self._now = store.now()
        self._base = self._defaults(self._kind, creator)

    def load(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        table = self._store.table(self._kind.name)
        fresh = list(self._rows(rows))
        table.load(fresh)
        self._log_deletions(fresh)
        self._refresh_picklist()
        return [row["Id"] for row in fresh]

    def _defaults(self, kind: ObjectType, creator: str) -> Row:
        base = {f.name: f.default for f in kind.fields.values() if f.default is not None}
        if "OwnerId" in kind.fields and kind.fields["OwnerId"].owner:
            base["OwnerId"] = creator
        base["CreatedById"] = creator
        if "history" not in kind.traits:
            base["LastModifiedById"] = creator
        return base

    def _rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
        base, kind, mint = self._base, self._kind, self._store.mint
        derive = DERIVATIONS.get(kind.name)
        stamped = "history" not in kind.traits
        for given in rows:
            row = dict(self._known(given) or base)
            for name, value in given.items():
                if value is not None and value != "":
                    convert = self._converters[name] if name in self._converters else self._converter(name)
                    row[name] = value if convert is None else convert(value)
                elif name in row:
                    row[name] = None
            if row.get("Id") is None:
                row["Id"] = mint.new(kind.prefix)
            if self._known_by == "ApiName":
                row.setdefault("ApiName", row.get("MasterLabel"))
            created = row.setdefault("CreatedDate", self._now)
            if stamped:
                modified = row.setdefault("LastModifiedDate", created)
                row.setdefault("SystemModstamp", modified)
            if derive is not None:
                row = {**derive(self._store, row), **row}
            yield row

    def _converter(self, name: str) -> Convert | None:
        column = self._kind.fields.get(name)
        if column is None:
            raise no_such_column(name, self._kind.name)
        if column.computed:
            # A name or address that follows from the other fields; what is given adds nothing.
            self._converters[name] = None
        else:
            self._converters[name] = seed_converter(column)
        return self._converters[name]

    def _known(self, given: Mapping[str, Any]) -> Row | None:
        """The row that is there already under the same natural key."""
        table = self._store.table(self._kind.name)
        if self._kind.name == "Organization":
            return next(iter(table.rows.values()))
        key = given.get(self._known_by)
        found = next(iter(table.with_value(self._known_by, key)), None) if key else None
        return table.rows[found] if found else None

    def _log_deletions(self, rows: list[Row]) -> None:
        if self._kind.soft_deletes:
            deleted_at = self._store.table(self._kind.name).deleted_at
            deleted_at.update({row["Id"]: row["SystemModstamp"] for row in rows if row.get("IsDeleted")})

    def _refresh_picklist(self) -> None:
        """The lists of lead statuses and stages are rows of their own; the picklists follow them."""
        field = {"LeadStatus": ("Lead", "Status"), "OpportunityStage": ("Opportunity", "StageName")}.get(
            self._kind.name
        )
        if field is not None:
            table = self._store.table(self._kind.name).rows.values()
            names = [row["ApiName"] for row in sorted(table, key=lambda row: row.get("SortOrder") or 0)]
            self._store.schema.change_field(*field, values=tuple(names))
