"""What a search request means: filters, order, page; and running it against an index.

Source: HubSpot search guide (operators, limits) and its published API description.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.index import Document, SearchIndex
from crm_sync.sandbox.hubspot.objects import ObjectType
from crm_sync.sandbox.hubspot.schema import Property
from crm_sync.sandbox.hubspot.stamps import parse_ms
from crm_sync.sandbox.hubspot.values import number

MOST_PER_PAGE, REACHABLE = 200, 10_000
MOST_GROUPS, MOST_FILTERS, MOST_IN_ALL = 5, 6, 18
LONGEST_QUERY = 3000
Test = Callable[[Document], bool]
Read = Callable[[Document], Any]
Associated = Callable[[str, str], set[int]]
_ID_BOUNDS = ("GT", "GTE")
_SEARCHED = ("email", "firstname", "lastname", "phone", "company", "name", "domain", "dealname", "hs_lead_name")


@dataclass(frozen=True, slots=True)
class Page:
    total: int
    ids: list[int]
    next_after: int | None


class Search:
    """One request against one object type, checked and ready to run; raises Refusal where HubSpot would.

    `define` finds a property definition by name. `associated` answers the ids of this type that are associated with
    a record of another type.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        type: ObjectType,
        define: Callable[[str], Property | None],
        associated: Associated,
    ) -> None:
        self._type = type
        self._define = define
        self._associated = associated
        self.limit = _whole(body, "limit", 10)
        self.after = _whole(body, "after", 0)
        self._check_page()
        self._groups = _groups(body)
        self._text = str(body.get("query") or "").lower()
        if len(self._text) > LONGEST_QUERY:
            raise refusals.invalid(f"The query is too long: the maximum is {LONGEST_QUERY} characters.")
        self._sort, self._descending = self._sorting(body.get("sorts") or ())
        self._above = self._take_id_bound()
        self._neighbours: list[int] = []
        self._tests = [[self._test(f) for f in group] for group in self._groups]

    def run(self, index: SearchIndex) -> Page:
        matches = index.matches(
            self._name(),
            key=self._key(),
            candidates=lambda: self._candidates(index),
            test=self._passes,
        )
        order = matches.order
        skipped = 0 if self._above is None else order.bisect_right(self._above)
        total = len(order) - skipped
        first, last = self.after, min(self.after + self.limit, total)
        if self._descending:
            keys = list(order.islice(total - last, total - first, reverse=True))
        else:
            keys = list(order.islice(skipped + first, skipped + last))
        ids = [key if isinstance(key, int) else key[-1] for key in keys]
        return Page(total, ids, last if last < total else None)

    def _name(self) -> bytes:
        """Two requests with the same name have the same matches. Associations aren't indexed, so their ids count."""
        parts = [self._groups, self._text, self._sort, self._descending, sorted(self._neighbours)]
        return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)

    def _check_page(self) -> None:
        if not 0 <= self.limit <= MOST_PER_PAGE:
            raise refusals.invalid(f"The limit {self.limit} is not valid: it must be between 0 and {MOST_PER_PAGE}.")
        if self.after < 0:
            raise refusals.invalid("The paging offset must not be negative.")
        if self.after + self.limit > REACHABLE:
            raise refusals.invalid(
                f"The results of a search are limited to {REACHABLE}: offset {self.after} and limit {self.limit} reach "
                "past them."
            )

    def _sorting(self, sorts: Any) -> tuple[str, bool]:
        if not isinstance(sorts, Sequence) or isinstance(sorts, str):
            raise refusals.malformed("sorts must be a list.")
        if len(sorts) > 1:
            raise refusals.invalid("Only one sort is supported.")
        if not sorts:
            return self._type.created, False
        sort = sorts[0]
        if isinstance(sort, Mapping):
            name, descending = str(sort.get("propertyName", "")), sort.get("direction") == "DESCENDING"
        else:
            name, descending = str(sort).removeprefix("-"), str(sort).startswith("-")
        if self._define(name) is None:
            raise refusals.invalid(f"There was a problem with the request: unknown sort property {name}.")
        return name, descending

    def _take_id_bound(self) -> int | None:
        """Lift `hs_object_id GT x` out of the filters: what remains is the same for every page of a walk by id."""
        if self._sort != "hs_object_id" or self._descending or len(self._groups) != 1:
            return None
        bounds = [f for f in self._groups[0] if f.get("propertyName") == "hs_object_id"]
        if len(bounds) != 1 or bounds[0].get("operator") not in _ID_BOUNDS:
            return None
        above = str(bounds[0].get("value", ""))
        if not above.isascii() or not above.isdigit():
            return None
        self._groups[0].remove(bounds[0])
        return int(above) - (1 if bounds[0]["operator"] == "GTE" else 0)

    def _key(self) -> Callable[[Document], Any]:
        if self._sort == "hs_object_id":
            return lambda d: d.id
        read = self._reader(self._sort)

        def key(document: Document) -> Any:
            value = read(document)
            if isinstance(value, frozenset):
                value = ";".join(sorted(value))
            return (value is None, 0 if value is None else value, document.id)

        return key

    def _candidates(self, index: SearchIndex) -> Iterable[Document]:
        """Every row that could pass; rows found by stamp or id where the only group asks for these."""
        if len(self._groups) != 1:
            return index.documents()
        for f in self._groups[0]:
            if f.get("propertyName") == "hs_object_id" and f.get("operator") in ("EQ", "IN"):
                wanted = f.get("values") if f["operator"] == "IN" else [f.get("value")]
                ids = {int(str(v)) for v in wanted or () if str(v).isdigit()}
                return (d for d in map(index.document, ids) if d is not None)
        lo, hi = self._stamp_bounds()
        return index.documents() if lo is None and hi is None else index.stamped(lo, hi)

    def _stamp_bounds(self) -> tuple[int | None, int | None]:
        lo: int | None = None
        hi: int | None = None
        for f in self._groups[0]:
            if f.get("propertyName") != self._type.modified:
                continue
            low, high = _BOUNDS.get(str(f.get("operator")), (None, None))
            if low:
                lo = parse_ms(f[low])
            if high:
                hi = parse_ms(f[high])
        return lo, hi

    def _passes(self, document: Document) -> bool:
        if self._text and not self._mentions(document):
            return False
        return not self._tests or any(all(test(document) for test in group) for group in self._tests)

    def _mentions(self, document: Document) -> bool:
        words = " ".join(document.properties.get(name, "") for name in _SEARCHED).lower()
        return all(word in words for word in self._text.split())

    def _test(self, raw: Mapping[str, Any]) -> Test:
        name, operator = str(raw.get("propertyName") or ""), str(raw.get("operator") or "")
        if operator not in _OPERATORS:
            raise refusals.invalid(f"Invalid operator {operator!r} in a filter.")
        if name.startswith("associations."):
            return self._association_test(name, operator, raw)
        definition = self._define(name)
        if definition is None or name.startswith("hs_body_preview"):
            raise refusals.invalid(f"There was a problem with the request: unknown or unsearchable property {name}.")
        operands = _operands(name, operator, raw)
        read = self._reader(name)
        return _OPERATORS[operator](read, [_operand(definition, o, operator) for o in operands])

    def _association_test(self, name: str, operator: str, raw: Mapping[str, Any]) -> Test:
        if operator not in ("EQ", "IN"):
            raise refusals.invalid(f"Operator {operator} is not supported for {name}.")
        ids: set[int] = set()
        for other in _operands(name, operator, raw):
            ids |= self._associated(name.removeprefix("associations."), str(other))
        self._neighbours.extend(ids)
        return lambda d: d.id in ids

    def _reader(self, name: str) -> Read:
        """How to read a property from a document, in the form that is compared."""
        if name == "hs_object_id":
            return lambda d: d.id
        if name == self._type.created:
            return lambda d: d.created
        if name == self._type.modified:
            return lambda d: d.modified
        definition = self._define(name)
        kind = definition.type if definition else "string"
        if kind == "number":
            return lambda d: number(d.properties.get(name))
        if kind in ("date", "datetime"):
            return lambda d: None if (text := d.properties.get(name)) is None else parse_ms(text)
        if definition is not None and definition.multiple:
            return lambda d: None if (text := d.properties.get(name)) is None else frozenset(text.split(";"))
        if kind == "enumeration":
            return lambda d: d.properties.get(name)
        return lambda d: None if (text := d.properties.get(name)) is None else text.lower()


