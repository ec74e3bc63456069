"""Asking for rows of one object, whatever this org lacks and however long the question is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from simple_salesforce import Salesforce

from connectors.salesforce import composite
from connectors.salesforce.errors import garbage, refusal, said
from connectors.salesforce.feeds import shape_of
from connectors.salesforce.session import Session
from connectors.salesforce.wire import quoted
from crm_sync.domain.records import Wanted
from crm_sync.errors import ConfigError

T = TypeVar("T")

LONGEST_QUERY = 7_000
"""Characters of an encoded query in a URL; longer ones travel in a body. URL and headers may hold 16,384 bytes
together, proxies in between often less (Salesforce Help 000386264)."""

IDS_A_QUERY = 500
"""So that one call carries the leads and contacts of a batch of 1,000 and what they said about consent. A query may
have 100,000 characters (SOQL limits), and 500 ids take 13,500 once encoded."""

_COLUMN = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*){0,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows, and whether the CRM has more of them for the same question."""

    rows: list[dict[str, Any]]
    done: bool


class Rows:
    """Rows of one org. Remembers which optional columns the org lacks, so that they cost one refusal, once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lacking: dict[str, set[str]] = {}

    def page(self, object: str, fields: Sequence[str], rest: str) -> Page:
        """One page of `SELECT … FROM object rest`: one call."""
        removed = shape_of(object).removable
        return self._tolerating(
            object,
            fields,
            lambda select: self._session.read(lambda client: self._ask(client, f"{select} {rest}", removed=removed)),
        )

    def by_id(self, wanted: Sequence[Wanted]) -> list[list[dict[str, Any]]]:
        """The rows of these ids that there are, for each of `wanted` in no order: five questions a call.

        Asked until every id has been answered for: a page may be shorter than what was asked (REST guide, Query
        Options Header), and an optional column that the org lacks is left out the second time.
        """
        found: list[list[dict[str, Any]]] = [[] for _ in wanted]
        waiting = [(place, part) for place, each in enumerate(wanted) for part in slices(each.ids, IDS_A_QUERY)]
        while waiting:
            asked, waiting = waiting[: composite.MOST_QUERIES], waiting[composite.MOST_QUERIES :]
            pages = self._session.read(lambda client, asked=asked: self._pages(client, wanted, asked))  # type: ignore[misc]
            for (place, part), page in zip(asked, pages, strict=True):
                if isinstance(page, ConfigError):
                    if not self._gives_up(wanted[place].object, wanted[place].fields, page):
                        raise page
                    waiting.append((place, part))
                    continue
                found[place] += page.rows
                if not page.done:
                    if not page.rows:
                        raise garbage()
                    met = {row["Id"][:15] for row in page.rows}
                    waiting.append((place, [id for id in part if id[:15] not in met]))
        return found

    def _ask(self, client: Salesforce, soql: str, *, removed: bool) -> Page:
        if len(quote(soql)) <= LONGEST_QUERY:
            return page_of(client.query(soql, include_deleted=removed))
        [answer] = composite.send(client, [composite.query(soql, removed=removed)])
        return page_of(self._body(answer))

    def _pages(
        self, client: Salesforce, wanted: Sequence[Wanted], asked: Sequence[tuple[int, Sequence[str]]]
    ) -> list[Page | ConfigError]:
        """A page for each question, or why it names something that the org lacks; any other refusal is raised."""
        asks = []
        for place, ids in asked:
            object, fields = wanted[place].object, wanted[place].fields
            soql = f"{self._select(object, fields)} WHERE Id IN ({','.join(map(quoted, ids))})"
            asks.append(composite.query(soql, removed=shape_of(object).removable))
        return [self._page_or_lack(answer) for answer in composite.send(client, asks)]

    def _page_or_lack(self, answer: composite.Answered) -> Page | ConfigError:
        try:
            return page_of(self._body(answer))
        except ConfigError as error:
            return error

    def _body(self, answer: composite.Answered) -> Any:
        if answer.refused:
            raise refusal(said(answer.body), answer.status, self._session.now())
        return answer.body

    def _tolerating(self, object: str, fields: Sequence[str], read: Callable[[str], T]) -> T:
        while True:
            try:
                return read(self._select(object, fields))
            except ConfigError as error:
                if not self._gives_up(object, fields, error):
                    raise

    def _gives_up(self, object: str, fields: Sequence[str], error: ConfigError) -> bool:
        """True where the refusal is about a column that nobody asked us for and that is new to us."""
        shape, lacking = shape_of(object), self._lacking.setdefault(object, set())
        optional = {*shape.optional, child_of(shape.subquery)} - {""} - set(fields) - lacking
        if error.field not in optional:
            return False
        lacking.add(error.field)
        return True

    def _select(self, object: str, fields: Sequence[str]) -> str:
        shape, lacking = shape_of(object), self._lacking.get(object, set())
        own = ("Id", "CreatedDate", shape.stamp, *(("IsDeleted",) if shape.removable else ()))
        optional = tuple(name for name in shape.optional if name not in lacking)
        ties = tuple(name for name, _ in shape.ties if name not in lacking)
        subquery = (shape.subquery,) if shape.subquery and child_of(shape.subquery) not in lacking else ()
        columns = dict.fromkeys((*own, *shape.system, *optional, *ties, *map(column, fields), *subquery))
        return f"SELECT {', '.join(columns)} FROM {object}"  # noqa: S608, each name is checked by `column`


def column(name: str) -> str:
    """A field's name, of the object or of a parent; anything else might be a query of its own."""
    if not _COLUMN.fullmatch(name):
        raise ConfigError(f"{name!r} is not the name of a Salesforce field: change the mapping.", field=name)
    return name


def page_of(answer: Any) -> Page:
    """The rows of a query's answer; whatever isn't one is garbage and never "no rows"."""
    rows = answer.get("records") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list) or not isinstance(answer.get("done"), bool):
        raise garbage()
    return Page(rows=rows, done=answer["done"])


def child_of(subquery: str) -> str:
    """The relationship that a subquery reads, "" where there is none."""
    return subquery.rpartition(" ")[2].rstrip(")")


def slices(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
