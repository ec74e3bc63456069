"""Record ids: 15 case-sensitive characters, and the same with three more that make them safe in any case."""

from __future__ import annotations

import re

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"^[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?$")
_INSTANCE = "SB"


def eighteen(id15: str) -> str:
    """The 18-character form: one check character for each five, telling which of them are capitals."""
    check = ""
    for start in (0, 5, 10):
        bits = sum(1 << n for n, char in enumerate(id15[start : start + 5]) if "A" <= char <= "Z")
        check += _CHECK[bits]
    return id15 + check


def is_id(text: object) -> bool:
    return isinstance(text, str) and _SHAPE.match(text) is not None


def full_id(text: str) -> str:
    """The 18-character form of either form; anything else comes back as it is."""
    return eighteen(text) if len(text) == 15 and _SHAPE.match(text) else text


class Mint:
    """Numbers new ids, one row of numbers for each key prefix. The same order of creation gives the same ids."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def new(self, prefix: str) -> str:
        number = self._last.get(prefix, 0) + 1
        self._last[prefix] = number
        text = ""
        while number:
            number, digit = divmod(number, 62)
            text = _DIGITS[digit] + text
        return eighteen(f"{prefix}{_INSTANCE}{text.rjust(10, '0')}")
