"""Mappings: read strictly, checked against the live CRM, and translated leniently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
import yaml

from crm_sync.domain.changes import Role
from crm_sync.domain.columns import PERSON_COLUMNS
from crm_sync.domain.fields import OWN_FIELDS, Catalogue, CatalogueField, FieldType
from crm_sync.domain.mappings import MappingVersion, parse_mapping, translate, translate_activities
from crm_sync.domain.records import CrmKind
from crm_sync.errors import ConfigError
from crm_sync.examples import example_mapping

OWN_NAMES = {own.name: f"CrmSync_{own.name.title()}__c" for own in OWN_FIELDS}
CREATED = datetime(2026, 3, 2, 9, 14, tzinfo=UTC)

TEXT = """
crm: salesforce
people:
  Lead:
    fields: {email: Email, revenue: AnnualRevenue, created_at: CreatedDate, email_opt_out: HasOptedOutOfEmail}
activities:
  Task:
    kind: {field: TaskSubtype, values: {Call: call}, otherwise: task}
    occurred_at: ActivityDate
conversion:
  - {object: Lead, field: IsConverted, one_of: ["true"]}
"""


def a_mapping(**changes: Any) -> MappingVersion:
    """The small mapping above; each change replaces a section, or with `Lead_…` a part of the lead."""
    raw = yaml.safe_load(TEXT)
    for name, value in changes.items():
        if name.startswith("Lead_"):
            raw["people"]["Lead"][name.removeprefix("Lead_")] = value
        else:
            raw[name] = value
    return parse_mapping(yaml.safe_dump(raw, sort_keys=False))


def a_field(name: str, type: FieldType = FieldType.TEXT, **traits: Any) -> CatalogueField:
    return CatalogueField(name=name, label=name, type=type, **traits)


def own_catalogue() -> Catalogue:
    return {
        OWN_NAMES[own.name]: a_field(
            OWN_NAMES[own.name],
            own.type,
            length=own.length,
            precision=own.precision,
            scale=own.scale,
            options=own.options,
            restricted=bool(own.options),
        )
        for own in OWN_FIELDS
    }


def catalogues(**lead: CatalogueField | None) -> dict[str, Catalogue]:
    """An org that fits the small mapping, with some of the lead's fields replaced or hidden."""
    fields = [
        a_field("Email"),
        a_field("AnnualRevenue", FieldType.NUMBER),
        a_field("CreatedDate", FieldType.DATETIME),
        a_field("HasOptedOutOfEmail", FieldType.BOOLEAN),
        a_field("IsConverted", FieldType.BOOLEAN),
        a_field("Birthdate", FieldType.DATE),
    ]
    known: dict[str, CatalogueField | None] = {**{f.name: f for f in fields}, **own_catalogue(), **lead}
    task = {
        "TaskSubtype": a_field("TaskSubtype", FieldType.PICKLIST, options=("Task", "Call"), restricted=True),
        "ActivityDate": a_field("ActivityDate", FieldType.DATE),
    }
    return {"Lead": {name: field for name, field in known.items() if field is not None}, "Task": task}


def own(name: str, **traits: Any) -> dict[str, CatalogueField]:
    spelled = OWN_NAMES[name]
    return {spelled: replace(own_catalogue()[spelled], **traits)}


def leaving_out(value: str) -> dict[str, Any]:
    condition = {"field": "TaskSubtype", "none_of": [value]}
    return {"kind": "note", "occurred_at": "ActivityDate", "only_when": [condition]}


def test_given_a_mapping_that_fits_when_checked_then_there_is_no_problem() -> None:
    assert a_mapping().problems(catalogues(), OWN_NAMES) == []


