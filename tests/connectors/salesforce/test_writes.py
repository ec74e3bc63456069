"""What a run of writes sends, and what it makes of odd answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import responses

from crm_sync.domain.writes import Answer, Outcome, Write
from crm_sync.errors import Family
from tests.connectors.salesforce.conversations import (
    AN_APP,
    DATA,
    EXPIRED,
    HEADERS,
    ORG,
    TOKEN,
    a_composite,
    a_connector,
    lead_id,
)

COMPOSITE = f"{DATA}/composite"


@pytest.fixture
def org():
    with responses.RequestsMock() as mock:
        yield mock


def a_write(n: int, *, object: str = "Lead", id: str = "", key: str = "", **fields: Any) -> Write:
    return Write(key=key or str(n), object=object, record_id=id or lead_id(n), fields=fields or {"Score__c": n})


def accepted(*ids: str) -> list[dict[str, Any]]:
    return [{"id": id, "success": True, "errors": []} for id in ids]


def refused(code: str, message: str = "", fields: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": list(fields)}], **more}


def write(writes: list[Write], connector: Any = None) -> list[Outcome]:
    return (connector or a_connector()).write(writes)


def answers(outcomes: list[Outcome]) -> list[Answer]:
    return [outcome.answer for outcome in outcomes]


def everything_accepted(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
    asked = json.loads(request.body)["compositeRequest"]
    bodies = [accepted(*(record["id"] for record in part["body"]["records"])) for part in asked]
    return 200, HEADERS, json.dumps(a_composite(*bodies, name="w"))


def sent(call: responses.Call) -> list[list[str]]:
    parts = json.loads(call.request.body)["compositeRequest"]
    return [[record["id"] for record in part["body"]["records"]] for part in parts]


def test_a_thousand_records_are_one_call_of_five_collections(org):
    org.add_callback(responses.POST, COMPOSITE, everything_accepted)

    outcomes = write([a_write(n) for n in range(1000)])

    assert [len(part) for part in sent(org.calls[0])] == [200] * 5
    assert set(answers(outcomes)) == {Answer.ACCEPTED}
    assert [outcome.key for outcome in outcomes] == [str(n) for n in range(1000)]
    assert len({outcome.call_id for outcome in outcomes}) == 1


def test_no_subrequest_lets_assignment_rules_run(org):
    org.add_callback(responses.POST, COMPOSITE, everything_accepted)

    write([a_write(n) for n in range(201)])

    parts = json.loads(org.calls[0].request.body)["compositeRequest"]
    assert [part["httpHeaders"]["Sforce-Auto-Assign"] for part in parts] == ["FALSE", "FALSE"]
    assert [part["body"]["allOrNone"] for part in parts] == [False, False]


def test_a_record_that_comes_twice_is_written_in_two_calls_in_order(org):
    org.add_callback(responses.POST, COMPOSITE, everything_accepted)

    outcomes = write([a_write(1, key="a"), a_write(2, key="b"), a_write(1, key="c", id=lead_id(1)[:15])])

    assert [sent(call) for call in org.calls] == [[[lead_id(1), lead_id(2)]], [[lead_id(1)[:15]]]]
    assert [outcome.key for outcome in outcomes] == ["a", "b", "c"]


def test_given_an_address_without_composite_when_written_then_each_collection_is_a_call_of_its_own(org):
    org.post(COMPOSITE, status=404, json=[{"errorCode": "NOT_FOUND", "message": "The requested resource is not here"}])
    org.patch(f"{COMPOSITE}/sobjects", json=accepted(*map(lead_id, range(200))), headers=HEADERS)
    org.patch(f"{COMPOSITE}/sobjects", status=503, body="<html>Service Unavailable</html>")
    org.patch(f"{COMPOSITE}/sobjects", json=accepted(lead_id(400)), headers=HEADERS)
    connector = a_connector()

    first = answers(write([a_write(n) for n in range(400)], connector))
    second = answers(write([a_write(400)], connector))

    assert first == [Answer.ACCEPTED] * 200 + [first[-1]] * 200
    assert first[-1] is not Answer.ACCEPTED
    assert second == [Answer.ACCEPTED]
    assert all(call.request.headers["Sforce-Auto-Assign"] == "FALSE" for call in org.calls)
    assert [call.request.url for call in org.calls].count(COMPOSITE) == 1


def test_given_an_address_without_composite_when_the_session_ended_then_it_is_renewed(org):
    org.post(COMPOSITE, status=404, json=[{"errorCode": "NOT_FOUND", "message": "The requested resource is not here"}])
    org.patch(f"{COMPOSITE}/sobjects", status=401, json=EXPIRED)
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.post(COMPOSITE, status=404, json=[{"errorCode": "NOT_FOUND", "message": "The requested resource is not here"}])
    org.patch(f"{COMPOSITE}/sobjects", json=accepted(lead_id(1)), headers=HEADERS)
    remembered = AN_APP | {"session_id": "OLD", "instance_url": ORG, "signed_in_to": ORG}

    assert answers(write([a_write(1)], a_connector(remembered))) == [Answer.ACCEPTED]


def test_a_collection_holds_one_object(org):
    org.add_callback(responses.POST, COMPOSITE, everything_accepted)

    write([a_write(1), a_write(2, object="Contact", id="003SB0000000001AAA"), a_write(3)])

    assert sent(org.calls[0]) == [["003SB0000000001AAA"], [lead_id(1), lead_id(3)]]


def test_outcomes_come_by_position(org):
    results = [
        *accepted(lead_id(0)),
        refused("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Score must be 0-100", ("Score__c",)),
        refused("UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record: {lead_id(2)}"),
        refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"),
        refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist field: Hot"),
        refused("SOMETHING_NEW", "of ana@example.com"),
        *accepted(lead_id(6)),
    ]
    org.post(COMPOSITE, json=a_composite(results, name="w"), headers=HEADERS)

    outcomes = write([a_write(n) for n in range(7)])

    assert [(o.answer, o.family) for o in outcomes] == [
        (Answer.ACCEPTED, None),
        (Answer.REFUSED, Family.RECORD),
        (Answer.REFUSED, Family.TRANSIENT),
        (Answer.REFUSED, Family.GONE),
        (Answer.REFUSED, Family.CONFIG),
        (Answer.REFUSED, Family.RECORD),
        (Answer.ACCEPTED, None),
    ]
    assert (outcomes[1].code, outcomes[1].field) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Score__c")
    assert "Score must be 0-100" in outcomes[1].message
    assert "ana@example.com" not in outcomes[5].message


@pytest.mark.parametrize(
    ("results", "said"),
    [
        pytest.param([], [Answer.UNKNOWN] * 3, id="none"),
        pytest.param(None, [Answer.UNKNOWN] * 3, id="null"),
        pytest.param(
            accepted(lead_id(0), lead_id(2)), [Answer.ACCEPTED, Answer.UNKNOWN, Answer.ACCEPTED], id="too-few"
        ),
        pytest.param(
            [refused("UNABLE_TO_LOCK_ROW"), *accepted(lead_id(1))],
            [Answer.UNKNOWN, Answer.ACCEPTED, Answer.UNKNOWN],
            id="too-few-and-one-unnamed",
        ),
        pytest.param(
            accepted(lead_id(1), lead_id(0), lead_id(2)),
            [Answer.UNKNOWN, Answer.UNKNOWN, Answer.ACCEPTED],
            id="out-of-order",
        ),
        pytest.param(["ok", {"success": "yes"}, {"success": False}], [Answer.UNKNOWN] * 3, id="no-results"),
    ],
)
def test_what_the_crm_did_not_say_is_unknown_and_never_accepted(org, results, said):
    org.post(COMPOSITE, json=a_composite(results, name="w"), headers=HEADERS)

    assert answers(write([a_write(n) for n in range(3)])) == said


@pytest.mark.parametrize("body", ["", "{}", "[]", "<html></html>", '{"compositeResponse": []}', '{"compositeResp'])
def test_an_answer_that_is_none_leaves_the_call_unknown_and_ends_the_run(org, body: str):
    org.post(COMPOSITE, body=body, headers=HEADERS)

    outcomes = write([a_write(n) for n in range(1001)])

    assert answers(outcomes) == [Answer.UNKNOWN] * 1000 + [Answer.NOT_SENT]
    assert len(org.calls) == 1


def test_a_write_is_never_repeated_by_itself(org):
    org.post(COMPOSITE, body=requests.exceptions.ReadTimeout("timed out"))

    assert answers(write([a_write(1)])) == [Answer.UNKNOWN]
    assert len(org.calls) == 1


def test_a_call_that_never_left_is_not_sent():
    connector = a_connector({"method": "session", "session_id": "s", "instance_url": "http://127.0.0.1:1"})

    assert answers(write([a_write(1)], connector)) == [Answer.NOT_SENT]


def test_given_a_field_that_is_gone_when_written_then_only_who_writes_it_is_refused(org):
    words = [{"message": "No such column 'Gone__c' on sobject of type Lead", "errorCode": "INVALID_FIELD"}]
    org.post(COMPOSITE, json=a_composite(words, name="w", status=400), headers=HEADERS)
    org.add_callback(responses.POST, COMPOSITE, everything_accepted)

    outcomes = write([a_write(1), a_write(2, Gone__c="x"), a_write(3)])

    assert answers(outcomes) == [Answer.ACCEPTED, Answer.REFUSED, Answer.ACCEPTED]
    assert (outcomes[1].family, outcomes[1].field) == (Family.CONFIG, "Gone__c")


def test_given_a_collection_refused_without_a_field_when_written_then_all_of_it_is_refused(org):
    words = [{"message": "Unexpected character", "errorCode": "JSON_PARSER_ERROR"}]
    org.post(COMPOSITE, json=a_composite(words, name="w", status=400), headers=HEADERS)

    assert answers(write([a_write(1), a_write(2)])) == [Answer.REFUSED] * 2


def test_given_the_limit_is_reached_inside_a_call_when_written_then_the_rest_is_not_sent(org):
    limit = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    answer = a_composite(accepted(*(lead_id(n) for n in range(200))), limit, name="w")
    answer["compositeResponse"][1]["httpStatusCode"] = 403
    org.post(COMPOSITE, json=answer, headers=HEADERS)

    outcomes = write([a_write(n) for n in range(250)])

    assert answers(outcomes) == [Answer.ACCEPTED] * 200 + [Answer.NOT_SENT] * 50
    assert outcomes[-1].family is Family.RATE_LIMITED
    assert outcomes[-1].retry_at is not None


def test_a_refused_session_is_renewed_and_the_call_sent_once_more(org):
    org.post(COMPOSITE, status=401, json=EXPIRED, headers=HEADERS)
    org.post(f"{ORG}/services/oauth2/token", json=TOKEN)
    org.add_callback(responses.POST, COMPOSITE, everything_accepted)
    connector = a_connector(AN_APP | {"session_id": "OLD", "instance_url": ORG, "signed_in_to": ORG})

    assert answers(write([a_write(1)], connector)) == [Answer.ACCEPTED]


def test_nothing_to_write_is_no_call():
    assert write([]) == []
