"""Who is learned from, who calibrates and who tests: an order in time, a gap, and no account on two sides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from crm_sync.errors import ConfigError

TEST = 0.3
LATER = 0.25

Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Rows by what they are for. `fit` grows trees; `later`, newer than those, chooses the seed and calibrates; both
    together grow the trees that are used;
    `test`, the newest ripe fold, only measures. No label of the first two reaches past the moment `test_from`."""

    fit: Truths
    later: Truths
    test: Truths
    test_from: datetime


def split(keys: pl.DataFrame, horizon: timedelta) -> Split:
    """Divide snapshots (account, as_of) by time. The latest snapshot before the test is a horizon older than it.

    An account with snapshots on both sides of a border goes to one of them by a hash of its id, so neither its fate
    nor the time decides. Raises ConfigError where the history is too short for a gap.
    """
    times = keys["as_of"]
    cut = _cut(times, horizon)
    early, late = (times + horizon <= cut).to_numpy(), (times >= cut).to_numpy()
    test = late & _chosen(keys["account"], early, late, TEST, "test")
    train = early & ~_chosen(keys["account"], early, late, TEST, "test")
    if not train.any() or not test.any():
        raise ConfigError(_too_short(times, horizon))
    learned = times.filter(pl.Series(train)).sort()
    border: datetime = learned[int(len(learned) * (1 - LATER))]
    first, second = train & (times < border).to_numpy(), train & (times >= border).to_numpy()
    later = second & _chosen(keys["account"], first, second, LATER, "later")
    fit = first & ~_chosen(keys["account"], first, second, LATER, "later")
    return Split(fit=fit, later=later, test=test, test_from=cut)


def _cut(times: pl.Series, horizon: timedelta) -> datetime:
    """The moment from which to test, such that about 30 % of what remains beside the gap is tested on."""
    ordered = times.sort()
    found: list[tuple[float, datetime]] = []
    for step in range(30, 96):
        cut: datetime = ordered[len(ordered) * step // 100]
        before, after = int((times + horizon <= cut).sum()), int((times >= cut).sum())
        if before and after:
            found.append((abs(after / (before + after) - TEST), cut))
    if not found:
        raise ConfigError(_too_short(times, horizon))
    return min(found)[1]


def _too_short(times: pl.Series, horizon: timedelta) -> str:
    ordered = times.sort()
    days = (ordered[-1] - ordered[0]).days
    return (
        f"the history is too short: snapshots span {days} days, and a gap of {horizon.days} days between training and "
        "test leaves one of them empty; train again when more time has passed"
    )


def _chosen(accounts: pl.Series, early: Truths, late: Truths, share: float, salt: str) -> Truths:
    """Rows whose account belongs to the later side: those with nothing earlier, and a share of those with both."""
    ids = accounts.to_numpy()
    both = np.intersect1d(ids[early], ids[late])
    drawn = np.array([account for account in both.tolist() if _draw(account, salt) < share], dtype=ids.dtype)
    return ~np.isin(ids, both) & late | np.isin(ids, drawn)


def _draw(account: int, salt: str) -> float:
    """A number from 0 to 1 that depends on nothing but the account."""
    digest = hashlib.blake2b(f"{salt}:{account}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
