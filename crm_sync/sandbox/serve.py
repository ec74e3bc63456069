"""A whole sandbox in one process: an org and a portal, filled, listening on two ports until somebody ends it."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from starlette.types import ASGIApp

from crm_sync.sandbox import fields
from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.control import Control, Listener, Target
from crm_sync.sandbox.faults import FaultMiddleware, Faults
from crm_sync.sandbox.hubspot import CLIENT_ID, CLIENT_KEY, PRIVATE_APP_KEY, REFRESH_KEY, HubSpotPortal, hubspot_app
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.population import CRMS, Population, into_hubspot, into_salesforce, populate
from crm_sync.sandbox.salesforce import SalesforceOrg, salesforce_app
from crm_sync.sandbox.tls import Certificate, certificate_in
from crm_sync.sandbox.web import LiveServer

LOOK_AROUND = 0.5  # seconds between looks at the parent process


class Sandbox:
    """An org and a portal with one clock, one journal and one set of planned faults. `apps` is by CRM."""

    def __init__(self, *, seed: int = 0, clock: SandboxClock | None = None) -> None:
        self.seed = seed
        self.clock = clock or SandboxClock()
        self.journal = Journal()
        self.faults = Faults(seed=seed)
        self.org = SalesforceOrg(clock=self.clock, journal=self.journal, seed=seed)
        self.portal = HubSpotPortal(clock=self.clock, journal=self.journal, seed=seed)
        self.population: Mapping[str, Any] = {}
        self.apps: dict[str, ASGIApp] = {
            "salesforce": self._listener("salesforce", self.org, fields.salesforce(self.org), salesforce_app(self.org)),
            "hubspot": self._listener("hubspot", self.portal, fields.hubspot(self.portal), hubspot_app(self.portal)),
        }

    def fill(self, *, people: int, activities: int) -> Population:
        """Draw a population up to the clock's now, and load it into both CRMs."""
        now = self.clock.now().astimezone(UTC)
        drawn = populate(seed=self.seed, people=people, activities=activities, now=now)
        into_salesforce(self.org, drawn)
        into_hubspot(self.portal, drawn)
        self.population = drawn.summary
        return drawn

    def _listener(self, crm: str, target: Target, define: fields.Define, app: ASGIApp) -> ASGIApp:
        control = Control(
            crm=crm,
            target=target,
            define=define,
            clock=self.clock,
            journal=self.journal,
            faults=self.faults,
            population=lambda: self.population,
        )
        faulty = FaultMiddleware(app, faults=self.faults, journal=self.journal, clock=self.clock, crm=crm)
        return Listener(control=control.app, crm=faulty)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to serve. A port of 0 takes a free one. With `parent` the sandbox ends when that process has ended."""

    host: str = "127.0.0.1"
    salesforce_port: int = 0
    hubspot_port: int = 0
    https: bool = False
    certificates: Path | None = None
    people: int = 5_600
    activities: int = 42_000
    seed: int = 1
    ready_file: Path | None = None
    parent: int | None = None
    until_stdin_closes: bool = False


@contextmanager
def running(sandbox: Sandbox, options: Options) -> Iterator[dict[str, Any]]:
    """Both listeners, for as long as the context lasts; gives what a client needs to know to connect.

    Raises OSError naming host and port where one is taken.
    """
    with ExitStack() as stack:
        certificate = _certificate(options, stack)
        servers = {}
        for crm, port in (("salesforce", options.salesforce_port), ("hubspot", options.hubspot_port)):
            server = _bound(sandbox.apps[crm], options.host, port, certificate)
            servers[crm] = stack.enter_context(server)
        yield _connection(sandbox, {crm: server.url for crm, server in servers.items()}, certificate)


def serve(options: Options, say: Callable[[dict[str, Any]], None]) -> None:
    """Fill a sandbox, serve it, tell `say` and the ready file how to connect, and return once it is asked to end.

    It ends on SIGTERM or SIGINT, or with its parent. The ready file is complete from the moment it exists, readable
    by its owner only since it holds credentials, and gone afterwards.
    """
    stop = threading.Event()
    with _signals(stop):
        sandbox = Sandbox(seed=options.seed)
        if options.people:
            sandbox.fill(people=options.people, activities=options.activities)
        # What was loaded stays: without this every full collection would walk a million objects while a client waits.
        gc.collect()
        gc.freeze()
        with running(sandbox, options) as connection:
            if options.ready_file is not None:
                _write_ready(options.ready_file, connection)
            say(connection)
            try:
                _wait(stop, options)
            finally:
                if options.ready_file is not None:
                    options.ready_file.unlink(missing_ok=True)


def _bound(app: ASGIApp, host: str, port: int, certificate: Certificate | None) -> LiveServer:
    try:
        return LiveServer(
            app,
            host=host,
            port=port,
            certificate=certificate.certificate if certificate else None,
            key=certificate.key if certificate else None,
        )
    except OSError as error:
        raise OSError(f"Can't listen on {host}:{port}: {error.strerror or error}.") from error


def _certificate(options: Options, stack: ExitStack) -> Certificate | None:
    if not options.https:
        return None
    folder = options.certificates or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-sync-sandbox-")))
    return certificate_in(folder, host=options.host)


def _connection(sandbox: Sandbox, urls: Mapping[str, str], certificate: Certificate | None) -> dict[str, Any]:
    credentials: dict[str, dict[str, Any]] = {
        "salesforce": _salesforce_credentials(sandbox.org),
        "hubspot": {
            "access_token": PRIVATE_APP_KEY,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_KEY,
            "refresh_token": REFRESH_KEY,
        },
    }
    return {
        "pid": os.getpid(),
        "authority": str(certificate.authority) if certificate else None,
        **{
            crm: {"url": urls[crm], "control": f"{urls[crm]}/_sandbox/", "credentials": credentials[crm]}
            for crm in CRMS
        },
        "population": sandbox.population,
    }


def _salesforce_credentials(org: SalesforceOrg) -> dict[str, Any]:
    """Named after the arguments of simple-salesforce; the integration user's own, then those of two others."""
    known = org.credentials
    users = {
        name: {"username": login.username, "password": login.password, "security_token": login.token}
        for name, login in (("integration", known.integration), ("admin", known.admin), ("limited", known.limited))
    }
    return {
        "consumer_key": known.consumer_key,
        "consumer_secret": known.consumer_secret,
        "domain": org.my_domain.removesuffix(".salesforce.com"),
        **users.pop("integration"),
        **users,
    }


def _write_ready(path: Path, connection: Mapping[str, Any]) -> None:
    """Written beside and renamed, so that whoever waits for the file never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(connection, file, indent=1)
    Path(name).replace(path)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(stop: threading.Event, options: Options) -> None:
    if options.until_stdin_closes:
        threading.Thread(target=_until_stdin_closes, args=[stop], daemon=True).start()
    alive = _pulse(options.parent)
    while alive() and not stop.wait(LOOK_AROUND if options.parent is not None else None):
        pass


def _until_stdin_closes(stop: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    stop.set()


def _pulse(pid: int | None) -> Callable[[], bool]:
    """Tells whether process `pid` still runs. Another process that got its number later doesn't count."""
    if pid is None:
        return lambda: True
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return lambda: False
    # A child that was never waited for stays as a zombie, and is_running says yes to it.
    return lambda: process.is_running() and process.status() != psutil.STATUS_ZOMBIE
