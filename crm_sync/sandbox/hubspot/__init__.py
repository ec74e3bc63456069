"""A HubSpot portal in memory behind real HTTP, for the unmodified hubspot-api-client.

`portal` holds the state, `actions` what people and admins do to it, `web` what a client may ask over HTTP. The
behaviour follows HubSpot's documentation as of November 2026; where accounts of it differ, a `Behaviour` switch
chooses.
"""

from __future__ import annotations

from crm_sync.sandbox.hubspot.behaviour import Behaviour
from crm_sync.sandbox.hubspot.portal import HubSpotPortal
from crm_sync.sandbox.hubspot.sign_in import CLIENT_ID, CLIENT_KEY, PRIVATE_APP_KEY, REFRESH_KEY
from crm_sync.sandbox.hubspot.web import hubspot_app

__all__ = [
    "CLIENT_ID",
    "CLIENT_KEY",
    "PRIVATE_APP_KEY",
    "REFRESH_KEY",
    "Behaviour",
    "HubSpotPortal",
    "hubspot_app",
]
