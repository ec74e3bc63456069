"""The sandbox CRMs as a child of `up` and `demo`: started, awaited, and how to connect to them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crm_sync.cli.credentials import variable
from crm_sync.cli.stack import Stack
from crm_sync.domain.records import CrmKind
from crm_sync.errors import ConfigError

PATIENCE_SECONDS = 120.0


def start(processes: Stack, run: Path, *, people: int, activities: int, seed: int = 1, free_ports: bool = False) -> Any:
    """Start a sandbox and wait until both CRMs listen. Returns what its ready file says."""
    ready = run / "sandbox.json"
    ready.unlink(missing_ok=True)
    ports = ["--salesforce-port", "0", "--hubspot-port", "0"] if free_ports else []
    processes.start(
        "sandbox", "crm_sync.sandbox", "serve", "--people", str(people), "--activities", str(activities),
        "--seed", str(seed), "--ready-file", str(ready), "--parent-pid", str(os.getpid()), *ports,
    )  # fmt: skip
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not ready.exists():
        if processes.ended() or time.monotonic() > give_up:
            raise ConfigError(f"the sandbox did not start: {processes.last_words('sandbox')}")
        time.sleep(0.1)
    return json.loads(ready.read_text())


def credentials(ready: Mapping[str, Any], kind: CrmKind) -> dict[str, str]:
    """Credentials of the sandbox's integration user, as `crm-sync connect` wants them."""
    there = ready[kind.value]["credentials"]
    if kind is CrmKind.HUBSPOT:
        return {"method": "private_app", "access_token": there["access_token"]}
    return {
        "method": "client_credentials",
        "consumer_key": there["consumer_key"],
        "consumer_secret": there["consumer_secret"],
    }


def how_to_connect(ready: Mapping[str, Any]) -> str:
    """What to type to connect to the sandbox."""
    lines = [_how_to_connect(ready, kind) for kind in CrmKind]
    return "\n".join(["The sandbox CRMs listen. Connect them from another terminal:", *lines])


def _how_to_connect(ready: Mapping[str, Any], kind: CrmKind) -> str:
    """Secrets by the environment, never on a command line, as with a real CRM."""
    given = credentials(ready, kind)
    method = given.pop("method")
    variables = " ".join(f"{variable(kind, name)}={value}" for name, value in given.items())
    url = ready[kind.value]["url"]
    return f"  {variables} \\\n    crm-sync connect {kind} --url {url} --method {method} --install-fields --yes"
