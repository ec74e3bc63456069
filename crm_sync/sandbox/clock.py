"""The sandbox CRMs' own clock, independent of the machine's: it can be set apart and moved on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Aware UTC time that runs at the machine's pace, `offset` away from it.

    Frozen, it stands still until it is moved.
    """

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self.offset = offset
        self._frozen_at: datetime | None = None

    def now(self) -> datetime:
        return self._frozen_at if self._frozen_at is not None else datetime.now(UTC) + self.offset

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    def advance(self, by: timedelta) -> datetime:
        self.offset += by
        if self._frozen_at is not None:
            self._frozen_at += by
        return self.now()

    def freeze(self, at: datetime | None = None) -> None:
        self._frozen_at = at or self.now()

    def thaw(self) -> None:
        if self._frozen_at is not None:
            self.offset = self._frozen_at - datetime.now(UTC)
            self._frozen_at = None
