"""The CRUD calls of the SOAP Metadata API for custom fields, as `sf.mdapi.CustomField` makes them.

Source: Metadata API guide, createMetadata(), readMetadata(), updateMetadata(), upsertMetadata(), deleteMetadata().
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.wire import Reply

MAX_COMPONENTS = 10
_NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>'
)
_REPEATED = frozenset({"value", "valueSettings"})

Component = dict[str, Any]


def answer(org: SalesforceOrg, body: bytes) -> Reply:
    """The reply to one envelope. A call that is refused as a whole is a SOAP fault with status 500."""
    operation = "metadata"
    try:
        envelope = _parsed(body)
        call = envelope.find("{http://schemas.xmlsoap.org/soap/envelope/}Body/*")
        name = "" if call is None else _local(call.tag)
        operation = f"metadata.{name.removesuffix('Metadata')}"
        user = org.sessions.user_of(envelope.findtext(f".//{{{_NAMESPACE}}}sessionId") or "")
        if call is None or name not in _CALLS:
            raise Refusal("UNSUPPORTED_OPERATION", f"{name} is not served here")
        org.access.require_customize(user)
        org.allowance.check(org.clock.now())
        items = _items(call)
        results = "".join(_CALLS[name](org, item) for item in items)
    except Refusal as refusal:
        return Reply(body=_fault(refusal), status=500, operation=operation, counted=0)
    shown = f'<{name}Response xmlns="{_NAMESPACE}">{_wrapped(name, results)}</{name}Response>'
    return Reply(body=_ENVELOPE.format(shown), operation=operation, object="CustomField", records=len(items))


def _parsed(body: bytes) -> ElementTree.Element:
    # A document type declaration is the way into entity tricks, and no SOAP client sends one.
    if b"<!DOCTYPE" in body:
        raise Refusal("INVALID_REQUEST", "document type declarations are not allowed")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - declarations are refused above, so nothing expands
    except ElementTree.ParseError as error:
        raise Refusal("INVALID_REQUEST", "the envelope is not well-formed XML") from error


def _items(call: ElementTree.Element) -> list[Component]:
    """The components of a create or update, or the names of a read or delete."""
    types = [child.text or "" for child in call if _local(child.tag) == "type"]
    types += [(child.get(_TYPE) or "").rpartition(":")[2] for child in call if _local(child.tag) == "metadata"]
    foreign = next((name for name in types if name != "CustomField"), None)
    if foreign is not None:
        raise Refusal("INVALID_TYPE", f"Metadata of type {foreign} is not served here")
    items = [_value(child) for child in call if _local(child.tag) == "metadata"]
    items += [{"fullName": child.text or ""} for child in call if _local(child.tag) == "fullNames"]
    if len(items) > MAX_COMPONENTS:
        raise Refusal("LIMIT_EXCEEDED", f"record limit reached. cannot submit more than {MAX_COMPONENTS} records")
    return items


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _value(element: ElementTree.Element) -> Any:
    """An element as JSON: text, or an object of its children."""
    if len(element) == 0:
        return element.text or ""
    found: dict[str, Any] = {}
    for child in element:
        name, value = _local(child.tag), _value(child)
        if name in _REPEATED:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _create(org: SalesforceOrg, item: Component) -> str:
    return _result(item, lambda: org.custom_fields.create(item["fullName"], _metadata(item), granted=False))


def _update(org: SalesforceOrg, item: Component) -> str:
    return _result(item, lambda: org.custom_fields.change(org.custom_fields.find(item["fullName"]), _metadata(item)))


def _upsert(org: SalesforceOrg, item: Component) -> str:
    created = not org.custom_fields.exists(item["fullName"])
    return _result(item, lambda: (_create if created else _update)(org, item), created=created)


def _delete(org: SalesforceOrg, item: Component) -> str:
    return _result(item, lambda: org.custom_fields.drop_by_id(org.custom_fields.find(item["fullName"])))


def _read(org: SalesforceOrg, item: Component) -> str:
    """The metadata of one field, in the order of the WSDL; an empty record where there is none."""
    if not org.custom_fields.exists(item["fullName"]):
        return '<records xsi:nil="true"/>'
    metadata = org.custom_fields.metadata(item["fullName"])
    parts = _elements({key: value for key, value in metadata.items() if key != "fullName"})
    return f'<records xsi:type="CustomField"><fullName>{escape(item["fullName"])}</fullName>{parts}</records>'


_CALLS: dict[str, Callable[[SalesforceOrg, Component], str]] = {
    "createMetadata": _create,
    "readMetadata": _read,
    "updateMetadata": _update,
    "upsertMetadata": _upsert,
    "deleteMetadata": _delete,
}


def _metadata(item: Component) -> Component:
    return {key: value for key, value in item.items() if key != "fullName"}


def _result(item: Component, action: Callable[[], object], created: bool | None = None) -> str:
    """One SaveResult, UpsertResult or DeleteResult."""
    name = f"<fullName>{escape(str(item.get('fullName', '')))}</fullName>"
    made = "" if created is None else f"<created>{str(created).lower()}</created>"
    try:
        action()
    except Refusal as refusal:
        error = f"<message>{escape(refusal.message)}</message><statusCode>{refusal.code}</statusCode>"
        return f"<result>{made}<errors>{error}</errors>{name}<success>false</success></result>"
    return f"<result>{made}{name}<success>true</success></result>"


def _wrapped(name: str, results: str) -> str:
    """readMetadata holds its records in one result; the others have a result for each component."""
    return f"<result>{results}</result>" if name == "readMetadata" else results


def _elements(values: Mapping[str, Any]) -> str:
    # The WSDL lists the elements of a type by name, with the full name in front.
    text = ""
    for name in sorted(values, key=lambda key: (key != "fullName", key)):
        held = values[name]
        for one in held if isinstance(held, list) else [held]:
            inner = _elements(one) if isinstance(one, dict) else escape(_text(one))
            text += f"<{name}>{inner}</{name}>"
    return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fault(refusal: Refusal) -> str:
    text = escape(refusal.message)
    return _ENVELOPE.format(
        '<soapenv:Fault><faultcode xmlns:sf="http://soap.sforce.com/2006/04/metadata">'
        f"sf:{refusal.code}</faultcode><faultstring>{refusal.code}: {text}</faultstring></soapenv:Fault>"
    )
