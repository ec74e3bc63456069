"""Single records and lists of them, as a client sees them."""

from __future__ import annotations

import pytest

from tests.sandbox.hubspot.portals import NOW, PAST, World

CONTACTS = "/crm/v3/objects/contacts"


def test_a_record_holds_text_null_for_empty_and_nothing_for_undefined(hubspot: World) -> None:
    id = hubspot.contact(email="ana@example.com", num_notes=3, hs_email_optout=True)

    shown = hubspot.get(f"{CONTACTS}/{id}", properties="email,city,num_notes,hs_email_optout,no_such_property")

    assert shown["properties"] == {
        "email": "ana@example.com",
        "city": None,
        "num_notes": "3",
        "hs_email_optout": "true",
        "createdate": "2026-10-23T10:00:00.250Z",
        "lastmodifieddate": "2026-10-23T10:00:00.250Z",
        "hs_object_id": id,
    }
    assert shown["updatedAt"] == "2026-10-23T10:00:00.250Z"
    assert shown["archived"] is False
    assert shown["url"].endswith(f"/4411220/record/0-1/{id}")


def test_without_properties_the_names_and_stamps_come(hubspot: World) -> None:
    hubspot.contact(email="ana@example.com", city="Ulm")
    hubspot.portal.seed("companies", [{"properties": {"name": "Acme", "city": "Ulm"}}])

    contact = hubspot.get(CONTACTS)["results"][0]["properties"]
    company = hubspot.get("/crm/v3/objects/companies")["results"][0]["properties"]

    assert set(contact) == {"firstname", "lastname", "email", "createdate", "lastmodifieddate", "hs_object_id"}
    assert set(company) == {"name", "domain", "createdate", "hs_lastmodifieddate", "hs_object_id"}


@pytest.mark.parametrize("word", ["contacts", "contact", "0-1", "CONTACTS"])
@pytest.mark.parametrize("prefix", ["/crm/v3/objects", "/crm/objects/2026-09", "/crm/objects/2026-03"])
def test_a_type_has_several_names_and_paths_several_versions(hubspot: World, prefix: str, word: str) -> None:
    id = hubspot.contact()

    assert hubspot.get(f"{prefix}/{word}")["results"][0]["id"] == id
    assert hubspot.get(f"{prefix}/{word}/{id}/")["id"] == id


def test_lists_in_a_query_may_be_repeated_or_joined_and_booleans_capitalised(hubspot: World) -> None:
    id = hubspot.contact(city="Ulm", zip="89073")

    repeated = hubspot.get(CONTACTS, properties=["city", "zip"], archived="False")
    joined = hubspot.get(CONTACTS, properties="city,zip")
    archived = hubspot.get(CONTACTS, archived="True")

    assert repeated["results"][0]["properties"] == joined["results"][0]["properties"]
    assert repeated["results"][0]["properties"]["zip"] == "89073"
    assert [r["id"] for r in repeated["results"]] == [id]
    assert archived["results"] == []


def test_a_walk_of_the_list_meets_each_record_once_by_id(hubspot: World) -> None:
    ids = hubspot.contacts(25)

    met, query = [], {"limit": "10"}
    while True:
        page = hubspot.get(CONTACTS, **query)
        met += [r["id"] for r in page["results"]]
        if "paging" not in page:
            break
        assert page["paging"]["next"]["link"].startswith(hubspot.url)
        query["after"] = page["paging"]["next"]["after"]

    assert met == sorted(ids, key=int)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"limit": "101"}, id="more-than-a-hundred"),
        pytest.param({"limit": "51", "propertiesWithHistory": "email"}, id="more-than-fifty-with-history"),
        pytest.param({"limit": "ten"}, id="no-number"),
        pytest.param({"after": "MjU"}, id="after-that-is-no-id"),
    ],
)
def test_a_list_refuses_bounds_that_it_does_not_know(hubspot: World, query: dict[str, str]) -> None:
    answer = hubspot.call("GET", CONTACTS, params=query)

    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"


def test_an_unknown_type_is_refused(hubspot: World) -> None:
    answer = hubspot.call("GET", "/crm/v3/objects/unicorns")

    assert answer.status_code == 400
    assert "Unable to infer object type" in answer.json()["message"]


def test_a_record_that_is_not_there_is_a_404_with_a_correlation_id(hubspot: World) -> None:
    answer = hubspot.call("GET", f"{CONTACTS}/4711")

    assert answer.status_code == 404
    assert answer.json()["category"] == "OBJECT_NOT_FOUND"
    assert answer.json()["correlationId"] == answer.headers["X-HubSpot-Correlation-Id"]


def test_a_contact_is_found_by_its_address_in_any_case(hubspot: World) -> None:
    id = hubspot.contact(email="Ana@Example.com")

    assert hubspot.get(f"{CONTACTS}/ana@example.com", idProperty="email")["id"] == id
    assert hubspot.call("GET", f"{CONTACTS}/ana", params={"idProperty": "firstname"}).status_code == 400


def test_given_a_new_contact_when_created_then_it_is_stamped_and_says_where_it_came_from(hubspot: World) -> None:
    made = hubspot.post(CONTACTS, {"properties": {"email": "Ana@Example.com", "city": "Ulm"}}, 201)

    assert made["createdAt"] == made["updatedAt"] == "2026-11-22T10:00:00.250Z"
    assert made["properties"]["email"] == "ana@example.com"
    assert hubspot.stored(made["id"], "hs_object_source") == "INTEGRATION"
    assert hubspot.stored(made["id"], "hs_object_source_detail_1") == "Lead scoring"
    assert hubspot.stored(made["id"], "hs_email_domain") == "example.com"


