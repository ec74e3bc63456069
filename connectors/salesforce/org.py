"""Which org answers, and what its clock says."""

from __future__ import annotations

from datetime import datetime

from connectors.salesforce.errors import garbage
from connectors.salesforce.session import Session, as_dict
from crm_sync.domain.records import OrgIdentity
from crm_sync.errors import AuthError, ConfigError

_ORGANIZATION = "SELECT Id, Name, IsSandbox, OrganizationType, TimeZoneSidKey FROM Organization LIMIT 1"


def identity(session: Session) -> OrgIdentity:
    """The org's row and the user that the token is for: two calls.

    Source: Object Reference, Organization; OAuth 2.0 userinfo endpoint.
    """
    rows = as_dict(session.read(lambda client: client.query(_ORGANIZATION))).get("records")
    if not isinstance(rows, list) or len(rows) != 1:
        raise garbage()
    row, (user_id, username) = rows[0], _user(session)
    return OrgIdentity(
        org_id=row["Id"],
        name=row["Name"] or "",
        is_test=bool(row["IsSandbox"]) or row.get("OrganizationType") == "Developer Edition",
        time_zone=row.get("TimeZoneSidKey") or "UTC",
        user_id=user_id,
        details={"edition": row.get("OrganizationType") or "", "user": username},
    )


def _user(session: Session) -> tuple[str, str]:
    """Id and name of the signed-in user.

    An app that may use the API alone is refused the userinfo endpoint. The sign-in told the id, and a session that
    was given to us learns it from the list of resources (`"identity": "https://login.salesforce.com/id/00D…/005…"`).
    """
    try:
        who = as_dict(session.read(lambda client: client.oauth2("userinfo")))
    except (AuthError, ConfigError):
        if session.user_id:
            return session.user_id, ""
        listed = as_dict(session.read(lambda client: client.restful("")))
        return str(listed.get("identity") or "").rpartition("/")[2], ""
    if not isinstance(who.get("user_id"), str):
        raise garbage()
    return who["user_id"], str(who.get("preferred_username") or "")


def server_time(session: Session) -> datetime:
    """The Date header of the cheapest answer there is: the list of resources."""
    session.read(lambda client: as_dict(client.restful("")))
    if session.server_time is None:
        raise garbage()
    return session.server_time
