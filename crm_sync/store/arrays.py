"""Lists on their way to PostgreSQL.

Every statement takes a whole page as arrays. psycopg's own dumper looks at each element by itself, in Python and with a
regular expression for every text, which used to cost more than all the rest of a leg together. These turn a flat list
of one kind of values into an array at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from struct import Struct, pack
from typing import Any
from uuid import UUID

from psycopg import DataError, postgres
from psycopg.adapt import AdaptersMap, Dumper, PyFormat
from psycopg.pq import Format

TEXT, TEXT_ARRAY = postgres.types["text"].oid, postgres.types["text"].array_oid
NULL = pack("!i", -1)
_HEAD = Struct("!iiIii")  # dimensions, whether there are nulls, type of the elements, how many, the first one's index


def register(adapters: AdaptersMap) -> None:
    """Let lists that go through these adapters be dumped here."""
    adapters.register_dumper(list, ListDumper)


class ListDumper(Dumper):
    """A flat list as the text of an array. Its type is left open, for the statement's cast to say.

    Source: PostgreSQL manual, 8.15.6 "Array Input and Output Syntax".
    """

    def get_key(self, obj: Sequence[Any], format: PyFormat) -> Any:  # noqa: ARG002 - psycopg's own signature
        return (self.cls, kind_of(obj))

    def upgrade(self, obj: Sequence[Any], format: PyFormat) -> Dumper:  # noqa: ARG002
        return TextsDumper(self.cls, self.connection) if kind_of(obj) is str else self

    def dump(self, obj: Sequence[Any]) -> bytes:
        spelled = _SPELLED.get(kind_of(obj))
        if spelled is None:
            raise DataError(f"lists of {kind_of(obj).__name__} are not sent to the database")
        cells = ["NULL" if value is None else spelled(value) for value in obj]
        return f"{{{','.join(cells)}}}".encode()


class TextsDumper(Dumper):
    """Texts as they are, behind their lengths: nothing in them has to be escaped. Documents are cast by the statement.

    Source: PostgreSQL, array_recv in src/backend/utils/adt/arrayfuncs.c.
    """

    format = Format.BINARY
    oid = TEXT_ARRAY

    def dump(self, obj: Sequence[str | None]) -> bytes:
        texts = [b"" if value is None else value.encode() for value in obj]
        sizes = pack(f"!{len(texts)}i", *map(len, texts))
        heads = [sizes[at : at + 4] for at in range(0, len(sizes), 4)]
        nulls = None in obj
        if nulls:
            heads = [NULL if value is None else head for value, head in zip(obj, heads, strict=True)]
        head = _HEAD.pack(1, nulls, TEXT, len(texts), 1) if texts else _HEAD.pack(0, 0, TEXT, 0, 0)[:12]
        return head + b"".join(chain.from_iterable(zip(heads, texts, strict=True)))


def kind_of(values: Sequence[Any]) -> type:
    """What kind of values these are, by the first that is not None; texts where there is none."""
    kind = next((type(value) for value in values if value is not None), str)
    return kind if kind in _SPELLED else next((base for base in _BASES if issubclass(kind, base)), kind)


def _truth(value: bool) -> str:
    return "t" if value else "f"


def _moment(value: datetime) -> str:
    return f'"{value.isoformat()}"'


def _bytes(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


_SPELLED: dict[type, Callable[[Any], str]] = {
    bool: _truth,
    int: str,
    float: str,
    datetime: _moment,
    bytes: _bytes,
    UUID: str,
}
_BASES = (str, *_SPELLED)
