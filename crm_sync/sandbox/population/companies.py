"""The firms that people of a population work for."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from crm_sync.sandbox.population import words

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
INDUSTRIES = tuple(words.FIRM_TRADES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Companies:
    """One entry a firm; all sequences run in step. `parent` is -1 or the index of an earlier firm."""

    name: list[str]
    domain: list[str]
    country: Ints
    city: list[str]
    industry: Ints
    employees: Ints
    revenue: Floats
    parent: Ints

    def __len__(self) -> int:
        return len(self.name)


def draw_companies(rng: Generator, count: int) -> Companies:
    """`count` firms with distinct names and domains; sizes have a heavy tail, one in 18 is a subsidiary."""
    country = rng.choice(len(words.COUNTRIES), size=count, p=shares([c.share for c in words.COUNTRIES]))
    industry = rng.choice(len(INDUSTRIES), size=count, p=shares(words.INDUSTRY_SHARES))
    employees = np.clip(np.exp(rng.normal(4.3, 1.9, count)), 1, 400_000).astype(np.int64)
    parent = np.where(rng.random(count) < 1 / 18, (rng.random(count) * np.arange(count)).astype(np.int64), -1)
    parent[:1] = -1
    cities = [words.COUNTRIES[c].cities for c in country.tolist()]
    city = [names[int(u * len(names))] for names, u in zip(cities, rng.random(count).tolist(), strict=True)]
    name, domain = _names(rng, country, industry, city)
    return Companies(
        name=name,
        domain=domain,
        country=country,
        city=city,
        industry=industry,
        employees=employees,
        revenue=np.round(employees * np.exp(rng.normal(11.8, 0.6, count)), -3),
        parent=parent,
    )


def _names(rng: Generator, country: Ints, industry: Ints, city: list[str]) -> tuple[list[str], list[str]]:
    names: list[str] = []
    domains: list[str] = []
    taken: Counter[str] = Counter()
    stems = rng.integers(0, len(words.FIRM_STEMS), len(city)).tolist()
    draws = rng.random((len(city), 2)).tolist()
    for where, trade, stem, town, (which, form) in zip(
        country.tolist(), industry.tolist(), stems, city, draws, strict=True
    ):
        trades = words.FIRM_TRADES[INDUSTRIES[trade]]
        forms = words.COUNTRIES[where].legal_forms
        base = _not_taken(f"{words.FIRM_STEMS[stem]} {trades[int(which * len(trades))]}", town, taken)
        names.append(f"{base} {forms[int(form * len(forms))]}")
        domains.append(f"{slug(base)}.example")
    return names, domains


def _not_taken(base: str, town: str, taken: Counter[str]) -> str:
    """`base`, with the town and then a number where the shorter form is somebody else's already."""
    taken[base] += 1
    if taken[base] == 1:
        return base
    local = f"{base} {town}"
    taken[local] += 1
    return local if taken[local] == 1 else f"{local} {taken[local]}"


def slug(text: str, joint: str = "-") -> str:
    """`text` as it would stand in a host name or mailbox: lower case, ASCII, words joined by `joint`."""
    folded = unicodedata.normalize("NFKD", text.lower().translate(_UNFOLDED)).encode("ascii", "ignore").decode()
    return joint.join(re.findall(r"[a-z0-9]+", folded))


_UNFOLDED = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "'": "", ".": ""})


def shares(weights: Sequence[float]) -> Floats:
    found = np.asarray(weights, dtype=np.float64)
    total: Floats = found / found.sum()
    return total
