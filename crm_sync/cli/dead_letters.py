"""`crm-sync dead-letters …`: what failed, grouped by cause, and its replay."""

from __future__ import annotations

import getpass
from collections import Counter
from typing import Annotated, Any

import typer

from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say, table
from crm_sync.errors import ConfigError
from crm_sync.flows.replay import replay as replay_flow
from crm_sync.store import connections, outbox
from crm_sync.wiring import Installation

app = typer.Typer(help="Writes that a CRM refused for good: list, show and replay them.", no_args_is_help=True)
Connection = Annotated[str, typer.Option("--connection", help="Only those of this connection.")]
Cause = Annotated[str, typer.Option("--cause", help="Only those with this error code or field.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _dead(installation: Installation, connection: str, cause: str, most: int) -> list[Any]:
    with installation.transaction() as session:
        chosen = connections.named(session, connection).id if connection else None
        return outbox.dead(session, connection=chosen, cause=cause, most=most)


def _fields(letter: Any) -> dict[str, Any]:
    return {
        "id": letter.id,
        "connection": letter.connection,
        "record": f"{letter.object} {letter.crm_id}",
        "kind": letter.kind,
        "code": letter.code,
        "field": letter.field,
        "cause": letter.words,
        "attempts": letter.attempts,
        "at": letter.settled_at,
        "desired": letter.desired,
    }


@app.command("list", epilog="Example: crm-sync dead-letters list --connection salesforce")
def list_(connection: Connection = "", cause: Cause = "", json: Json = False) -> None:
    """List dead letters, the newest first, grouped by cause."""
    with opened() as installation:
        found = [_fields(letter) for letter in _dead(installation, connection, cause, 500)]
    if json:
        emit_json(found)
        return
    if not found:
        say("No dead letters.")
        return
    causes = Counter((each["connection"], each["code"], each["field"]) for each in found)
    table("By cause", ["connection", "code", "field", "letters"], [[*key, n] for key, n in causes.most_common()])
    table(
        "\nNewest",
        ["id", "record", "code", "field", "cause"],
        [[str(each[name]) for name in ("id", "record", "code", "field", "cause")] for each in found[:20]],
    )
    say("\nReplay one cause once it is mended: crm-sync dead-letters replay --cause CODE")


@app.command(epilog="Example: crm-sync dead-letters show 412")
def show(letter: Annotated[int, typer.Argument(help="The letter's number.")], json: Json = False) -> None:
    """Show one dead letter with what it wanted to write."""
    with opened() as installation:
        found = [_fields(each) for each in _dead(installation, "", "", 100_000) if each.id == letter]
    if not found:
        raise ConfigError(
            f"there is no dead letter {letter} that still waits for a replay; `crm-sync dead-letters list`"
        )
    if json:
        emit_json(found[0])
        return
    for name, value in found[0].items():
        say(f"{name:>10}: {value}")


@app.command(epilog="Example: crm-sync dead-letters replay --cause FIELD_CUSTOM_VALIDATION_EXCEPTION")
def replay(
    letters: Annotated[list[int] | None, typer.Argument(help="Numbers of letters; none with --cause or --all.")] = None,
    connection: Connection = "",
    cause: Cause = "",
    all: Annotated[bool, typer.Option("--all", help="Replay every dead letter.")] = False,
    json: Json = False,
) -> None:
    """Try dead letters again, with the values that are current now."""
    if not letters and not cause and not all:
        raise ConfigError("say which: numbers of letters, --cause CODE, or --all")
    with opened() as installation:
        found = _dead(installation, connection, cause, 100_000)
        chosen = [letter for letter in found if not letters or letter.id in letters]
        done = replay_flow(installation.transaction, chosen, actor=f"user:{getpass.getuser()}", now=installation.now())
    if json:
        emit_json({"replayed": done.replayed, "overtaken": done.overtaken})
        return
    say(f"{done.replayed} wait again; {done.overtaken} were overtaken by something newer and stay as they are.")
