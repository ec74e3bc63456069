"""The daily allocation of API requests: a rolling 24 hours for the whole org, told in a header.

Source: REST API guide, Limit Info Header; limits cheat sheet, API request limits.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any

from crm_sync.sandbox.salesforce.refusals import Refusal

HEADER_FORMS = ("standard", "bursts", "per_app", "absent")
_WINDOW = timedelta(hours=24)


class Allowance:
    """`maximum` calls in 24 hours. `header` is the form in which answers tell the use."""

    def __init__(self, maximum: int = 100_000) -> None:
        self.maximum = maximum
        self.header = "standard"
        self._spent: deque[tuple[datetime, int]] = deque()
        self._used = 0

    def used(self, now: datetime) -> int:
        while self._spent and self._spent[0][0] <= now - _WINDOW:
            self._used -= self._spent.popleft()[1]
        return self._used

    def set_used(self, used: int, now: datetime) -> None:
        """What others and we have used up to now; it all falls out of the window in 24 hours."""
        self._spent.clear()
        self._spent.append((now, used))
        self._used = used

    def check(self, now: datetime) -> None:
        if self.used(now) >= self.maximum:
            raise Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)

    def spend(self, calls: int, now: datetime) -> None:
        if calls:
            self._spent.append((now, calls))
            self._used += calls

    def info(self, now: datetime) -> str | None:
        """The value of Sforce-Limit-Info, or None where this org sends none."""
        usage = f"api-usage={self.used(now)}/{self.maximum}"
        return {
            "standard": usage,
            "bursts": f"{usage}; api-bursts=1/750",
            "per_app": f"{usage}; per-app-api-usage={min(self.used(now), 250)}/250(appName=crm-sync)",
        }.get(self.header)

    def listing(self, now: datetime) -> dict[str, Any]:
        """The body of the limits resource; each limit by name with Max and Remaining."""
        remaining = max(0, self.maximum - self.used(now))
        whole = {
            "DailyAsyncApexExecutions": 250_000,
            "DailyBulkApiBatches": 15_000,
            "DailyBulkV2QueryFileStorageMB": 976_562,
            "DailyBulkV2QueryJobs": 10_000,
            "DailyDeliveredPlatformEvents": 25_000,
            "DataStorageMB": 1_024,
            "FileStorageMB": 1_024,
            "HourlyPublishedPlatformEvents": 50_000,
            "SingleEmail": 5_000,
        }
        listed = {name: {"Max": size, "Remaining": size} for name, size in whole.items()}
        return {"DailyApiRequests": {"Max": self.maximum, "Remaining": remaining}, **listed}