def _whole(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", str(value)):
        raise refusals.invalid(f"{value} is not a valid value for {name}: it must be an integer.")
    return int(value)


def _groups(body: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """The filter groups, each a list that may be changed. Top-level `filters` are one group."""
    groups = body.get("filterGroups") or ([{"filters": body["filters"]}] if body.get("filters") else [])
    if not isinstance(groups, list) or not all(isinstance(g, Mapping) for g in groups):
        raise refusals.malformed("filterGroups must be a list of objects.")
    given = [group.get("filters") or [] for group in groups]
    if not all(isinstance(filters, list) for filters in given):
        raise refusals.malformed("filters must be a list of objects.")
    found = [list(filters) for filters in given]
    if not all(isinstance(f, Mapping) for group in found for f in group):
        raise refusals.malformed("filters must be a list of objects.")
    if len(found) > MOST_GROUPS:
        raise refusals.invalid(f"Too many filter groups: {len(found)}. The maximum is {MOST_GROUPS}.")
    if any(len(group) > MOST_FILTERS for group in found) or sum(map(len, found)) > MOST_IN_ALL:
        raise refusals.invalid(f"Too many filters: at most {MOST_FILTERS} in a group and {MOST_IN_ALL} in all.")
    return [group for group in found if group]


def _operands(name: str, operator: str, raw: Mapping[str, Any]) -> list[Any]:
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return []
    if operator in ("IN", "NOT_IN"):
        values = raw.get("values")
        if not isinstance(values, list) or not values:
            raise refusals.invalid(f"A filter on {name} with operator {operator} needs values.")
        return values
    wanted = ("value", "highValue") if operator == "BETWEEN" else ("value",)
    if any(raw.get(key) is None for key in wanted):
        raise refusals.invalid(f"A filter on {name} with operator {operator} needs {' and '.join(wanted)}.")
    return [raw[key] for key in wanted]


def _operand(definition: Property, raw: Any, operator: str) -> Any:
    """A filter's value in the form that is compared. Values of IN on text are taken as given, so upper case misses."""
    if "TOKEN" in operator:
        return str(raw).lower()
    if definition.type == "number":
        value = number(str(raw))
        if value is None:
            raise refusals.invalid(f"{raw} is not a valid number for a filter on {definition.name}.")
        return int(str(raw)) if str(raw).isdigit() else value
    if definition.type in ("date", "datetime"):
        ms = parse_ms(raw)
        if ms is None:
            raise refusals.invalid(f"{raw} is not a valid time for a filter on {definition.name}.")
        return ms
    if definition.type == "enumeration" or operator in ("IN", "NOT_IN"):
        return str(raw).lower() if isinstance(raw, bool) else str(raw)
    return str(raw).lower()


def _holds(value: Any, wanted: Any) -> bool:
    return wanted in value if isinstance(value, frozenset) else bool(value == wanted)


def _compared(holds: Callable[[Any, Any], bool]) -> Callable[[Read, list[Any]], Test]:
    def test(read: Read, operands: list[Any]) -> Test:
        wanted = operands[0]
        return lambda d: (value := read(d)) is not None and holds(value, wanted)

    return test


def _between(read: Read, operands: list[Any]) -> Test:
    low, high = operands
    return lambda d: (value := read(d)) is not None and low <= value <= high


def _within(read: Read, operands: list[Any]) -> Test:
    return lambda d: (value := read(d)) is not None and any(_holds(value, o) for o in operands)


def _without(read: Read, operands: list[Any]) -> Test:
    return lambda d: (value := read(d)) is not None and not any(_holds(value, o) for o in operands)


def _has_token(value: Any, pattern: str) -> bool:
    text = ";".join(value) if isinstance(value, frozenset) else str(value)
    tokens = {text.lower(), *re.split(r"[\s;,]+", text.lower()), *re.split(r"[^\w]+", text.lower())}
    return any(fnmatch.fnmatchcase(token, pattern) for token in tokens)


_OPERATORS: Mapping[str, Callable[[Read, list[Any]], Test]] = {
    "EQ": _compared(_holds),
    "NEQ": _compared(lambda value, wanted: not _holds(value, wanted)),
    "LT": _compared(lambda value, wanted: value < wanted),
    "LTE": _compared(lambda value, wanted: value <= wanted),
    "GT": _compared(lambda value, wanted: value > wanted),
    "GTE": _compared(lambda value, wanted: value >= wanted),
    "BETWEEN": _between,
    "IN": _within,
    "NOT_IN": _without,
    "HAS_PROPERTY": lambda read, _: lambda d: read(d) is not None,
    "NOT_HAS_PROPERTY": lambda read, _: lambda d: read(d) is None,
    "CONTAINS_TOKEN": _compared(_has_token),
    "NOT_CONTAINS_TOKEN": _compared(lambda value, wanted: not _has_token(value, wanted)),
}
_BOUNDS: Mapping[str, tuple[str | None, str | None]] = {
    "EQ": ("value", "value"),
    "GT": ("value", None),
    "GTE": ("value", None),
    "LT": (None, "value"),
    "LTE": (None, "value"),
    "BETWEEN": ("value", "highValue"),
}
