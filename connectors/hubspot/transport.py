"""The way to HubSpot: one connection pool under all of the client's API objects.

Every HTTP call passes here, sign-ins and polls included: it is taken from the budget before it is made, it ends
within the time it was given, however slowly the bytes drip, and what its headers say of the allowances is told on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from connectors.deadline import keep_deadlines
from connectors.hubspot.errors import Refusal
from crm_sync.errors import ConfigError, TransientError
from crm_sync.ports import Meter, Usage

NEVER_SENT = (ConnectTimeoutError, NameResolutionError, NewConnectionError, ProxyError, SSLError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A 2xx answer, read to its end, in the shape that the generated client takes from urllib3.

    `began` is the CRM's clock when the call began: its Date header, which is in whole seconds, less the whole seconds
    that the call took. What was committed before that moment is in the answer.
    """

    status: int
    reason: str
    data: bytes
    headers: Mapping[str, str]
    took: timedelta

    def getheaders(self) -> Mapping[str, str]:
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        return self.headers.get(name, default)

    @property
    def clock(self) -> datetime | None:
        """The Date header, or None. A proxy may add a second one; the last is the origin's."""
        text = self.headers.get("Date") or ""
        try:
            return parsedate_to_datetime(text[-29:]).astimezone(UTC)
        except (ValueError, TypeError):
            return None

    @property
    def began(self) -> datetime | None:
        return self.clock - timedelta(seconds=int(self.took.total_seconds())) if self.clock else None

    @property
    def correlation_id(self) -> str:
        return self.headers.get("X-HubSpot-Correlation-Id") or ""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Anything else is a TransientError: gateways answer 200 with a web page."""
        try:
            parsed = orjson.loads(self.data)
        except orjson.JSONDecodeError as cause:
            raise TransientError("HubSpot's answer can't be read: it isn't JSON.", code="garbage") from cause
        if not isinstance(parsed, dict):
            raise TransientError("HubSpot's answer can't be read: it isn't a JSON object.", code="garbage")
        return parsed


class Transport:
    """Takes the place of the pool manager in every API object of the client, so that all share one pool.

    `until` sets the moment by which the calls that follow must have ended. Not for two threads at once.
    """

    def __init__(self, *, meter: Meter, deadline: timedelta, ca_file: str = "") -> None:
        self._meter = meter
        self._deadline = deadline.total_seconds()
        self._ends_at = 0.0
        self.midnight: Callable[[], datetime | None] = lambda: None
        self._pool = keep_deadlines(urllib3.PoolManager(num_pools=2, maxsize=1, ca_certs=ca_file or None))

    def start(self) -> None:
        """Begin a call, its repetitions included: the deadline runs from now."""
        self._ends_at = time.monotonic() + self._deadline

    def remaining(self) -> float:
        return self._ends_at - time.monotonic()

    def request(
        self,
        method: str,
        url: str,
        *,
        body: str | bytes | None = None,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        encode_multipart: bool = False,
        preload_content: bool = False,  # as urllib3 has it; every body is read here, under the deadline
        timeout: object = None,
    ) -> Answer:
        """One HTTP call. Raises Refusal for anything but 2xx, TransientError where no whole answer came."""
        del preload_content, timeout
        self._meter.reserve(_window(url))
        if self.remaining() <= 0:
            raise TransientError("HubSpot didn't answer in time.", code="deadline", sent=False)
        began = time.monotonic()
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                fields=fields,
                headers=dict(headers or {}),
                timeout=urllib3.Timeout(total=max(self.remaining(), 0.001)),
                retries=False,
                redirect=False,
                **({"encode_multipart": encode_multipart} if fields and method == "POST" else {}),
            )
        except (HTTPError, OSError) as cause:
            raise _unreached(cause, url) from cause
        for usage in usages(response.headers, self.midnight()):
            self._meter.seen(usage)
        if response.status in (301, 302, 303, 307, 308):
            raise ConfigError("The address of HubSpot's API points elsewhere: check the base URL.", code="redirect")
        if not 200 <= response.status < 300:
            raise Refusal(response.status, response.headers, response.data)
        return Answer(
            status=response.status,
            reason=response.reason or "",
            data=response.data,
            headers=response.headers,
            took=timedelta(seconds=time.monotonic() - began),
        )

    def close(self) -> None:
        self._pool.clear()


def usages(headers: Mapping[str, str], midnight: datetime | None) -> Sequence[Usage]:
    """What the rate headers say. Absent on search, and the daily ones for OAuth apps.

    Source: HubSpot usage details. The older `Secondly` pair isn't enforced and is left out.
    """
    pairs = (
        ("day", "X-HubSpot-RateLimit-Daily", "X-HubSpot-RateLimit-Daily-Remaining", midnight),
        ("burst", "X-HubSpot-RateLimit-Max", "X-HubSpot-RateLimit-Remaining", None),
    )
    found = []
    for window, of_limit, of_remaining, resets_at in pairs:
        limit, remaining = headers.get(of_limit) or "", headers.get(of_remaining) or ""
        if limit.isdecimal() and remaining.isdecimal():
            used = max(0, int(limit) - int(remaining))
            found.append(Usage(window=window, used=used, limit=int(limit), resets_at=resets_at))
    return found


def _window(url: str) -> str:
    path = url.partition("?")[0]
    if path.endswith("/search"):
        return "search"
    return "sign_in" if "/oauth/" in path and path.endswith("/token") else "burst"


def _unreached(cause: Exception, url: str) -> TransientError:
    code = type(cause).__name__
    if isinstance(cause, NEVER_SENT):
        host = urlsplit(url).hostname
        return TransientError(f"HubSpot can't be reached at {host}.", code=code, sent=False)
    return TransientError("HubSpot didn't answer, or the connection broke.", code=code)
