"""Reasons: true sentences about this person, few, and none that may not be said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.domain.features import FEATURES, field_of
from crm_sync.domain.policies import Reasons
from crm_sync.domain.reasons import FIELD_NAMES, field_name
from tests.factories import NOW, POLICY, a_person, ago, always, an_activity, decide

EVERYWHERE = POLICY.model_copy(update={"reasons": Reasons(location="show")})


def told(feature: str, weight: float = 1.0, **person: Any) -> str:
    evaluated = decide(a_person(**person), policy=EVERYWHERE, scorer=always(0.5, **{feature: weight}))
    text: str = evaluated["reasons"][0][0]["text"]
    return text


THREE = [an_activity("call", direction="out", occurred_at=ago(days=at)) for at in (3, 9, 40)]


@pytest.mark.parametrize(
    ("feature", "person", "text"),
    [
        pytest.param("title_rank", {"title": "CEO"}, "Job title: CEO", id="own-value"),
        pytest.param("title_rank", {"title": None}, "No job title", id="missing-title"),
        pytest.param("employees", {"employees": 1234567.0}, "Company size: 1,234,567 employees", id="company-size"),
        pytest.param("company_size", {"employees": None}, "No company size", id="missing-company-size"),
        pytest.param("revenue", {"revenue": 950.4}, "Revenue: 950", id="revenue"),
        pytest.param("email_kind", {}, "Work e-mail address at acme.com", id="work-address"),
        pytest.param("email_kind", {"email": "a@gmail.com"}, "Free-mail address at gmail.com", id="free-mail"),
        pytest.param("email_kind", {"email": None}, "No e-mail address", id="missing-address"),
        pytest.param("has_phone", {"phone": None}, "No phone number", id="missing-phone"),
        pytest.param("tenure_days", {}, "Known since: 12 Aug 2026", id="tenure"),
        pytest.param("call_7d", {"activities": THREE}, "3 calls in 90 days, the last on 17 Nov 2026", id="calls"),
        pytest.param("form_7d", {"activities": [an_activity("form")]}, "Form filled in on 19 Nov 2026", id="form"),
        pytest.param("form_7d", {}, "No forms filled in yet", id="no-form"),
        pytest.param(
            "any_30d",
            {"activities": [an_activity("note", occurred_at=ago(days=31))]},
            "No activities since 20 Oct 2026",
            id="silence",
        ),
        pytest.param(
            "meetings_ahead",
            {"activities": [an_activity("meeting", occurred_at=NOW + timedelta(days=1))]},
            "Meeting booked",
            id="meeting-booked",
        ),
        pytest.param("x_budget_band", {"x_budget_band": "High"}, "Budget band: High", id="extra-text"),
        pytest.param("x_budget_band", {"x_budget_band": None}, "No budget band", id="missing-extra"),
    ],
)
def test_sentence(feature: str, person: dict[str, Any], text: str) -> None:
    assert told(feature, **person) == text


def test_at_most_three_raise_and_two_lower_strongest_first() -> None:
    weights = {
        "industry": 0.2, "title_rank": 0.9, "revenue": 0.5, "lead_source": 0.4,
        "has_phone": -0.3, "employees": -0.8, "has_website": -0.4,
    }  # fmt: skip

    (found,) = decide(a_person(), scorer=always(0.5, **weights))["reasons"].to_list()

    assert [(reason["direction"], reason["field"]) for reason in found] == [
        ("raises", "job_title"),
        ("raises", "revenue"),
        ("raises", "lead_source"),
        ("lowers", "company_size"),
        ("lowers", "website"),
    ]


def test_contributions_are_summed_by_business_field_before_ranking() -> None:
    scorer = always(0.5, call_7d=0.4, call_30d=0.4, days_since_call=0.4, industry=1.0)

    (found,) = decide(a_person(), scorer=scorer)["reasons"].to_list()

    assert [(reason["field"], reason["weight"]) for reason in found] == [("calls", 1.2), ("industry", 1.0)]


def test_noise_is_no_reason() -> None:
    (found,) = decide(a_person(), scorer=always(0.5, industry=1.0, revenue=0.04))["reasons"].to_list()

    assert [reason["field"] for reason in found] == ["industry"]


@pytest.mark.parametrize("feature", ["x_gender", "x_age", "x_marital_status", "x_date_of_birth"])
def test_given_a_protected_attribute_when_explained_then_it_is_not_shown(feature: str) -> None:
    scorer = always(0.5, **{feature: 3.0, "industry": 1.0})

    (found,) = decide(a_person(**{feature: "x"}), scorer=scorer)["reasons"].to_list()

    assert [reason["field"] for reason in found] == ["industry"]


WHERE = ["country_group", "country_code", "x_country", "x_city", "x_billing_state", "x_postal_code", "x_zip"]


@pytest.mark.parametrize("feature", WHERE)
def test_given_a_policy_that_says_nothing_when_explained_then_where_somebody_is_is_no_reason(feature: str) -> None:
    scorer = always(0.5, **{feature: -3.0, "industry": 1.0})

    row = decide(a_person(**({feature: "x"} if feature.startswith("x_") else {})), scorer=scorer).row(0, named=True)

    assert [reason["field"] for reason in row["reasons"]] == ["industry"]
    assert row["top_reason"] == "raises:industry"
    assert "United States" not in row["reasons_text"]


def test_given_a_policy_that_shows_locations_when_explained_then_the_country_is_named() -> None:
    (found,) = decide(a_person(), policy=EVERYWHERE, scorer=always(0.5, country_group=-3.0))["reasons"].to_list()

    assert [(reason["direction"], reason["text"]) for reason in found] == [("lowers", "Country: United States")]


@pytest.mark.parametrize("field", ["x_city_tier", "x_statement", "x_real_estate", "x_capacity", "lead_source"])
def test_words_that_only_look_like_a_place_are_reasons(field: str) -> None:
    (found,) = decide(a_person(), scorer=always(0.5, **{field: 1.0}))["reasons"].to_list()

    assert [reason["field"] for reason in found] == [field]


def test_given_no_score_when_explained_then_there_is_no_reason() -> None:
    row = decide(a_person(email=None, phone=None), scorer=always(0.9)).row(0, named=True)

    assert (row["reasons"], row["reasons_text"], row["top_reason"]) == ([], "", None)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=90)


@settings(max_examples=25, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS)
def test_given_any_words_when_explained_then_the_text_fits_and_is_cut_between_reasons(
    title: str, company: str, industry: str, website: str
) -> None:
    scorer = always(0.5, title_rank=3.0, has_company=2.0, industry=1.0, has_website=-2.0, has_phone=-1.0)

    row = decide(a_person(title=title, company=company, industry=industry, website=website), scorer=scorer).row(
        0, named=True
    )

    whole = row["reasons_text"].removeprefix("Raises – ").removesuffix(".")
    texts = [reason["text"] for reason in row["reasons"]]
    assert len(row["reasons_text"]) <= 255
    assert whole.startswith(texts[0])
    assert any(whole.endswith(text) for text in texts)
    assert orjson.loads(row["reasons_json"])["reasons"] == row["reasons"]


def test_every_feature_has_a_business_field_in_plain_words() -> None:
    fields = {field_of(feature) for feature in FEATURES}

    assert fields == set(FIELD_NAMES)
    assert field_name("x_web_page_views") == "Page views"


def test_every_sentence_can_be_told_of_a_person_without_data() -> None:
    person = dict.fromkeys(("title", "company", "industry", "employees", "lead_source", "created_at"))

    one_a_field = {field_of(feature): feature for feature in FEATURES}
    for field, feature in one_a_field.items():
        assert told(feature, **person, phone=None), field


def test_the_weight_is_the_contribution_and_its_sign_the_direction() -> None:
    frame = decide(a_person(), scorer=always(0.5, industry=-0.25))

    assert frame.select(pl.col("reasons").list.first()).item() == {
        "direction": "lowers",
        "field": "industry",
        "text": "Industry: Manufacturing",
        "weight": -0.25,
    }
    assert frame["top_reason"].item() == "lowers:industry"
