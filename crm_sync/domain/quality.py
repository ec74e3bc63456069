"""Data-quality rules: each notices one thing about a person. A rule never raises and never changes a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import polars as pl

from crm_sync.domain.addresses import EmailKind, is_reserved
from crm_sync.domain.columns import PERSON_COLUMNS, Shape

FINDING_WORDS: dict[str, str] = {
    "email_missing": "There is no e-mail address.",
    "email_invalid": "The e-mail address can't be right.",
    "email_disposable": "The e-mail address is a disposable one.",
    "email_shared": "The e-mail address is a shared one, such as info@.",
    "email_reserved": "The e-mail address belongs to a domain that is reserved for tests.",
    "phone_missing": "There is no phone number.",
    "phone_invalid": "The phone number can't be right.",
    "name_missing": "There is no last name.",
    "company_missing": "There is no company.",
    "title_missing": "There is no job title.",
    "country_missing": "There is no country.",
    "country_unknown": "The country is not one that we recognise.",
    "created_in_future": "The record claims to be created in the future.",
    "employees_negative": "The number of employees is below zero.",
    "revenue_negative": "The revenue is below zero.",
    "several_records": "One CRM holds this person more than once.",
    "test_data": "Name, company or e-mail address look like test data.",
    **{
        f"{name}_unreadable": f"The value in {name.replace('_', ' ')} can't be read as a {shape}."
        for name, shape in PERSON_COLUMNS.items()
        if shape is not Shape.TEXT and name != "is_converted"
    },
}
"""Every finding with a plain sentence."""

_FILLER = (
    r"(test\w*|asdf\w*|qwert\w*|qwe|rty|foo|bar|baz|foobar|dummy|fake|abc|abcd|xxx+|yyy+|aaa+|zzz+|mickey|mouse|"
    r"none|null|n/?a|unknown)"
)


@cache
def _rules() -> dict[str, pl.Expr]:
    kind = pl.col("email_kind")
    return {
        "email_missing": kind == EmailKind.MISSING,
        "email_invalid": kind == EmailKind.INVALID,
        "email_disposable": kind == EmailKind.DISPOSABLE,
        "email_shared": kind == EmailKind.ROLE,
        "email_reserved": is_reserved(pl.col("email")),
        "phone_missing": pl.col("phone").is_null() & pl.col("mobile").is_null(),
        "phone_invalid": ~pl.col("phone_usable") | ~pl.col("mobile_usable"),
        "name_missing": pl.col("last_name").is_null(),
        "company_missing": pl.col("company").is_null(),
        "title_missing": pl.col("title").is_null(),
        "country_missing": pl.col("country").is_null(),
        "country_unknown": pl.col("country").is_not_null() & pl.col("country_code").is_null(),
        "created_in_future": pl.col("created_at") > pl.col("as_of"),
        "employees_negative": pl.col("employees") < 0,
        "revenue_negative": pl.col("revenue") < 0,
        "several_records": pl.col("twins") > 1,
        "test_data": _looks_like_a_test(),
    }


def _looks_like_a_test() -> pl.Expr:
    """Somebody may really be called Test, so one name alone is not enough: every name given must be filler."""
    first, last, company = (_is_filler(name) for name in ("first_name", "last_name", "company"))
    named = pl.col("first_name").is_not_null() | pl.col("last_name").is_not_null()
    both = first.fill_null(True) & last.fill_null(True) & named
    in_full = pl.col("first_name").is_not_null() & pl.col("last_name").is_not_null()
    mailbox = pl.col("email").str.contains(rf"^{_FILLER}[\d._+-]*@")
    return (both & (in_full | company.fill_null(False))) | mailbox.fill_null(False)


def _is_filler(name: str) -> pl.Expr:
    return pl.col(name).str.to_lowercase().str.contains(rf"^{_FILLER}([\s._-]+{_FILLER})*[\s\d]*$")


def findings(severity: Callable[[str], str]) -> pl.Expr:
    """The codes found for each person, in the order of FINDING_WORDS; those of severity `off` are left out.

    Reads what `consent.with_consent` returns.
    """
    noticed = [pl.when(rule).then(pl.lit(code)) for code, rule in _rules().items() if severity(code) != "off"]
    unread = pl.col("unreadable").list.eval(pl.element() + "_unreadable")
    off = [code for code in FINDING_WORDS if code.endswith("_unreadable") and severity(code) == "off"]
    if off:
        unread = unread.list.eval(pl.element().filter(~pl.element().is_in(off)))
    return pl.concat_list(*noticed, unread).list.drop_nulls().alias("findings")


def blocking(severity: Callable[[str], str]) -> list[str]:
    """The findings that hold back the score, test data apart: it has a state of its own."""
    return [code for code in FINDING_WORDS if severity(code) == "block" and code != "test_data"]


def lacks_what_is_needed(needs: tuple[tuple[str, ...], ...]) -> pl.Expr:
    """Whether some group of `needs` has no usable column: an address or number that can't be right doesn't count."""
    usable: Mapping[str, pl.Expr] = {
        "email": ~pl.col("email_kind").is_in([EmailKind.MISSING.value, EmailKind.INVALID.value]),
        "phone": pl.col("phone_usable").fill_null(False),
        "mobile": pl.col("mobile_usable").fill_null(False),
    }
    given = [pl.any_horizontal(usable.get(column, pl.col(column).is_not_null()) for column in group) for group in needs]
    return ~pl.all_horizontal(given) if given else pl.lit(False)
