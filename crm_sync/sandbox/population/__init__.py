"""A believable company's two CRMs, drawn from one seed: who its leads are, what they did, and which of them bought.

`populate` does no I/O and reads no clock: the same arguments give the same bytes. `into_salesforce` and
`into_hubspot` fill a sandbox org and portal with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from crm_sync.sandbox.population.hubspot import HubSpotRows
from crm_sync.sandbox.population.salesforce import SalesforceRows
from crm_sync.sandbox.population.world import World, draw_world

__all__ = ["CRMS", "Population", "into_hubspot", "into_salesforce", "populate"]

CRMS = ("salesforce", "hubspot")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Rows by object, in an order in which references point backwards, and what is true of the whole.

    `associations` are HubSpot's: (from type, to type) to pairs of ids. `summary` holds counts, shares and base rates.
    """

    salesforce: Mapping[str, Sequence[Row]]
    hubspot: Mapping[str, Sequence[Row]]
    associations: Mapping[tuple[str, str], Sequence[tuple[str, str]]]
    summary: Mapping[str, Any]


class Seeded(Protocol):
    """What a sandbox org offers for filling it."""

    def seed(self, object: str, rows: Iterable[Mapping[str, Any]], /) -> Any: ...


class SeededWithAssociations(Seeded, Protocol):
    """What a sandbox portal offers."""

    def associate(self, from_type: str, to_type: str, pairs: Iterable[tuple[str, str]], /) -> Any: ...


def populate(*, seed: int, people: int, activities: int, now: datetime, crms: Sequence[str] = CRMS) -> Population:
    """`people` humans and exactly `activities` things done with them before `now` (aware UTC).

    With one of `crms` alone, all people are there, and in Salesforce all of them begin as leads.
    """
    world = draw_world(seed=seed, people=people, activities=activities, now=now, crms=tuple(crms))
    org = SalesforceRows(world)
    if "salesforce" in crms:
        org.write()
    portal = HubSpotRows(world, lead_of=org.lead_of, contact_of=org.contact_of)
    if "hubspot" in crms:
        portal.write()
    return Population(
        salesforce=org.rows,
        hubspot=portal.rows,
        associations=dict(portal.pairs),
        summary=_summary(world, org, portal),
    )


def into_salesforce(org: Seeded, population: Population) -> None:
    """Fill `org`; its own users, groups and settings stay."""
    for object, rows in population.salesforce.items():
        org.seed(object, rows)


def into_hubspot(portal: SeededWithAssociations, population: Population) -> None:
    """Fill `portal`, associations included."""
    for type, rows in population.hubspot.items():
        portal.seed(type, rows)
    for (source, target), pairs in population.associations.items():
        portal.associate(source, target, pairs)


def _summary(world: World, org: SalesforceRows, portal: HubSpotRows) -> dict[str, Any]:
    people, deals = world.people, world.conversions
    converted = ~np.isnan(deals.recorded)
    delay = (deals.at - people.created)[converted] / 86_400
    leads, contacts = len(org.rows.get("Lead", ())), len(portal.rows.get("contacts", ()))
    return {
        "seed": world.seed,
        "people": len(people),
        "people_in_both": int((people.in_salesforce & people.in_hubspot).sum()),
        "activities": len(world.activities),
        "conversion_rate": _rate(int(converted.sum()), len(people)),
        "salesforce": {
            "records": {object: len(rows) for object, rows in org.rows.items()},
            "conversion_rate": _rate(org.converted, leads),
        },
        "hubspot": {
            "records": {type: len(rows) for type, rows in portal.rows.items()},
            "conversion_rate": _rate(portal.converted, contacts),
        },
        "days_to_conversion": {
            str(share): round(float(np.percentile(delay, share)), 1) if len(delay) else None
            for share in (25, 50, 75, 95)
        },
        "win_rate": _rate(int(deals.won[~np.isnan(deals.closed)].sum()), int((~np.isnan(deals.closed)).sum())),
        "refused": {
            name: int((~np.isnan(at)).sum())
            for name, at in (
                ("email", people.no_email),
                ("phone", people.no_phone),
                ("tracking", people.no_tracking),
                ("profiling", people.no_profiling),
                ("processing", people.no_processing),
                ("forget", people.forget),
            )
        },
    }


def _rate(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
