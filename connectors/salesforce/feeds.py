"""What can be followed in an org, and how each object is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from crm_sync.domain.changes import Feed, Role, Walk

SLOW = timedelta(minutes=5)
"""What matters to a score but seldom changes it at once; an org's calls are shared with others (law 16)."""

RESCAN = timedelta(minutes=10)
"""A sweep re-reads the last hour this often, a small table is read whole this often."""

REREAD = timedelta(days=1)
"""How often an object is read whole again, where the mapping asks for it without saying how often."""

REMOVALS = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one object is asked for.

    `stamp` is the field that its changes are ordered by. `removable` objects have `IsDeleted` and are asked for
    through queryAll, which alone shows what was deleted, merged away or archived. `system` fields are always
    asked for; `optional` ones are left out where the org doesn't have them. `ties` names the fields that hold ids
    of other records, with the object of each ("" where the id itself tells). `only` narrows a FULL walk.
    """

    stamp: str = "SystemModstamp"
    removable: bool = True
    system: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    ties: tuple[tuple[str, str], ...] = ()
    subquery: str = ""
    only: str = ""


_ACTIVITY = Shape(ties=(("WhoId", ""), ("WhatId", "")))
_OTHER = Shape()

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "Lead": Shape(
            system=("MasterRecordId", "IsConverted", "ConvertedContactId"),
            # Lead has it only where Data Protection and Privacy is switched on (Object Reference, Individual).
            optional=("IndividualId",),
            ties=(("IndividualId", "Individual"),),
        ),
        "Contact": Shape(
            system=("MasterRecordId",),
            optional=("IndividualId",),
            ties=(("AccountId", "Account"), ("IndividualId", "Individual")),
        ),
        "Account": Shape(system=("MasterRecordId",), ties=(("ParentId", "Account"),)),
        "Opportunity": Shape(
            ties=(("AccountId", "Account"),),
            subquery="(SELECT ContactId, IsDeleted FROM OpportunityContactRoles)",
        ),
        "Task": _ACTIVITY,
        "Event": _ACTIVITY,
        "CampaignMember": Shape(ties=(("LeadId", "Lead"), ("ContactId", "Contact"), ("CampaignId", "Campaign"))),
        "Individual": Shape(optional=("MasterRecordId",)),
        "User": Shape(removable=False, system=("Name", "IsActive")),
        "Group": Shape(
            removable=False,
            system=("Name", "Type"),
            only="Type = 'Queue' AND Id IN (SELECT QueueId FROM QueueSobject WHERE SobjectType = 'Lead')",
        ),
        # History has no modification stamp; a row never changes (Object Reference, LeadHistory).
        "LeadHistory": Shape(
            stamp="CreatedDate",
            system=("Field", "OldValue", "NewValue", "CreatedById"),
            ties=(("LeadId", "Lead"),),
        ),
    }
)

KEY_PREFIXES: Mapping[str, str] = MappingProxyType(
    {"00Q": "Lead", "003": "Contact", "001": "Account", "006": "Opportunity", "701": "Campaign"}
)
"""The first three characters of an id tell its object (Object Reference, key prefixes)."""


def shape_of(object: str) -> Shape:
    return SHAPES.get(object, _OTHER)


FEEDS: tuple[Feed, ...] = (
    Feed(object="Lead", role=Role.PERSON),
    Feed(object="Contact", role=Role.PERSON),
    Feed(object="Account", role=Role.ACCOUNT, every=SLOW),
    Feed(object="Opportunity", role=Role.DEAL, every=SLOW),
    Feed(object="Task", role=Role.ACTIVITY),
    Feed(object="Event", role=Role.ACTIVITY),
    Feed(object="CampaignMember", role=Role.ACTIVITY, every=SLOW),
    Feed(object="Individual", role=Role.CONSENT),
    Feed(object="LeadHistory", role=Role.HISTORY, every=SLOW),
    Feed(object="User", role=Role.OWNER, walk=Walk.FULL, every=RESCAN),
    Feed(object="Group", role=Role.OWNER, walk=Walk.FULL, every=RESCAN),
    Feed(object="Lead", role=Role.PERSON, walk=Walk.ARCHIVED, every=REMOVALS),
    Feed(object="Contact", role=Role.PERSON, walk=Walk.ARCHIVED, every=REMOVALS),
    Feed(object="Lead", role=Role.PERSON, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="Contact", role=Role.PERSON, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="Account", role=Role.ACCOUNT, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="Opportunity", role=Role.DEAL, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="Task", role=Role.ACTIVITY, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="Event", role=Role.ACTIVITY, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="CampaignMember", role=Role.ACTIVITY, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="Individual", role=Role.CONSENT, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="LeadHistory", role=Role.HISTORY, walk=Walk.SWEEP, every=RESCAN),
    Feed(object="Lead", role=Role.PERSON, walk=Walk.WHOLE, every=REREAD),
    Feed(object="Contact", role=Role.PERSON, walk=Walk.WHOLE, every=REREAD),
    Feed(object="Account", role=Role.ACCOUNT, walk=Walk.WHOLE, every=REREAD),
)
