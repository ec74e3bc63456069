"""What objects and fields the org has, as the signed-in user sees them.

Source: REST API guide, Describe Global, sObject Basic Information, sObject Describe; facts on describe.
"""

from __future__ import annotations

from typing import Any

from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.rest.records import kind_of
from crm_sync.sandbox.salesforce.schema import ObjectType
from crm_sync.sandbox.salesforce.wire import Reply, Request


def everything(org: SalesforceOrg, request: Request) -> Reply:
    kinds = [kind for kind in org.store.schema.objects.values() if _seen(org, request, kind)]
    summaries = [_summary(org, request, kind) for kind in kinds]
    return Reply(body={"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": summaries}, records=len(summaries))


def basics(org: SalesforceOrg, request: Request, object: str) -> Reply:
    kind = kind_of(org, request, object)
    return Reply(body={"objectDescribe": _summary(org, request, kind), "recentItems": []}, object=kind.name)


def whole(org: SalesforceOrg, request: Request, object: str) -> Reply:
    kind = kind_of(org, request, object)
    return Reply(body=described(org, request, kind), object=kind.name, records=1)


def described(org: SalesforceOrg, request: Request, kind: ObjectType) -> dict[str, Any]:
    visible = org.access.visible(kind, request.user)
    fields = [
        column.describe(updateable=column.name in visible.editable)
        for column in kind.fields.values()
        if column.name in visible.readable
    ]
    return {
        **_summary(org, request, kind),
        "fields": fields,
        "childRelationships": _children(org, request, kind),
        "recordTypeInfos": [_record_type()],
        "supportedScopes": [{"label": f"All {kind.plural.lower()}", "name": "everything"}],
    }


def _seen(org: SalesforceOrg, request: Request, kind: ObjectType) -> bool:
    hidden = kind.name in org.store.schema.hidden or "tooling" in kind.traits
    return not hidden and org.access.object(kind, request.user).read


def _summary(org: SalesforceOrg, request: Request, kind: ObjectType) -> dict[str, Any]:
    right = org.access.object(kind, request.user)
    written = "history" not in kind.traits
    root = f"/services/data/v{request.version}/sobjects/{kind.name}"
    return {
        "name": kind.name,
        "label": kind.label,
        "labelPlural": kind.plural,
        "keyPrefix": kind.prefix,
        "custom": False,
        "customSetting": False,
        "deprecatedAndHidden": False,
        "queryable": True,
        "retrieveable": True,
        "searchable": kind.soft_deletes,
        "createable": right.create and written,
        "updateable": right.edit and written,
        "deletable": right.delete and written,
        "undeletable": "bin" in kind.traits,
        "mergeable": "merge" in kind.traits,
        "replicateable": kind.soft_deletes and written,
        "triggerable": kind.soft_deletes,
        "feedEnabled": False,
        "layoutable": written,
        "activateable": False,
        "urls": {
            "sobject": root,
            "describe": f"{root}/describe",
            "rowTemplate": f"{root}/{{ID}}",
        },
    }


def _children(org: SalesforceOrg, request: Request, kind: ObjectType) -> list[dict[str, Any]]:
    return [
        {
            "childSObject": child.object.name,
            "field": child.field.name,
            "relationshipName": child.name,
            "cascadeDelete": child.field.cascade,
            "restrictedDelete": False,
            "deprecatedAndHidden": False,
        }
        for child in org.store.schema.children(kind)
        if _seen(org, request, child.object)
    ]


def _record_type() -> dict[str, Any]:
    return {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": True,
        "developerName": "Master",
        "master": True,
        "name": "Master",
        "recordTypeId": "012000000000000AAA",
    }
