"""One sandbox CRM full of leads, as a process of its own: `python -m crm_sync.bench.crm CRM LEADS SEED READY_FILE`."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from datetime import UTC
from pathlib import Path

from crm_sync.sandbox.population import into_hubspot, into_salesforce, populate
from crm_sync.sandbox.serve import Options, Sandbox, running


def serve(crm: str, leads: int, seed: int, ready_file: Path) -> None:
    """Serve until the process that started us has ended. The ready file is complete from the moment it exists."""
    sandbox, parent = Sandbox(seed=seed), os.getppid()
    drawn = populate(seed=seed, people=leads, activities=0, now=sandbox.clock.now().astimezone(UTC), crms=(crm,))
    into_salesforce(sandbox.org, drawn)
    into_hubspot(sandbox.portal, drawn)
    # HubSpot's burst limit would make a first pull wait for most of its time, and waiting is not what is measured.
    sandbox.portal.act({"do": "set_limits", "burst": 100_000, "search_per_second": 100_000, "daily": 10_000_000})
    sandbox.org.act({"do": "set_limits", "max": 10_000_000})
    gc.collect()
    gc.freeze()
    with running(sandbox, Options()) as connection:
        unfinished = ready_file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(connection))
        unfinished.rename(ready_file)
        while os.getppid() == parent:
            time.sleep(0.5)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
