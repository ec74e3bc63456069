"""Checks as lines: ✓ or ✗, what was looked at, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import typer

from crm_sync.cli.output import emit_json
from crm_sync.ports import Check


def tell(check: Check, *, indent: str = "") -> None:
    """One line for one check."""
    mark = typer.style("✓", fg="green") if check.passed else typer.style("✗", fg="red")
    said = ". ".join(part.rstrip(".") for part in (check.found, check.advice) if part)
    typer.echo(f"{indent}{mark} {check.name}" + (f": {said}" if said else ""))


def plain(check: Check) -> dict[str, Any]:
    """The same for JSON."""
    return asdict(check)


class Told:
    """Checks below headings, told as they come or all at the end as JSON; failed as soon as one of them failed."""

    def __init__(self, *, as_json: bool) -> None:
        self.failed = False
        self._as_json = as_json
        self._lines: list[dict[str, Any]] = []
        self._heading: tuple[str, ...] = ()

    def add(self, checks: Check | Iterable[Check], **about: str) -> None:
        """Tell checks below a heading made of what they are `about`; its names are keys in JSON."""
        for check in [checks] if isinstance(checks, Check) else checks:
            self.failed = self.failed or not check.passed
            if self._as_json:
                self._lines.append({**about, **plain(check)})
                continue
            heading = tuple(part for part in about.values() if part)
            if heading != self._heading:
                self._heading = heading
                typer.echo(" ".join(heading))
            tell(check, indent="  ")

    def leave(self) -> None:
        """End with exit code 1 where a check failed."""
        if self._as_json:
            emit_json(self._lines)
        if self.failed:
            raise typer.Exit(1)
