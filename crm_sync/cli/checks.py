"""Checks as lines: ✓ or ✗, what was looked at, what was found, what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from crm_sync.ports import Check


def tell(check: Check, *, indent: str = "") -> None:
    """One line for one check."""
    mark = typer.style("✓", fg="green") if check.passed else typer.style("✗", fg="red")
    said = ". ".join(part.rstrip(".") for part in (check.found, check.advice) if part)
    typer.echo(f"{indent}{mark} {check.name}" + (f": {said}" if said else ""))


def plain(check: Check) -> dict[str, Any]:
    """The same for JSON."""
    return asdict(check)
