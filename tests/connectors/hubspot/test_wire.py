"""HubSpot's text to values and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.hubspot.fields import catalogue
from connectors.hubspot.wire import RowReader, moment, value_text
from crm_sync.domain.fields import FieldType
from crm_sync.domain.records import Life, Tie, Value
from crm_sync.errors import TransientError

STAMP = "2026-11-20T17:03:44.101Z"


def a_definition(name: str, type: str = "string", shape: str = "text", **more: Any) -> dict[str, Any]:
    return {"name": name, "label": name, "type": type, "fieldType": shape, **more}


CATALOGUE = catalogue(
    [
        a_definition("score", "number", "number"),
        a_definition("campaign_id", "number", "number"),
        a_definition("hs_object_id", "number", "number"),
        a_definition("optout", "bool", "booleancheckbox"),
        a_definition("eligible", "enumeration", "booleancheckbox"),
        a_definition("seen", "datetime", "date"),
        a_definition("born", "date", "date"),
        a_definition("name"),
        a_definition("hubspot_owner_id", "enumeration", "select", options=[], externalOptions=True),
    ]
)


def a_row(id: str = "50123", **properties: Any) -> dict[str, Any]:
    return {
        "id": id,
        "properties": {"lastmodifieddate": STAMP, "hs_object_id": id, **properties},
        "createdAt": "2026-03-02T09:14:00Z",
        "updatedAt": STAMP,
        "archived": False,
    }


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        pytest.param("score", "87", 87, id="whole-number"),
        pytest.param("score", "0.2000000000000000111", 0.2, id="long-decimal"),
        pytest.param("score", "1.7e12", 1.7e12, id="exponent"),
        pytest.param("score", "3;4", None, id="list-in-a-number"),
        pytest.param("score", "NaN", None, id="not-a-number"),
        pytest.param("score", "", None, id="empty-number"),
        pytest.param("campaign_id", "0012", "0012", id="id-like-number-stays-text"),
        pytest.param("hs_object_id", "50123", "50123", id="record-id-stays-text"),
        pytest.param("hubspot_owner_id", "96001", "96001", id="owner-id-stays-text"),
        pytest.param("optout", "true", True, id="true"),
        pytest.param("optout", "yes", None, id="no-truth"),
        pytest.param("eligible", "false", False, id="checkbox-enumeration"),
        pytest.param("seen", STAMP, STAMP, id="iso"),
        pytest.param("seen", "2026-11-20T17:03:44.000Z", "2026-11-20T17:03:44Z", id="iso-without-fraction"),
        pytest.param("seen", "2026-11-20T18:03:44+01:00", "2026-11-20T17:03:44Z", id="iso-elsewhere"),
        pytest.param("seen", "1763658224101", "2025-11-20T17:03:44.101Z", id="milliseconds"),
        pytest.param("seen", "1.763658224101e12", "2025-11-20T17:03:44.101Z", id="float-milliseconds"),
        pytest.param("seen", "soon", None, id="no-time"),
        pytest.param("born", "1990-05-17", "1990-05-17", id="date"),
        pytest.param("born", "642902400000", "1990-05-17", id="date-in-milliseconds"),
        pytest.param("name", "007", "007", id="text-that-looks-like-a-number"),
        pytest.param("name", None, None, id="null"),
    ],
)
def test_text_is_read_by_declared_type_and_never_fails(field: str, text: str | None, value: Value) -> None:
    reader = RowReader("contacts", [field], CATALOGUE)

    batch = reader.batch([a_row(**{field: text})])

    assert batch.fields == [{field: value}]
    assert type(batch.fields[0][field]) is type(value)


def test_given_a_property_that_is_not_there_then_it_stays_absent() -> None:
    batch = RowReader("contacts", ["name", "ghost"], CATALOGUE).batch([a_row(name="")])

    assert batch.fields == [{"name": None}]


def test_given_a_survivor_then_each_absorbed_record_follows_as_merged() -> None:
    row = a_row("61001", hs_merged_object_ids="50123; 50124", associatedcompanyid="9001")

    batch = RowReader("contacts", [], CATALOGUE).batch([row])

    assert batch.ids == ["61001", "50123", "50124"]
    assert batch.lives == [Life.OPEN, Life.MERGED, Life.MERGED]
    assert batch.successors == ["", "61001", "61001"]
    assert batch.ties == [(Tie(object="companies", id="9001"),), (), ()]


@pytest.mark.parametrize("row", [{}, {"id": "1"}, {"id": "1", "properties": {}}, {"id": "1", "properties": None}])
def test_given_a_row_without_id_or_stamp_then_it_is_garbage(row: dict[str, Any]) -> None:
    with pytest.raises(TransientError):
        RowReader("contacts", [], CATALOGUE).batch([row])


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (False, "false"), (87, "87"), (0.1, "0.1"), (1e-7, "0.0000001"), ("A", "A")],
)
def test_values_go_out_as_text_and_nothing_clears(value: Value, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize("text", ["2026-11-20T17:03:44Z", "2026-11-20T17:03:44.000Z", "2026-11-20T18:03:44+01:00"])
def test_one_moment_has_many_spellings(text: str) -> None:
    assert moment(text) == datetime(2026, 11, 20, 17, 3, 44, tzinfo=UTC)


def test_the_catalogue_tells_what_a_mapping_needs() -> None:
    found = catalogue(
        [
            a_definition("hs_score", "number", "calculation_score", calculated=True),
            a_definition("hs_views", "number", "number", modificationMetadata={"readOnlyValue": True}),
            a_definition("bucket", "enumeration", "select", options=[{"value": "A"}, {"value": "Z", "hidden": True}]),
            a_definition("lifecyclestage", "enumeration", "radio", options=[{"value": "lead"}], externalOptions=True),
            a_definition("owner", "enumeration", "select", referencedObjectType="OWNER", options=[]),
            a_definition("notes", "string", "textarea"),
        ]
    )

    assert {name: field.type for name, field in found.items()} == {
        "hs_score": FieldType.NUMBER,
        "hs_views": FieldType.NUMBER,
        "bucket": FieldType.PICKLIST,
        "lifecyclestage": FieldType.PICKLIST,
        "owner": FieldType.REFERENCE,
        "notes": FieldType.LONG_TEXT,
    }
    assert [name for name, field in found.items() if not field.writable] == ["hs_score", "hs_views"]
    assert [name for name, field in found.items() if field.restricted] == ["bucket"]
    assert found["bucket"].options == ("A",)
