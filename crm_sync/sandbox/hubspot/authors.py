"""Who writes a property: an app, a person, or the portal itself; as property history and the journal name them.

Source: recorded property histories (sourceType, sourceId, updatedByUserId).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crm_sync.sandbox.hubspot.sign_in import App
from crm_sync.sandbox.hubspot.stamps import iso


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """`call` is the number of the HTTP call in the journal, 0 for people and the portal itself."""

    source_type: str
    source_id: str
    actor: str
    call: int = 0
    user_id: int | None = None
    label: str | None = None

    @property
    def is_app(self) -> bool:
        return self.source_type == "INTEGRATION"

    def version(self, value: str | None, at: int) -> dict[str, Any]:
        """An entry of propertiesWithHistory; a cleared value is empty text."""
        entry: dict[str, Any] = {
            "value": value or "",
            "timestamp": iso(at),
            "sourceType": self.source_type,
            "sourceId": self.source_id,
        }
        if self.label is not None:
            entry["sourceLabel"] = self.label
        if self.user_id is not None:
            entry["updatedByUserId"] = self.user_id
        return entry


def app_author(app: App, call: int) -> Author:
    return Author(
        source_type="INTEGRATION", source_id=str(app.app_id), actor=f"app:{app.app_id}", call=call, label=app.name
    )


def named_author(name: str | None) -> Author:
    """The author that an action names: `userId:771201`, `app:77`, `workflow:12`, `import:3`, `form:<guid>`, `portal`.

    Without a name it is a person.
    """
    kind, _, id = (name or "userId:771201").partition(":")
    match kind:
        case "userId":
            return Author(source_type="CRM_UI", source_id=f"userId:{id}", actor=f"userId:{id}", user_id=int(id))
        case "app":
            return Author(source_type="INTEGRATION", source_id=id, actor=f"app:{id}")
        case "workflow":
            return Author(source_type="AUTOMATION_PLATFORM", source_id=id, actor=f"workflow:{id}")
        case "import":
            return Author(source_type="IMPORT", source_id=id, actor=f"import:{id}")
        case "form":
            return Author(source_type="FORM", source_id=id, actor=f"form:{id}")
        case "portal":
            return PORTAL
        case _:
            raise ValueError(f"Nobody is called {name}: use userId:N, app:N, workflow:N, import:N, form:ID or portal.")


PORTAL = Author(source_type="CALCULATED", source_id="PropertyCalculation", actor="portal")
MERGER = "MERGE_OBJECTS"
