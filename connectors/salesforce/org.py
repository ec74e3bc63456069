"""Which org answers, and what its clock says."""

from __future__ import annotations

from datetime import datetime

from connectors.salesforce.errors import garbage
from connectors.salesforce.session import Session, as_dict
from crm_sync.domain.records import OrgIdentity

_ORGANIZATION = "SELECT Id, Name, IsSandbox, OrganizationType, TimeZoneSidKey FROM Organization LIMIT 1"


def identity(session: Session) -> OrgIdentity:
    """The org's row and the user that the token is for: two calls.

    Source: Object Reference, Organization; OAuth 2.0 userinfo endpoint.
    """
    rows = as_dict(session.read(lambda client: client.query(_ORGANIZATION))).get("records")
    who = as_dict(session.read(lambda client: client.oauth2("userinfo")))
    if not isinstance(rows, list) or len(rows) != 1 or not isinstance(who.get("user_id"), str):
        raise garbage()
    row = rows[0]
    return OrgIdentity(
        org_id=row["Id"],
        name=row["Name"] or "",
        is_test=bool(row["IsSandbox"]) or row.get("OrganizationType") == "Developer Edition",
        time_zone=row.get("TimeZoneSidKey") or "UTC",
        user_id=who["user_id"],
        details={"edition": row.get("OrganizationType") or "", "user": who.get("preferred_username") or ""},
    )


def server_time(session: Session) -> datetime:
    """The Date header of the cheapest answer there is: the list of resources."""
    session.read(lambda client: as_dict(client.restful("")))
    if session.server_time is None:
        raise garbage()
    return session.server_time
