"""Ties between records: v4 batches, single ties, labels, and the v3 form in reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.hubspot.portals import World

READ = "/crm/v4/associations/contacts/companies/batch/read"


def _companies(hubspot: World, n: int) -> list[str]:
    return hubspot.portal.seed("companies", [{"properties": {"name": f"Company {i}"}} for i in range(n)])


def _read(hubspot: World, *ids: str, status: int, path: str = READ) -> Any:
    return hubspot.post(path, {"inputs": [{"id": id} for id in ids]}, status)


def test_a_batch_read_is_207_as_soon_as_one_record_has_no_ties(hubspot: World) -> None:
    tied, lonely = hubspot.contacts(2)
    company = _companies(hubspot, 1)[0]
    hubspot.portal.associate("contacts", "companies", [(tied, company)])

    both = _read(hubspot, tied, lonely, status=207)
    one = _read(hubspot, tied, status=200)

    types = [
        {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
        {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
    ]
    wanted = [{"from": {"id": tied}, "to": [{"toObjectId": int(company), "associationTypes": types}]}]
    assert both["results"] == one["results"] == wanted
    assert both["numErrors"] == 1
    assert both["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert both["errors"][0]["context"]["fromObjectId"] == [lonely]
    assert both["errors"][0]["message"] == f"No company is associated with contact {lonely}."


@pytest.mark.parametrize("prefix", ["/crm/v4/associations", "/crm/associations/2026-09"])
def test_ties_are_seen_from_both_ends_and_under_the_dated_path(hubspot: World, prefix: str) -> None:
    contact = hubspot.contact()
    email = hubspot.portal.seed("emails", [{"properties": {"hs_timestamp": "2026-11-01T00:00:00Z"}}])[0]
    hubspot.portal.associate("emails", "contacts", [(email, contact)])

    there = _read(hubspot, email, status=200, path=f"{prefix}/emails/contacts/batch/read")
    back = _read(hubspot, contact, status=200, path=f"{prefix}/0-1/0-49/batch/read")

    assert there["results"][0]["to"][0]["associationTypes"][0]["typeId"] == 198
    assert back["results"][0]["to"][0]["associationTypes"][0]["typeId"] == 197


def test_many_ties_of_one_record_come_in_pages_of_500_by_token(hubspot: World) -> None:
    contact = hubspot.contact()
    row = {"properties": {"hs_timestamp": "2026-11-01T00:00:00Z"}}
    emails = hubspot.portal.seed("emails", [row] * 700)
    hubspot.portal.associate("contacts", "emails", [(contact, e) for e in emails])
    path = "/crm/v4/associations/contacts/emails/batch/read"

    first = _read(hubspot, contact, status=200, path=path)["results"][0]
    after = first["paging"]["next"]["after"]
    second = hubspot.post(path, {"inputs": [{"id": contact, "after": after}]})["results"][0]

    assert (len(first["to"]), len(second["to"])) == (500, 200)
    assert {str(t["toObjectId"]) for t in first["to"] + second["to"]} == set(emails)
    assert "paging" not in second


def test_at_most_a_thousand_inputs_are_read(hubspot: World) -> None:
    _read(hubspot, *(str(n) for n in range(1, 1001)), status=207)
    _read(hubspot, *(str(n) for n in range(1, 1002)), status=400)


def test_a_tie_moves_no_stamp_but_the_contacts_primary_company_follows(hubspot: World) -> None:
    contact = hubspot.contact()
    first, second = _companies(hubspot, 2)

    path = f"/crm/v4/objects/contacts/{contact}/associations"
    assert hubspot.call("PUT", f"{path}/default/companies/{first}").status_code == 200
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    labelled = hubspot.call("PUT", f"{path}/companies/{second}", primary)

    assert labelled.status_code == 201
    assert labelled.json()["labels"] == ["Primary"]
    assert hubspot.stored(contact, "associatedcompanyid") == second
    assert hubspot.stamp(contact) == "2026-10-23T10:00:00.250Z"
    ties = hubspot.get(f"{path}/companies")["results"]
    types = {str(t["toObjectId"]): [a["typeId"] for a in t["associationTypes"]] for t in ties}
    assert types == {first: [279], second: [279, 1]}


def test_a_primary_named_from_the_companys_side_replaces_the_contacts_other_one(hubspot: World) -> None:
    contact = hubspot.contact()
    first, second = _companies(hubspot, 2)
    hubspot.portal.associate("contacts", "companies", [(contact, first)])

    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 2}]
    hubspot.call("PUT", f"/crm/v4/objects/companies/{second}/associations/contacts/{contact}", primary)

    ties = _read(hubspot, contact, status=200)["results"][0]["to"]
    labels = {str(t["toObjectId"]): [a["label"] for a in t["associationTypes"]] for t in ties}
    assert labels == {first: [None], second: [None, "Primary"]}
    assert hubspot.stored(contact, "associatedcompanyid") == second


def test_given_a_tie_when_it_is_taken_away_then_neither_end_knows_it(hubspot: World) -> None:
    contact = hubspot.contact()
    company = _companies(hubspot, 1)[0]
    hubspot.portal.associate("contacts", "companies", [(contact, company)])

    hubspot.call("DELETE", f"/crm/v4/objects/companies/{company}/associations/contacts/{contact}")

    _read(hubspot, contact, status=207)
    assert hubspot.stored(contact, "associatedcompanyid") is None


def test_ties_are_made_and_taken_away_in_batches(hubspot: World) -> None:
    contacts = hubspot.contacts(3)
    company = _companies(hubspot, 1)[0]
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    pairs = [{"from": {"id": c}, "to": {"id": company}, "types": types} for c in (*contacts, "77")]
    base = "/crm/v4/associations/contacts/companies/batch"

    made = hubspot.post(f"{base}/create", {"inputs": pairs}, 207)
    hubspot.post(f"{base}/archive", {"inputs": [{"from": {"id": contacts[0]}, "to": [{"id": company}]}]}, 204)

    assert len(made["results"]) == 3
    assert made["errors"][0]["context"]["ids"] == ["77"]
    assert len(_read(hubspot, *contacts, status=207)["results"]) == 2


def test_archived_records_are_no_partners(hubspot: World) -> None:
    contact = hubspot.contact()
    company = _companies(hubspot, 1)[0]
    hubspot.portal.associate("contacts", "companies", [(contact, company)])

    hubspot.act("archive", object="companies", id=company)

    _read(hubspot, contact, status=207)


def test_reads_repeat_an_id_for_each_type_of_its_tie(hubspot: World) -> None:
    contact = hubspot.contact()
    company = _companies(hubspot, 1)[0]
    hubspot.portal.associate("contacts", "companies", [(contact, company)])

    shown = hubspot.get("/crm/v3/objects/contacts", associations="company,deals")["results"][0]
    older = hubspot.post("/crm/v3/associations/contacts/companies/batch/read", {"inputs": [{"id": contact}]})

    types = ["contact_to_company", "contact_to_company_unlabeled"]
    assert [(a["id"], a["type"]) for a in shown["associations"]["companies"]["results"]] == [
        (company, t) for t in types
    ]
    assert "deals" not in shown["associations"]
    assert older["results"][0]["to"] == shown["associations"]["companies"]["results"]


def test_labels_of_the_account_can_be_listed_and_used(hubspot: World) -> None:
    contact = hubspot.contact()
    company = _companies(hubspot, 1)[0]
    hubspot.portal.associate("contacts", "companies", [(contact, company)], label="Billing")

    listed = hubspot.get("/crm/v4/associations/contacts/companies/labels")["results"]

    own = next(t for t in listed if t["label"] == "Billing")
    assert own["category"] == "USER_DEFINED"
    tie = _read(hubspot, contact, status=200)["results"][0]["to"][0]
    assert own["typeId"] in [t["typeId"] for t in tie["associationTypes"]]


def test_types_that_cannot_be_tied_are_refused(hubspot: World) -> None:
    hubspot.post("/crm/v4/associations/emails/calls/batch/read", {"inputs": [{"id": "1"}]}, 400)


def test_a_read_shows_a_hundred_ties_and_where_the_rest_is(hubspot: World) -> None:
    contact = hubspot.contact()
    emails = hubspot.portal.seed("emails", [{"properties": {"hs_timestamp": "2026-11-01T00:00:00Z"}}] * 130)
    hubspot.portal.associate("contacts", "emails", [(contact, e) for e in emails])

    shown = hubspot.get(f"/crm/v3/objects/contacts/{contact}", associations="emails")["associations"]["emails"]
    rest = hubspot.get(shown["paging"]["next"]["link"].removeprefix(hubspot.url))["results"]

    assert (len(shown["results"]), len(rest)) == (100, 30)
    assert {a["id"] for a in shown["results"]} | {str(t["toObjectId"]) for t in rest} == set(emails)
