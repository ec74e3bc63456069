"""Sameness at the CRM's precision (scenario 17)."""

from __future__ import annotations

import pytest

from crm_sync.domain.writes import same_value


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        pytest.param("87.0", 87, id="hubspot-number-text"),
        pytest.param(87.0, 87, id="salesforce-float"),
        pytest.param("", None, id="hubspot-cleared"),
        pytest.param(None, "", id="salesforce-cleared"),
        pytest.param("A ", "A", id="blank-behind"),
        pytest.param("2026-11-22T09:20:00.000+0000", "2026-11-22T09:20:00Z", id="salesforce-moment"),
        pytest.param("2026-11-22T09:20:00.000Z", "2026-11-22T09:20:00Z", id="hubspot-moment"),
        pytest.param("2026-11-22T10:20:00+01:00", "2026-11-22T09:20:00Z", id="another-offset"),
        pytest.param("true", True, id="hubspot-truth"),
    ],
)
def test_given_two_spellings_of_one_value_when_compared_then_they_are_the_same(shown, wanted):
    assert same_value(shown, wanted)


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        pytest.param(87, 88, id="number"),
        pytest.param(None, 0, id="nothing-and-zero"),
        pytest.param("A", "B", id="text"),
        pytest.param("2026-11-22T09:20:01Z", "2026-11-22T09:20:00Z", id="a-second"),
        pytest.param("007", "7x", id="text-that-looks-like-a-number"),
        pytest.param(False, None, id="false-and-nothing"),
    ],
)
def test_given_two_values_when_compared_then_they_differ(shown, wanted):
    assert not same_value(shown, wanted)
