"""`crm-sync audit …`: check the audit log, and write it out."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer

from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say
from crm_sync.errors import ConfigError
from crm_sync.flows.seal import outside_roots
from crm_sync.store import audit

app = typer.Typer(help="The audit log: who or what changed which record, and why.", no_args_is_help=True)


@app.command(epilog="Example: crm-sync audit verify")
def verify(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Walk the whole chain again and say whether anything was changed, taken out or cut off."""
    with opened() as installation, installation.transaction() as session:
        roots = outside_roots(installation.settings.home / "audit-roots.log")
        verdict = audit.verify(session, installation.keys, roots)
    if json:
        emit_json(
            {
                "whole": not verdict.damage,
                "blocks": verdict.blocks,
                "entries": verdict.entries,
                "unsealed": verdict.unsealed,
                "erased": verdict.erased,
                "damage": verdict.damage,
            }
        )
    else:
        say(
            f"{verdict.entries:,} entries in {verdict.blocks:,} blocks are whole, {verdict.unsealed:,} wait for "
            f"the next seal, {verdict.erased:,} payloads were erased."
            if not verdict.damage
            else "The audit log is damaged:\n" + "\n".join(f"  {line}" for line in verdict.damage)
        )
    if verdict.damage:
        raise ConfigError("the audit log is damaged; compare it with a backup before you go on")


@app.command(epilog="Example: crm-sync audit export --after 12000 > audit.jsonl")
def export(after: Annotated[int, typer.Option(help="Only entries after this number.")] = 0) -> None:
    """Print the entries as JSON lines, oldest first."""
    with opened() as installation, installation.transaction() as session:
        for row in audit.everything(session, after):
            line = {**row._mapping, "payload": orjson.loads(row.payload) if row.payload else None}
            sys.stdout.write(orjson.dumps(line, default=str).decode() + "\n")
