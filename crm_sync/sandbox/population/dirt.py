"""How people type: what a record holds instead of the truth. Each call spends draws between 0 and 1."""

from __future__ import annotations

import unicodedata

from crm_sync.sandbox.population import words


def typed(text: str, draw: float, share: float = 0.06) -> str:
    """`text`, in `share` of the cases with blanks, control characters, emoji or the like around it."""
    if not text or draw >= share:
        return text
    return words.DIRT[int(draw / share * len(words.DIRT))].format(text)


def country(index: int, draw: float) -> str:
    """The country's name for half of the people, some other spelling or nothing for the rest."""
    place = words.COUNTRIES[index]
    if draw < 0.55:
        return place.name
    if draw < 0.82:
        return place.spellings[int((draw - 0.55) / 0.27 * len(place.spellings))]
    return ""


def twin(first: str, last: str, email: str, phone: str, draw: float) -> tuple[str, str, str, str]:
    """The same person entered a second time: other case, a plus tag, a typo, no accents, or without the address."""
    user, at, host = email.partition("@")
    match int(draw * 5):
        case 0:
            return first.upper(), last.upper(), email.upper(), phone
        case 1:
            return first, last, f"{user}+newsletter@{host}" if at else email, phone
        case 2:
            return first, last[:-2] + last[-2:][::-1], email, ""
        case 3:
            return plain(first), plain(last), "", phone
        case _:
            return first[:1] + ".", last, f"{user.replace('.', '')}@{host}" if at else email, phone


def plain(text: str) -> str:
    """Without accents where the letters have them."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
