"""What is in a fresh org before anybody loads it: itself, its users, profiles and value lists."""

from __future__ import annotations

from typing import Any

from crm_sync.sandbox.salesforce.access import Access
from crm_sync.sandbox.salesforce.sessions import Credentials
from crm_sync.sandbox.salesforce.store import Store
from crm_sync.sandbox.salesforce.table import Row

LEAD_STATUSES = (
    ("Open - Not Contacted", True, False),
    ("Working - Contacted", False, False),
    ("Closed - Converted", False, True),
    ("Closed - Not Converted", False, False),
)
STAGES = (
    ("Prospecting", 10.0, "Pipeline"),
    ("Qualification", 10.0, "Pipeline"),
    ("Needs Analysis", 20.0, "Pipeline"),
    ("Value Proposition", 50.0, "Pipeline"),
    ("Proposal/Price Quote", 75.0, "Pipeline"),
    ("Negotiation/Review", 90.0, "Pipeline"),
    ("Closed Won", 100.0, "Closed"),
    ("Closed Lost", 0.0, "Omitted"),
)


def furnish(
    store: Store, access: Access, credentials: Credentials, *, org_id: str, name: str, is_sandbox: bool
) -> None:
    """Put the org's own rows in place and give the three test users their rights."""
    Beginnings(store).all(org_id=org_id, name=name, is_sandbox=is_sandbox, credentials=credentials)
    users = {row["Username"]: row["Id"] for row in store.table("User").rows.values()}
    access.set_rights(users[credentials.integration.username], customize=True)
    access.set_rights(users[credentials.admin.username], customize=True, edit_converted_leads=True)
    limited = users[credentials.limited.username]
    access.set_rights(limited, view_setup=False)
    for object in ("Campaign", "CampaignMember", "Individual", "Opportunity", "OpportunityContactRole"):
        access.set_object(object, limited, read=False, create=False, edit=False, delete=False)
    access.set_object("Lead", limited, create=False, delete=False)


class Beginnings:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._now = store.now()
        self._admin = ""

    def all(self, *, org_id: str, name: str, is_sandbox: bool, credentials: Credentials) -> None:
        self._put("Organization", id=org_id, Name=name, IsSandbox=is_sandbox, OrganizationType="Enterprise Edition",
                  InstanceName="SBX0", TimeZoneSidKey="Europe/Berlin", DefaultLocaleSidKey="en_GB",
                  LanguageLocaleKey="en_US", Country="DE")  # fmt: skip
        self._users(credentials)
        for order, (label, default, converted) in enumerate(LEAD_STATUSES, 1):
            self._put("LeadStatus", MasterLabel=label, ApiName=label, SortOrder=order, IsDefault=default,
                      IsConverted=converted)  # fmt: skip
        for order, (label, probability, category) in enumerate(STAGES, 1):
            self._put("OpportunityStage", MasterLabel=label, ApiName=label, IsActive=True, SortOrder=order,
                      IsClosed=label.startswith("Closed"), IsWon=label == "Closed Won",
                      ForecastCategory=category, DefaultProbability=probability)  # fmt: skip

    def _users(self, credentials: Credentials) -> None:
        admin, integration, sales = (
            self._profile(name)
            for name in ("System Administrator", "Minimum Access - API Only Integrations", "Standard User")
        )
        people = (
            (credentials.admin.username, "Ada", "Admin", *admin),
            (credentials.integration.username, "CRM", "Integration", *integration),
            (credentials.limited.username, "Lin", "Limited", *sales),
        )
        for username, first, last, profile, permissions in people:
            user = self._put("User", Username=username, Email=username, FirstName=first, LastName=last,
                             Alias=last[:8].lower(), ProfileId=profile, TimeZoneSidKey="GMT")  # fmt: skip
            self._admin = self._admin or user
            self._put("PermissionSetAssignment", PermissionSetId=permissions, AssigneeId=user)

    def _profile(self, name: str) -> tuple[str, str]:
        """A profile and the permission set behind it, which holds its grants."""
        profile = self._put("Profile", Name=name)
        owned = self._put("PermissionSet", Name=f"X{profile[:15]}", Label=name, ProfileId=profile,
                          IsOwnedByProfile=True, IsCustom=False)  # fmt: skip
        return profile, owned

    def _put(self, object: str, *, id: str | None = None, **fields: Any) -> str:
        kind = self._store.schema.objects[object]
        defaults = {f.name: f.default for f in kind.fields.values() if f.default is not None}
        row: Row = {
            **defaults,
            "Id": id or self._store.mint.new(kind.prefix),
            "CreatedDate": self._now,
            "CreatedById": self._admin or None,
            "LastModifiedDate": self._now,
            "LastModifiedById": self._admin or None,
            "SystemModstamp": self._now,
            **fields,
        }
        self._store.put(object, row)
        return str(row["Id"])
