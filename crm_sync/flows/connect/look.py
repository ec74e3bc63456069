"""Looking at one CRM: each step is told as soon as it is known. Connecting and the doctor look in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm_sync.domain.changes import Role
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.own_fields import OwnFields, installable, look, names_on
from crm_sync.domain.records import OrgIdentity
from crm_sync.errors import AuthError, ConfigError, CrmSyncError
from crm_sync.flows.connect.request import Person
from crm_sync.ports import Check, Connector

CLOCKS_MAY_DIFFER = timedelta(seconds=30)


@dataclass
class Steps:
    """What was looked at so far."""

    person: Person
    checks: list[Check] = field(default_factory=list)

    def add(self, check: Check) -> None:
        self.checks.append(check)
        self.person.sees(check)

    def tried(self, name: str, ask: Callable[[], Iterable[Check]]) -> None:
        """Add what `ask` finds. A refused call fails this step and no other."""
        try:
            for check in ask():
                self.add(check)
        except CrmSyncError as error:
            self.add(refused(name, error))


def refused(name: str, error: CrmSyncError) -> Check:
    """A step that ended with a refused call."""
    found = "refused" if isinstance(error, AuthError | ConfigError) else "no useful answer"
    return Check(name=name, passed=False, found=found, advice=str(error))


def sign_in(connector: Connector, steps: Steps, now: Callable[[], datetime]) -> tuple[OrgIdentity, timedelta] | None:
    """Who answers, and how far our clock is ahead of theirs; None where we are not let in or nobody answers."""
    name = "sign-in"
    try:
        theirs = connector.server_time()
        ahead = now() - theirs
        steps.add(Check(name=name, passed=True, found="let in"))
        name = "identity"
        identity = connector.identity()
    except CrmSyncError as error:
        steps.add(refused(name, error))
        return None
    realm = "test" if identity.is_test else "production"
    found = f"{identity.name} ({identity.org_id}), {realm}, time zone {identity.time_zone}"
    steps.add(Check(name=name, passed=True, found=found))
    return identity, ahead


def people_of(connector: Connector, mapping: MappingVersion | None) -> tuple[str, ...]:
    """The objects whose records are people: those that the mapping names, else all that there are."""
    if mapping is not None:
        return tuple(mapping.people)
    return tuple(dict.fromkeys(feed.object for feed in connector.feeds() if feed.role is Role.PERSON))


def of_need(check: Check, needed: set[str]) -> Check:
    """What nothing uses may be out of reach: least data is what we want."""
    name = f"access to {check.name}"
    if check.passed or check.name in needed:
        return Check(name=name, passed=check.passed, found=check.found, advice=check.advice)
    return Check(name=name, passed=True, found=f"{check.found}; needed only where it is mapped")


def own_fields(
    connector: Connector,
    steps: Steps,
    object: str,
    mapping: MappingVersion | None,
    *,
    connection: str,
    install: bool = False,
) -> OwnFields | None:
    """What our user sees of our fields, after creating what is missing where `install` says so; None if refused."""
    name = f"our fields on {object}"
    spelled = connector.own_field_names(OWN_FIELDS)
    names = names_on(object, spelled, mapping)
    advice = f"Run `crm-sync fields install --connection {connection}`."
    try:
        seen = look(object, names, connector.catalogue(object))
        if install and not seen.complete:
            made = connector.install_fields(object, installable(names, spelled))
            seen = look(object, names, connector.catalogue(object))
            advice = " ".join(dict.fromkeys(check.advice for check in made if not check.passed))
    except CrmSyncError as error:
        steps.add(refused(name, error))
        return None
    steps.add(Check(name=name, passed=seen.complete, found=seen.words(), advice="" if seen.complete else advice))
    return seen


def clocks(ahead: timedelta) -> Check:
    """How far our clock is ahead of the CRM's: sign-ins and consents that expire depend on it."""
    seconds = round(ahead.total_seconds())
    if abs(ahead) <= CLOCKS_MAY_DIFFER:
        return Check(name="clocks", passed=True, found=f"{abs(seconds)} s apart")
    way = "ahead of" if seconds > 0 else "behind"
    found = f"this machine is {abs(seconds):,} s {way} the CRM"
    return Check(name="clocks", passed=False, found=found, advice="Let this machine's clock be set by NTP.")
