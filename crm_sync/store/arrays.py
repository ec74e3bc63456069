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
        kind = next((type(value) for value in obj if value is not None), str)
        spelled = _SPELLED.get(kind) or next((how for base, how in _SPELLED.items() if issubclass(kind, base)), None)
        if spelled is None:
            raise DataError(f"lists of {kind.__name__} are not sent to the database")
        cells = spelled([value for value in obj if value is not None]) if None in obj else spelled(obj)
        if len(cells) < len(obj):
            known = iter(cells)
            cells = ["NULL" if value is None else next(known) for value in obj]
        return f"{{{','.join(cells)}}}".encode()


def _texts(values: Sequence[str]) -> list[str]:
    """All at once: a text with NUL between the values is escaped in three passes, whatever their number."""
    joined = "\x00".join(values)
    if joined.count("\x00") >= max(len(values), 1):
        raise DataError("PostgreSQL text can't hold a NUL character")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\x00", '"\x00"')
    return f'"{escaped}"'.split("\x00") if values else []


def _truths(values: Sequence[bool]) -> list[str]:
    return ["t" if value else "f" for value in values]


def _numbers(values: Sequence[float]) -> list[str]:
    return list(map(str, values))


def _moments(values: Sequence[datetime]) -> list[str]:
    return [f'"{value.isoformat()}"' for value in values]


def _bytes(values: Sequence[bytes]) -> list[str]:
    return [f'"\\\\x{value.hex()}"' for value in values]


# Looked up by the exact type; the order matters for subclasses alone (a bool is an int, a StrEnum a str).
_SPELLED: dict[type, Callable[[Any], list[str]]] = {
    str: _texts,
    bool: _truths,
    int: _numbers,
    float: _numbers,
    datetime: _moments,
    bytes: _bytes,
    UUID: _numbers,
}
