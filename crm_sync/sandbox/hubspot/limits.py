"""How many calls the portal takes: a rolling burst for each app, five searches a second, and the day's total.

Headers always tell; calls are refused only while `enforce` is set. Searches have a limit of their own, count against
the day, and their answers carry no headers. The day begins at midnight in the account's time zone.

Source: HubSpot usage details, and recorded headers and bodies.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from crm_sync.sandbox.hubspot.refusals import Refusal
from crm_sync.sandbox.hubspot.sign_in import App
from crm_sync.sandbox.hubspot.stamps import from_ms

BURST_WINDOW, SEARCH_WINDOW = 10_000, 1_000


@dataclass(slots=True, kw_only=True)
class Allowance:
    """`burst` calls in ten seconds for each app, `daily` for all private apps together, searches for all.

    `retry_after` adds the header to refusals; `body_style` is `policy` or `category`.
    """

    burst: int = 190
    daily: int = 650_000
    search_per_second: int = 5
    enforce: bool = False
    retry_after: bool = False
    body_style: str = "policy"


class Limits:
    """Counts calls by the portal's clock. `used` is how many of the day's calls are gone, by anybody."""

    def __init__(self, time_zone: str, allowance: Allowance | None = None) -> None:
        self.allowance = allowance or Allowance()
        self.zone = ZoneInfo(time_zone)
        self.used = 0
        self._day = ""
        self._bursts: dict[int, deque[int]] = {}
        self._searches: deque[int] = deque()

    def take(self, app: App, now: int, *, search: bool) -> None:
        """Count a call; raises Refusal (429) where enforcing and one allowance is used up. A refused call is free."""
        self._begin_day(now)
        window = self._searches if search else self._bursts.setdefault(app.app_id, deque())
        span = SEARCH_WINDOW if search else BURST_WINDOW
        while window and window[0] <= now - span:
            window.popleft()
        if self.allowance.enforce:
            self._refuse_if_spent(app, now, len(window), search=search)
        window.append(now)
        if app.private:
            self.used += 1

    def headers(self, app: App, now: int) -> dict[str, str]:
        self._begin_day(now)
        window = self._bursts.get(app.app_id, deque())
        taken = sum(1 for at in window if at > now - BURST_WINDOW)
        burst = self.allowance.burst
        told = {
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(BURST_WINDOW),
            "X-HubSpot-RateLimit-Max": str(burst),
            "X-HubSpot-RateLimit-Remaining": str(max(0, burst - taken)),
            "X-HubSpot-RateLimit-Secondly": str(burst // 10),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(max(0, burst // 10 - 1)),
        }
        if app.private:
            told["X-HubSpot-RateLimit-Daily"] = str(self.allowance.daily)
            told["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, self.allowance.daily - self.used))
        return told

    def set_used(self, used: int, now: int) -> None:
        self._begin_day(now)
        self.used = used

    def usage(self, now: int) -> dict[str, object]:
        """The day's use as GET /account-info/v3/api-usage/daily/private-apps shows it."""
        self._begin_day(now)
        return {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.allowance.daily,
            "currentUsage": self.used,
            "collectedAt": _text(from_ms(now)),
            "fetchStatus": "SUCCESS",
            "resetsAt": _text(self.next_midnight(now)),
        }

    def next_midnight(self, now: int) -> datetime:
        """When the day's count begins again (aware UTC)."""
        local = from_ms(now).astimezone(self.zone)
        tomorrow = (local + timedelta(days=1)).date()
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=self.zone).astimezone(UTC)

    def _begin_day(self, now: int) -> None:
        day = from_ms(now).astimezone(self.zone).date().isoformat()
        if day != self._day:
            self._day, self.used = day, 0 if self._day else self.used

    def _refuse_if_spent(self, app: App, now: int, taken: int, *, search: bool) -> None:
        if app.private and self.used >= self.allowance.daily:
            seconds = int((self.next_midnight(now) - from_ms(now)).total_seconds())
            raise self._refusal("DAILY", app, seconds, {} if search else self.headers(app, now))
        if search and taken >= self.allowance.search_per_second:
            raise self._refusal("SECONDLY", app, 1, {})
        if not search and taken >= self.allowance.burst:
            raise self._refusal("TEN_SECONDLY_ROLLING", app, 10, self.headers(app, now))

    def _refusal(self, policy: str, app: App, seconds: int, headers: dict[str, str]) -> Refusal:
        kind = "private-apps" if app.private else "oauth"
        body: dict[str, object] = {
            "status": "error",
            "message": f"You have reached your {policy.lower()} limit.",
            "policyName": policy,
            "groupName": f"publicapi:{kind}-api-calls-{policy.lower()}:{app.app_id}",
        }
        if self.allowance.body_style == "category":
            body = {"status": "error", "message": body["message"], "category": "RATE_LIMITS"}
        else:
            body["errorType"] = "RATE_LIMIT"
        if self.allowance.retry_after:
            headers = headers | {"Retry-After": str(seconds)}
        return Refusal(429, body, headers=headers)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
