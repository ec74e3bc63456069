"""The unmodified hubspot-api-client against the portal: its paths, its models, its exceptions."""

from __future__ import annotations

from typing import Any

import pytest
from hubspot.crm.contacts.exceptions import ApiException
from hubspot.crm.objects import BatchReadInputSimplePublicObjectId, PublicObjectSearchRequest

from crm_sync.sandbox.hubspot import CLIENT_ID, CLIENT_KEY, REFRESH_KEY
from tests.sandbox.hubspot.portals import World


@pytest.fixture
def client(hubspot: World) -> Any:
    return hubspot.client(retry=False)


def test_records_come_as_models(hubspot: World, client: Any) -> None:
    hubspot.contacts(3, city="Ulm")

    page = client.crm.contacts.basic_api.get_page(limit=2, properties=["city", "email"], archived=False)

    assert [r.properties["city"] for r in page.results] == ["Ulm", "Ulm"]
    assert page.paging._next.after
    assert len(client.crm.contacts.get_all()) == 3


def test_a_search_takes_sorts_as_mappings(hubspot: World, client: Any) -> None:
    ids = sorted(hubspot.contacts(3), key=int)
    request = PublicObjectSearchRequest(sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}], limit=2)

    found, status, headers = client.crm.contacts.search_api.do_search_with_http_info(request)

    assert ([r.id for r in found.results], found.total, status) == (ids[:2], 3, 200)
    assert "X-HubSpot-RateLimit-Max" not in headers


def test_partial_success_comes_as_the_other_model(hubspot: World, client: Any) -> None:
    good, bad = hubspot.contacts(2)
    inputs = [
        {"id": id, "objectWriteTraceId": id, "properties": {"hs_lead_status": status}}
        for id, status in ((good, "NEW"), (bad, "Nope"))
    ]

    answer, status, headers = client.crm.contacts.batch_api.update_with_http_info({"inputs": inputs})

    assert (status, answer.num_errors, [r.id for r in answer.results]) == (207, 1, [good])
    assert answer.errors[0].context == {"objectWriteTraceId": [bad]}
    assert headers["X-HubSpot-RateLimit-Daily"] == "650000"


def test_a_refusal_is_an_exception_with_the_body_as_text(hubspot: World, client: Any) -> None:
    id = hubspot.contact()

    with pytest.raises(ApiException) as refused:
        client.crm.contacts.batch_api.update({"inputs": [{"id": id, "properties": {"shoe_size": "43"}}]})

    assert refused.value.status == 400
    assert "PROPERTY_DOESNT_EXIST" in refused.value.body


def test_reads_in_batches_of_any_type(hubspot: World, client: Any) -> None:
    id = hubspot.portal.seed("calls", [{"properties": {"hs_timestamp": "2026-11-01T00:00:00Z"}}])[0]
    body = BatchReadInputSimplePublicObjectId(
        properties=["hs_timestamp"], properties_with_history=["hs_timestamp"], inputs=[{"id": id}]
    )

    answer = client.crm.objects.batch_api.read("calls", body)
    typed = client.crm.objects.calls.basic_api.get_by_id(id)

    assert answer.results[0].properties["hs_timestamp"] == "2026-11-01T00:00:00Z"
    assert answer.results[0].properties_with_history["hs_timestamp"][0].source_type == "IMPORT"
    assert typed.id == id


def test_associations_owners_properties_and_pipelines(hubspot: World, client: Any) -> None:
    contact = hubspot.contact()
    company = hubspot.portal.seed("companies", [{"properties": {"name": "Acme"}}])[0]
    hubspot.portal.seed("owners", [{"id": "96001", "email": "kai@example.com"}])
    hubspot.portal.associate("contacts", "companies", [(contact, company)])

    ties = client.crm.associations.v4.batch_api.get_page("contacts", "companies", {"inputs": [{"id": contact}]})
    owners = client.crm.owners.owners_api.get_page(limit=100)
    email = client.crm.properties.core_api.get_by_name("contacts", "email")
    pipelines = client.crm.pipelines.pipelines_api.get_all("deals")

    assert [str(t.to_object_id) for t in ties.results[0].to] == [company]
    assert [o.id for o in owners.results] == ["96001"]
    assert email.has_unique_value is True
    assert pipelines.results[0].stages[0].metadata["probability"] == "0.2"


def test_archive_merge_and_purge(hubspot: World, client: Any) -> None:
    one, two, three, four = hubspot.contacts(4)
    contacts = client.crm.contacts

    contacts.basic_api.archive(one)
    survivor = contacts.basic_api.merge({"primaryObjectId": two, "objectIdToMerge": three})
    purged = contacts.basic_api.purge({"objectId": four})

    assert purged is None
    assert [r.id for r in contacts.basic_api.get_page().results] == [survivor.id]


def test_sign_in_with_a_refresh_token(hubspot: World) -> None:
    hubspot.contact()
    granted = hubspot.client(access_token=None).oauth.tokens_api.create(
        grant_type="refresh_token", client_id=CLIENT_ID, client_secret=CLIENT_KEY, refresh_token=REFRESH_KEY
    )

    signed_in = hubspot.client(access_token=granted.access_token)

    assert len(signed_in.crm.contacts.basic_api.get_page().results) == 1
    assert signed_in.oauth.access_tokens_api.get(granted.access_token).app_id == 2207316


def test_free_requests_reach_what_the_client_has_no_method_for(hubspot: World) -> None:
    client = hubspot.client(base_url=hubspot.url)

    answer = client.api_request({"path": "/account-info/v3/details"})

    assert answer.json()["portalId"] == 4411220
