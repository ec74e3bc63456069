"""SalesforceConnector: the port, each method a call into the files beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from connectors.salesforce import changes, fields, org, reads, removals, writes
from connectors.salesforce.feeds import FEEDS
from connectors.salesforce.permissions import permissions
from connectors.salesforce.rows import Rows
from connectors.salesforce.session import Session
from crm_sync.domain.changes import ChangeBatch, Cursor, Feed, Walk
from crm_sync.domain.fields import Catalogue, OwnField
from crm_sync.domain.records import CrmKind, OrgIdentity, RecordBatch, Wanted
from crm_sync.domain.writes import Outcome, Write
from crm_sync.ports import Check, Connector, HoldCredentials, Meter, SaveCredentials


def open_connector(
    *,
    base_url: str,
    credentials: Mapping[str, str],
    meter: Meter,
    save_credentials: SaveCredentials,
    deadline: timedelta = timedelta(seconds=60),
    now: Callable[[], datetime],
    hold_credentials: HoldCredentials | None = None,
) -> SalesforceConnector:
    """A connector to the org at `base_url` (its My Domain address). No call is made.

    `credentials` is flat; `method` says which others are needed:
    client_credentials (consumer_key, consumer_secret), jwt (consumer_key, username, private_key),
    password (username, password; security_token; consumer_key and consumer_secret for OAuth instead of SOAP),
    session (session_id; instance_url). Optional: login_domain, ca_file, allow_http ("yes").
    `hold_credentials` lets one of several workers sign in again and gives the others what that one stored.
    Raises ConfigError that names what is missing.
    """
    return SalesforceConnector(
        Session(
            base_url=base_url,
            credentials=credentials,
            meter=meter,
            save_credentials=save_credentials,
            deadline=deadline,
            now=now,
            hold_credentials=hold_credentials,
        )
    )


class SalesforceConnector(Connector):
    """One org, spoken to by simple-salesforce. Every method may sign in first and renews an ended session once."""

    kind = CrmKind.SALESFORCE

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows = Rows(session)

    def identity(self) -> OrgIdentity:
        return org.identity(self._session)

    def permissions(self) -> list[Check]:
        return permissions(self._session, FEEDS)

    def server_time(self) -> datetime:
        return org.server_time(self._session)

    def feeds(self) -> Sequence[Feed]:
        return FEEDS

    def changes_since(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        """One page, up to 2,000 rows: one call. See changes.py for what a cursor says.

        An optional object that the org lacks raises ConfigError that names it; other feeds aren't touched.
        """
        if feed.walk is Walk.ARCHIVED:
            return removals.page_after(self._session, self._rows, feed, cursor, fields, self.server_time())
        return changes.page_after(self._rows, feed, cursor, fields, self._last_server_time)

    def sweep_from(self, feed: Feed, since: datetime) -> Cursor:
        return changes.starting_at(feed, since)

    def read_all(self, wanted: Sequence[Wanted]) -> list[RecordBatch]:
        """One call for some 2,500 ids, whatever their objects. See rows.py."""
        return reads.read_all(self._rows, wanted, self._session.now())

    def write(self, writes_: Sequence[Write]) -> list[Outcome]:
        """One call for each 1,000 records. See writes.py."""
        return writes.write(self._session, writes_)

    def catalogue(self, object: str) -> Catalogue:
        return fields.catalogue(self._session, object)

    def own_field_names(self, own: Sequence[OwnField]) -> Mapping[str, str]:
        return {field.name: fields.api_name(field) for field in own}

    def install_fields(self, object: str, own: Sequence[OwnField]) -> list[Check]:
        return fields.install(self._session, object, own, lambda: self.identity().user_id)

    def remove_fields(self, object: str, own: Sequence[OwnField]) -> list[Check]:
        return fields.remove(self._session, object, own)

    def close(self) -> None:
        self._session.close()

    def _last_server_time(self) -> datetime:
        return self._session.server_time or self.server_time()