@pytest.mark.parametrize(
    ("lead", "problem"),
    [
        pytest.param(
            {"Email": None},
            "Lead.email: Lead has no field Email that our user may read. "
            "Check its spelling, or grant our user the right to read it.",
            id="hidden-field",
        ),
        pytest.param(
            {"AnnualRevenue": a_field("AnnualRevenue")},
            "Lead.revenue: AnnualRevenue is a text field, but revenue is a number; map a field of that type.",
            id="other-type",
        ),
        pytest.param(
            {"HasOptedOutOfEmail": a_field("HasOptedOutOfEmail", FieldType.PICKLIST, options=("Maybe", "Yes"))},
            "Lead.email_opt_out: HasOptedOutOfEmail is a picklist field, but email_opt_out is a truth; "
            "map a field of that type.",
            id="picklist-that-is-no-truth",
        ),
        pytest.param(
            {"IsConverted": None},
            "conversion: Lead has no field IsConverted that our user may read. "
            "Check its spelling, or grant our user the right to read it.",
            id="conversion-hidden",
        ),
        pytest.param(
            {OWN_NAMES["score"]: None},
            "Lead.own_fields.score: our user sees no field CrmSync_Score__c; install our fields first.",
            id="own-field-missing",
        ),
        pytest.param(
            own("score", writable=False),
            "Lead.own_fields.score: CrmSync_Score__c can't be edited by our user; grant the right to edit it.",
            id="own-field-read-only",
        ),
        pytest.param(
            own("score", calculated=True),
            "Lead.own_fields.score: CrmSync_Score__c is calculated by the CRM and can't be written; "
            "choose another field.",
            id="own-field-calculated",
        ),
        pytest.param(
            own("score", precision=3, scale=2),
            "Lead.own_fields.score: CrmSync_Score__c holds 1 digits before the point; we need 3.",
            id="own-field-too-narrow",
        ),
        pytest.param(
            own("reasons", length=80),
            "Lead.own_fields.reasons: CrmSync_Reasons__c holds 80 characters; make it at least 255 long.",
            id="own-field-too-short",
        ),
        pytest.param(
            own("scored_at", type=FieldType.DATE),
            "Lead.own_fields.scored_at: CrmSync_Scored_At__c is a date field; we need datetime.",
            id="own-field-of-other-type",
        ),
        pytest.param(
            own("bucket", options=("A", "B", "C")),
            "Lead.own_fields.bucket: CrmSync_Bucket__c lacks the values D; add them to the picklist.",
            id="picklist-value-missing",
        ),
    ],
)
def test_what_the_crm_lacks_is_one_sentence(lead: dict[str, CatalogueField | None], problem: str) -> None:
    assert a_mapping().problems(catalogues(**lead), OWN_NAMES) == [problem]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"Lead_fields": {"email": "Emial"}},
            "Lead.email: Lead has no field Emial that our user may read. Did you mean Email?",
            id="misspelt",
        ),
        pytest.param(
            {"Lead_extra": {"x_old": {"field": "CrmSync_Score__c", "type": "number"}}},
            "Lead.x_old: CrmSync_Score__c is written by crm-sync, so it can't be an input; map another field.",
            id="own-field-as-input",
        ),
        pytest.param(
            {"Lead_extra": {"x_born": {"field": "Birthdate", "type": "text"}}},
            "Lead.x_born: Birthdate is a protected attribute and can't be an input; take it out.",
            id="protected-attribute",
        ),
        pytest.param(
            {"Lead_fields": {"revenue": "AnnualRevenue"}},
            "Lead: map email or phone; without one nobody can be recognised or contacted.",
            id="no-way-to-recognise",
        ),
        pytest.param(
            {"Lead_own_fields": {"state": "Score_State__c", "reasons": "Score_State__c"}},
            "Lead.own_fields: 2 of our fields are written into Score_State__c; give each its own.",
            id="two-fields-into-one",
        ),
        pytest.param(
            {"deny": {"Lead": ["Email"]}},
            "deny.Lead: Email is denied and used; take it out of one of the two.",
            id="denied-and-used",
        ),
        pytest.param(
            {"candidates": {"Lead": ["Rating"]}},
            "candidates.Lead: Lead has no field Rating that our user may read. "
            "Check its spelling, or grant our user the right to read it.",
            id="candidate-unknown",
        ),
        pytest.param(
            {"conversion": []},
            "conversion: name what counts as converted (object, field, values); without it nothing can be predicted.",
            id="no-conversion",
        ),
        pytest.param(
            {"lost": [{"object": "Lead", "field": "Fate__c", "one_of": ["Unqualified"]}]},
            "lost: Lead has no field Fate__c that our user may read. "
            "Check its spelling, or grant our user the right to read it.",
            id="lost-hidden",
        ),
        pytest.param(
            {"accounts": {"Account": {"fields": {"company": "Name"}}}},
            "Account: our user doesn't see this object; grant access to it or take it out of the mapping.",
            id="object-hidden",
        ),
        pytest.param(
            {"activities": {"Task": {"kind": "note", "occurred_at": "TaskSubtype"}}},
            "activities.Task.occurred_at: TaskSubtype is a picklist field; choose a date or time.",
            id="no-time",
        ),
        pytest.param(
            {
                "activities": {
                    "Task": {"kind": {"field": "TaskSubtype", "values": {"Cal": "call"}}, "occurred_at": "ActivityDate"}
                }
            },
            "activities.Task: TaskSubtype has no value Cal; did you mean Call?",
            id="value-unknown",
        ),
        pytest.param(
            {"activities": {"Task": leaving_out("Caall")}},
            "activities.Task.only_when: TaskSubtype has no value Caall; did you mean Call?",
            id="left-out-value-misspelt",
        ),
    ],
)
def test_what_makes_no_sense_is_told(changes: dict[str, Any], problem: str) -> None:
    assert problem in a_mapping(**changes).problems(catalogues(), OWN_NAMES)


