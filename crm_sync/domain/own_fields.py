"""Our own fields on one object of a CRM: are they there, and are they as we need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crm_sync.domain.fields import OWN_FIELDS, Catalogue, OwnField
from crm_sync.domain.mappings import MappingVersion
from crm_sync.domain.mappings.problems import NOT_SEEN, own_field_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFields:
    """Our fields on `object` as our user sees them: CRM name to what is wrong, empty where nothing is."""

    object: str
    faults: Mapping[str, str]

    @property
    def complete(self) -> bool:
        return not any(self.faults.values())

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, fault in self.faults.items() if fault == NOT_SEEN)

    def words(self) -> str:
        """One sentence for people."""
        if self.complete:
            return f"all {len(self.faults)} are there and can be written"
        if len(self.missing) == len(self.faults):
            return f"none of the {len(self.faults)} is there, or they are hidden from our user"
        told = [f"{name} {fault}" for name, fault in self.faults.items() if fault]
        return " ".join(told)


def names_on(object: str, spelled: Mapping[str, str], mapping: MappingVersion | None) -> Mapping[str, str]:
    """Neutral to CRM name of the fields that are written to `object`; `spelled` is the connector's own spelling."""
    if mapping is None or object not in mapping.people:
        return spelled
    return mapping.own_fields_of(object, spelled)


def look(object: str, names: Mapping[str, str], catalogue: Catalogue) -> OwnFields:
    """Compare what we need with what the CRM describes. No call is made."""
    faults = own_field_faults(names, catalogue)
    return OwnFields(object=object, faults={names[own]: " ".join(found) for own, found in faults.items()})


def installable(names: Mapping[str, str], spelled: Mapping[str, str]) -> list[OwnField]:
    """The fields that are ours to create: a mapping may write others into fields of the customer's own."""
    return [own for own in OWN_FIELDS if names.get(own.name) == spelled[own.name]]
