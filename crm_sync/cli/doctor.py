"""`crm-sync doctor`: look at everything that an installation stands on, and say what to do."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from crm_sync.cli.checks import Told
from crm_sync.cli.opened import held
from crm_sync.cli.prompts import user_name
from crm_sync.domain.connections import Connection
from crm_sync.domain.policies import PolicyVersion
from crm_sync.errors import ConfigError, CrmSyncError
from crm_sync.flows import diagnose
from crm_sync.flows.connect import Person, Steps, revisit
from crm_sync.flows.publish import mapping_problems
from crm_sync.ports import Check
from crm_sync.settings import Settings, key_file
from crm_sync.store import connections
from crm_sync.wiring import Installation


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check settings, database, broker, workers, documents in force and every connection. Exit code 1 if one fails."""
    told = Told(as_json=json)
    with ExitStack() as stack:
        installation = _opened(stack, told)
        if installation is not None:
            _machine(installation, told)
            if _database(installation, told):
                _everything_in_it(installation, told)
    told.leave()


def _opened(stack: ExitStack, told: Told) -> Installation | None:
    """The installation as far as its settings go. A database that isn't fit is a check, not a refusal."""
    try:
        settings = Settings.from_env()
        told.add(diagnose.home(settings.home), about="installation")
        told.add(diagnose.secret_key(key_file(), settings.home), about="installation")
        installation = Installation(held(stack, settings))
    except ConfigError as error:
        told.add(Check(name="settings", passed=False, found="not usable", advice=str(error)), about="installation")
        return None
    stack.callback(installation.close)
    return installation


def _machine(installation: Installation, told: Told) -> None:
    broker = diagnose.broker(installation.settings.broker_url)
    told.add(broker, about="installation")
    if broker.passed:
        told.add(diagnose.workers(installation.settings.broker_url), about="installation")


def _database(installation: Installation, told: Told) -> bool:
    check = diagnose.database(installation.engine)
    told.add(check, about="installation")
    return check.passed


def _everything_in_it(installation: Installation, told: Told) -> None:
    def policy() -> PolicyVersion:
        with installation.transaction() as session:
            return installation.policy(session)

    told.add(diagnose.policy(policy), about="installation")
    with installation.transaction() as session:
        known = connections.listed(session)
    if not known:
        advice = "Run `crm-sync connect salesforce` or `crm-sync connect hubspot`."
        told.add(Check(name="connections", passed=False, found="none yet", advice=advice), about="installation")
    for connection in known:
        _connection(installation, told, connection)


def _connection(installation: Installation, told: Told, connection: Connection) -> None:
    def tell(check: Check) -> None:
        told.add(check, about=f"connection {connection.name}")

    try:
        mapping = installation.mapping_of(connection)
    except ConfigError as error:
        tell(Check(name="mapping", passed=False, found="can't be read by this version", advice=str(error)))
        return
    let_in = revisit(
        installation.transaction,
        connection,
        lambda: installation.connector(connection),
        mapping,
        Steps(Person(sees=tell, agrees=lambda _: False)),
        actor=f"user:{user_name()}",
        now=installation.now,
    )

    def problems() -> list[str]:
        return mapping_problems(installation.connector(connection), connection, mapping) if mapping else []

    try:
        for check in diagnose.mapping(connection, mapping, problems if let_in else None):
            tell(check)
    except CrmSyncError as error:
        tell(Check(name="mapping", passed=False, found="couldn't be checked", advice=str(error)))
    for check in diagnose.pulling(installation.transaction, connection, installation.now()):
        tell(check)