@pytest.mark.parametrize("value", ["Fax", "Recall"])
def test_leaving_out_a_value_that_the_crm_does_not_offer_is_no_problem(value: str) -> None:
    mapping = a_mapping(activities={"Task": leaving_out(value)})

    assert mapping.problems(catalogues(), OWN_NAMES) == []


@pytest.mark.parametrize("field", ["Account_Age__c", "Health_Score__c", "Usage__c", "Email_Disabled__c", "Stage__c"])
def test_a_field_that_only_sounds_like_a_protected_attribute_may_be_an_input(field: str) -> None:
    mapping = a_mapping(Lead_extra={f"x_{field.lower().removesuffix('__c')}": {"field": field, "type": "text"}})

    assert mapping.problems(catalogues(**{field: a_field(field)}), OWN_NAMES) == []


def test_given_many_mistakes_when_parsed_then_each_is_told_at_once() -> None:
    text = """
crm: sales
crm: hubspot
people:
  contacts:
    fields: {emial: email, is_converted: x}
    extra: {budget: {field: b, type: number}, x_a: {field: a, type: int}}
    own_fields: {scor: default}
activities: {calls: {kind: cal}}
conversion: [{object: leads, field: f, one_of: []}]
surprise: 1
"""
    with pytest.raises(ConfigError) as refused:
        parse_mapping(text)

    told = str(refused.value).splitlines()
    assert told[0] == "The mapping has 10 problems:"
    for beginning in (
        "- line 3: crm is given twice",
        "- people.contacts.fields.emial: emial is not a canonical column; did you mean email?",
        "- people.contacts.fields.is_converted: is_converted is not a canonical column;",
        "- people.contacts.extra.budget: budget: an extra column is named x_",
        "- people.contacts.extra.x_a.type: 'int' is not one of 'number' or 'text'",
        "- people.contacts.own_fields.scor: scor is not one of our own fields",
        "- activities.calls.kind: 'cal' is not one of 'call'",
        "- activities.calls.occurred_at is missing; add it.",
        "- conversion[0].one_of",
        "- surprise is not a key that is known here",
    ):
        assert any(line.startswith(beginning) for line in told), beginning


def test_given_a_lost_object_that_holds_no_people_when_parsed_then_it_says_so() -> None:
    deals = {"Opportunity": {"fields": {"stage": "StageName"}}}

    with pytest.raises(ConfigError, match="lost: Opportunity holds no people"):
        a_mapping(deals=deals, lost=[{"object": "Opportunity", "field": "StageName", "one_of": ["Closed Lost"]}])


def test_given_a_declared_loss_when_translated_then_records_tell_whether_they_are_lost() -> None:
    mapping = a_mapping(lost=[{"object": "Lead", "field": "Status", "one_of": ["Unqualified"], "at": "Lost_On__c"}])
    rows = [{"Status": "unqualified "}, {"Status": "Open"}, {}]

    assert translate(mapping, "Lead", [1, 2, 3], rows)["is_lost"].to_list() == [True, False, False]
    assert translate(a_mapping(), "Lead", [1], rows[:1])["is_lost"].to_list() == [None]
    assert {"Status", "Lost_On__c"} <= set(mapping.fields_of("Lead"))


@pytest.mark.parametrize("text", ["", "- a\n- b", "crm: [", "crm: salesforce\n\tpeople: {}"], ids=repr)
def test_given_no_mapping_at_all_when_parsed_then_one_sentence_says_so(text: str) -> None:
    with pytest.raises(ConfigError, match="The mapping has 1 problem"):
        parse_mapping(text)


def test_content_hash_names_what_a_mapping_says() -> None:
    commented = TEXT.replace("people:", "# people come first\npeople:")

    assert parse_mapping(commented).content_hash == parse_mapping(TEXT).content_hash
    assert a_mapping(Lead_fields={"email": "Email2"}).content_hash != parse_mapping(TEXT).content_hash


