"""The account, its owners and its pipelines."""

from __future__ import annotations

import pytest

from tests.sandbox.hubspot.portals import World


def test_the_account_tells_its_portal_and_time_zone(hubspot: World) -> None:
    details = hubspot.get("/account-info/v3/details")

    assert details["portalId"] == 4411220
    assert (details["timeZone"], details["utcOffset"], details["utcOffsetMilliseconds"]) == (
        "Europe/Berlin",
        "+01:00",
        3_600_000,
    )


def test_given_credentials_that_lead_elsewhere_then_the_portal_id_tells(hubspot: World) -> None:
    hubspot.act("set_portal", portal_id=999)

    assert hubspot.get("/account-info/v3/details")["portalId"] == 999
    token = {"tokenKey": "pat-na1-sandbox-private-app"}
    assert hubspot.post("/oauth/v2/private-apps/get/access-token-info", token)["hubId"] == 999


@pytest.mark.parametrize("path", ["/crm/v3/owners/", "/crm/owners/2026-09"])
def test_owners_come_in_pages_and_those_who_left_apart(hubspot: World, path: str) -> None:
    rows = [{"id": str(96000 + n), "email": f"o{n}@example.com", "firstName": f"O{n}", "userId": n} for n in range(5)]
    hubspot.portal.seed("owners", [{"properties": rows[0]}, *rows[1:]])
    hubspot.act("archive_owner", id="96001")

    first = hubspot.get(path, limit=3)
    second = hubspot.get(path, limit=3, after=first["paging"]["next"]["after"])
    left = hubspot.get(path, archived="true")["results"]

    assert [o["id"] for o in first["results"] + second["results"]] == ["96000", "96002", "96003", "96004"]
    assert "paging" not in second
    assert [(o["id"], o["userId"], o["userIdIncludingInactive"], o["archived"]) for o in left] == [
        ("96001", None, 1, True)
    ]


def test_an_owner_is_found_by_id_user_id_or_address(hubspot: World) -> None:
    hubspot.portal.seed("owners", [{"id": "96001", "email": "kai@example.com", "userId": 771201}])

    assert hubspot.get("/crm/v3/owners/96001")["email"] == "kai@example.com"
    assert hubspot.get("/crm/v3/owners/771201", idProperty="userId")["id"] == "96001"
    assert [o["id"] for o in hubspot.get("/crm/v3/owners/", email="KAI@example.com")["results"]] == ["96001"]
    assert hubspot.call("GET", "/crm/v3/owners/771201").status_code == 404


def test_given_an_owner_who_left_then_records_keep_them(hubspot: World) -> None:
    hubspot.portal.seed("owners", [{"id": "96001"}])
    id = hubspot.contact(hubspot_owner_id="96001")

    hubspot.act("archive_owner", id="96001")

    assert hubspot.stored(id, "hubspot_owner_id") == "96001"
    hubspot.update([{"id": id, "properties": {"hubspot_owner_id": "96001"}}], 400)
    hubspot.act("restore_owner", id="96001")
    hubspot.update([{"id": id, "properties": {"hubspot_owner_id": "96001"}}])


def test_pipelines_tell_their_stages(hubspot: World) -> None:
    deals = hubspot.get("/crm/v3/pipelines/deals")["results"]
    leads = hubspot.get("/crm/pipelines/2026-09/leads")["results"]

    stages = {s["id"]: s["metadata"] for s in deals[0]["stages"]}
    assert deals[0]["id"] == "default"
    assert stages["closedwon"] == {"isClosed": "true", "probability": "1.0"}
    assert stages["qualifiedtobuy"] == {"isClosed": "false", "probability": "0.4"}
    assert leads[0]["stages"][0]["id"] == "new-stage-id"
    assert hubspot.get("/crm/v3/pipelines/deals/default/stages")["results"] == deals[0]["stages"]
    assert hubspot.call("GET", "/crm/v3/pipelines/deals/unknown").status_code == 404


def test_a_path_that_does_not_exist_meets_a_web_page(hubspot: World) -> None:
    answer = hubspot.call("GET", "/crm/v9/objects/contacts")

    assert answer.status_code == 404
    assert "html" in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    "action",
    [{"do": "dance"}, {"do": "edit", "object": "contacts"}, {"do": "archive", "object": "contacts", "id": "7"}],
)
def test_nonsense_is_told_in_one_sentence(hubspot: World, action: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        hubspot.portal.act(action)
