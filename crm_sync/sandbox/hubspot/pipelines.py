"""Pipelines and their stages, for deals and leads.

Source: HubSpot pipelines guide; metadata values are text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.sandbox.hubspot.schema import STANDARD_SINCE as SINCE

PIPELINE_PROPERTIES: Mapping[str, tuple[str, str]] = {
    "deals": ("pipeline", "dealstage"),
    "leads": ("hs_pipeline", "hs_pipeline_stage"),
}

_DEAL_STAGES = (
    ("appointmentscheduled", "Appointment Scheduled", "0.2"),
    ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"),
    ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
    ("contractsent", "Contract Sent", "0.9"),
    ("closedwon", "Closed Won", "1.0"),
    ("closedlost", "Closed Lost", "0.0"),
)
_LEAD_STAGES = (
    ("new-stage-id", "New", "NEW"),
    ("attempting-stage-id", "Attempting", "IN_PROGRESS"),
    ("connected-stage-id", "Connected", "IN_PROGRESS"),
    ("qualified-stage-id", "Qualified", "QUALIFIED"),
    ("unqualified-stage-id", "Unqualified", "UNQUALIFIED"),
)


def _stage(id: str, label: str, order: int, metadata: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": id,
        "label": label,
        "displayOrder": order,
        "metadata": dict(metadata),
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "archived": False,
        "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
    }


def _pipeline(id: str, label: str, stages: list[dict[str, Any]], order: int = 0) -> dict[str, Any]:
    return {
        "id": id,
        "label": label,
        "displayOrder": order,
        "stages": stages,
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "archived": False,
    }


def _deal_metadata(probability: str) -> dict[str, str]:
    return {"isClosed": str(probability in ("0.0", "1.0")).lower(), "probability": probability}


class Pipelines:
    """The pipelines of each object type that has any, in display order."""

    def __init__(self) -> None:
        deals = [_stage(id, label, n, _deal_metadata(p)) for n, (id, label, p) in enumerate(_DEAL_STAGES)]
        leads = [_stage(id, label, n, {"leadState": state}) for n, (id, label, state) in enumerate(_LEAD_STAGES)]
        self.by_object: dict[str, list[dict[str, Any]]] = {
            "deals": [_pipeline("default", "Sales Pipeline", deals)],
            "leads": [_pipeline("lead-pipeline-id", "Lead Pipeline", leads)],
        }

    def put(self, object_name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Add or replace a pipeline: `{"id", "label", "stages": [{"id", "label", "metadata"?}…]}`."""
        stages = [
            _stage(str(s["id"]), str(s.get("label", s["id"])), n, s.get("metadata", {}))
            for n, s in enumerate(raw.get("stages", ()))
        ]
        kept = [p for p in self.by_object[object_name] if p["id"] != str(raw["id"])]
        made = _pipeline(str(raw["id"]), str(raw.get("label", raw["id"])), stages, len(kept))
        self.by_object[object_name] = [*kept, made]
        return made

    def find(self, object_name: str, id: str) -> dict[str, Any] | None:
        return next((p for p in self.by_object.get(object_name, ()) if p["id"] == id), None)

    def stage_ids(self, object_name: str, pipeline: str | None = None) -> list[str]:
        """Ids of the stages of one pipeline, or of all."""
        return [
            stage["id"]
            for p in self.by_object.get(object_name, ())
            if pipeline is None or p["id"] == pipeline
            for stage in p["stages"]
        ]

    def stage(self, object_name: str, id: str) -> dict[str, Any] | None:
        stages = (s for p in self.by_object.get(object_name, ()) for s in p["stages"])
        return next((s for s in stages if s["id"] == id), None)
