"""What the signed-in app may do here: scopes, one Check an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.hubspot.session import Session
from crm_sync.errors import AuthError, ConfigError, GoneError, RecordError
from crm_sync.ports import Check

# What token information may answer for a token that lets us in all the same: how it treats service keys isn't written.
UNTOLD = (AuthError, ConfigError, GoneError, RecordError)

# Object, and the scopes that following it (and for people, writing it) takes. Engagements hang on the contacts scope.
# Source: HubSpot scopes reference.
SCOPES: Mapping[str, Sequence[str]] = {
    "contacts": ("crm.objects.contacts.read", "crm.objects.contacts.write"),
    "companies": ("crm.objects.companies.read",),
    "deals": ("crm.objects.deals.read",),
    "emails": ("crm.objects.contacts.read", "sales-email-read"),
    "calls": ("crm.objects.contacts.read",),
    "meetings": ("crm.objects.contacts.read",),
    "notes": ("crm.objects.contacts.read",),
    "tasks": ("crm.objects.contacts.read",),
    "owners": ("crm.objects.owners.read",),
}


def permissions(session: Session) -> list[Check]:
    """By the token's scopes; where HubSpot doesn't tell them (service keys), by one cheap read of each object."""
    session.sign_in()
    try:
        granted = {str(scope) for scope in session.token_info()["scopes"]}
    except UNTOLD:
        granted = set()
    if granted:
        return [_by_scopes(object, needed, granted) for object, needed in SCOPES.items()]
    return [_by_trying(session, object) for object in SCOPES]


def _by_scopes(object: str, needed: Sequence[str], granted: set[str]) -> Check:
    missing = [scope for scope in needed if scope not in granted]
    if missing:
        return Check(
            name=object,
            passed=False,
            found=f"lacks {', '.join(missing)}",
            advice=f"Grant the scope {', '.join(missing)} to the app in HubSpot and sign in again.",
        )
    return Check(name=object, passed=True, found=", ".join(needed))


def _by_trying(session: Session, object: str) -> Check:
    try:
        if object == "owners":
            session.ask(session.owners.get_page, limit=1, archived=False)
        else:
            session.ask(session.objects.get_page, object, limit=1, archived=False)
    except (AuthError, ConfigError) as error:
        return Check(name=object, passed=False, found=error.code, advice=str(error))
    return Check(name=object, passed=True, found="can be read")
