"""People: what recognises one human in several CRM records, and how records come together and part again (law 7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import idna

from crm_sync.domain.addresses import DISPOSABLE, ROLES
from crm_sync.domain.records import CrmKind

PLACEHOLDERS = frozenset({"example.com", "example.net", "example.org", "test.com", "test.test"})
"""Domains that people type when they don't want to give their own."""


_NOT_IN_LOCAL = re.compile(r'[\s",;<>()\[\]@]')


def normal_email(address: str | None) -> str | None:
    """The address as an identity key: lower case, IDN as ASCII; no dot or plus folding. None where it is no address."""
    if not address:
        return None
    local, at, domain = address.strip().lower().rpartition("@")
    if not at or not local or _NOT_IN_LOCAL.search(local):
        return None
    ascii_domain = _ascii_domain(domain)
    if ascii_domain is None or len(local) > 64:
        return None
    return f"{local}@{ascii_domain}"


@lru_cache(maxsize=10_000)
def _ascii_domain(domain: str) -> str | None:
    """The domain as the net spells it; None where there can't be one. Kept, because colleagues share theirs."""
    try:
        found = idna.encode(domain, uts46=True).decode() if not domain.isascii() else domain
    except idna.IDNAError:
        return None
    labels = found.split(".")
    if len(labels) < 2 or len(found) > 253:
        return None
    if not all(label and len(label) < 64 and label.replace("-", "a").isalnum() for label in labels):
        return None
    return found


def matchable_email(address: str | None) -> str | None:
    """The normal address where it can stand for one human: role, disposable and invalid ones never match."""
    normal = normal_email(address)
    if normal is None:
        return None
    local, _, domain = normal.partition("@")
    if local.split("+")[0] in ROLES or domain in DISPOSABLE or domain in PLACEHOLDERS:
        return None
    return normal


Key = tuple[str, str]
"""What recognises a person: (kind, value), such as ("email", "ana@acme.eu") or ("salesforce", "00Q…")."""


def record_keys(
    *, kind: CrmKind, connection: int, crm_id: str, successor: str, email: str | None, crm_link: str | None
) -> frozenset[Key]:
    """The identity keys of one CRM record: its own id, the record that it became, the CRM's own link, its address.

    Salesforce ids are compared by their first 15 characters, so that both spellings of an id are one. HubSpot ids
    are only unique within a portal.
    """

    def own(of: str) -> Key:
        return (kind.value, of[:15] if kind is CrmKind.SALESFORCE else f"{connection}:{of}")

    keys = {own(crm_id)}
    if successor:
        keys.add(own(successor))
    if crm_link and crm_link.strip():
        keys.add((CrmKind.SALESFORCE.value, crm_link.strip()[:15]))
    if address := matchable_email(email):
        keys.add(("email", address))
    return frozenset(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """One record with what recognises it, and the person that it belongs to so far (None: to nobody yet)."""

    record_id: int
    person_id: int | None
    keys: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Records that are one person. `person_id` None asks for a new one; `gone` are people that end here."""

    person_id: int | None
    record_ids: tuple[int, ...]


def group(records: Iterable[Recognised]) -> list[Grouping]:
    """Bring records together that share a key, directly or by way of others, and part those that no longer do.

    A person stays with the group that holds its oldest record; a group with several people keeps the oldest of them.
    The answer doesn't depend on the order of `records`.
    """
    ordered = sorted(records, key=lambda r: r.record_id)
    groups = _components(ordered)
    owner_of: dict[int, int] = {}
    for index, members in enumerate(groups):
        for member in members:
            if member.person_id is not None:
                holder = owner_of.setdefault(member.person_id, index)
                if groups[holder][0].record_id > members[0].record_id:
                    owner_of[member.person_id] = index
    kept: dict[int, int] = {}
    for person, index in owner_of.items():
        kept[index] = min(person, kept.get(index, person))
    return [
        Grouping(person_id=kept.get(index), record_ids=tuple(member.record_id for member in members))
        for index, members in enumerate(groups)
    ]


def _components(records: Sequence[Recognised]) -> list[list[Recognised]]:
    parent = list(range(len(records)))

    def root(of: int) -> int:
        while parent[of] != of:
            parent[of] = parent[parent[of]]
            of = parent[of]
        return of

    first_with: dict[bytes, int] = {}
    for index, record in enumerate(records):
        for key in record.keys:
            other = first_with.setdefault(key, index)
            if other != index:
                low, high = sorted((root(other), root(index)))
                parent[high] = low
    found: dict[int, list[Recognised]] = {}
    for index, record in enumerate(records):
        found.setdefault(root(index), []).append(record)
    return list(found.values())
