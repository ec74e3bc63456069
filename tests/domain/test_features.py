"""Law 5: one definition of features, and nothing from the future."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.domain.evaluations import people_of
from crm_sync.domain.features import FEATURES, features
from tests.factories import NOW, POLICY, a_batch, a_person, ago, an_activity


def features_at(*moments: datetime, activities: list[dict[str, Any]], **columns: Any) -> pl.DataFrame:
    """Features of one person at each moment."""
    batch = a_batch(a_person(person_id=7, activities=activities, **columns))
    records = pl.concat([batch.records.with_columns(as_of=pl.lit(moment)) for moment in moments])
    return features(people_of(records, POLICY), batch.activities)


@pytest.mark.parametrize(
    ("activity", "feature", "seen"),
    [
        pytest.param(an_activity("form", occurred_at=ago(hours=23)), "form_1d", 1, id="within-a-day"),
        pytest.param(an_activity("form", occurred_at=ago(days=1)), "form_1d", 1, id="a-day-ago-to-the-second"),
        pytest.param(an_activity("form", occurred_at=ago(days=1, hours=1)), "form_1d", 0, id="over-a-day"),
        pytest.param(an_activity("form", occurred_at=ago(days=29)), "form_30d", 1, id="within-a-month"),
        pytest.param(an_activity("form", occurred_at=ago(days=91)), "form_90d", 0, id="out-of-every-window"),
        pytest.param(an_activity("call", direction="in"), "in_7d", 1, id="incoming-call"),
        pytest.param(an_activity("call", direction="out"), "in_7d", 0, id="outgoing-call"),
        pytest.param(an_activity("email_out"), "out_7d", 1, id="outgoing-mail"),
        pytest.param(an_activity("note"), "any_7d", 1, id="any-activity"),
        pytest.param(an_activity("form", known_from=NOW + timedelta(seconds=1)), "form_7d", 0, id="not-known-yet"),
        pytest.param(an_activity("form", known_from=None), "form_7d", 0, id="known-from-nowhere"),
        pytest.param(an_activity("form", occurred_at=ago(days=60), known_from=NOW), "form_90d", 1, id="dated-back"),
        pytest.param(
            an_activity("call", occurred_at=NOW + timedelta(days=1), known_from=ago(1)), "call_7d", 0, id="planned-call"
        ),
        pytest.param(an_activity("meeting", occurred_at=NOW + timedelta(days=2)), "meetings_ahead", 1, id="booked"),
        pytest.param(
            an_activity("meeting", occurred_at=NOW + timedelta(days=2)), "meeting_7d", 0, id="booked-not-held"
        ),
        pytest.param(an_activity("meeting", occurred_at=ago(days=2)), "meetings_ahead", 0, id="held"),
    ],
)
def test_what_counts(activity: dict[str, Any], feature: str, seen: int) -> None:
    assert features_at(NOW, activities=[activity])[feature].item() == seen


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["call", "email_in", "form", "meeting", "visit"]), st.floats(-40, 40), st.floats(-40, 40)
        ),
        max_size=12,
    )
)
def test_given_things_known_later_when_described_then_they_leave_no_trace(
    drawn: list[tuple[str, float, float]],
) -> None:
    done = [an_activity(kind, occurred_at=ago(days=at), known_from=ago(days=known)) for kind, at, known in drawn]
    known = [activity for activity in done if activity["known_from"] <= NOW]

    assert features_at(NOW, activities=done).equals(features_at(NOW, activities=known))


def test_given_many_moments_when_described_at_once_then_each_is_as_if_asked_alone() -> None:
    done = [an_activity("form", occurred_at=ago(days=at)) for at in (1, 5, 20, 80)]
    moments = [ago(days=at) for at in (0, 3, 10, 50, 100)]

    together = features_at(*moments, activities=done)

    alone = pl.concat([features_at(moment, activities=done) for moment in moments]).sort("as_of")
    assert together.sort("as_of").equals(alone)
    assert together.sort("as_of")["form_30d"].to_list() == [0, 1, 1, 2, 3]


def test_given_no_activity_when_described_then_counts_are_zero_and_days_unknown() -> None:
    known = features_at(NOW, activities=[])

    assert known["any_90d"].item() == 0
    assert known["days_since_any"].item() is None


@pytest.mark.parametrize(
    ("columns", "feature", "value"),
    [
        pytest.param({"title": "VP, Engineering"}, "title_rank", "vice_president", id="rank"),
        pytest.param({"title": "VP, Engineering"}, "department", "engineering", id="department"),
        pytest.param({"title": None}, "title_rank", None, id="no-title"),
        pytest.param({"employees": 9.0}, "company_size", "1-9", id="smallest-size"),
        pytest.param({"employees": 250.0}, "company_size", "250-999", id="size-on-the-edge"),
        pytest.param({"employees": 80000.0}, "company_size", "5000+", id="largest-size"),
        pytest.param({"employees": 0.0}, "company_size", None, id="no-employees"),
        pytest.param({"employees": -5.0}, "employees", None, id="employees-below-zero"),
        pytest.param({"email": "a@gmail.com"}, "email_kind", "free_mail", id="free-mail"),
        pytest.param({"email": "info@acme.com"}, "email_kind", "role", id="shared-address"),
        pytest.param({"email": "a@mailinator.com"}, "email_kind", "disposable", id="disposable-address"),
        pytest.param({"email": "a@acme"}, "email_kind", "invalid", id="invalid-address"),
        pytest.param({"email": None}, "email_kind", "missing", id="no-address"),
        pytest.param({"phone": None, "mobile": "0171 2345678"}, "has_phone", True, id="mobile-only"),
        pytest.param({"phone": "000000000"}, "has_phone", False, id="number-of-zeros"),
        pytest.param({"country": " deutschland "}, "country_group", "eu", id="country-as-written"),
        pytest.param({"created_at": ago(days=10)}, "tenure_days", 10.0, id="tenure"),
        pytest.param({"created_at": NOW + timedelta(days=1)}, "tenure_days", None, id="created-in-the-future"),
    ],
)
def test_what_a_record_tells(columns: dict[str, Any], feature: str, value: Any) -> None:
    assert features_at(NOW, activities=[], **columns)[feature].item() == value


def test_nothing_that_we_write_is_a_feature() -> None:
    described = set(features_at(NOW, activities=[], status="Qualified", owner_id="005").columns)

    assert described == {"person_id", "as_of", *FEATURES}
    assert not {"status", "owner_id", "score", "bucket"} & described
