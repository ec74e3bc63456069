"""The HTTP front: addresses, headers, limits and the journal."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests
from simple_salesforce import Salesforce, SalesforceError, SalesforceGeneralError, SalesforceRefusedRequest

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.salesforce import SalesforceOrg
from tests.sandbox.salesforce.door import Door
from tests.sandbox.salesforce.people import a_lead

ROOT = "/services/data/v62.0"


def get(sf: Salesforce, path: str) -> requests.Response:
    return sf.session.get(f"https://{sf.sf_instance}{path}", headers=sf.headers)


@pytest.mark.parametrize("path", ["/sobjects/Lead/describe", "/limits", "/sobjects", "/query?q=SELECT+Id+FROM+Lead"])
def test_a_trailing_slash_makes_no_difference(sf: Salesforce, path: str):
    with_slash = path.replace("?", "/?") if "?" in path else f"{path}/"

    assert get(sf, ROOT + path).status_code == 200
    assert get(sf, ROOT + with_slash).status_code == 200


def test_versions_are_open_to_all_and_cost_nothing(door: Door, org: SalesforceOrg, journal: Journal):
    answer = door.session().get(f"{door.url}/services/data/")

    assert answer.json()[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}
    assert "Sforce-Limit-Info" not in answer.headers
    assert [(call.operation, call.counted) for call in journal.calls] == [("versions", 0)]


@pytest.mark.parametrize("path", ["/services/data/v21.0/limits", f"{ROOT}/nowhere", f"{ROOT}/sobjects/Lead/a/b/c/d"])
def test_what_is_not_there(sf: Salesforce, path: str):
    answer = get(sf, path)

    assert answer.status_code == 404
    assert answer.json() == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]


def test_the_wrong_method(sf: Salesforce):
    answer = sf.session.post(f"https://{sf.sf_instance}{ROOT}/limits", headers=sf.headers)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")


def test_a_body_that_is_no_json(sf: Salesforce):
    answer = sf.session.post(f"https://{sf.sf_instance}{ROOT}/sobjects/Lead", headers=sf.headers, data="{oops")

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def test_an_update_is_answered_without_a_body(sf: Salesforce, org: SalesforceOrg):
    answer = sf.Lead.update(a_lead(org), {"Title": "x"}, raw_response=True)

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        pytest.param("standard", "api-usage=101/15000", id="standard"),
        pytest.param("bursts", "api-usage=101/15000; api-bursts=1/750", id="bursts"),
        pytest.param("per_app", "api-usage=101/15000; per-app-api-usage=101/250(appName=crm-sync)", id="per-app"),
        pytest.param("absent", None, id="absent"),
    ],
)
def test_each_rest_answer_tells_the_use_in_the_orgs_form(
    sf: Salesforce, org: SalesforceOrg, form: str, shown: str | None
):
    org.act({"do": "set_limits", "max": 15_000, "used": 100, "header": form})

    answer = get(sf, f"{ROOT}/nowhere")

    assert answer.status_code == 404
    assert answer.headers.get("Sforce-Limit-Info") == shown


def test_given_the_allowance_is_used_up_when_a_day_has_passed_then_calls_are_let_in(
    door: Door, org: SalesforceOrg, clock: SandboxClock, journal: Journal
):
    org.act({"do": "set_limits", "max": 100, "used": 99})
    sf = door.as_user(org.integration_id)
    sf.limits()

    with pytest.raises(SalesforceRefusedRequest) as refused:
        sf.limits()
    clock.advance(timedelta(hours=24))
    door.as_user(org.integration_id).limits()

    assert refused.value.content == [
        {"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}
    ]
    assert [(call.status, call.counted) for call in journal.calls] == [(200, 1), (403, 0), (200, 1)]


def test_limits_need_the_right_to_see_setup(door: Door, org: SalesforceOrg):
    with pytest.raises(SalesforceRefusedRequest):
        door.as_user(org.limited_id).limits()


@pytest.mark.parametrize(("length", "status"), [(17_000, 414), (16_200, 431), (8_000, 400)])
def test_an_address_that_is_too_long(sf: Salesforce, length: int, status: int):
    with pytest.raises(SalesforceError) as refused:
        sf.query("SELECT Id FROM Lead WHERE Title = '" + "x" * length)

    assert refused.value.status == status
    assert isinstance(refused.value, SalesforceGeneralError) is (status != 400)


def test_the_journal_tells_each_call_and_what_it_wrote(sf: Salesforce, org: SalesforceOrg, journal: Journal):
    lead = a_lead(org)
    sf.query("SELECT Id FROM Lead")
    sf.Lead.update(lead, {"Title": "CEO"})
    org.act({"do": "edit", "object": "Lead", "id": lead, "fields": {"Title": "CTO"}})

    query, update = journal.calls
    assert (query.crm, query.operation, query.object, query.records) == ("salesforce", "query", "Lead", 1)
    assert (update.method, update.operation, update.status) == ("PATCH", "update", 204)
    ours, theirs = journal.writes
    assert (ours.call, ours.actor, ours.before, ours.after) == (update.number, org.integration_id, None, "CEO")
    assert (theirs.call, theirs.actor, theirs.before, theirs.after) == (0, org.admin_id, "CEO", "CTO")