def test_given_a_known_address_when_created_then_the_conflict_names_the_id_in_text_only(hubspot: World) -> None:
    id = hubspot.contact(email="ana@example.com")

    refused = hubspot.post(CONTACTS, {"properties": {"email": "ANA@example.com"}}, 409)

    assert refused["category"] == "CONFLICT"
    assert refused["message"] == f"Contact already exists. Existing ID: {id}"


def test_an_engagement_needs_its_time_and_a_lead_somebody_it_is_about(hubspot: World) -> None:
    contact = hubspot.contact()
    tie = {"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 578}]}
    named = {"properties": {"hs_lead_name": "Ana"}}

    note = hubspot.post("/crm/v3/objects/notes", {"properties": {"hs_note_body": "Hello"}}, 400)
    lonely = hubspot.post("/crm/v3/objects/leads", named, 400)
    lead = hubspot.post("/crm/v3/objects/leads", {**named, "associations": [tie]}, 201)

    assert note["context"]["properties"] == ["hs_timestamp"]
    assert "associated with a contact" in lonely["message"]
    assert lead["properties"]["hs_lead_name"] == "Ana"


def test_given_an_archived_record_when_read_then_only_archived_reads_find_it(hubspot: World) -> None:
    id = hubspot.contact(email="ana@example.com")

    assert hubspot.call("DELETE", f"{CONTACTS}/{id}").status_code == 204

    assert hubspot.call("GET", f"{CONTACTS}/{id}").status_code == 404
    assert hubspot.get(CONTACTS)["results"] == []
    archived = hubspot.get(CONTACTS, archived="true")["results"]
    assert [(r["id"], r["archived"], r["archivedAt"]) for r in archived] == [(id, True, "2026-11-22T10:00:00.250Z")]
    assert hubspot.get(f"{CONTACTS}/{id}", archived="true")["id"] == id
    assert hubspot.found() == []


def test_given_an_archived_record_when_restored_then_it_is_back_with_a_new_stamp(hubspot: World) -> None:
    id = hubspot.contact(email="ana@example.com")
    hubspot.act("archive", object="contacts", id=id)

    hubspot.act("restore", object="contacts", id=id)

    assert hubspot.get(f"{CONTACTS}/ana@example.com", idProperty="email")["id"] == id
    assert hubspot.stamp(id) == "2026-11-22T10:00:00.250Z"
    assert hubspot.found() == [id]


def test_given_the_id_of_another_type_when_asked_for_then_it_is_not_found(hubspot: World) -> None:
    company = hubspot.portal.seed("companies", [{"properties": {"name": "Acme"}}])[0]

    assert hubspot.call("GET", f"{CONTACTS}/{company}").status_code == 404


def test_a_load_keeps_ids_stamps_and_history_and_refuses_unknown_properties(hubspot: World) -> None:
    history = [
        {"value": "subscriber", "timestamp": PAST, "sourceType": "FORM", "sourceId": "a2c1"},
        {"value": "lead", "timestamp": NOW, "sourceType": "CRM_UI", "sourceId": "userId:771201"},
    ]
    row = {
        "id": "50123",
        "properties": {"lifecyclestage": "lead"},
        "created": PAST.isoformat(),
        "modified": NOW,
        "history": {"lifecyclestage": history},
    }

    assert hubspot.portal.seed("contacts", [row]) == ["50123"]
    with pytest.raises(ValueError, match="shoe_size"):
        hubspot.portal.seed("contacts", [{"properties": {"shoe_size": 43}}])

    shown = hubspot.get(f"{CONTACTS}/50123", propertiesWithHistory="lifecyclestage,city")
    assert shown["createdAt"] == "2026-10-23T10:00:00.250Z"
    assert shown["updatedAt"] == "2026-11-22T10:00:00.250Z"
    assert [v["value"] for v in shown["propertiesWithHistory"]["lifecyclestage"]] == ["lead", "subscriber"]
    assert shown["propertiesWithHistory"]["city"] == []
    assert hubspot.journal.writes == []


def test_new_ids_are_no_order_of_creation(hubspot: World) -> None:
    ids = [int(id) for id in hubspot.contacts(50)]

    assert len(set(ids)) == 50
    assert ids != sorted(ids)


def test_a_url_that_is_too_long_meets_a_web_page(hubspot: World) -> None:
    answer = hubspot.call("GET", CONTACTS, params={"properties": ["x" * 100] * 90})

    assert answer.status_code == 414
    assert "html" in answer.headers["Content-Type"]


def test_the_date_header_is_the_portals_own_clock(hubspot: World) -> None:
    answer = hubspot.call("GET", CONTACTS)

    assert answer.headers["Date"].endswith("Sun, 22 Nov 2026 10:00:00 GMT")


def test_every_call_is_noted_with_its_word_object_and_count(hubspot: World) -> None:
    ids = hubspot.contacts(3)

    hubspot.get(CONTACTS, limit=2)
    hubspot.call("GET", f"{CONTACTS}/4711")
    hubspot.post(f"{CONTACTS}/batch/read", {"inputs": [{"id": id} for id in ids], "properties": []})

    noted = [(c.operation, c.object, c.status, c.records, c.counted) for c in hubspot.journal.calls]
    assert noted == [
        ("list", "contacts", 200, 2, 1),
        ("get", "contacts", 404, 0, 1),
        ("batch.read", "contacts", 200, 3, 1),
    ]
