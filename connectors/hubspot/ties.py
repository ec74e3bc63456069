"""Which records an activity or a deal belongs to: associations, read in bulk.

A contact's company needs none of this: it is a property of the contact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.hubspot.session import Session
from crm_sync.domain.records import RecordBatch, Tie
from crm_sync.errors import TransientError

INPUTS = 1_000

TIES: Mapping[str, Sequence[str]] = {
    "deals": ("contacts", "companies"),
    **dict.fromkeys(("emails", "calls", "meetings", "notes", "tasks"), ("contacts",)),
}

Found = dict[str, list[Tie]]


def with_ties(records: RecordBatch, found: Mapping[str, Iterable[Tie]]) -> RecordBatch:
    """The batch with what was `found` by record id, each tie once."""
    ties = [tuple(dict.fromkeys([*had, *found.get(id, ())])) for id, had in zip(records.ids, records.ties, strict=True)]
    return replace(records, ties=ties)


def read_ties(session: Session, object: str, ids: Sequence[str]) -> Found:
    """Ties of these records: one call for each 1,000 and each object that they can be tied to.

    The normal answer is a 207: records without associations are listed as errors.
    Source: HubSpot associations v4 guide, batch/read.
    """
    found: Found = defaultdict(list)
    for to in TIES[object] if ids else ():
        waiting = [{"id": id} for id in dict.fromkeys(ids)]
        while waiting:
            waiting = _read(session, object, to, waiting[:INPUTS], found) + waiting[INPUTS:]
    return found


def listed_ties(session: Session, object: str, rows: Iterable[Mapping[str, Any]]) -> Found:
    """Ties that came along with a list, and the rest of those that didn't fit. An id repeats for each label."""
    found: Found = defaultdict(list)
    for row in rows:
        for to in TIES[object]:
            listed = (row.get("associations") or {}).get(to) or {}
            found[row["id"]] += [Tie(object=to, id=str(result["id"])) for result in listed.get("results") or ()]
            after = ((listed.get("paging") or {}).get("next") or {}).get("after")
            if after:
                _rest(session, object, to, row["id"], found)
    return found


def _rest(session: Session, object: str, to: str, id: str, found: Found) -> None:
    """All ties of one record: the list's cursor means nothing to batch/read, so it is read from its first page."""
    waiting = [{"id": id}]
    while waiting:
        waiting = _read(session, object, to, waiting, found)


def _read(
    session: Session, object: str, to: str, inputs: Sequence[Mapping[str, str]], found: Found
) -> list[dict[str, str]]:
    """Ties of `inputs` into `found`; answers those inputs of which there is more."""
    told, _ = session.ask(session.associations.get_page, object, to, {"inputs": list(inputs)})
    results = told.get("results")
    if not isinstance(results, list):
        raise TransientError("HubSpot's answer can't be read: it lists no associations.", code="garbage")
    going_on = []
    for result in results:
        id = str(result["from"]["id"])
        found[id] += [Tie(object=to, id=str(target["toObjectId"])) for target in result.get("to") or ()]
        after = ((result.get("paging") or {}).get("next") or {}).get("after")
        if after:
            going_on.append({"id": id, "after": str(after)})
    return going_on
