"""The API versions of this org and the names of their releases. Source: SOAP API guide, API End-of-Life; facts."""

from __future__ import annotations

OLDEST, NEWEST = 31, 68
LAST_SOAP_LOGIN = 64
"""SOAP login() exists in versions up to this one."""

_SEASONS = ("Spring", "Summer", "Winter")


def label(version: int) -> str:
    """Three releases a year: 66 is Spring '26, 67 Summer '26, 68 Winter '27."""
    season = version % 3
    year = 2026 + (version - 66) // 3 + (season == 2)
    return f"{_SEASONS[season]} '{year % 100:02d}"


def listing() -> list[dict[str, str]]:
    return [
        {"label": label(number), "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
        for number in range(OLDEST, NEWEST + 1)
    ]


def known(version: str) -> bool:
    """Whether `62.0` is served here."""
    whole, _, rest = version.partition(".")
    return whole.isdigit() and rest == "0" and OLDEST <= int(whole) <= NEWEST
