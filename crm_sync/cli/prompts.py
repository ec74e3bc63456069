"""Questions to the person at the terminal. Where nobody sits there, every question is answered no."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence

import typer


def somebody_is_there() -> bool:
    """Whether a person can be asked: input and error output are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the person says yes. `yes` was said on the command line already."""
    if yes:
        return True
    if not somebody_is_there():
        typer.echo(f"{question} Nobody is there to answer; add --yes to agree.", err=True)
        return False
    return typer.confirm(question, default=False, err=True)


def asked(label: str, *, secret: bool) -> str:
    """What the person types; a secret isn't echoed."""
    return str(typer.prompt(label, hide_input=secret, err=True)).strip()


def picked(question: str, words: Sequence[str]) -> str:
    """The one of `words` that the person types; asked again until it is one of them."""
    while (found := asked(f"{question} ({', '.join(words)})", secret=False).lower()) not in words:
        typer.echo(f"{found} is none of them.", err=True)
    return found


def user_name() -> str:
    """Who acts, for the audit log: the name that the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
