"""`python -m crm_sync.bench`: measure, print the table, and with `--write` put it into a page."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from crm_sync import embedded
from crm_sync.bench.report import NAMES, Found, apart, missed, table
from crm_sync.bench.scene import ONE_THREAD, scene
from crm_sync.domain.records import CrmKind
from crm_sync.embedded import Servers

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for. 1 where something that we hold wasn't held."""
    asked = _asked(arguments)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-sync-bench-")))
        servers = stack.enter_context(embedded.running(home / "servers", durable=False))
        found = _measure(servers, home, asked)
    page = _page(found, asked)
    sys.stdout.write(page)
    if asked.write:
        _put_into(asked.write, page)
    lost = missed(found)
    sys.stderr.write("".join(f"not held: {line}\n" for line in lost))
    return 1 if lost else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crm_sync.bench", description=__doc__)
    parser.add_argument("--leads", type=int, nargs="+", default=[10_000, 100_000], help="sizes of the CRMs")
    parser.add_argument("--crm", choices=list(CrmKind), nargs="+", default=list(CrmKind))
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same people")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page to put the table into")
    return parser.parse_args(arguments)


def _measure(servers: Servers, home: Path, asked: argparse.Namespace) -> list[Found]:
    model_file = home / "model.cbm"
    yardstick = _yardstick(asked.seed, model_file)
    found: list[Found] = []
    for crm in asked.crm:
        kind, smaller = CrmKind(crm), None
        for leads in sorted(asked.leads):
            with scene(servers, home, model_file, kind=kind, leads=leads, seed=asked.seed) as there:
                sys.stderr.write(f"{NAMES[kind]}, {leads:,} leads …\n")
                measured: dict[str, Any] = {what: there.measure(what) for what in ("first", "steady")}
                poll = there.command("poll", kind.value)
            smaller = Found(kind=kind, leads=leads, poll_cpu=poll, yardstick=yardstick, smaller=smaller, **measured)
            found.append(smaller)
    return found


def _yardstick(seed: int, model_file: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "crm_sync.bench.yardstick", str(seed), str(model_file)],
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(json.loads(done.stdout)["cpu_a_lead"])


def _page(found: Sequence[Found], asked: argparse.Namespace) -> str:
    """The generated part of docs/benchmarks.md."""
    largest = {each.kind: each for each in found}
    rereads = [f"**{NAMES[kind]}**, re-read at rest:\n\n{apart(each)}" for kind, each in largest.items()]
    command = f"python -m crm_sync.bench --leads {' '.join(map(str, asked.leads))} --crm {' '.join(asked.crm)}"
    facts = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `{command} --seed {asked.seed}` on {_machine()}.",
        f"Predict and exact contributions of one lead: {found[0].yardstick * 1e3:.3f} ms of CPU.",
    ]
    return "\n\n".join(["\n".join(facts), table(found), *rereads]) + "\n"


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{_processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def _processor() -> str:
    try:
        named = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        named = None
    return named[1] if named else platform.processor() or platform.machine()


def _put_into(page: Path, text: str) -> None:
    """Replace what stands between the two marks of `page`."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no place for the table: it needs the lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
