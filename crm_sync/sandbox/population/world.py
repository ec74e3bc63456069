"""Everything true in a population, before any CRM wrote it down: reps, companies, people, deeds and outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.random import Generator, default_rng

from crm_sync.sandbox.population import words
from crm_sync.sandbox.population.companies import Companies, Floats, Ints, draw_companies, slug
from crm_sync.sandbox.population.interest import (
    CALL_OUT,
    EMAIL_OUT,
    Activities,
    Conversions,
    draw_activities,
    draw_conversions,
    draw_waves,
)
from crm_sync.sandbox.population.people import People, draw_people


@dataclass(frozen=True, slots=True, kw_only=True)
class Rep:
    """Somebody who sells: a Salesforce user and a HubSpot owner under one address."""

    first: str
    last: str
    email: str
    zone: str
    team: int
    active: bool


@dataclass(frozen=True, kw_only=True)
class World:
    """What happened. `shared` is drawn once for each activity of somebody in both CRMs: true for Salesforce."""

    seed: int
    now: float
    reps: tuple[Rep, ...]
    companies: Companies
    people: People
    activities: Activities
    conversions: Conversions
    rep_of: Ints  # the rep of each person
    activity_draws: Floats  # one number for each activity, for choices that both CRMs must agree on

    def generator(self, branch: int) -> Generator:
        """A stream of its own for each CRM, so that one may be filled without the other and stays the same."""
        return default_rng([self.seed, branch])

    @cached_property
    def first_contact(self) -> Floats:
        """When a rep first wrote to or called each person, NaN where nobody did."""
        outbound = (self.activities.kind == EMAIL_OUT) | (self.activities.kind == CALL_OUT)
        first = np.full(len(self.people), np.inf)
        np.minimum.at(first, self.activities.person[outbound], self.activities.recorded[outbound])
        return np.where(np.isfinite(first), first, np.nan)

    @cached_property
    def last_activity(self) -> Floats:
        last = np.full(len(self.people), -np.inf)
        np.maximum.at(last, self.activities.person, self.activities.recorded)
        return np.where(np.isfinite(last), last, np.nan)


def draw_world(*, seed: int, people: int, activities: int, now: datetime, crms: tuple[str, ...]) -> World:
    rng = default_rng(seed)
    moment = float(int(now.timestamp()))
    reps = _reps(rng)
    companies = draw_companies(rng, max(people // 4, 12))
    humans = draw_people(rng, people, companies, moment, crms)
    waves = draw_waves(rng, humans)
    conversions = draw_conversions(rng, humans, waves, moment)
    done = draw_activities(rng, humans, waves, activities, moment)
    return World(
        seed=seed,
        now=moment,
        reps=reps,
        companies=companies,
        people=humans,
        activities=done,
        conversions=conversions,
        rep_of=_territories(rng, reps, humans),
        activity_draws=rng.random(len(done)),
    )


def _reps(rng: Generator) -> tuple[Rep, ...]:
    """Sixteen, of whom two have left; every team has one in each of its zones."""
    reps = []
    for number in range(16):
        names = ("german", "english", "french", "english")[number % 4]
        firsts, lasts = words.first_names(names), words.last_names(names)
        first, last = firsts[int(rng.integers(len(firsts)))], lasts[(number * 3 + int(rng.integers(3))) % len(lasts)]
        reps.append(
            Rep(
                first=first,
                last=last,
                email=f"{slug(first)}.{slug(last, '')}{number}@seller.example",
                zone=words.USER_ZONES[number % len(words.USER_ZONES)],
                team=number % len(words.TEAMS),
                active=number not in (6, 13),
            )
        )
    return tuple(reps)


def _territories(rng: Generator, reps: tuple[Rep, ...], people: People) -> Ints:
    """Mostly a rep of the country's team; those who left still own what nobody handed over."""
    team_of = {"german": 0, "nordic": 1, "dutch": 1, "english": 3, "french": 2, "spanish": 2}
    teams = np.asarray([1 if c.code == "GB" else team_of.get(c.names, 3) for c in words.COUNTRIES])[people.country]
    member = rng.integers(0, len(reps) // len(words.TEAMS), len(people))
    return np.asarray(teams + member * len(words.TEAMS), dtype=np.int64)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