def test_fields_to_pull_are_mapped_consent_guard_candidate_and_own_ones_without_the_denied() -> None:
    mapping = a_mapping(candidates={"Lead": ["Rating", "Secret__c"]}, deny={"Lead": ["Secret__c"]})

    assert mapping.fields_of("Lead", {"score": "CrmSync_Score__c"}) == [
        "Email",
        "AnnualRevenue",
        "CreatedDate",
        "HasOptedOutOfEmail",
        "IsConverted",
        "Rating",
        "CrmSync_Score__c",
    ]
    assert mapping.fields_of("Task") == ["TaskSubtype", "ActivityDate"]
    assert mapping.fields_of("Unknown") == []
    assert mapping.guard_fields_of("Lead", {"score": "CrmSync_Score__c"}) == [
        "HasOptedOutOfEmail",
        "IsConverted",
        "CrmSync_Score__c",
    ]


@pytest.mark.parametrize("crm", list(CrmKind))
def test_the_shipped_mapping_is_whole(crm: CrmKind) -> None:
    mapping = parse_mapping(example_mapping(crm))

    assert mapping.crm is crm
    assert set(mapping.roles.values()) >= {Role.PERSON, Role.ACCOUNT, Role.DEAL, Role.ACTIVITY}
    assert mapping.conversion
    for object in mapping.people:
        assert set(mapping.own_fields_of(object, OWN_NAMES)) == {field.name for field in OWN_FIELDS}


@pytest.mark.parametrize(
    ("column", "raw", "value"),
    [
        pytest.param("email", " Jane.Doe@ACME.com ", "jane.doe@acme.com", id="address-in-small-letters"),
        pytest.param("email", "", None, id="empty-text"),
        pytest.param("email", "-", None, id="only-a-dash"),
        pytest.param("email", "a\x00b\t  c", "a b c", id="control-characters"),
        pytest.param("revenue", 12, 12.0, id="whole-number"),
        pytest.param("revenue", "1234.5", 1234.5, id="number-as-text"),
        pytest.param("revenue", "1,250,000", 1250000.0, id="number-with-groups"),
        pytest.param("revenue", "1e6", 1000000.0, id="number-with-exponent"),
        pytest.param("revenue", "about 5", None, id="no-number"),
        pytest.param("revenue", "nan", None, id="not-a-number"),
        pytest.param("revenue", "inf", None, id="no-end"),
        pytest.param("email_opt_out", True, True, id="truth"),
        pytest.param("email_opt_out", "false", False, id="truth-as-text"),
        pytest.param("email_opt_out", "perhaps", None, id="no-truth"),
        pytest.param("created_at", "2026-03-02T09:14:00Z", CREATED, id="time"),
        pytest.param("created_at", "2026-03-02T09:14:00.000+0000", CREATED, id="time-as-salesforce-writes-it"),
        pytest.param("created_at", "2026-03-02T11:14:00+02:00", CREATED, id="time-in-another-zone"),
        pytest.param("created_at", "1772442840000", CREATED, id="time-in-milliseconds"),
        pytest.param("created_at", "2026-03-02", datetime(2026, 3, 2, tzinfo=UTC), id="date"),
        pytest.param("created_at", "02.03.2026", None, id="no-time"),
    ],
)
def test_value_as_translated(column: str, raw: Any, value: Any) -> None:
    mapping = a_mapping()
    source = mapping.people["Lead"].fields[column][0]

    frame = translate(mapping, "Lead", [11, 12], [{source: raw}, {}])

    assert frame[column].to_list() == [value, None]
    lost = value is None and column != "email"
    assert frame["unreadable"].to_list() == [[column] if lost else [], []]


def test_a_translated_frame_has_every_canonical_column_in_the_order_of_the_records() -> None:
    mapping = a_mapping(Lead_extra={"x_budget": {"field": ["Budget__c", "Old__c"], "type": "number"}})

    frame = translate(mapping, "Lead", [5, 3], [{"Old__c": 7}, {"Budget__c": 9, "Old__c": 1, "IsConverted": True}])

    assert frame.columns == ["record_id", "role", *PERSON_COLUMNS, "x_budget", "is_lost", "unreadable"]
    assert frame["record_id"].to_list() == [5, 3]
    assert frame["x_budget"].to_list() == [7, 9]
    assert frame["is_converted"].to_list() == [False, True]
    assert translate(mapping, "Lead", [], []).schema == frame.schema


def test_given_frames_of_people_accounts_and_consents_when_joined_end_to_end_then_they_fit() -> None:
    mapping = parse_mapping(example_mapping(CrmKind.SALESFORCE))

    frames = [translate(mapping, object, [1], [{}]) for object in ("Lead", "Contact", "Account", "Individual")]

    assert pl.concat(frames)["role"].to_list() == ["person", "person", "account", "consent"]


def activities(crm: CrmKind, object: str, **fields: Any) -> list[dict[str, Any]]:
    mapping = parse_mapping(example_mapping(crm))
    return translate_activities(mapping, object, [1], [fields], [CREATED]).to_dicts()


