"""Merges and erasures: what is left, and where old ids lead."""

from __future__ import annotations

import pytest

from tests.sandbox.hubspot.portals import World

CONTACTS = "/crm/v3/objects/contacts"


def test_a_merge_makes_a_new_record_and_both_originals_vanish_without_a_trace_in_the_archive(hubspot: World) -> None:
    primary = hubspot.contact(email="ana@example.com", city="Ulm")
    secondary = hubspot.contact(city="Bonn", phone="+49 731 1")

    merged = hubspot.post(f"{CONTACTS}/merge", {"primaryObjectId": primary, "objectIdToMerge": secondary})

    survivor = merged["id"]
    assert survivor not in (primary, secondary)
    wanted = "email,city,phone,hs_merged_object_ids,hs_calculated_merged_vids"
    shown = hubspot.get(f"{CONTACTS}/{survivor}", properties=wanted)["properties"]
    assert (shown["email"], shown["city"], shown["phone"]) == ("ana@example.com", "Ulm", "+49 731 1")
    assert shown["hs_merged_object_ids"] == f"{primary};{secondary}"
    assert shown["hs_calculated_merged_vids"].startswith(f"{primary}:1795341600250")
    assert shown["lastmodifieddate"] == "2026-11-22T10:00:00.250Z"
    assert [r["id"] for r in hubspot.get(CONTACTS)["results"]] == [survivor]
    assert hubspot.get(CONTACTS, archived="true")["results"] == []
    assert hubspot.found() == [survivor]


def test_an_old_id_leads_to_the_survivor_in_single_calls_and_is_unknown_in_batches(hubspot: World) -> None:
    first, second, third = hubspot.contacts(3)
    middle = hubspot.act("merge", object="contacts", primary=first, secondary=second)["id"]
    last = hubspot.act("merge", object="contacts", primary=third, secondary=middle)["id"]

    for old in (first, second, third, middle):
        assert hubspot.get(f"{CONTACTS}/{old}")["id"] == last
    hubspot.call("PATCH", f"{CONTACTS}/{first}", {"properties": {"city": "Ulm"}})
    read = hubspot.post(f"{CONTACTS}/batch/read", {"inputs": [{"id": first}]}, 207)

    assert hubspot.stored(last, "city") == "Ulm"
    assert hubspot.stored(last, "hs_merged_object_ids") == ";".join((third, first, second, middle))
    assert read["errors"][0]["context"]["ids"] == [first]


def test_the_address_of_a_merged_contact_finds_the_survivor(hubspot: World) -> None:
    primary, secondary = hubspot.contact(), hubspot.contact(email="ana@example.com")

    survivor = hubspot.act("merge", object="contacts", primary=primary, secondary=secondary)["id"]

    assert hubspot.get(f"{CONTACTS}/ana@example.com", idProperty="email")["id"] == survivor


def test_ties_follow_the_survivor_and_its_own_company_stays_primary(hubspot: World) -> None:
    primary, secondary = hubspot.contacts(2)
    acme, other = hubspot.portal.seed("companies", [{"properties": {"name": n}} for n in ("Acme", "Other")])
    call = hubspot.portal.seed("calls", [{"properties": {"hs_timestamp": "2026-11-01T00:00:00Z"}}])[0]
    hubspot.portal.associate("contacts", "companies", [(primary, acme), (secondary, other)])
    hubspot.portal.associate("calls", "contacts", [(call, secondary)])

    survivor = hubspot.act("merge", object="contacts", primary=primary, secondary=secondary)["id"]

    shown = hubspot.get(f"{CONTACTS}/{survivor}", properties="associatedcompanyid", associations="companies,calls")
    assert shown["properties"]["associatedcompanyid"] == acme
    assert {a["id"] for a in shown["associations"]["companies"]["results"]} == {acme, other}
    assert [a["id"] for a in shown["associations"]["calls"]["results"]] == [call]


def test_given_merged_companies_when_contacts_are_read_then_their_company_is_the_survivor(hubspot: World) -> None:
    contact = hubspot.contact()
    acme, double = hubspot.portal.seed("companies", [{"properties": {"name": n}} for n in ("Acme", "ACME")])
    hubspot.portal.associate("contacts", "companies", [(contact, double)])

    survivor = hubspot.act("merge", object="companies", primary=acme, secondary=double)["id"]

    assert hubspot.stored(contact, "associatedcompanyid") == survivor
    assert hubspot.stamp(contact) == "2026-10-23T10:00:00.250Z"


@pytest.mark.parametrize(
    ("body", "status"),
    [({"primaryObjectId": "1"}, 400), ({"primaryObjectId": "1", "objectIdToMerge": "2"}, 404)],
)
def test_what_cannot_be_merged(hubspot: World, body: dict[str, str], status: int) -> None:
    hubspot.post(f"{CONTACTS}/merge", body, status)


def test_a_record_cannot_be_merged_with_itself(hubspot: World) -> None:
    id = hubspot.contact()

    hubspot.post(f"{CONTACTS}/merge", {"primaryObjectId": id, "objectIdToMerge": id}, 400)


def test_an_erased_person_is_gone_with_what_was_said_and_the_address_stays_blocked(hubspot: World) -> None:
    id = hubspot.contact(email="ana@example.com")
    note = hubspot.portal.seed(
        "notes", [{"properties": {"hs_timestamp": "2026-11-01T00:00:00Z", "hs_note_body": "Ana is ill"}}]
    )[0]
    hubspot.portal.associate("notes", "contacts", [(note, id)])

    hubspot.post(f"{CONTACTS}/gdpr-delete", {"objectId": "ana@example.com", "idProperty": "email"}, 204)

    assert hubspot.call("GET", f"{CONTACTS}/{id}").status_code == 404
    assert hubspot.call("GET", f"{CONTACTS}/{id}", params={"archived": "true"}).status_code == 404
    assert hubspot.stored(note, "hs_note_body", "notes") is None
    assert hubspot.post(f"{CONTACTS}/batch/read", {"inputs": [{"id": id}]}, 207)["results"] == []
    hubspot.post(CONTACTS, {"properties": {"email": "Ana@example.com"}}, 400)


def test_an_address_that_nobody_has_is_blocked_too(hubspot: World) -> None:
    hubspot.post(f"{CONTACTS}/gdpr-delete", {"objectId": "cy@example.com", "idProperty": "email"}, 204)

    hubspot.post(CONTACTS, {"properties": {"email": "cy@example.com"}}, 400)
