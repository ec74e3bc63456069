"""The text of a query as a tree, and MALFORMED_QUERY where it is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from crm_sync.sandbox.salesforce.refusals import Refusal

MAX_LENGTH = 100_000
"""Source: SOQL and SOSL limits, length of a query."""


@dataclass(frozen=True, slots=True)
class Path:
    """A field, or a field of a parent: `Owner.Name`. `at` is its offset in the query."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Path | Call, ...]
    at: int


Expression = Path | Call


@dataclass(frozen=True, slots=True)
class Literal:
    """`kind` is string, number, datetime, date, truth, null or relative; `value` is parsed but for the relative."""

    kind: str
    value: Any
    at: int


@dataclass(frozen=True, slots=True)
class Item:
    expression: Expression
    alias: str | None


@dataclass(frozen=True, slots=True)
class Children:
    query: Query


@dataclass(frozen=True, slots=True)
class TypeOf:
    path: Path
    branches: tuple[tuple[str, tuple[Expression, ...]], ...]
    otherwise: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison. `operator` is `=`, `!=`, `<`, `<=`, `>`, `>=`, `LIKE`, `INCLUDES` or `EXCLUDES`."""

    left: Expression
    operator: str
    right: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Member:
    left: Expression
    within: tuple[Literal, ...] | Query
    negated: bool


@dataclass(frozen=True, slots=True)
class Logic:
    every: bool
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition


Condition = Compared | Member | Logic | Not


@dataclass(frozen=True, slots=True)
class Sort:
    expression: Expression
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    items: tuple[Item | Children | TypeOf, ...]
    source: Path
    alias: str | None
    where: Condition | None
    group: tuple[Expression, ...]
    having: Condition | None
    order: tuple[Sort, ...]
    limit: int | None
    offset: int


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def _unescaped(quoted: str) -> str:
    inner = quoted[1:-1]
    if "\\" not in inner:
        return inner
    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", _unescape_one, inner, flags=re.DOTALL)


def _unescape_one(found: re.Match[str]) -> str:
    text = found.group(1)
    # LIKE tells its wildcards from escaped ones, so their backslash stays.
    if text in ("_", "%"):
        return "\\" + text
    return chr(int(text[1:], 16)) if len(text) == 5 else _ESCAPES.get(text, text)


@v_args(inline=True)
class _Tree(Transformer):  # type: ignore[misc]  # lark is untyped
    """Builds the dataclasses above from the grammar's rules, while it parses."""

    def start(self, query: Query) -> Query:
        return query

    def query(
        self, _select: Token, items: list[Any], _from: Token, source: tuple[Path, str | None], *more: Any
    ) -> Query:
        parts = dict(more)
        group, having = parts.get("group", ((), None))
        return Query(
            items=tuple(items),
            source=source[0],
            alias=source[1],
            where=parts.get("where"),
            group=group,
            having=having,
            order=parts.get("order", ()),
            limit=parts.get("limit"),
            offset=parts.get("offset", 0),
        )

    def items(self, *items: Any) -> list[Any]:
        return list(items)

    def field(self, expression: Expression, alias: Token | None) -> Item:
        return Item(expression, str(alias) if alias else None)

    def children(self, query: Query) -> Children:
        return Children(query)

    def type_of(self, _typeof: Token, path: Token, *rest: Any) -> TypeOf:
        branches = tuple(part for part in rest if isinstance(part, tuple) and part[0] is not None)
        otherwise = next((part[1] for part in rest if isinstance(part, tuple) and part[0] is None), ())
        return TypeOf(Path(str(path), path.start_pos or 0), branches, otherwise)

    def branch(
        self, _when: Token, name: Token, _then: Token, *fields: Expression
    ) -> tuple[str, tuple[Expression, ...]]:
        return str(name), fields

    def otherwise(self, _else: Token, *fields: Expression) -> tuple[None, tuple[Expression, ...]]:
        return None, fields

    def source(self, name: Token, alias: Token | None) -> tuple[Path, str | None]:
        return Path(str(name), name.start_pos or 0), str(alias) if alias else None

    def scope(self, *_: Token) -> tuple[str, None]:
        return "scope", None

    def security(self, *_: Token) -> tuple[str, None]:
        return "security", None

    def purpose(self, *_: Token) -> tuple[str, None]:
        return "purpose", None

    def where(self, _where: Token, condition: Condition) -> tuple[str, Condition]:
        return "where", condition

    def having(self, _having: Token, condition: Condition) -> tuple[str, Condition]:
        return "having", condition

    def group(self, _group: Token, _by: Token, *parts: Any) -> tuple[str, Any]:
        fields = tuple(part for part in parts if isinstance(part, Path | Call))
        having = next((part[1] for part in parts if isinstance(part, tuple)), None)
        return "group", (fields, having)

    def order(self, _order: Token, _by: Token, *sorts: Sort) -> tuple[str, tuple[Sort, ...]]:
        return "order", sorts

    def sort(self, expression: Expression, *words: Token) -> Sort:
        said = {word.upper() for word in words}
        return Sort(expression, "DESC" in said, "LAST" in said)

    def limit(self, _limit: Token, number: Token) -> tuple[str, int]:
        return "limit", _whole(number)

    def offset(self, _offset: Token, number: Token) -> tuple[str, int]:
        return "offset", _whole(number)

    def all_of(self, *parts: Any) -> Logic:
        return Logic(True, tuple(p for p in parts if not isinstance(p, Token)))

    def any_of(self, *parts: Any) -> Logic:
        return Logic(False, tuple(p for p in parts if not isinstance(p, Token)))

    def negated(self, _not: Token, part: Condition) -> Not:
        return Not(part)

    def compared(self, left: Expression, operator: Token, right: Literal) -> Compared:
        return Compared(left, "!=" if operator == "<>" else str(operator), (right,))

    def like(self, left: Expression, _like: Token, right: Literal) -> Compared:
        return Compared(left, "LIKE", (right,))

    def includes(self, left: Expression, _word: Token, right: tuple[Literal, ...]) -> Compared:
        return Compared(left, "INCLUDES", right)

    def excludes(self, left: Expression, _word: Token, right: tuple[Literal, ...]) -> Compared:
        return Compared(left, "EXCLUDES", right)

    def in_query(self, left: Expression, _in: Token, query: Query) -> Member:
        return Member(left, query, False)

    def not_in_query(self, left: Expression, _not: Token, _in: Token, query: Query) -> Member:
        return Member(left, query, True)

    def in_list(self, left: Expression, _in: Token, values: tuple[Literal, ...]) -> Member:
        return Member(left, values, False)

    def not_in_list(self, left: Expression, _not: Token, _in: Token, values: tuple[Literal, ...]) -> Member:
        return Member(left, values, True)

    def expression(self, path: Token) -> Path:
        return Path(str(path), path.start_pos or 0)

    def call(self, name: Token, *arguments: Expression | None) -> Call:
        return Call(str(name).upper(), tuple(a for a in arguments if a is not None), name.start_pos or 0)

    def literals(self, *values: Literal) -> tuple[Literal, ...]:
        return values

    def literal(self, token: Token) -> Literal:
        return Literal(token.type.lower(), _VALUES.get(token.type, str)(token), token.start_pos or 0)