@pytest.mark.parametrize(
    ("object", "fields", "kind", "direction"),
    [
        pytest.param(
            "Task",
            {"TaskSubtype": "Call", "CallType": "Inbound", "IsClosed": True, "ActivityDate": "2026-03-01"},
            "call",
            "in",
            id="call-in",
        ),
        pytest.param(
            "Task",
            {"TaskSubtype": "Email", "Subject": "Email: Hello", "IsClosed": True, "ActivityDate": "2026-03-01"},
            "email_out",
            "out",
            id="mail-out",
        ),
        pytest.param(
            "Task",
            {"TaskSubtype": "Email", "Subject": "Email: RE: Hello", "IsClosed": True, "ActivityDate": "2026-03-01"},
            "email_in",
            "in",
            id="answer",
        ),
        pytest.param(
            "Task",
            {"Subject": "Prepare", "IsClosed": True, "ActivityDate": "2026-03-01"},
            "task",
            None,
            id="to-do-done",
        ),
        pytest.param("Event", {"StartDateTime": "2026-03-01T10:00:00Z"}, "meeting", None, id="meeting"),
        pytest.param(
            "CampaignMember",
            {"HasResponded": True, "FirstRespondedDate": "2026-03-01"},
            "campaign_response",
            "in",
            id="campaign-response",
        ),
        pytest.param("Task", {"TaskSubtype": "Call", "IsClosed": False}, None, None, id="call-not-made"),
        pytest.param("CampaignMember", {"HasResponded": False}, None, None, id="only-a-member"),
        pytest.param("Event", {"StartDateTime": "soon"}, None, None, id="time-unreadable"),
    ],
)
def test_salesforce_activity(object: str, fields: dict[str, Any], kind: str | None, direction: str | None) -> None:
    found = activities(CrmKind.SALESFORCE, object, **fields)

    assert [(row["kind"], row["direction"]) for row in found] == ([(kind, direction)] if kind else [])


@pytest.mark.parametrize(
    ("object", "fields", "kind", "direction"),
    [
        pytest.param("emails", {"hs_email_direction": "INCOMING_EMAIL"}, "email_in", "in", id="mail-in"),
        pytest.param(
            "emails", {"hs_email_direction": "EMAIL", "hs_email_status": "SENT"}, "email_out", "out", id="mail"
        ),
        pytest.param("emails", {"hs_email_direction": "EMAIL", "hs_email_status": "FAILED"}, None, None, id="not-sent"),
        pytest.param("emails", {"hs_email_direction": None}, None, None, id="mail-without-direction"),
        pytest.param("calls", {"hs_call_direction": "INBOUND"}, "call", "in", id="call-in"),
        pytest.param("meetings", {"hs_meeting_outcome": "CANCELED"}, None, None, id="meeting-cancelled"),
        pytest.param("meetings", {"hs_meeting_outcome": "NO_SHOW"}, "meeting", None, id="meeting-missed"),
        pytest.param("notes", {}, "note", None, id="note"),
        pytest.param("tasks", {"hs_task_status": "COMPLETED"}, "task", None, id="task-done"),
        pytest.param("tasks", {"hs_task_status": "NOT_STARTED"}, None, None, id="task-open"),
    ],
)
def test_hubspot_activity(object: str, fields: dict[str, Any], kind: str | None, direction: str | None) -> None:
    found = activities(CrmKind.HUBSPOT, object, hs_timestamp="2026-03-01T10:00:00Z", **fields)

    assert [(row["kind"], row["direction"]) for row in found] == ([(kind, direction)] if kind else [])


def test_given_a_date_typed_by_a_rep_when_translated_then_the_activity_is_known_from_its_creation() -> None:
    (found,) = activities(CrmKind.SALESFORCE, "Event", StartDateTime="2025-01-01T10:00:00Z")

    assert found["occurred_at"] < CREATED
    assert found["known_from"] == CREATED


def test_given_an_object_that_is_never_read_whole_when_parsed_then_the_nearest_one_is_named() -> None:
    text = example_mapping(CrmKind.SALESFORCE) + "\nreread: {Leed: 24}\n"

    with pytest.raises(ConfigError, match="only people and accounts are read again; did you mean Lead"):
        parse_mapping(text)


@pytest.mark.parametrize("call", [lambda m: translate(m, "Task", [], []), lambda m: translate(m, "Case", [], [])])
def test_given_an_object_that_is_not_mapped_when_translated_then_it_is_refused(
    call: Callable[[MappingVersion], Any],
) -> None:
    with pytest.raises(ConfigError, match="is not mapped"):
        call(a_mapping())
