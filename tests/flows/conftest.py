"""Installations to let the legs work in: on real PostgreSQL, joined to a sandbox CRM behind real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crm_sync.domain.keys import Keys
from crm_sync.store.engine import Transaction
from tests.connectors.world import World
from tests.flows.sites import Office, Site


@pytest.fixture
def office(transaction: Transaction, database_url: str, keys: Keys) -> Office:
    """An installation with the shipped policy, joined to nothing yet."""
    office = Office(transaction, database_url, keys)
    office.publish_policy(datetime.now(UTC))
    return office


@pytest.fixture
def site(office: Office, crm: World) -> Site:
    """An installation joined to each CRM in turn."""
    return office.join(crm)


@pytest.fixture
def sites(office: Office, salesforce: World, hubspot: World) -> tuple[Site, Site]:
    """An installation joined to both CRMs at once, whose clocks show the same time."""
    hubspot.clock.freeze(salesforce.clock.now())
    return office.join(salesforce), office.join(hubspot)
