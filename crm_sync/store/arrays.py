"""Lists on their way to PostgreSQL.

Every statement takes a whole page as arrays, and says by a cast of which type each is. psycopg's own dumper looks at
each element by itself, in Python and with a regular expression for every text, which used to cost more than all the
rest of a leg together. This one turns a flat list of one kind of values to text at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import DataError
from psycopg.adapt import AdaptersMap, Dumper


def register(adapters: AdaptersMap) -> None:
    """Let lists that go through these adapters be dumped here."""
    adapters.register_dumper(list, ArrayDumper)


class ArrayDumper(Dumper):
    """A flat list as the text of an array. Its type is left open, for the statement's cast to say.

    Source: PostgreSQL manual, 8.15.6 "Array Input and Output Syntax".
    """

    def dump(self, obj: Sequence[Any]) -> bytes:
        kind = next((type(value) for value in obj if value is not None), None)
        if kind is None:
            return f"{{{','.join(['NULL'] * len(obj))}}}".encode()
        spelled = _SPELLED.get(kind) or next((how for base, how in _SPELLED.items() if issubclass(kind, base)), None)
        if spelled is None:
            raise DataError(f"lists of {kind.__name__} are not sent to the database")
        if None in obj:
            cells = ["NULL" if value is None else spelled(value) for value in obj]
        else:
            cells = [spelled(value) for value in obj]
        text = f"{{{','.join(cells)}}}".encode()
        if b"\x00" in text:
            raise DataError("PostgreSQL text can't hold a NUL character")
        return text


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _truth(value: bool) -> str:
    return "t" if value else "f"


def _moment(value: datetime) -> str:
    return f'"{value.isoformat()}"'


def _bytes(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


# Looked up by the exact type; the order matters for subclasses alone (a bool is an int, a StrEnum a str).
_SPELLED: dict[type, Callable[[Any], str]] = {
    str: _text,
    bool: _truth,
    int: str,
    float: str,
    datetime: _moment,
    bytes: _bytes,
    UUID: str,
}
