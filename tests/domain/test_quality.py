"""Findings: what a data-quality rule notices, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from crm_sync.domain.addresses import email_kind, is_callable
from crm_sync.domain.countries import country_code, country_group
from crm_sync.domain.titles import department, rank
from tests.factories import NOW, a_person, a_policy, a_record, decide


@pytest.mark.parametrize(
    ("columns", "finding"),
    [
        pytest.param({"email": None}, "email_missing", id="no-address"),
        pytest.param({"email": "jane@acme"}, "email_invalid", id="no-top-level-domain"),
        pytest.param({"email": "jane@@acme.com"}, "email_invalid", id="two-ats"),
        pytest.param({"email": "jane@yopmail.com"}, "email_disposable", id="disposable"),
        pytest.param({"email": "info@acme.com"}, "email_shared", id="shared"),
        pytest.param({"phone": None}, "phone_missing", id="no-number"),
        pytest.param({"phone": "12345"}, "phone_invalid", id="too-short-a-number"),
        pytest.param({"last_name": None}, "name_missing", id="no-name"),
        pytest.param({"company": None}, "company_missing", id="no-company"),
        pytest.param({"title": None}, "title_missing", id="no-title"),
        pytest.param({"country": "Atlantis"}, "country_unknown", id="no-such-country"),
        pytest.param({"created_at": NOW + timedelta(days=1)}, "created_in_future", id="created-tomorrow"),
        pytest.param({"employees": -1.0}, "employees_negative", id="below-zero"),
        pytest.param({"unreadable": ["revenue"]}, "revenue_unreadable", id="unreadable"),
    ],
)
def test_finding(columns: dict[str, Any], finding: str) -> None:
    evaluated = decide(a_person(**columns), a_person())

    assert evaluated["findings"].to_list() == [[finding], []]


def test_given_one_crm_that_holds_a_person_twice_when_evaluated_then_it_is_noticed() -> None:
    twice = a_person(records=[a_record(), a_record()])
    once_in_each = a_person(records=[a_record(), a_record(connection_id=2)])
    beside_a_converted_lead = a_person(records=[a_record(), a_record(life="converted")])

    found = decide(twice, once_in_each, beside_a_converted_lead)["findings"].to_list()

    assert found == [["several_records"], [], []]


def test_given_a_rule_that_is_off_when_evaluated_then_it_notices_nothing() -> None:
    policy = a_policy(quality={"title_missing": "off", "revenue_unreadable": "off", "test_data": "off"})
    person = a_person(title=None, unreadable=["revenue", "employees"], first_name="Test", last_name="Test")

    row = decide(person, policy=policy).row(0, named=True)

    assert (row["state"], row["findings"]) == ("scored", ["employees_unreadable"])


def one(expression: pl.Expr, value: str | None) -> Any:
    return pl.DataFrame({"it": [value]}, schema={"it": pl.String()}).select(expression).item()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("ana@acme.com", "work"),
        ("ana+news@acme.co.uk", "work"),
        ("ana@münchen.de", "work"),
        ("o'hara@acme.com", "work"),
        ("info@gmail.com", "free_mail"),
        ("sales+eu@acme.com", "role"),
        ("ana@mailinator.com", "disposable"),
        ("ana", "invalid"),
        ("ana@acme", "invalid"),
        ("ana..b@acme.com", "invalid"),
        ("ana b@acme.com", "invalid"),
        ("a@b.com, c@d.com", "invalid"),
        (None, "missing"),
    ],
)
def test_kind_of_address(address: str | None, kind: str) -> None:
    assert one(email_kind(pl.col("it")), address) == kind


@pytest.mark.parametrize(
    ("number", "usable"),
    [
        ("+49 (0)89 123-45 67", True),
        ("001 415 555 2671", True),
        ("12345", False),
        ("0000000", False),
        ("123456789", False),
        ("1234567890123456", False),
        ("call me", False),
        (None, None),
    ],
)
def test_usable_number(number: str | None, usable: bool | None) -> None:
    assert one(is_callable(pl.col("it")), number) is usable


@pytest.mark.parametrize(
    ("written", "code", "group"),
    [
        ("Germany", "DE", "eu"),
        ("  germany ", "DE", "eu"),
        ("Deutschland", "DE", "eu"),
        ("DEU", "DE", "eu"),
        ("Norway", "NO", "eea"),
        ("no", "NO", "eea"),
        ("U.K.", "GB", "uk"),
        ("England", "GB", "uk"),
        ("Jersey", "JE", "uk"),
        ("Réunion", "RE", "eu"),
        ("SUISSE", "CH", "ch"),
        ("U.S.A.", "US", "us"),
        ("Canada", "CA", "ca"),
        ("Japan", "JP", "other"),
        ("Narnia", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_country_as_written(written: str | None, code: str | None, group: str) -> None:
    assert one(country_code(pl.col("it")), written) == code
    assert one(country_group(country_code(pl.col("it"))), written) == group


@pytest.mark.parametrize(
    ("title", "folded", "works_on"),
    [
        ("CEO", "executive", "general_management"),
        ("Chief Financial Officer", "executive", "finance"),
        ("Geschäftsführerin", "executive", "general_management"),
        ("Co-Founder & CTO", "executive", "engineering"),
        ("VP Eng", "vice_president", "engineering"),
        ("vp, engineering", "vice_president", "engineering"),
        ("Vice President of Sales", "vice_president", "sales"),
        ("Head of IT", "director", "it"),
        ("Vertriebsleiter", "director", "sales"),
        ("Directrice Marketing", "director", "marketing"),
        ("IT-Manager", "manager", "it"),
        ("Product Manager", "manager", "product"),
        ("Senior Software Engineer", "senior", "engineering"),
        ("Assistant to the CEO", "junior", "general_management"),
        ("Werkstudentin Controlling", "junior", "finance"),
        ("Einkäufer", "staff", "purchasing"),
        ("Recruiter", "staff", "people"),
        ("Gärtner", "staff", "other"),
        (None, None, None),
    ],
)
def test_title_folded(title: str | None, folded: str | None, works_on: str | None) -> None:
    assert one(rank(pl.col("it")), title) == folded
    assert one(department(pl.col("it")), title) == works_on
