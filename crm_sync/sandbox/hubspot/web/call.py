"""One HTTP call as the handlers see it, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import QueryParams

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.authors import Author, app_author
from crm_sync.sandbox.hubspot.objects import ObjectType, object_type
from crm_sync.sandbox.hubspot.portal import HubSpotPortal
from crm_sync.sandbox.hubspot.records import Table
from crm_sync.sandbox.hubspot.sign_in import App

MOST_IN_BATCH = 100


@dataclass(slots=True, kw_only=True)
class Call:
    """`body` is the parsed JSON (or form), None where there is none. `object` is what the journal will say.

    `number` is the call's own in the journal. `url` is where this portal is reached, without a path.
    """

    portal: HubSpotPortal
    number: int
    app: App | None
    path: str
    params: Mapping[str, str]
    query: QueryParams
    body: Any
    url: str
    object: str = ""

    @property
    def author(self) -> Author:
        assert self.app is not None
        return app_author(self.app, self.number)

    def type(self, param: str = "type") -> ObjectType:
        found = object_type(self.params[param])
        if found is None:
            raise refusals.no_such_object_type(self.params[param])
        return found

    def table(self) -> Table:
        return self.portal.tables[self.type().name]

    def flag(self, name: str) -> bool:
        """A boolean of the query; Python clients write True."""
        return self.query.get(name, "").lower() == "true"

    def names(self, name: str) -> list[str]:
        """A list of the query, as repeated keys, comma-joined, or both."""
        return [item.strip() for given in self.query.getlist(name) for item in given.split(",") if item.strip()]

    def whole(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        """A whole number of the query; raises Refusal where it is none or out of bounds."""
        given = self.query.get(name)
        if given is None or given == "":
            return default
        if not given.isascii() or not given.isdigit():
            raise refusals.invalid(f"Invalid integer {given} for {name}.")
        if int(given) < least or (most is not None and int(given) > most):
            raise refusals.invalid(f"{name} must be between {least} and {most}, but was {given}.")
        return int(given)

    def mapping(self) -> Mapping[str, Any]:
        if not isinstance(self.body, Mapping):
            raise refusals.malformed("Cannot deserialize the body: an object was expected.")
        return self.body

    def inputs(self, most: int = MOST_IN_BATCH) -> list[Mapping[str, Any]]:
        """The `inputs` of a batch; raises Refusal where there are none, too many, or some without an id."""
        inputs = self.mapping().get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(i, Mapping) for i in inputs):
            raise refusals.fields_missing("inputs")
        if not inputs:
            raise refusals.invalid("The batch has no inputs.")
        if len(inputs) > most:
            raise refusals.invalid(f"Maximum batch size exceeded: {len(inputs)} inputs, and the maximum is {most}.")
        return inputs


@dataclass(slots=True, kw_only=True)
class Answer:
    """`body` None is an answer without a body. `records` is how many records went in or out."""

    body: Any = None
    status: int = 200
    records: int = 0


Scopes = Callable[[Call], tuple[str, ...]]


def no_scopes(_call: Call) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A path below its prefix, its operation word in the journal, and what one of its scopes lets in.

    `open` endpoints need no token and count against no allowance.
    """

    method: str
    path: str
    operation: str
    answer: Callable[[Call], Answer]
    scopes: Scopes = field(default=no_scopes)
    search: bool = False
    open: bool = False


def listed(body: Mapping[str, Any], name: str) -> list[Any]:
    """A list in a body, empty where it is missing; raises Refusal where something else stands there."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise refusals.malformed(f"Cannot deserialize value of {name}: a list was expected.")
    return value


def required(body: Mapping[str, Any], *names: str) -> None:
    missing = [name for name in names if body.get(name) in (None, "")]
    if missing:
        raise refusals.fields_missing(*missing)
