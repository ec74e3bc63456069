"""Which connector speaks which CRM. The only file that knows them all; each is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from importlib import import_module
from typing import cast

from crm_sync.domain.records import CrmKind
from crm_sync.ports import Connector, HoldCredentials, Meter, SaveCredentials

_MODULES: Mapping[CrmKind, str] = {
    CrmKind.SALESFORCE: "connectors.salesforce.connector",
    CrmKind.HUBSPOT: "connectors.hubspot.connector",
}


def open_connector(
    kind: CrmKind,
    *,
    base_url: str,
    credentials: Mapping[str, str],
    meter: Meter,
    save_credentials: SaveCredentials,
    deadline: timedelta = timedelta(seconds=60),
    now: Callable[[], datetime],
    hold_credentials: HoldCredentials | None = None,
) -> Connector:
    """A connector of this kind. No call is made; ConfigError where credentials lack something.

    Call it after a fork: a connector holds sockets.
    """
    factory = import_module(_MODULES[CrmKind(kind)]).open_connector
    return cast(
        Connector,
        factory(
            base_url=base_url,
            credentials=credentials,
            meter=meter,
            save_credentials=save_credentials,
            deadline=deadline,
            now=now,
            hold_credentials=hold_credentials,
        ),
    )
