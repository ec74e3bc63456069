"""Which record is associated with which, by what type.

Source: HubSpot associations v4 guide (type ids); ids of companies and deals towards communications follow the
pattern of their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AssociationType:
    """`type_id` as used from one object type to another; `back` is the id of the same tie seen from there."""

    type_id: int
    label: str | None = None
    category: str = "HUBSPOT_DEFINED"
    back: int | None = None

    @property
    def is_primary(self) -> bool:
        return self.label == "Primary"


Pair = tuple[str, str]

# Unlabelled ids there and back, then the ids of the primary tie where there is one.
_STANDARD: Mapping[Pair, tuple[int, int, int | None, int | None]] = {
    ("contacts", "companies"): (279, 280, 1, 2),
    ("deals", "contacts"): (3, 4, None, None),
    ("deals", "companies"): (341, 342, 5, 6),
    ("leads", "contacts"): (608, 609, 578, None),
    ("leads", "companies"): (610, 611, 580, None),
    ("leads", "deals"): (1037, 1038, 582, 583),
    ("contacts", "calls"): (193, 194, None, None),
    ("contacts", "emails"): (197, 198, None, None),
    ("contacts", "meetings"): (199, 200, None, None),
    ("contacts", "notes"): (201, 202, None, None),
    ("contacts", "tasks"): (203, 204, None, None),
    ("contacts", "communications"): (82, 81, None, None),
    ("companies", "calls"): (181, 182, None, None),
    ("companies", "emails"): (185, 186, None, None),
    ("companies", "meetings"): (187, 188, None, None),
    ("companies", "notes"): (189, 190, None, None),
    ("companies", "tasks"): (191, 192, None, None),
    ("companies", "communications"): (88, 87, None, None),
    ("deals", "calls"): (205, 206, None, None),
    ("deals", "emails"): (209, 210, None, None),
    ("deals", "meetings"): (211, 212, None, None),
    ("deals", "notes"): (213, 214, None, None),
    ("deals", "tasks"): (215, 216, None, None),
    ("deals", "communications"): (86, 85, None, None),
    ("leads", "calls"): (596, 597, None, None),
    ("leads", "emails"): (598, 599, None, None),
    ("leads", "meetings"): (600, 601, None, None),
    ("leads", "communications"): (602, 603, None, None),
    ("leads", "tasks"): (646, 647, None, None),
    ("leads", "notes"): (854, 855, None, None),
}


def _standard_types() -> dict[Pair, list[AssociationType]]:
    types: dict[Pair, list[AssociationType]] = {}
    for (there, here), (there_id, back_id, primary, primary_back) in _STANDARD.items():
        forward = types.setdefault((there, here), [])
        backward = types.setdefault((here, there), [])
        forward.append(AssociationType(there_id, back=back_id))
        backward.append(AssociationType(back_id, back=there_id))
        if primary is not None:
            forward.append(AssociationType(primary, "Primary", back=primary_back))
        if primary_back is not None:
            backward.append(AssociationType(primary_back, "Primary", back=primary))
    types["companies", "companies"] = [
        AssociationType(450, back=450),
        AssociationType(13, "Child Company", back=14),
        AssociationType(14, "Parent Company", back=13),
    ]
    types["contacts", "contacts"] = [AssociationType(449, back=449)]
    return types


class Associations:
    """Ties between records, kept from both ends. Ids are numbers; type ids of one tie are sorted."""

    def __init__(self) -> None:
        self.types = _standard_types()
        self._ties: dict[Pair, dict[int, dict[int, tuple[int, ...]]]] = {}
        self._next_custom = 1001

    def known(self, pair: Pair) -> bool:
        return pair in self.types

    def default_type(self, pair: Pair) -> AssociationType:
        return self.types[pair][0]

    def primary_type(self, pair: Pair) -> AssociationType | None:
        return next((t for t in self.types[pair] if t.is_primary), None)

    def find_type(self, pair: Pair, type_id: int) -> AssociationType | None:
        return next((t for t in self.types.get(pair, ()) if t.type_id == type_id), None)

    def labelled(self, pair: Pair, label: str) -> AssociationType:
        """The type with this label, made as the account's own where there is none."""
        found = next((t for t in self.types[pair] if t.label == label), None)
        if found is not None:
            return found
        there, back = self._next_custom, self._next_custom + 1
        self._next_custom += 2
        made = AssociationType(there, label, "USER_DEFINED", back=back)
        self.types[pair].append(made)
        if pair[0] != pair[1]:
            self.types[pair[1], pair[0]].append(AssociationType(back, label, "USER_DEFINED", back=there))
        return made

    def add(self, pair: Pair, here: int, there: int, type: AssociationType) -> None:
        """Tie two records with this type. The unlabelled type always comes along, and a record has one primary."""
        types = [self.default_type(pair), type]
        if type.is_primary and pair in _STANDARD:
            self._drop_primary(pair, here)
        elif type.is_primary:
            self._drop_primary((pair[1], pair[0]), there)
        for each in types:
            self._put(pair, here, there, each.type_id)
            if each.back is not None:
                self._put((pair[1], pair[0]), there, here, each.back)

    def add_default(self, pair: Pair, here: int, there: int) -> None:
        """Tie two records without a label; the first one becomes primary where the pair knows primaries.

        The primary side is the one whose records have a single primary: a contact's company, a deal's company.
        """
        self.add(pair, here, there, self.default_type(pair))
        for side, one, other in ((pair, here, there), ((pair[1], pair[0]), there, here)):
            primary = self.primary_type(side) if side in _STANDARD else None
            if primary is not None and self.primary(side, one) is None:
                self.add(side, one, other, primary)

    def remove(self, pair: Pair, here: int, there: int) -> bool:
        """Untie two records wholly. False where they weren't tied."""
        found = self._ties.get(pair, {}).get(here, {}).pop(there, None)
        self._ties.get((pair[1], pair[0]), {}).get(there, {}).pop(here, None)
        return found is not None

    def of(self, pair: Pair, here: int) -> Mapping[int, tuple[int, ...]]:
        """The records of the other type tied to `here`, with the type ids; in the order they were tied."""
        return self._ties.get(pair, {}).get(here, {})

    def primary(self, pair: Pair, here: int) -> int | None:
        primary = self.primary_type(pair)
        if primary is None:
            return None
        return next((there for there, ids in self.of(pair, here).items() if primary.type_id in ids), None)

    def partners(self, name: str) -> list[str]:
        """The object types that `name` can be tied to."""
        return [there for here, there in self.types if here == name]

    def all_of(self, name: str, here: int) -> Iterator[tuple[str, int]]:
        for partner in self.partners(name):
            for there in list(self.of((name, partner), here)):
                yield partner, there

    def move(self, name: str, old: int, new: int) -> None:
        """Let `new` have the ties of `old`, which is merged into it. A primary that `new` has stays primary."""
        for partner in self.partners(name):
            pair = (name, partner)
            for there, ids in list(self.of(pair, old).items()):
                kept = self.primary(pair, new) if pair in _STANDARD else None
                for type_id in ids:
                    type = self.find_type(pair, type_id)
                    if type is not None and there != new and not (type.is_primary and kept is not None):
                        self.add(pair, new, there, type)
                self.remove(pair, old, there)

    def forget(self, name: str, here: int) -> None:
        for partner, there in list(self.all_of(name, here)):
            self.remove((name, partner), here, there)

    def _put(self, pair: Pair, here: int, there: int, type_id: int) -> None:
        ties = self._ties.setdefault(pair, {}).setdefault(here, {})
        ids = ties.get(there, ())
        if type_id not in ids:
            ties[there] = tuple(sorted((*ids, type_id)))

    def _drop_primary(self, pair: Pair, here: int) -> None:
        primary = self.primary_type(pair)
        there = self.primary(pair, here)
        if primary is None or there is None:
            return
        self._take(pair, here, there, primary.type_id)
        if primary.back is not None:
            self._take((pair[1], pair[0]), there, here, primary.back)

    def _take(self, pair: Pair, here: int, there: int, type_id: int) -> None:
        ties = self._ties[pair][here]
        ties[there] = tuple(id for id in ties.get(there, ()) if id != type_id)
