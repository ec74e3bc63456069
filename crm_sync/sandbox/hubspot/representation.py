"""A record as HubSpot shows it in an answer.

Asked-for properties that are defined but empty are null; undefined ones are left out. Three properties always come
along. Source: HubSpot object guides, and recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crm_sync.sandbox.hubspot.derived import read_time_value
from crm_sync.sandbox.hubspot.paging import offset_token
from crm_sync.sandbox.hubspot.records import Record, Table
from crm_sync.sandbox.hubspot.sign_in import App
from crm_sync.sandbox.hubspot.stamps import iso

if TYPE_CHECKING:
    from crm_sync.sandbox.hubspot.portal import HubSpotPortal

_EMAIL_CONTENT = frozenset(
    {"hs_email_text", "hs_email_html", "hs_email_headers", "hs_email_subject", "hs_body_preview"}
)
_ASSOCIATIONS_SHOWN = 100


class Viewer:
    """Shows records of one table to one app. `properties` are those asked for; `url` is where links lead."""

    def __init__(
        self,
        portal: HubSpotPortal,
        table: Table,
        app: App | None,
        *,
        properties: Iterable[str] = (),
        history: Iterable[str] = (),
        associations: Sequence[str] = (),
        url: str = "",
    ) -> None:
        known = portal.schema.properties[table.type.name]
        asked = [name for name in dict.fromkeys(properties) if name in known]
        self._portal = portal
        self._table = table
        self._now = portal.now()
        self._computed = [n for n in asked if known[n].read_time]
        shown = asked or list(table.type.shown)
        always = {*table.type.always, *self._computed, "hs_createdate"}
        self._plain = [n for n in shown if n not in always]
        self._extra = [n for n in asked if n == "hs_createdate" and n not in table.type.always]
        self._history = [name for name in dict.fromkeys(history) if name in known]
        self._associations = associations
        self._url = url
        self._redacted = _EMAIL_CONTENT if _hides_email(table, app) else frozenset()

    def properties(self, record: Record) -> dict[str, str | None]:
        type, held = self._table.type, record.properties
        shown: dict[str, str | None] = {name: held.get(name) for name in self._plain}
        for name in self._computed:
            shown[name] = read_time_value(self._table, record, name, self._now)
        for name in self._extra:
            shown[name] = self._table.value(record, name)
        for name in self._redacted.intersection(shown):
            shown[name] = None
        shown[type.created] = iso(record.created)
        shown[type.modified] = iso(record.modified)
        shown["hs_object_id"] = str(record.id)
        return shown

    def show(self, record: Record) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": str(record.id),
            "properties": self.properties(record),
            "createdAt": iso(record.created),
            "updatedAt": iso(record.modified),
            "archived": record.archived_at is not None,
            "url": f"https://app.hubspot.com/contacts/{self._portal.portal_id}/record/{self._table.type.type_id}/"
            f"{record.id}",
        }
        if record.archived_at is not None:
            shown["archivedAt"] = iso(record.archived_at)
        if self._history:
            shown["propertiesWithHistory"] = {n: self._table.history(record, n) for n in self._history}
        if self._associations:
            shown |= self._associated(record)
        return shown

    def _associated(self, record: Record) -> Mapping[str, Any]:
        """The v3 form: one entry for each type of a tie, so an id may repeat. Left out where there are none."""
        found: dict[str, Any] = {}
        for name in self._associations:
            pair = (self._table.type.name, name)
            partners = self._portal.live_partners(pair, record.id)
            if not partners:
                continue
            shown = self._portal.v3_associations(pair, record.id, partners[:_ASSOCIATIONS_SHOWN])
            found[name] = {"results": list(shown)}
            if len(partners) > _ASSOCIATIONS_SHOWN:
                token = offset_token(_ASSOCIATIONS_SHOWN)
                path = f"/crm/v4/objects/{pair[0]}/{record.id}/associations/{name}?after={token}"
                found[name]["paging"] = {"next": {"after": token, "link": f"{self._url}{path}"}}
        return {"associations": found} if found else {}


def _hides_email(table: Table, app: App | None) -> bool:
    return table.type.name == "emails" and app is not None and "sales-email-read" not in app.scopes