def _whole(number: Token) -> int:
    try:
        return int(number)
    except ValueError as error:
        raise Refusal("MALFORMED_QUERY", f"unexpected token: '{number}'") from error


_VALUES: dict[str, Any] = {
    "STRING": _unescaped,
    "NUMBER": float,
    "TRUTH": lambda token: token.upper() == "TRUE",
    "NULL": lambda _: None,
    "RELATIVE": lambda token: token.upper(),
}


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files("crm_sync.sandbox.salesforce.soql").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_Tree(), maybe_placeholders=True)


def parse(text: str) -> Query:
    """The tree of `text`; raises MALFORMED_QUERY."""
    if len(text) > MAX_LENGTH:
        raise Refusal("MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
    return _parsed(text)


def parse_condition(text: str) -> Condition:
    """The tree of a WHERE clause alone, as validation rules use it."""
    where = parse(f"SELECT Id FROM X WHERE {text}").where  # noqa: S608 - SOQL, read by our own parser
    assert where is not None
    return where


def _parsed(text: str) -> Query:
    try:
        query: Any = _parser().parse(text)
    except UnexpectedToken as error:
        raise _malformed(text, error, str(error.token)) from error
    except UnexpectedCharacters as error:
        raise _malformed(text, error, text[error.pos_in_stream or 0 :][:1]) from error
    assert isinstance(query, Query)
    return query


def _malformed(text: str, error: UnexpectedInput, found: str) -> Refusal:
    at = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(text)
    what = f"unexpected token: '{found}'" if found else "unexpected token: '<EOF>'"
    return Refusal("MALFORMED_QUERY", located(text, at, what))


def located(text: str, at: int, message: str) -> str:
    """`message` below the part of the query that it is about, as Salesforce words it."""
    snippet = text[max(0, at - 30) : at + 30].replace("\n", " ")
    marker = " " * (at - max(0, at - 30)) + "^"
    row = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return f"\n{snippet}\n{marker}\nERROR at Row:{row}:Column:{column}\n{message}"


def paths(expressions: Sequence[Expression]) -> list[Path]:
    """All field paths in some expressions."""
    found: list[Path] = []
    for expression in expressions:
        found += [expression] if isinstance(expression, Path) else paths(expression.arguments)
    return found
