"""Numbers for new records, as HubSpot gives them: long, unique over all types, and not in the order of creation."""

from __future__ import annotations

import random


class RecordNumbers:
    """Draws ids from blocks of a thousand that are shuffled within, so a newer record may have a smaller id."""

    _BLOCK = 1000

    def __init__(self, seed: int, start: int = 214_000_000_000) -> None:
        self._random = random.Random(seed)
        self._next_block = start
        self._left: list[int] = []

    def next(self) -> int:
        if not self._left:
            self._left = list(range(self._next_block, self._next_block + self._BLOCK))
            self._random.shuffle(self._left)
            self._next_block += self._BLOCK
        return self._left.pop()
