"""The catalogue of an object's fields, and our own fields: looking, installing, removing.

Source: REST API guide, sObject Describe; Tooling API, CustomField; Object Reference, PermissionSet, FieldPermissions
and PermissionSetAssignment. A field made through the API is hidden from everybody until a permission set shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.salesforce.errors import garbage
from connectors.salesforce.session import Session, as_dict
from connectors.salesforce.wire import quoted
from crm_sync.domain.fields import Catalogue, CatalogueField, FieldType, OwnField
from crm_sync.errors import AuthError, ConfigError, CrmSyncError, RecordError
from crm_sync.ports import Check

PERMISSION_SET = "crm_sync_integration"
PREFIX = "CrmSync_"

_TYPES: Mapping[str, FieldType] = {
    "string": FieldType.TEXT,
    "email": FieldType.TEXT,
    "phone": FieldType.TEXT,
    "url": FieldType.TEXT,
    "combobox": FieldType.TEXT,
    "encryptedstring": FieldType.TEXT,
    "textarea": FieldType.LONG_TEXT,
    "int": FieldType.NUMBER,
    "long": FieldType.NUMBER,
    "double": FieldType.NUMBER,
    "currency": FieldType.NUMBER,
    "percent": FieldType.NUMBER,
    "boolean": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
    "picklist": FieldType.PICKLIST,
    "reference": FieldType.REFERENCE,
}


def api_name(field: OwnField) -> str:
    """`model_version` is spelled `CrmSync_ModelVersion__c`."""
    return f"{PREFIX}{''.join(part.capitalize() for part in field.name.split('_'))}__c"


def describe(session: Session, object: str) -> dict[str, Any]:
    try:
        return as_dict(session.read(lambda client: client.restful(f"sobjects/{object}/describe")))
    except ConfigError as error:
        if error.code not in ("NOT_FOUND", "INVALID_TYPE"):
            raise
        raise ConfigError(f"{object}: {error}", code=error.code, field=object) from error


def catalogue(session: Session, object: str) -> Catalogue:
    """What the signed-in user sees: an unreadable field is absent, one that can't be edited isn't writable."""
    fields = describe(session, object).get("fields")
    if not isinstance(fields, list):
        raise garbage()
    return {field["name"]: _catalogue_field(field) for field in fields}


def _catalogue_field(told: Mapping[str, Any]) -> CatalogueField:
    type = _TYPES.get(told["type"], FieldType.OTHER)
    length = told.get("length") or 0
    if type is FieldType.LONG_TEXT and length <= 255:
        type = FieldType.TEXT
    # An int tells its width in `digits`, a double in `precision`.
    width = told.get("precision") or told.get("digits") or None
    return CatalogueField(
        name=told["name"],
        label=told.get("label") or told["name"],
        type=type,
        length=length,
        precision=width if type is FieldType.NUMBER else None,
        scale=told.get("scale") or 0 if type is FieldType.NUMBER else None,
        writable=bool(told.get("updateable")),
        calculated=bool(told.get("calculated") or told.get("autoNumber")),
        restricted=bool(told.get("restrictedPicklist")),
        options=tuple(o["value"] for o in told.get("picklistValues") or () if o.get("active")),
        filterable=bool(told.get("filterable", True)),
    )


def install(session: Session, object: str, fields: Sequence[OwnField], user_id: Callable[[], str]) -> list[Check]:
    """Create what is missing and grant it to the user; one Check a field. A second time is one call.

    What stands there already with another type, length or picklist is left as it is and reported.
    """
    seen = catalogue(session, object)
    if all(api_name(field) in seen and seen[api_name(field)].writable for field in fields):
        return [_compared(object, field, seen, "exists") for field in fields]
    there = _custom_fields(session, object)
    created: dict[str, str] = {}
    for field in fields:
        if api_name(field) not in there:
            created[api_name(field)] = _create(session, object, field)
    refused = {name: words for name, words in created.items() if words}
    grant = [api_name(field) for field in fields if api_name(field) not in refused]
    not_granted = _grant(session, object, grant, user_id()) if grant else ""
    seen = catalogue(session, object)
    return [_checked(object, field, seen, created, not_granted) for field in fields]


def _checked(object: str, field: OwnField, seen: Catalogue, created: Mapping[str, str], not_granted: str) -> Check:
    name = api_name(field)
    if refused := created.get(name):
        return Check(name=f"{object}.{name}", passed=False, found="missing", advice=refused)
    if not_granted and (name not in seen or not seen[name].writable):
        return Check(name=f"{object}.{name}", passed=False, found="hidden", advice=not_granted)
    return _compared(object, field, seen, "created" if name in created else "exists")


def remove(session: Session, object: str, fields: Sequence[OwnField]) -> list[Check]:
    """Delete these fields of ours and nothing else."""
    there = _custom_fields(session, object)
    return [_removed(session, object, api_name(field), there) for field in fields]


def _removed(session: Session, object: str, name: str, there: Mapping[str, str]) -> Check:
    title = f"{object}.{name}"
    if name not in there:
        return Check(name=title, passed=True, found="not there")
    try:
        session.write(lambda client: client.toolingexecute(f"sobjects/CustomField/{there[name]}", method="DELETE"))
    except (AuthError, ConfigError, RecordError) as error:
        return Check(name=title, passed=False, found="exists", advice=_by_an_admin(error))
    return Check(name=title, passed=True, found="removed")


def _custom_fields(session: Session, object: str) -> dict[str, str]:
    """Our fields on `object` by API name, with their ids, whoever may see them."""
    rows = _find(session, "Id, DeveloperName", "CustomField", {"TableEnumOrId": object}, path="tooling/query")
    return {f"{row['DeveloperName']}__c": row["Id"] for row in rows if row["DeveloperName"].startswith(PREFIX)}


def _create(session: Session, object: str, field: OwnField) -> str:
    """Create the field; answers what to do where the org refuses, else ""."""
    body = {"FullName": f"{object}.{api_name(field)}", "Metadata": metadata(field)}
    try:
        session.write(lambda client: client.toolingexecute("sobjects/CustomField", method="POST", data=body))
    except (AuthError, ConfigError, RecordError) as error:
        return _by_an_admin(error)
    return ""


def metadata(field: OwnField) -> dict[str, Any]:
    """The field as the Tooling API wants it."""
    common = {"label": field.label, "inlineHelpText": field.help, "required": False}
    match field.type:
        case FieldType.NUMBER:
            return common | {"type": "Number", "precision": field.precision, "scale": field.scale}
        case FieldType.PICKLIST:
            values = [{"valueName": o, "label": o, "default": False} for o in field.options]
            definition = {"sorted": False, "value": values}
            return common | {"type": "Picklist", "valueSet": {"restricted": True, "valueSetDefinition": definition}}
        case FieldType.LONG_TEXT:
            return common | {"type": "LongTextArea", "length": field.length, "visibleLines": 4}
        case FieldType.DATETIME:
            return common | {"type": "DateTime"}
        case FieldType.DATE:
            return common | {"type": "Date"}
        case FieldType.BOOLEAN:
            return {k: v for k, v in common.items() if k != "required"} | {"type": "Checkbox", "defaultValue": False}
        case _:
            return common | {"type": "Text", "length": field.length or 255}


def _grant(session: Session, object: str, names: Sequence[str], user_id: str) -> str:
    """Let `user_id` read and write the fields; answers what to do where the org refuses, else ""."""
    try:
        set_id = _permission_set(session)
        rows = _find(
            session, "Id, Field, PermissionsEdit", "FieldPermissions", {"ParentId": set_id, "SobjectType": object}
        )
        granted = {row["Field"]: row for row in rows}
        for name in names:
            _grant_field(session, object, f"{object}.{name}", set_id, granted)
        if not user_id:
            return (
                f"Salesforce doesn't tell who we are signed in as: assign our user the set {PERMISSION_SET} in Setup."
            )
        _assign(session, set_id, user_id)
    except (AuthError, ConfigError, RecordError) as error:
        return _by_an_admin(error)
    return ""


def _permission_set(session: Session) -> str:
    found = _find(session, "Id", "PermissionSet", {"Name": PERMISSION_SET})
    if found:
        return str(found[0]["Id"])
    return _create_row(session, "PermissionSet", {"Name": PERMISSION_SET, "Label": "crm-sync integration"})


def _grant_field(
    session: Session, object: str, field: str, set_id: str, granted: Mapping[str, Mapping[str, Any]]
) -> None:
    allowed = {"PermissionsRead": True, "PermissionsEdit": True}
    row = granted.get(field)
    if row is None:
        _create_row(session, "FieldPermissions", {"ParentId": set_id, "SobjectType": object, "Field": field} | allowed)
    elif not row["PermissionsEdit"]:
        session.write(
            lambda client: client.restful(f"sobjects/FieldPermissions/{row['Id']}", method="PATCH", json=allowed)
        )


def _assign(session: Session, set_id: str, user_id: str) -> None:
    found = _find(session, "Id", "PermissionSetAssignment", {"PermissionSetId": set_id, "AssigneeId": user_id})
    if not found:
        _create_row(session, "PermissionSetAssignment", {"PermissionSetId": set_id, "AssigneeId": user_id})


def _create_row(session: Session, object: str, row: Mapping[str, Any]) -> str:
    answer = session.write(lambda client: client.restful(f"sobjects/{object}", method="POST", json=dict(row)))
    return str(as_dict(answer)["id"])


def _find(
    session: Session, columns: str, object: str, equal: Mapping[str, str], *, path: str = "query"
) -> list[dict[str, Any]]:
    conditions = " AND ".join(f"{name} = {quoted(value)}" for name, value in equal.items())
    soql = f"SELECT {columns} FROM {object} WHERE {conditions}"  # noqa: S608, values are quoted
    answer = as_dict(session.read(lambda client: client.restful(f"{path}/", params={"q": soql})))
    rows = answer.get("records")
    if not isinstance(rows, list):
        raise garbage()
    return rows


def _by_an_admin(error: CrmSyncError) -> str:
    return (
        f"{error} The signed-in user may not change the org's set-up: let an admin sign in once for the"
        " installation, or deploy plugins/salesforce."
    )


def _compared(object: str, field: OwnField, seen: Catalogue, found: str) -> Check:
    """The field as the user sees it against what we need."""
    title = f"{object}.{api_name(field)}"
    there = seen.get(api_name(field))
    if there is None or not there.writable:
        advice = f"Give the integration user edit access: assign it the permission set {PERMISSION_SET}."
        return Check(name=title, passed=False, found="read-only" if there else "hidden", advice=advice)
    wrong = differences(field, there)
    if wrong:
        advice = f"Change the field so that it has {' and '.join(wrong)}, or remove it and install again."
        return Check(name=title, passed=False, found="differs", advice=advice)
    return Check(name=title, passed=True, found=found)


def differences(field: OwnField, there: CatalogueField) -> list[str]:
    """What `field` needs and `there` lacks, in words; more room than needed is no difference."""
    if there.type is not field.type:
        return [f"the type {field.type}"]
    wrong = []
    if field.length and there.length < field.length:
        wrong.append(f"a length of {field.length}")
    if _whole_digits(field) > _whole_digits(there):
        wrong.append(f"{_whole_digits(field)} digits before the point")
    if (field.scale or 0) > (there.scale or 0):
        wrong.append(f"{field.scale} digits behind the point")
    if missing := [o for o in field.options if o not in there.options]:
        wrong.append(f"the picklist values {', '.join(missing)}")
    return wrong


def _whole_digits(field: OwnField | CatalogueField) -> int:
    return (field.precision or 0) - (field.scale or 0)
