"""Batches that HubSpot doesn't take whole, as exact conversations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_sync.domain.records import Value
from crm_sync.domain.writes import Answer, Outcome, Write
from crm_sync.errors import Family
from tests.connectors.hubspot.scripted import Asked, ScriptedPortal

OPTIONS = {
    "name": "crm_sync_bucket",
    "label": "Bucket",
    "type": "enumeration",
    "fieldType": "select",
    "options": [{"value": "A"}, {"value": "B"}],
}
NOT_AN_OPTION = "{} was not one of the allowed options: [A, B]"


def writes(n: int, **fields: Value) -> list[Write]:
    return [Write(key=f"k{i}", object="contacts", record_id=str(i), fields=fields) for i in range(n)]


def refusal(message: str, code: str, field: str) -> dict[str, Any]:
    error = {"message": message, "code": code, "context": {"propertyName": [field]}}
    return {"status": "error", "category": "VALIDATION_ERROR", "message": message, "errors": [error]}


def refusing(bad: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Callable[[Asked], Any]:
    """A portal that refuses a batch whole for the first input that `bad` has something against."""

    def script(asked: Asked) -> Any:
        if asked.path.startswith("/crm/v3/properties"):
            return 200, {"results": [OPTIONS]}
        inputs = asked.json["inputs"]
        for input in inputs:
            body = bad(input)
            if body is not None:
                return 400, body
        return 200, {"status": "COMPLETE", "results": [{"id": i["id"]} for i in reversed(inputs)]}

    return script


def refused_keys(outcomes: list[Outcome]) -> list[str]:
    assert {o.answer for o in outcomes} <= {Answer.ACCEPTED, Answer.REFUSED}
    return [o.key for o in outcomes if o.answer is Answer.REFUSED]


@pytest.mark.parametrize("bad", [0, 1, 49, 50, 99])
def test_given_a_refusal_that_names_nobody_then_the_one_is_found_in_at_most_fourteen_more_calls(bad: int) -> None:
    rule = refusal("A rule of this account is broken.", "RULE_VIOLATED", "crm_sync_score")
    with ScriptedPortal(refusing(lambda i: rule if i["id"] == str(bad) else None)) as portal:
        outcomes = portal.connect().write(writes(100, crm_sync_score=87))

        assert refused_keys(outcomes) == [f"k{bad}"]
        assert (outcomes[bad].family, outcomes[bad].field) == (Family.RECORD, "crm_sync_score")
        assert [o.key for o in outcomes] == [f"k{i}" for i in range(100)]
        assert len(portal.asked) <= 1 + 14


def test_given_several_refusals_that_name_nobody_then_each_is_found() -> None:
    rule = refusal("A rule of this account is broken.", "RULE_VIOLATED", "crm_sync_score")
    bad = {"3", "4", "50", "99"}
    with ScriptedPortal(refusing(lambda i: rule if i["id"] in bad else None)) as portal:
        outcomes = portal.connect().write(writes(100, crm_sync_score=87))

        assert refused_keys(outcomes) == [f"k{i}" for i in sorted(map(int, bad))]
        written = [i["id"] for a in portal.asked for i in a.json["inputs"]]
        assert len(portal.asked) <= 1 + 14 * len(bad)
        assert set(written) == {str(i) for i in range(100)}


def test_given_a_value_that_one_record_carries_when_refused_then_the_others_go_in_one_more_call() -> None:
    def bad(input: dict[str, Any]) -> dict[str, Any] | None:
        value = input["properties"]["crm_sync_bucket"]
        return None if value in "AB" else refusal(NOT_AN_OPTION.format(value), "INVALID_OPTION", "crm_sync_bucket")

    batch = writes(100, crm_sync_bucket="A")
    batch[30] = Write(key="k30", object="contacts", record_id="30", fields={"crm_sync_bucket": "lukewarm"})
    with ScriptedPortal(refusing(bad)) as portal:
        outcomes = portal.connect().write(batch)

        assert refused_keys(outcomes) == ["k30"]
        assert (outcomes[30].code, outcomes[30].field) == ("INVALID_OPTION", "crm_sync_bucket")
        assert "lukewarm" not in outcomes[30].message
        assert len(portal.asked) == 2


def test_given_an_option_that_was_removed_then_all_who_carry_it_are_refused_without_a_search() -> None:
    def bad(input: dict[str, Any]) -> dict[str, Any] | None:
        gone = input["properties"]["crm_sync_bucket"] == "C"
        return refusal(NOT_AN_OPTION.format("C"), "INVALID_OPTION", "crm_sync_bucket") if gone else None

    batch = writes(60, crm_sync_bucket="A") + [
        Write(key=f"c{i}", object="contacts", record_id=f"9{i}", fields={"crm_sync_bucket": "C"}) for i in range(40)
    ]
    with ScriptedPortal(refusing(bad)) as portal:
        outcomes = portal.connect().write(batch)

        assert refused_keys(outcomes) == [f"c{i}" for i in range(40)]
        assert [a.path.rpartition("/")[2] for a in portal.asked] == ["update", "contacts", "update"]


def test_given_an_option_that_stands_but_not_for_this_record_then_only_this_record_is_refused() -> None:
    rule = refusal(NOT_AN_OPTION.format("A"), "INVALID_OPTION", "crm_sync_bucket")
    with ScriptedPortal(refusing(lambda i: rule if i["id"] == "7" else None)) as portal:
        outcomes = portal.connect().write(writes(100, crm_sync_bucket="A"))

        assert refused_keys(outcomes) == ["k7"]
        assert len(portal.asked) <= 1 + 14


def test_given_a_property_that_is_gone_then_the_mapping_is_at_fault_in_one_call() -> None:
    gone = refusal('Property "crm_sync_score" does not exist', "PROPERTY_DOESNT_EXIST", "crm_sync_score")
    with ScriptedPortal(refusing(lambda i: gone)) as portal:
        outcomes = portal.connect().write(writes(100, crm_sync_score=87))

        assert {(o.family, o.field) for o in outcomes} == {(Family.CONFIG, "crm_sync_score")}
        assert len(portal.asked) == 1


def test_given_errors_by_trace_and_by_id_when_partly_refused_then_each_finds_its_record() -> None:
    def script(asked: Asked) -> Any:
        inputs = asked.json["inputs"]
        trace = inputs[1]["objectWriteTraceId"]
        errors = [
            refusal("tomorrow was not a valid long.", "INVALID_LONG", "crm_sync_scored_at")
            | {"context": {"objectWriteTraceId": [trace]}},
            {
                "category": "OBJECT_NOT_FOUND",
                "message": "Could not get some CONTACT objects",
                "context": {"ids": ["3"]},
            },
        ]
        return 207, {"results": [{"id": "2"}, {"id": "0"}], "numErrors": 2, "errors": errors}

    with ScriptedPortal(script) as portal:
        outcomes = portal.connect().write(writes(5, crm_sync_score=1))

        assert [(o.answer, o.family) for o in outcomes] == [
            (Answer.ACCEPTED, None),
            (Answer.REFUSED, Family.RECORD),
            (Answer.ACCEPTED, None),
            (Answer.REFUSED, Family.GONE),
            (Answer.UNKNOWN, Family.TRANSIENT),
        ]


@pytest.mark.parametrize("status", [200, 201, 207])
def test_given_a_success_with_nothing_in_it_then_nothing_counts_as_written(status: int) -> None:
    with ScriptedPortal(lambda a: (status, {"status": "COMPLETE", "results": []})) as portal:
        outcomes = portal.connect().write(writes(3, crm_sync_score=1))

        assert {o.answer for o in outcomes} == {Answer.UNKNOWN}


@pytest.mark.parametrize(
    ("status", "first", "family"),
    [
        pytest.param(429, Answer.NOT_SENT, Family.RATE_LIMITED, id="limited"),
        pytest.param(477, Answer.NOT_SENT, Family.RATE_LIMITED, id="migrating"),
        pytest.param(403, Answer.NOT_SENT, Family.AUTH, id="forbidden"),
        pytest.param(502, Answer.UNKNOWN, Family.TRANSIENT, id="bad-gateway"),
        pytest.param(524, Answer.UNKNOWN, Family.TRANSIENT, id="no-answer-in-time"),
        pytest.param(521, Answer.NOT_SENT, Family.TRANSIENT, id="origin-not-reached"),
    ],
)
def test_given_a_refused_call_when_writing_then_the_rest_is_not_sent(
    status: int, first: Answer, family: Family
) -> None:
    with ScriptedPortal(lambda a: (status, b"<html></html>")) as portal:
        outcomes = portal.connect().write(writes(250, crm_sync_score=1))

        assert {o.answer for o in outcomes[:100]} == {first}
        assert {o.answer for o in outcomes[100:]} == {Answer.NOT_SENT}
        assert {o.family for o in outcomes} == {family}
        assert all((o.retry_at is not None) == (family is Family.RATE_LIMITED) for o in outcomes)
        assert len(portal.asked) == 1


def test_given_locked_records_when_writing_then_the_other_calls_go_on() -> None:
    answers = [(423, {"message": "locked"})]

    def script(asked: Asked) -> Any:
        return answers.pop() if answers else (200, {"results": [{"id": i["id"]} for i in asked.json["inputs"]]})

    with ScriptedPortal(script) as portal:
        outcomes = portal.connect().write(writes(150, crm_sync_score=1))

        assert [o.answer for o in outcomes] == [Answer.REFUSED] * 100 + [Answer.ACCEPTED] * 50
        assert {o.family for o in outcomes[:100]} == {Family.TRANSIENT}


def test_given_a_record_named_twice_then_it_is_written_in_two_calls_in_order() -> None:
    twice = [
        Write(key="first", object="contacts", record_id="1", fields={"crm_sync_score": 1}),
        Write(key="other", object="contacts", record_id="2", fields={"crm_sync_score": None}),
        Write(key="second", object="contacts", record_id="1", fields={"crm_sync_score": 2}),
    ]
    with ScriptedPortal(refusing(lambda i: None)) as portal:
        outcomes = portal.connect().write(twice)

        assert [(o.key, o.answer) for o in outcomes] == [
            ("first", Answer.ACCEPTED),
            ("other", Answer.ACCEPTED),
            ("second", Answer.ACCEPTED),
        ]
        sent = [[(i["id"], i["properties"]["crm_sync_score"]) for i in a.json["inputs"]] for a in portal.asked]
        assert sent == [[("1", "1"), ("2", "")], [("1", "2")]]
