"""Who the people of a population are: identity, latent fit, where they are recorded, and what they allowed.

`fit` and `taste` are hidden: the CRMs show only the traits that they were made from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from crm_sync.sandbox.population import words
from crm_sync.sandbox.population.companies import Companies, Flags, Floats, Ints, shares, slug

DAY = 86_400.0
HISTORY_DAYS = 912  # two and a half years
BOTH_CRMS = 0.25
ONLY_SALESFORCE = 0.42


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """One entry a human; all sequences run in step. Times are epoch seconds, NaN where there is none."""

    company: Ints
    country: Ints
    first: list[str]
    last: list[str]
    title: list[str]
    email: list[str]
    phone: list[str]
    source: Ints
    seniority: Ints
    created: Floats
    fit: Floats  # what the visible traits say
    taste: Floats  # what no CRM field says
    in_salesforce: Flags
    in_hubspot: Flags
    no_email: Floats  # when the person opted out of e-mail
    no_phone: Floats
    no_tracking: Floats
    no_profiling: Floats
    no_processing: Floats
    forget: Floats
    basis: Ints  # index of a legal basis, -1 unknown

    def __len__(self) -> int:
        return len(self.first)


def draw_people(rng: Generator, count: int, companies: Companies, now: float, crms: tuple[str, ...]) -> People:
    """`count` humans created over the last two and a half years, ever more of them towards `now`."""
    size = companies.employees.astype(np.float64) ** 0.35
    company = rng.choice(len(companies), size=count, p=size / size.sum())
    country = np.where(
        rng.random(count) < 0.92, companies.country[company], rng.integers(0, len(words.COUNTRIES), count)
    )
    seniority = rng.choice(len(words.SENIORITIES), size=count, p=shares(words.SENIORITY_SHARES))
    source = rng.choice(len(words.SOURCES), size=count, p=shares([s[2] for s in words.SOURCES]))
    created = now - HISTORY_DAYS * DAY * (1 - rng.random(count) ** 0.8)
    in_salesforce, in_hubspot = _whereabouts(rng, count, crms)
    first, last = _names(rng, country)
    consent = _consent(rng, created, now)
    return People(
        company=company,
        country=country,
        first=first,
        last=last,
        title=_titles(rng, seniority),
        email=_emails(rng, first, last, company, companies),
        phone=_phones(rng, country),
        source=source,
        seniority=seniority,
        created=in_office_hours(rng, created, now),
        fit=_fit(company, country, seniority, source, companies),
        taste=rng.normal(0, 0.55, count),
        in_salesforce=in_salesforce,
        in_hubspot=in_hubspot,
        basis=np.where(rng.random(count) < 0.22, rng.integers(0, 5, count), -1),
        **consent,
    )


def _whereabouts(rng: Generator, count: int, crms: tuple[str, ...]) -> tuple[Flags, Flags]:
    if len(crms) == 1:
        here = np.ones(count, dtype=np.bool_)
        return (here, ~here) if crms[0] == "salesforce" else (~here, here)
    draw = rng.random(count)
    return draw < ONLY_SALESFORCE + BOTH_CRMS, (draw < BOTH_CRMS) | (draw >= ONLY_SALESFORCE + BOTH_CRMS)


def _fit(company: Ints, country: Ints, seniority: Ints, source: Ints, companies: Companies) -> Floats:
    size = np.log(companies.employees[company])
    parts = (
        np.asarray(words.SENIORITY_FIT)[seniority],
        np.asarray(words.INDUSTRY_FIT)[companies.industry[company]],
        np.asarray([c.fit for c in words.COUNTRIES])[country],
        np.asarray([s[3] for s in words.SOURCES])[source],
        0.7 - 0.12 * (size - np.log(400)) ** 2,  # mid-sized firms buy; the very small and the very large seldom do
    )
    total = np.sum(parts, axis=0)
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-9), dtype=np.float64)


def _names(rng: Generator, country: Ints) -> tuple[list[str], list[str]]:
    pools = [(words.first_names(c.names), words.last_names(c.names)) for c in words.COUNTRIES]
    draws = rng.random((len(country), 2)).tolist()
    first, last = [], []
    for where, (a, b) in zip(country.tolist(), draws, strict=True):
        firsts, lasts = pools[where]
        first.append(firsts[int(a * len(firsts))])
        last.append(lasts[int(b * len(lasts))])
    return first, last


def _titles(rng: Generator, seniority: Ints) -> list[str]:
    titles = []
    for level, (which, function, missing) in zip(
        seniority.tolist(), rng.random((len(seniority), 3)).tolist(), strict=True
    ):
        name, short, letters, chief = words.FUNCTIONS[int(function * len(words.FUNCTIONS))]
        spellings = words.TITLE_SPELLINGS[words.SENIORITIES[level]]
        title = spellings[int(which * which * len(spellings))]  # the first spellings are the usual ones
        title = title.format(f=name, l=name.lower(), a=short, c=letters, C=chief)
        if missing < 0.14:
            title = ""
        elif missing > 0.994:
            title += words.LONG_TITLE_TAIL
        titles.append(title)
    return titles


def _emails(rng: Generator, first: list[str], last: list[str], company: Ints, companies: Companies) -> list[str]:
    """At the firm's domain for most; free-mail, role, disposable, invalid and no address for some."""
    emails = []
    taken: set[str] = set()
    draws = rng.random((len(first), 3)).tolist()
    for number, (a, b, firm, (kind, which, form)) in enumerate(
        zip(first, last, company.tolist(), draws, strict=True), start=1
    ):
        user = f"{slug(a, '')}.{slug(b, '')}".strip(".") or f"user{number}"
        short = f"{slug(a, '')[:1]}{slug(b, '')}" or f"user{number}"
        domain = companies.domain[firm]
        if kind < 0.70:
            found = _one(f"{user if form < 0.7 else short}", domain, taken)
        elif kind < 0.84:
            found = f"{user}{number}@{words.FREE_MAIL[int(which * len(words.FREE_MAIL))]}"
        elif kind < 0.88:
            found = f"{words.ROLE_ADDRESSES[int(which * len(words.ROLE_ADDRESSES))]}@{domain}"
        elif kind < 0.895:
            found = f"{short}{number}@{words.DISPOSABLE[int(which * len(words.DISPOSABLE))]}"
        elif kind < 0.915:
            found = words.INVALID_ADDRESSES[int(which * len(words.INVALID_ADDRESSES))].format(u=user)
        elif kind < 0.955:
            found = ""
        else:
            found = _one(user, domain, taken).title()
        emails.append(found)
    return emails


