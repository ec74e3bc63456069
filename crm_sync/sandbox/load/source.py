"""Data files: rows out of plain or gzip-compressed CSV, and cells as values. Every problem names file, line, column."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import IO

from crm_sync.sandbox.load.loadfile import Column, Format, LoadProblem, as_date, as_moment

GZIP_START = b"\x1f\x8b"
ROW_NUMBER = "#row"  # a column that every file has besides its own: the number of the row, from 1
SHOWN = 20  # problems listed before the rest is only counted
Value = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Line:
    """One row and the number of the line that it ends on."""

    number: int
    cells: dict[str, str]


class Problems:
    """Collects sentences, so that somebody who mends a file sees more than the first thing wrong."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._more = 0

    def add(self, sentence: str) -> None:
        if len(self._sentences) < SHOWN:
            self._sentences.append(sentence)
        else:
            self._more += 1

    def raise_if_any(self) -> None:
        if self._sentences:
            rest = [f"And {self._more} more like these."] if self._more else []
            raise LoadProblem("\n".join(self._sentences + rest))


def rows(path: Path, format: Format, needed: Sequence[str]) -> Iterator[Line]:
    """Each row of `path` in order, with its needed cells.

    Raises LoadProblem where the file can't be read, a needed column is missing, or a row has more or fewer cells than
    the header.
    """
    try:
        with _opened(path, format.encoding) as text:
            reader = csv.reader(text, delimiter=format.separator, strict=True)
            header = next(reader, None)
            if header is None:
                raise LoadProblem(f"{path.name} is empty.")
            header[0] = header[0].removeprefix("\ufeff")
            _check_header(path.name, header, needed)
            header.append(ROW_NUMBER)
            wanted = [(name, header.index(name)) for name in dict.fromkeys(needed)]
            for number, cells in enumerate(filter(None, reader), start=1):
                cells.append(str(number))
                if len(cells) != len(header):
                    counts = f"{len(cells) - 1} cells where the header has {len(header) - 1}"
                    raise LoadProblem(f"{path.name} line {reader.line_num}: {counts}.")
                yield Line(reader.line_num, {name: cells[place] for name, place in wanted})
    except (OSError, EOFError) as error:
        raise LoadProblem(f"Can't read {path}: {getattr(error, 'strerror', None) or error}.") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise LoadProblem(f"{path.name} is not written in {format.encoding}: {error}.") from error
    except csv.Error as error:
        raise LoadProblem(f"{path.name} line {reader.line_num}: {error}.") from error


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[IO[str]]:
    """As text, whether compressed or not: the first two bytes tell, not the name."""
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_START
    if packed:
        with gzip.open(path, "rt", encoding=encoding, newline="") as text:
            yield text
    else:
        with path.open(encoding=encoding, newline="") as text:
            yield text


def _check_header(name: str, header: Sequence[str], needed: Sequence[str]) -> None:
    twice = sorted({c for c in header if header.count(c) > 1})
    if twice:
        raise LoadProblem(f"{name}: the column {twice[0]!r} stands twice in the header.")
    missing = [c for c in dict.fromkeys(needed) if c not in (*header, ROW_NUMBER)]
    if missing:
        listed = ", ".join(repr(c) for c in missing)
        raise LoadProblem(f"{name} has no column {listed}; it has {', '.join(repr(c) for c in header)}.")


def value(text: str, column: Column, nulls: Sequence[str]) -> Value:
    """A cell as its column's type; raises ValueError with the rest of a sentence that begins with the cell's place."""
    if text in nulls or text in column.nulls:
        return None
    match column.type:
        case "text" if len(text) > column.length:
            raise ValueError(f"{len(text)} characters are more than the {column.length} that the field holds")
        case "number":
            return _number(text)
        case "boolean":
            return _boolean(text, column)
        case "date":
            return _date(text, column)
        case "datetime":
            return _datetime(text, column)
    return text


def _number(text: str) -> float | int:
    try:
        found = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if found != found or found in (float("inf"), float("-inf")):
        raise ValueError(f"{text!r} is no number")
    return int(found) if found.is_integer() else found


def _boolean(text: str, column: Column) -> bool:
    if text in column.yes:
        return True
    if text in column.no:
        return False
    raise ValueError(f"{text!r} is neither in yes ({', '.join(column.yes)}) nor in no ({', '.join(column.no)})")


def _date(text: str, column: Column) -> str:
    try:
        return as_date(text, format=column.format).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is no date in the format {column.format}") from None


def _datetime(text: str, column: Column) -> str:
    try:
        return as_moment(text, format=column.format, zone=column.zone).astimezone(UTC).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is no moment in the format {column.format}") from None
