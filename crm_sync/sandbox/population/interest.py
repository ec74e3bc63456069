"""What people of a population did and whether they bought: waves of interest that rise, fade, and leave traces.

A wave starts soon after somebody is first heard of (and, for some, again later). What a person does comes from the
wave; so does the chance of a conversion, together with the person's fit and a taste that no field shows. Hence
activities tell something about conversions without causing them, and no model can know everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from crm_sync.sandbox.population.companies import Flags, Floats, Ints
from crm_sync.sandbox.population.people import DAY, People, in_office_hours

KINDS = ("email_in", "email_out", "call_out", "call_in", "meeting", "note", "task", "campaign")
EMAIL_IN, EMAIL_OUT, CALL_OUT, CALL_IN, MEETING, NOTE, TASK, CAMPAIGN = range(len(KINDS))
DRIVEN = (0.26, 0.18, 0.14, 0.06, 0.09, 0.07, 0.05, 0.15)  # what an interested person's file fills with
ROUTINE = (0.02, 0.42, 0.24, 0.01, 0.01, 0.06, 0.14, 0.10)  # what reps and marketing do with anybody
BASE_RATE = 0.13  # of all people, converted by now


@dataclass(frozen=True, slots=True, kw_only=True)
class Waves:
    """Spells of interest; all sequences run in step. `rise` and `fade` are seconds."""

    person: Ints
    start: Floats
    height: Floats
    rise: Floats
    fade: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Activities:
    """What happened with whom, in order of recording. `recorded` is when a CRM learnt of it, never before `at`."""

    person: Ints
    kind: Ints
    at: Floats
    recorded: Floats
    driven: Flags

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversions:
    """One entry a person; NaN where it didn't happen by now. `recorded` is when somebody entered it in a CRM."""

    at: Floats
    recorded: Floats
    with_deal: Flags
    amount: Floats
    closed: Floats
    won: Flags
    given_up: Floats  # when a rep closed the lead as lost


def draw_waves(rng: Generator, people: People) -> Waves:
    """One wave at the start for everybody, and later ones at random: 0.7 a person in the mean."""
    count = len(people)
    extra = np.repeat(np.arange(count), rng.poisson(0.7, count))
    person = np.concatenate([np.arange(count), extra])
    later = rng.random(len(extra)) * 900 * DAY
    start = people.created[person] + np.concatenate([rng.exponential(1.5 * DAY, count), later])
    warmth = 0.35 * people.fit[person] + rng.normal(0, 0.95, len(person))
    return Waves(
        person=person,
        start=start,
        height=np.exp(warmth),
        rise=rng.uniform(1, 9, len(person)) * DAY,
        fade=np.exp(rng.normal(np.log(12), 0.6, len(person))) * DAY,
    )


def draw_conversions(rng: Generator, people: People, waves: Waves, now: float) -> Conversions:
    """The first conversion of each person, if any came by `now`, and how its deal ended."""
    count = len(people)
    pull = 1.5 * np.log(waves.height) + 0.9 * people.fit[waves.person] + people.taste[waves.person]
    seen = waves.start < now
    level = _level_for(BASE_RATE, pull, seen, waves.person, count)
    hits = seen & (rng.random(len(pull)) < -np.expm1(-np.exp(level + pull)))
    decided = _moments(rng, waves) + np.exp(rng.normal(np.log(3), 1.0, len(pull))) * DAY
    at = np.full(count, np.inf)
    np.minimum.at(at, waves.person[hits], decided[hits])
    at = np.where(at < now, np.floor(at), np.nan)
    recorded = np.floor(at + np.exp(rng.normal(np.log(5), 1.2, count)) * 3600)
    unrecorded = ~(recorded < now)
    at[unrecorded] = np.nan
    recorded[unrecorded] = np.nan
    closed = np.floor(recorded + np.exp(rng.normal(np.log(42), 0.7, count)) * DAY)
    given_up = np.floor(people.created + np.exp(rng.normal(np.log(60), 0.8, count)) * DAY)
    gives_up = (rng.random(count) < 0.45) & np.isnan(at) & (given_up < now)
    return Conversions(
        at=at,
        recorded=recorded,
        with_deal=(rng.random(count) < 0.84) & ~np.isnan(at),
        amount=np.round(np.exp(rng.normal(9.6, 1.1, count)), -2).astype(np.float64),
        closed=np.where(closed < now, closed, np.nan),
        won=rng.random(count) < 1 / (1 + np.exp(0.9 - 0.5 * people.fit - 0.4 * people.taste)),
        given_up=np.where(gives_up, given_up, np.nan),
    )


