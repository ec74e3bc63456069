"""What `mapping` and `policy` share: reading a document, telling its problems and its reach, asking first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer

from crm_sync.cli.output import emit_json
from crm_sync.cli.prompts import agreed, user_name
from crm_sync.errors import ConfigError
from crm_sync.flows.publish import Load, Published, Publisher, Reach


def read_text(path: str, *, what: str) -> str:
    """The text of a file, or of standard input for `-`. ConfigError with one sentence where it can't be read."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the {what} file {path} can't be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the {what} file {path} is not UTF-8 text; save it as UTF-8") from error


def refuse(what: str, problems: Sequence[str], *, as_json: bool) -> None:
    """Leave with exit code 1 where there are problems, each told; nothing was written."""
    if not problems:
        return
    if as_json:
        emit_json({"problems": list(problems)})
    else:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        typer.echo(f"The {what} has {count}:")
        for problem in problems:
            typer.echo(f"✗ {problem}")
    raise typer.Exit(1)


def tell_checked(what: str, reach: Reach, *, as_json: bool) -> None:
    """A document without problems, and what publishing it would touch."""
    if as_json:
        emit_json({"problems": [], **_reach(reach)})
        return
    typer.echo(f"✓ The {what} has no problems.")
    tell_reach(reach)


def tell_reach(reach: Reach) -> None:
    """Law 17: how much would change at most, before anything does."""
    if not reach.people:
        typer.echo("It would touch 0 people: nobody has been pulled yet.")
        return
    typer.echo(f"It would touch {_count(reach.people, 'person', 'people')}, evaluated again at low priority:")
    for load in reach.loads:
        typer.echo(
            f"  {load.connection}: {_count(load.records, 'record', 'records')}, at most "
            f"{_count(load.calls, 'call', 'calls')}, {span(load.time)} at our share; unchanged ones are not written"
        )


def agrees(reach: Reach, *, yes: bool, as_json: bool) -> bool:
    """Whether to publish. Where nobody would be touched there is nothing to ask."""
    if not as_json:
        tell_reach(reach)
    return not reach.people or agreed("Publish?", yes=yes)


def not_published() -> None:
    """Leave with exit code 1: the answer was no."""
    typer.echo("Not published; nothing was changed.", err=True)
    raise typer.Exit(1)


def tell_published(what: str, published: Published, reach: Reach, *, as_json: bool) -> None:
    if as_json:
        emit_json({"problems": [], "published": published.changed, **_reach(reach), "people": published.people})
    elif published.changed:
        typer.echo(f"✓ The {what} is in force. {_count(published.people, 'person', 'people')} will be evaluated again.")
    else:
        typer.echo(f"✓ This very {what} is in force already; nothing was changed.")


def publisher(author: str, reason: str) -> Publisher:
    """Who publishes: the one named, else the one who is logged in to this machine."""
    return Publisher(author=author.strip() or user_name(), reason=reason.strip())


def _reach(reach: Reach) -> dict[str, Any]:
    return {"people": reach.people, "loads": [_plain(load) for load in reach.loads]}


def _plain(load: Load) -> dict[str, Any]:
    seconds = round(load.time.total_seconds())
    return {"connection": load.connection, "records": load.records, "calls": load.calls, "seconds": seconds}


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {many}"


def span(time: timedelta) -> str:
    """A time in the unit that people would use."""
    seconds = time.total_seconds()
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
