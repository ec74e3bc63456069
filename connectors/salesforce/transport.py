"""How calls leave the machine: the address, the deadline, the meter, and what headers tell.

simple-salesforce always asks for `https://` and its own hosts, whatever address it was given, so the one place to
send it elsewhere is the adapter of its session (fact sheet §1.4).
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from connectors.deadline import keep_deadlines
from crm_sync.errors import ConfigError, TransientError
from crm_sync.ports import Meter, Usage

CONNECT_SECONDS = 10.0
_SIGN_IN_PATHS = ("/services/oauth2/token", "/services/Soap/u/")
# `per-app-api-usage=` ends in the same letters; bursts and apps may follow; the header may be absent (§6).
_DAY_USAGE = re.compile(r"(?<![\w-])api-usage=(\d+)\s*/\s*(\d+)")
# Whose token it is: the OAuth answer's identity URL, the SOAP answer's user; simple-salesforce drops both.
_SIGNED_IN_AS = re.compile(r"/id/00D\w{12,15}/(005\w{12,15})|<userId>(005\w{12,15})</userId>")

CONSTANT_HEADERS: Mapping[str, str] = {
    # Default TRUE, and it applies to updates: a score would give the lead to another owner (REST guide, headers).
    "Sforce-Auto-Assign": "FALSE",
    "Sforce-Duplicate-Rule-Header": "allowSave=true; includeRecordDetails=false; runAsCurrentUser=true",
    "Sforce-Call-Options": "client=crm-sync",
}


def origin(address: str, *, allow_http: bool) -> str:
    """Scheme, host and port of an address. Plain http leaves this machine only where it is allowed expressly."""
    parts = urlsplit(address if "//" in address else f"https://{address}")
    host = parts.hostname
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigError(f"{address!r} is not a web address: name the org's My Domain address with https://.")
    if parts.scheme == "http" and not (allow_http or _is_this_machine(host)):
        raise ConfigError(f"{host} is asked for over plain http: use https, or allow_http for a test server.")
    if host.endswith(".lightning.force.com"):
        # The API isn't served on the host that people see in the browser (simple-salesforce issue 406).
        return f"https://{host.removesuffix('.lightning.force.com')}.my.salesforce.com"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Passage(HTTPAdapter):
    """The one way out. `routes` sends a host to another origin; hosts without a route keep https and their name.

    `until` (monotonic seconds) ends each call, whatever it is doing then.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.routes: dict[str, str] = {}
        self.until = time.monotonic()
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        keep_deadlines(self.poolmanager)

    def allow(self, budget: timedelta) -> None:
        """Give the calls that follow this long, together."""
        self.until = time.monotonic() + budget.total_seconds()

    def left(self) -> float:
        return self.until - time.monotonic()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self._route(request)
        left = self.left()
        if left <= 0:
            raise TransientError("There was no time left for the call; it is tried again.", code="timeout", sent=False)
        path = urlsplit(request.url or "").path
        self._meter.reserve("sign_in" if path.startswith(_SIGN_IN_PATHS) else "burst")
        kwargs["timeout"] = urllib3.Timeout(total=left, connect=min(CONNECT_SECONDS, left))
        return super().send(request, *args, **kwargs)

    def _route(self, request: requests.PreparedRequest) -> None:
        parts = urlsplit(request.url or "")
        to = self.routes.get(parts.netloc)
        if to is None:
            return
        scheme, netloc, *_ = urlsplit(to)
        if netloc != parts.netloc:
            request.headers["X-Original-Host"] = parts.netloc
        request.url = urlunsplit((scheme, netloc, parts.path, parts.query, ""))


class Listener:
    """Reads what each answer's headers tell, errors included (simple-salesforce looks only at some successes)."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.server_time: datetime | None = None
        self.user_id = ""

    def __call__(self, response: requests.Response, *_: Any, **__: Any) -> None:
        if urlsplit(response.url or "").path.startswith(_SIGN_IN_PATHS):
            self._note_user(response.text)
        self._note_usage(response.headers.get("Sforce-Limit-Info", ""))
        self._note_time(response.headers.get("Date", ""), response.elapsed)

    def _note_usage(self, info: str) -> None:
        if usage := _DAY_USAGE.search(info):
            self._meter.seen(Usage(window="day", used=int(usage[1]), limit=int(usage[2])))

    def _note_user(self, answer: str) -> None:
        if found := _SIGNED_IN_AS.search(answer):
            self.user_id = found[1] or found[2]

    def _note_time(self, date: str, elapsed: timedelta) -> None:
        try:
            # A proxy may put its own date before the origin's.
            told = parsedate_to_datetime(date[-29:]).astimezone(UTC)
        except ValueError:
            return
        # The answer is dated when it leaves; a long query saw the rows as they were when it began.
        self.server_time = told - timedelta(seconds=int(elapsed.total_seconds()))


def open_session(passage: Passage, listener: Listener, *, ca_file: str = "") -> requests.Session:
    """A session whose constant headers survive everything that simple-salesforce does to headers (§1.5)."""
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.headers.update(CONSTANT_HEADERS)
    if ca_file:
        if not Path(ca_file).is_file():
            raise ConfigError(f"There is no file {ca_file!r} with certificate authorities.", field="ca_file")
        session.verify = ca_file
    session.mount("https://", passage)
    session.mount("http://", passage)
    session.hooks["response"].append(listener)
    return session
