"""The HubSpot connector: each method of the port is one call into the files beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from connectors.hubspot.changes import FEEDS, Follower, sweep_from
from connectors.hubspot.fields import Catalogues, install, own_names, remove
from connectors.hubspot.permissions import UNTOLD, permissions
from connectors.hubspot.reads import read
from connectors.hubspot.session import Session
from connectors.hubspot.writes import write
from crm_sync.domain.changes import ChangeBatch, Cursor, Feed
from crm_sync.domain.fields import Catalogue, OwnField
from crm_sync.domain.records import CrmKind, OrgIdentity, RecordBatch, Wanted
from crm_sync.domain.writes import Outcome, Write
from crm_sync.errors import TransientError
from crm_sync.ports import Check, Connector, HoldCredentials, Meter, SaveCredentials

TEST_ACCOUNTS = frozenset({"SANDBOX", "DEVELOPER_TEST", "APP_DEVELOPER"})


class HubSpotConnector(Connector):
    """One portal. Made after a fork, used by one thread, closed when done.

    Catalogues are kept for an hour and read only when rows arrive, so an idle poll is one call.
    """

    kind = CrmKind.HUBSPOT

    def __init__(self, session: Session) -> None:
        self._session = session
        self._catalogues = Catalogues(session)
        self._follower = Follower(session, self._catalogues)

    def identity(self) -> OrgIdentity:
        """Two calls: the account, and whose token this is. HubSpot gives an account no name but its number.

        `details` holds `app_id`, under which our own writes appear in a property's history."""
        told, _ = self._session.account()
        portal = told.get("portalId")
        if portal is None:
            raise TransientError("HubSpot's answer can't be read: it names no portal.", code="garbage")
        token = self._token()
        return OrgIdentity(
            org_id=str(portal),
            name=f"HubSpot portal {portal}",
            is_test=told.get("accountType") in TEST_ACCOUNTS,
            time_zone=str(told.get("timeZone") or "UTC"),
            user_id=token.get("user_id", ""),
            details={
                "app_id": token.get("app_id", ""),
                "scopes": token.get("scopes", ""),
                "account_type": str(told.get("accountType") or ""),
                "currency": str(told.get("companyCurrency") or ""),
                "ui_domain": str(told.get("uiDomain") or ""),
                "hosting": str(told.get("dataHostingLocation") or ""),
            },
        )

    def permissions(self) -> list[Check]:
        return permissions(self._session)

    def server_time(self) -> datetime:
        return self._follower.server_time()

    def feeds(self) -> Sequence[Feed]:
        return FEEDS

    def changes_since(self, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> ChangeBatch:
        return self._follower.changes_since(feed, cursor, fields)

    def sweep_from(self, feed: Feed, since: datetime) -> Cursor:
        return sweep_from(feed, since)

    def read_all(self, wanted: Sequence[Wanted]) -> list[RecordBatch]:
        return [read(self._session, self._catalogues, each.object, each.ids, each.fields) for each in wanted]

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return write(self._session, self._catalogues, writes)

    def catalogue(self, object: str) -> Catalogue:
        return self._catalogues.read(object)

    def own_field_names(self, fields: Sequence[OwnField]) -> Mapping[str, str]:
        return own_names(fields)

    def install_fields(self, object: str, fields: Sequence[OwnField]) -> list[Check]:
        checks = install(self._session, object, fields)
        self._catalogues.forget(object)
        return checks

    def remove_fields(self, object: str, fields: Sequence[OwnField]) -> list[Check]:
        checks = remove(self._session, object, fields)
        self._catalogues.forget(object)
        return checks

    def close(self) -> None:
        self._session.close()

    def _token(self) -> Mapping[str, str]:
        """App, user and scopes as text; empty where HubSpot has no information on the token, as for service keys."""
        try:
            told = self._session.token_info()
        except UNTOLD:
            return {}
        return {
            "app_id": str(told["app_id"] or ""),
            "user_id": str(told["user_id"] or ""),
            "scopes": " ".join(map(str, told["scopes"])),
        }


def open_connector(
    *,
    base_url: str,
    credentials: Mapping[str, str],
    meter: Meter,
    save_credentials: SaveCredentials,
    deadline: timedelta = timedelta(seconds=60),
    now: Callable[[], datetime],
    hold_credentials: HoldCredentials | None = None,
) -> HubSpotConnector:
    """A connector to the portal that `credentials` open. No call is made yet.

    `deadline` bounds each HTTP call, its repetitions included; a method may make several. `hold_credentials` is for
    OAuth with several workers: it lets one of them renew and gives the others what that one stored.
    """
    session = Session(
        base_url=base_url,
        credentials=credentials,
        meter=meter,
        save_credentials=save_credentials,
        deadline=deadline,
        now=now,
        hold_credentials=hold_credentials,
    )
    return HubSpotConnector(session)