def _one(user: str, domain: str, taken: set[str]) -> str:
    number, found = 2, f"{user}@{domain}"
    while found in taken:
        found, number = f"{user}{number}@{domain}", number + 1
    taken.add(found)
    return found


def _phones(rng: Generator, country: Ints) -> list[str]:
    phones = []
    digits = rng.integers(0, 10, (len(country), 6)).tolist()
    for where, dice, (form, present) in zip(
        country.tolist(), digits, rng.random((len(country), 2)).tolist(), strict=True
    ):
        pattern = words.COUNTRIES[where].phone
        for digit in dice:
            pattern = pattern.replace("#", str(digit), 1)
        if form < 0.15:
            pattern = pattern.replace(" ", "")
        elif form < 0.22:
            pattern = pattern.replace("+", "00").replace("(", "").replace(")", "")
        phones.append(pattern if present < 0.72 else "")
    return phones


def in_office_hours(rng: Generator, at: Floats, now: float) -> Floats:
    """Most records are made between 7 and 17 UTC; none after `now`."""
    day = np.floor(at / DAY) * DAY
    moved = day + 3600 * (7 + 10 * rng.beta(2, 2, len(at)))
    keep = (rng.random(len(at)) < 0.2) | (moved > now)
    return np.floor(np.where(keep, at, moved))


def _consent(rng: Generator, created: Floats, now: float) -> dict[str, Floats]:
    """When each refusal was made, NaN where it never was. One refusal in twelve is only hours or days old."""

    def refused(share: float) -> Floats:
        at = created + (now - created) * rng.random(len(created))
        lately = now - 3 * DAY * rng.random(len(created))
        at = np.where((rng.random(len(created)) < 1 / 12) & (created < lately), lately, at)
        return np.where(rng.random(len(created)) < share, np.floor(at), np.nan)

    return {
        "no_email": refused(0.07),
        "no_phone": refused(0.03),
        "no_tracking": refused(0.025),
        "no_profiling": refused(0.015),
        "no_processing": refused(0.008),
        "forget": refused(0.004),
    }
