"""Documents to start from: a field mapping for each CRM and a policy. The demo publishes them as they are."""

from __future__ import annotations

from importlib import resources

from crm_sync.domain.records import CrmKind


def example_mapping(crm: CrmKind) -> str:
    """The YAML text of the mapping for a CRM as it is when new."""
    return _read(f"mapping-{crm.value}.yaml")


def example_policy() -> str:
    """The YAML text of a policy for selling to businesses."""
    return _read("policy.yaml")


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
