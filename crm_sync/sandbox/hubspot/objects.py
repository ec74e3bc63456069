"""The object types of a portal: their names, ids, and which properties always come along.

Source: HubSpot CRM API guide, object type ids; the cursor property is lastmodifieddate for contacts and
hs_lastmodifieddate for everything else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectType:
    """`name` is the plural that paths and this package use; `created` and `modified` are its stamp properties.

    `shown` are returned where a client asks for no properties; `always` whatever it asks for. `scopes` is the name
    of the scope family (`crm.objects.<scopes>.read`).
    """

    name: str
    singular: str
    type_id: str
    created: str
    modified: str
    shown: tuple[str, ...]
    scopes: str = "contacts"

    @property
    def always(self) -> tuple[str, ...]:
        return (self.created, self.modified, "hs_object_id")

    @property
    def is_engagement(self) -> bool:
        return self.name in ENGAGEMENTS


ENGAGEMENTS = ("emails", "calls", "meetings", "notes", "tasks", "communications")


def _engagement(name: str, singular: str, type_id: str) -> ObjectType:
    return ObjectType(
        name=name,
        singular=singular,
        type_id=type_id,
        created="hs_createdate",
        modified="hs_lastmodifieddate",
        shown=(),
    )


OBJECT_TYPES = (
    ObjectType(
        name="contacts",
        singular="contact",
        type_id="0-1",
        created="createdate",
        modified="lastmodifieddate",
        shown=("firstname", "lastname", "email"),
    ),
    ObjectType(
        name="companies",
        singular="company",
        type_id="0-2",
        created="createdate",
        modified="hs_lastmodifieddate",
        shown=("name", "domain"),
        scopes="companies",
    ),
    ObjectType(
        name="deals",
        singular="deal",
        type_id="0-3",
        created="createdate",
        modified="hs_lastmodifieddate",
        shown=("dealname", "amount", "closedate", "pipeline", "dealstage"),
        scopes="deals",
    ),
    ObjectType(
        name="leads",
        singular="lead",
        type_id="0-136",
        created="hs_createdate",
        modified="hs_lastmodifieddate",
        shown=("hs_lead_name",),
        scopes="leads",
    ),
    _engagement("communications", "communication", "0-18"),
    _engagement("tasks", "task", "0-27"),
    _engagement("notes", "note", "0-46"),
    _engagement("meetings", "meeting", "0-47"),
    _engagement("calls", "call", "0-48"),
    _engagement("emails", "email", "0-49"),
)

_BY_WORD = {word.lower(): t for t in OBJECT_TYPES for word in (t.name, t.singular, t.type_id)}


def object_type(word: str) -> ObjectType | None:
    """The type called `word` (plural, singular or 0-N id, in any case), None where there is no such type."""
    return _BY_WORD.get(word.lower())