def draw_activities(rng: Generator, people: People, waves: Waves, count: int, now: float) -> Activities:
    """Exactly `count` activities before `now`; three in four come from waves, the rest is routine."""
    if not len(people) or not count:
        none = np.zeros(0)
        return Activities(
            person=none.astype(np.int64), kind=none.astype(np.int64), at=none, recorded=none, driven=none > 0
        )
    weight = waves.height * (waves.rise / 2 + waves.fade)
    person, at, driven = _draw_moments(rng, people, waves, weight, count, now)
    kind = np.where(driven, rng.choice(len(KINDS), len(at), p=DRIVEN), rng.choice(len(KINDS), len(at), p=ROUTINE))
    # People write whenever they like; those who are paid for it work by day.
    paid = (kind != EMAIL_IN) & (kind != CAMPAIGN) & (kind != CALL_IN)
    at = np.where(paid, np.maximum(in_office_hours(rng, at, now - 60), people.created[person] + 300), at)
    at = np.minimum(at, now - 60)
    # Mail is logged at once, calls within minutes, notes and meetings when somebody finds the time.
    delay = np.where(kind <= EMAIL_OUT, 20.0, np.where(rng.random(len(at)) < 0.9, 900.0, 1.5 * DAY))
    recorded = np.minimum(at + rng.exponential(1, len(at)) * delay, now - 1)
    order = np.lexsort((person, recorded))
    return Activities(
        person=person[order],
        kind=kind[order],
        at=np.floor(at[order]),
        recorded=np.floor(recorded[order]),
        driven=driven[order],
    )


def _draw_moments(
    rng: Generator, people: People, waves: Waves, weight: Floats, count: int, now: float
) -> tuple[Ints, Floats, Flags]:
    """Draw until `count` moments lie before now: many waves are still to come or still running."""
    persons: list[Ints] = []
    moments: list[Floats] = []
    sources: list[Flags] = []
    missing = count
    share = weight / weight.sum()
    while missing > 0:
        draws = int(missing * 1.5) + 64
        wave = rng.choice(len(weight), draws, p=share)
        routine = rng.integers(0, len(people), draws)
        driven = rng.random(draws) < 0.75
        person = np.where(driven, waves.person[wave], routine)
        begin = people.created[routine]
        at = np.where(driven, _moments(rng, waves, wave), begin + (now - begin) * rng.random(draws) ** 1.6)
        fits = np.flatnonzero(at < now - 60)[:missing]
        persons.append(person[fits])
        moments.append(at[fits])
        sources.append(driven[fits])
        missing -= len(fits)
    return np.concatenate(persons), np.concatenate(moments), np.concatenate(sources)


def _moments(rng: Generator, waves: Waves, wave: Ints | None = None) -> Floats:
    """One moment a wave, drawn from its shape: a straight rise, then an exponential fade."""
    chosen = np.arange(len(waves.start)) if wave is None else wave
    rise, fade = waves.rise[chosen], waves.fade[chosen]
    rising = rng.random(len(chosen)) < (rise / 2) / (rise / 2 + fade)
    after = np.where(rising, rise * np.sqrt(rng.random(len(chosen))), rise + fade * rng.exponential(1, len(chosen)))
    return np.asarray(waves.start[chosen] + after, dtype=np.float64)


def _level_for(rate: float, pull: Floats, seen: Flags, person: Ints, count: int) -> float:
    """The constant that makes `rate` of all people convert."""
    low, high = -12.0, 6.0
    for _ in range(40):
        level = (low + high) / 2
        hazard = np.bincount(person, weights=np.where(seen, np.exp(level + pull), 0.0), minlength=count)
        if -np.expm1(-hazard).mean() < rate:
            low = level
        else:
            high = level
    return (low + high) / 2
