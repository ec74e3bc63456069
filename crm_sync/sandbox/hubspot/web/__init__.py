"""The portal's HTTP side: which paths it answers and what an answer carries besides its body."""

from __future__ import annotations

from crm_sync.sandbox.hubspot.web.app import hubspot_app

__all__ = ["hubspot_app"]
