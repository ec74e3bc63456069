"""What commands print: words for people on a terminal, JSON where a script asks for it."""

from __future__ import annotations

import sys
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = None if sys.stdout.isatty() else 120
"""Of a terminal what it has; elsewhere enough for a table."""

console = Console(width=WIDTH, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def note(text: str) -> None:
    """A word about what is going on, beside the output."""
    errors.print(text, style="dim", markup=False)


def say(text: str) -> None:
    """A line of output, never cut and never wrapped: a script may read it. Brackets in a lead's words are no markup."""
    console.print(text, soft_wrap=True, markup=False)


def emit_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def table(title: str, columns: list[str], lines: list[list[Any]]) -> None:
    """A small table. Cells are text; numbers stand right."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        numeric = bool(lines) and all(isinstance(line[position], int | float) for line in lines)
        made.add_column(column, justify="right" if numeric else "left")
    for line in lines:
        made.add_row(*[Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in line])
    console.print(made)
