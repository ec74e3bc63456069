"""Our own fields in an org: how they are spelled, compared and asked for."""

from __future__ import annotations

import pytest
import responses

from connectors.salesforce.fields import api_name, catalogue, differences, metadata
from crm_sync.domain.fields import OWN_FIELDS, CatalogueField, FieldType, OwnField
from tests.connectors.salesforce.conversations import DATA, HEADERS, a_connector

A_TEXT = OwnField(name="state", label="State", type=FieldType.TEXT, length=40, help="h")
A_NUMBER = OwnField(name="score", label="Score", type=FieldType.NUMBER, precision=3, scale=0, help="h")
A_PICKLIST = OwnField(name="bucket", label="Bucket", type=FieldType.PICKLIST, options=("A", "B"), help="h")


def test_names_are_spelled_as_salesforce_does():
    assert [api_name(field) for field in OWN_FIELDS] == [
        "CrmSync_Score__c",
        "CrmSync_Bucket__c",
        "CrmSync_State__c",
        "CrmSync_Fit__c",
        "CrmSync_Engagement__c",
        "CrmSync_Reasons__c",
        "CrmSync_ReasonsDetail__c",
        "CrmSync_ModelVersion__c",
        "CrmSync_ScoredAt__c",
    ]


def there(type: FieldType, **kwargs: object) -> CatalogueField:
    return CatalogueField(name="x", label="x", type=type, **kwargs)


@pytest.mark.parametrize(
    ("ours", "theirs", "wrong"),
    [
        pytest.param(A_TEXT, there(FieldType.TEXT, length=40), [], id="same"),
        pytest.param(A_TEXT, there(FieldType.TEXT, length=80), [], id="longer"),
        pytest.param(A_TEXT, there(FieldType.TEXT, length=20), ["a length of 40"], id="shorter"),
        pytest.param(A_TEXT, there(FieldType.NUMBER), ["the type text"], id="other-type"),
        pytest.param(A_NUMBER, there(FieldType.NUMBER, precision=18, scale=0), [], id="wider"),
        pytest.param(
            A_NUMBER, there(FieldType.NUMBER, precision=3, scale=2), ["3 digits before the point"], id="narrow"
        ),
        pytest.param(A_PICKLIST, there(FieldType.PICKLIST, options=("A", "B", "C")), [], id="more-values"),
        pytest.param(A_PICKLIST, there(FieldType.PICKLIST, options=("A",)), ["the picklist values B"], id="value-gone"),
    ],
)
def test_less_room_than_needed_is_a_difference(ours: OwnField, theirs: CatalogueField, wrong: list[str]):
    assert differences(ours, theirs) == wrong


def test_the_bucket_takes_no_other_value():
    value_set = metadata(A_PICKLIST)["valueSet"]

    assert value_set["restricted"] is True
    assert [value["label"] for value in value_set["valueSetDefinition"]["value"]] == ["A", "B"]


def test_what_describe_tells_becomes_the_catalogue():
    described = {
        "fields": [
            {"name": "Score__c", "label": "Score", "type": "double", "precision": 3, "scale": 0, "updateable": True},
            {"name": "Employees", "label": "Employees", "type": "int", "digits": 8, "precision": 0, "updateable": True},
            {"name": "Notes__c", "label": "Notes", "type": "textarea", "length": 32000, "filterable": False},
            {"name": "Street", "label": "Street", "type": "textarea", "length": 255, "updateable": True},
            {"name": "Age__c", "label": "Age", "type": "double", "calculated": True, "updateable": False},
            {"name": "Address", "label": "Address", "type": "address"},
            {
                "name": "Rating",
                "label": "Rating",
                "type": "picklist",
                "restrictedPicklist": True,
                "picklistValues": [{"value": "Hot", "active": True}, {"value": "Old", "active": False}],
            },
        ]
    }
    with responses.RequestsMock() as org:
        org.get(f"{DATA}/sobjects/Lead/describe", json=described, headers=HEADERS)
        seen = catalogue(a_connector()._session, "Lead")

    assert (seen["Score__c"].type, seen["Score__c"].precision, seen["Score__c"].scale) == (FieldType.NUMBER, 3, 0)
    assert seen["Employees"].precision == 8
    assert (seen["Notes__c"].type, seen["Notes__c"].filterable) == (FieldType.LONG_TEXT, False)
    assert seen["Street"].type is FieldType.TEXT
    assert (seen["Age__c"].calculated, seen["Age__c"].writable) == (True, False)
    assert seen["Address"].type is FieldType.OTHER
    assert (seen["Rating"].options, seen["Rating"].restricted) == (("Hot",), True)
