"""A sandbox CRM joined to an installation, with our fields, the example mapping and the example policy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from crm_sync.cli.sandboxed import credentials
from crm_sync.domain.connections import ConnectionId
from crm_sync.domain.mappings import parse_mapping
from crm_sync.domain.policies import parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.flows.connect import Person, Request, connect
from crm_sync.flows.publish import Publisher, publish_mapping, publish_policy
from crm_sync.wiring import Installation

BY = Publisher(author="bench", reason="the example that is shipped")
NOBODY_WATCHES = Person(sees=lambda _: None, agrees=lambda _: True)


def join(installation: Installation, kind: CrmKind, ready: Mapping[str, Any]) -> ConnectionId:
    """Join the CRM that a sandbox's ready file names, under the name of its kind. All is in place to pull."""
    url, told = ready[kind.value]["url"], credentials(ready, kind)
    request = Request(name=kind.value, kind=kind, base_url=url, credentials=told, actor="bench", install_fields=True)
    means = installation.means(kind, url, told)
    joined = connect(installation.transaction, installation.keys, request, means, NOBODY_WATCHES)
    if joined.connection is None:
        raise RuntimeError(f"the sandbox {kind} could not be joined")
    text, policy = _example(f"mapping-{kind}.yaml"), _example("policy.yaml")
    publish_mapping(installation.transaction, joined.connection, parse_mapping(text), text, BY, installation.now())
    publish_policy(installation.transaction, parse_policy(policy), policy, BY, installation.now())
    return joined.connection.id


def _example(name: str) -> str:
    return (files("crm_sync.examples") / name).read_text(encoding="utf-8")
