"""Connections: one org or portal each, and the state that says what may happen with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from crm_sync.domain.records import CrmKind, OrgIdentity
from crm_sync.errors import ConfigError

ConnectionId = NewType("ConnectionId", int)


class ConnectionState(StrEnum):
    """OBSERVING does everything but push, PAUSED nothing; the last two wait for an admin."""

    OBSERVING = "observing"
    ACTIVE = "active"
    PAUSED = "paused"
    NEEDS_SIGN_IN = "needs_sign_in"
    WRONG_ORG = "wrong_org"


PULLING = frozenset({ConnectionState.OBSERVING, ConnectionState.ACTIVE})
PUSHING = frozenset({ConnectionState.ACTIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One Salesforce org or HubSpot portal that a customer has joined to us.

    `org_id` is empty until it was confirmed once. `wait_until` is set while the CRM asked us to wait.
    `credentials_mark` changes whenever the stored credentials do.
    """

    id: ConnectionId
    name: str
    kind: CrmKind
    base_url: str
    org_id: str
    org_name: str
    is_test: bool
    time_zone: str
    state: ConnectionState
    state_reason: str
    wait_until: datetime | None
    credentials_mark: str = ""

    @property
    def realm(self) -> str:
        """People are shared within a realm only: a test org never meets production."""
        return "test" if self.is_test else "production"


def refuse_other_org(connection: Connection, identity: OrgIdentity) -> None:
    """Raise ConfigError where another org answers than the one that this connection was confirmed for."""
    if connection.org_id not in ("", identity.org_id):
        raise ConfigError(
            f"{connection.name!r} leads to {identity.name} ({identity.org_id}) now, not to {connection.org_name} "
            f"({connection.org_id}); run `crm-sync doctor`"
        )
