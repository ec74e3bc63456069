"""Lists go to PostgreSQL as arrays and mean there what they meant here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import DataError, DBAPIError

from crm_sync.domain.records import CrmKind
from crm_sync.store.engine import Transaction, rows


@pytest.mark.parametrize(
    ("type", "values"),
    [
        pytest.param(
            "text", ["", "NULL", "null", " ", "{}", ",", '"', "\\", '\\"', "a\nb", "O'Neil", "Zoë 😀"], id="texts"
        ),
        pytest.param("text", ["a", None, "NULL"], id="texts-and-nothing"),
        pytest.param("text", [None, None], id="nothing"),
        pytest.param("text", [], id="empty"),
        pytest.param("bigint", [0, -1, 2**62, None], id="numbers"),
        pytest.param("boolean", [True, False, None], id="truths"),
        pytest.param("double precision", [0.1, -1e-300, 1e300, float("inf"), None], id="floats"),
        pytest.param("bytea", [b"", b"\x00\xff\\", None], id="bytes"),
        pytest.param("timestamptz", [datetime(2026, 11, 22, 9, 14, 48, 123456, tzinfo=UTC), None], id="moments"),
        pytest.param("uuid", [UUID(int=7), None], id="uuids"),
        pytest.param("jsonb", ['{"a": "\\"\\\\ü"}', None], id="documents"),
    ],
)
def test_given_a_list_when_it_is_sent_then_each_value_arrives(
    transaction: Transaction, type: str, values: list[Any]
) -> None:
    with transaction() as session:
        found = rows(session, f"SELECT * FROM unnest(CAST(:values AS {type}[])) AS sent (value)", values=values)

    arrived = [row.value for row in found]
    expected = [{"a": '"\\ü'} if isinstance(value, str) and type == "jsonb" else value for value in values]
    assert arrived == expected


def test_given_words_of_a_closed_set_when_they_are_sent_then_they_arrive_as_text(transaction: Transaction) -> None:
    with transaction() as session:
        found = rows(session, "SELECT * FROM unnest(CAST(:kinds AS text[])) AS sent (value)", kinds=list(CrmKind))

    assert [row.value for row in found] == ["salesforce", "hubspot"]


def test_given_a_moment_elsewhere_when_it_is_sent_then_it_is_the_same_moment(transaction: Transaction) -> None:
    there = datetime(2026, 11, 22, 14, 44, 48, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    with transaction() as session:
        [row] = rows(session, "SELECT * FROM unnest(CAST(:at AS timestamptz[])) AS sent (value)", at=[there])

    assert row.value == there


def test_given_a_nul_character_when_it_is_sent_then_the_statement_is_refused_and_nothing_is_cut_off(
    transaction: Transaction,
) -> None:
    with pytest.raises((DataError, DBAPIError), match="0x00"), transaction() as session:
        rows(session, "SELECT CAST(:values AS text[])", values=["one\x00two"])
