"""Law 8: consent by purpose. Law 7: the strictest known answer binds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from crm_sync.domain.desired_states import desired_fields
from crm_sync.domain.evaluations import people_of
from crm_sync.domain.features import features
from tests.factories import (
    NOW,
    POLICY,
    a_batch,
    a_person,
    a_policy,
    a_record,
    ago,
    always,
    an_activity,
    decide,
    refused,
    states,
)

GERMANY = {"country": "Germany"}
LEGITIMATE = "Legitimate interest – prospect/lead"


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        pytest.param({}, "scored", id="never-asked-in-the-us"),
        pytest.param(GERMANY, "consent_unknown", id="never-asked-in-the-eu"),
        pytest.param({"country": None}, "consent_unknown", id="never-asked-without-a-country"),
        pytest.param({"country": "Atlantis"}, "consent_unknown", id="never-asked-in-no-known-country"),
        pytest.param({"country": "UK"}, "consent_unknown", id="never-asked-in-the-uk"),
        pytest.param({"country": "Schweiz"}, "consent_unknown", id="never-asked-in-switzerland"),
        pytest.param(GERMANY | {"legal_basis": LEGITIMATE}, "scored", id="legal-basis-held"),
        pytest.param(
            GERMANY | {"legal_basis": "Not applicable; legitimate interest - PROSPECT/lead"},
            "scored",
            id="legal-basis-among-others-with-a-hyphen",
        ),
        pytest.param(GERMANY | {"legal_basis": "Not applicable"}, "consent_unknown", id="legal-basis-not-applicable"),
        pytest.param(GERMANY | {"profiling_consent": True}, "scored", id="asked-and-allowed"),
        pytest.param(
            GERMANY | {"profiling_consent": True, "profiling_consent_until": ago(days=1)},
            "consent_expired",
            id="expired-yesterday",
        ),
        pytest.param({"profiling_consent": True, "profiling_consent_until": NOW}, "consent_expired", id="expires-now"),
        pytest.param(
            GERMANY | {"profiling_consent": True, "profiling_consent_until": NOW + timedelta(seconds=1)},
            "scored",
            id="expires-in-a-second",
        ),
        pytest.param({"profiling_consent": False}, "consent_refused", id="asked-and-refused"),
        pytest.param(refused("score"), "consent_refused", id="profiling-refused"),
        pytest.param(refused("score") | {"legal_basis": LEGITIMATE}, "consent_refused", id="refused-despite-a-basis"),
        pytest.param({"do_not_profile": False} | GERMANY, "consent_unknown", id="an-empty-checkbox-is-no-consent"),
        pytest.param(refused("processing"), "processing_refused", id="processing-refused"),
        pytest.param({"should_forget": True} | refused("processing"), "erasure_requested", id="erasure-requested"),
        pytest.param(refused("email"), "scored", id="email-opt-out"),
        pytest.param(refused("phone"), "scored", id="phone-opt-out"),
        pytest.param(refused("tracking"), "scored", id="tracking-opt-out"),
    ],
)
def test_state_by_consent(columns: dict[str, Any], state: str) -> None:
    assert states(decide(a_person(**columns))) == [state]


def test_given_refused_consent_when_evaluated_then_the_crm_score_is_cleared() -> None:
    people = (a_person(**refused("score")), a_person())

    evaluations = decide(*people, scorer=always(0.93))

    assert states(evaluations) == ["consent_refused", "scored"]
    cleared, kept = desired_fields(evaluations, POLICY)
    assert cleared.pop("state") == "consent_refused"
    assert set(cleared.values()) == {None}
    assert kept["score"] == 93


def test_given_refused_consent_when_evaluated_then_no_scorer_sees_the_person() -> None:
    scorer = always(0.5)

    evaluations = decide(a_person(person_id=901, **refused("score")), a_person(person_id=902), scorer=scorer)

    assert scorer.shown == [902]
    assert evaluations.filter(pl.col("person_id") == 901)["reasons_text"].item() == ""


@pytest.mark.parametrize(
    "where",
    [
        pytest.param({"connection_id": 2}, id="in-the-other-crm"),
        pytest.param({"modified_at": ago(days=900)}, id="on-the-oldest-record"),
        pytest.param({"life": "converted"}, id="on-a-converted-lead"),
        pytest.param({"life": "deleted"}, id="on-a-deleted-record"),
        pytest.param({"role": "consent"}, id="on-a-consent-object"),
    ],
)
def test_given_a_refusal_on_one_record_when_evaluated_then_it_binds_the_person(where: dict[str, Any]) -> None:
    refusing = a_record(**where, **refused("score"))
    allowing = a_record(profiling_consent=True)

    assert states(decide(a_person(records=[allowing, refusing]))) == ["consent_refused"]


@pytest.mark.parametrize(
    ("strict", "lax", "state"),
    [
        pytest.param({"do_not_profile": True}, {"do_not_profile": False}, "consent_refused", id="no-profiling"),
        pytest.param({"profiling_consent": False}, {"profiling_consent": True}, "consent_refused", id="refused"),
        pytest.param({"do_not_process": True}, {"do_not_process": False}, "processing_refused", id="no-processing"),
        pytest.param({"should_forget": True}, {"should_forget": False}, "erasure_requested", id="erasure"),
        pytest.param(
            {"profiling_consent_until": ago(days=2)}, {"profiling_consent_until": ago(days=-9)}, "consent_expired",
            id="expired",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("strict_is_newer", [True, False], ids=["the-newer-is-strict", "the-older-is-strict"])
def test_given_two_records_that_say_otherwise_when_evaluated_then_the_strictest_binds_however_old_it_is(
    strict: dict[str, Any], lax: dict[str, Any], state: str, strict_is_newer: bool
) -> None:
    ages = (1, 9) if strict_is_newer else (9, 1)
    records = [a_record(modified_at=ago(days=age), **said) for age, said in zip(ages, (strict, lax), strict=True)]

    assert states(decide(a_person(records=records))) == [state]


def test_given_consent_known_in_one_crm_and_never_asked_in_the_other_when_evaluated_then_the_known_answer_counts() -> (
    None
):
    allowed, silent = a_record(**GERMANY, profiling_consent=True), a_record(**GERMANY, connection_id=2)

    assert states(decide(a_person(records=[allowed, silent]))) == ["scored"]


def test_given_a_policy_that_allows_unknown_in_the_eu_when_evaluated_then_people_there_are_scored() -> None:
    consent = POLICY.consent.model_dump()
    consent["score"]["unknown"]["eu"] = "allow"

    assert states(decide(a_person(**GERMANY), policy=a_policy(consent=consent))) == ["scored"]


def test_given_no_tracking_when_evaluated_then_web_signals_are_not_used() -> None:
    web = {"activities": [an_activity("visit"), an_activity("form")], "x_web_sessions": 40.0, "x_forms": 2.0}
    batch = a_batch(a_person(person_id=1, **web, **refused("tracking")), a_person(person_id=2, **web))

    known = features(people_of(batch.records, POLICY, NOW), batch.activities)

    assert known["visit_90d"].to_list() == [0, 1]
    assert known["form_90d"].to_list() == [1, 1]
    assert known["x_web_sessions"].to_list() == [None, 40.0]
    assert known["x_forms"].to_list() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("purpose", "field", "feature"),
    [
        pytest.param("email", "emails_in", "email_in_30d", id="email"),
        pytest.param("phone", "calls", "call_30d", id="phone"),
        pytest.param("tracking", "visits", "visit_30d", id="tracking"),
        pytest.param("tracking", "x_web_sessions", "x_web_sessions", id="tracked-extra-column"),
    ],
)
def test_given_a_refused_channel_when_explained_then_no_reason_speaks_of_it(
    purpose: str, field: str, feature: str
) -> None:
    scorer = always(0.8, **{feature: 2.0, "title_rank": 1.0})
    people = (a_person(person_id=1, **refused(purpose)), a_person(person_id=2))

    silent, open_ = decide(*people, scorer=scorer)["reasons"].to_list()

    assert [reason["field"] for reason in silent] == ["job_title"]
    assert [reason["field"] for reason in open_] == [field, "job_title"]


def test_given_an_opt_out_of_mail_only_when_evaluated_then_verdicts_differ_by_purpose() -> None:
    row = decide(a_person(**refused("email"))).row(0, named=True)

    assert (row["may_score"], row["may_email"], row["may_phone"]) == (True, False, True)
    assert (row["consent_email"], row["consent_phone"]) == ("refused", "unknown")
