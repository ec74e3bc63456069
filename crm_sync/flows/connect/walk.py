"""The walk: everything that a new connection needs, looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.own_fields import names_on
from crm_sync.flows.connect.look import Steps, clocks, of_need, own_fields, people_of
from crm_sync.flows.connect.rehearsal import NAME as TEST_WRITE
from crm_sync.flows.connect.rehearsal import rehearse
from crm_sync.flows.connect.request import Request
from crm_sync.ports import Check, Connector


def look_around(
    connector: Connector, steps: Steps, request: Request, mapping: MappingVersion | None, ahead: timedelta
) -> None:
    """Permissions, our fields, a test write, clocks."""
    objects = request.objects or people_of(connector, mapping)
    needed = {*objects, *(mapping.roles if mapping else ())}
    steps.tried("access", lambda: [of_need(check, needed) for check in connector.permissions()])
    seen = [
        own_fields(connector, steps, object, mapping, connection=request.name, install=request.install_fields)
        for object in objects
    ]
    writable = [one.object for one in seen if one is not None and one.complete]
    _test_write(connector, steps, writable, mapping)
    steps.add(clocks(ahead))


def _test_write(connector: Connector, steps: Steps, objects: Sequence[str], mapping: MappingVersion | None) -> None:
    if not objects:
        steps.add(Check(name=TEST_WRITE, passed=False, found="left out", advice="Our fields have to be there first."))
        return
    object = objects[0]
    state = names_on(object, connector.own_field_names(OWN_FIELDS), mapping).get("state", "")
    if not state:
        steps.add(Check(name=TEST_WRITE, passed=True, found=f"left out, as nothing writes a state to {object}"))
        return
    steps.tried(TEST_WRITE, lambda: [rehearse(connector, object, state, steps.person.agrees)])
