"""Who is one person: addresses as keys, and records that come together and part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.domain.people import Recognised, group, matchable_email, normal_email, record_keys
from crm_sync.domain.records import CrmKind


@pytest.mark.parametrize(
    ("address", "key"),
    [
        pytest.param("Ana.Diaz@Acme.EU", "ana.diaz@acme.eu", id="lower-case"),
        pytest.param("ana.diaz+crm@acme.eu", "ana.diaz+crm@acme.eu", id="plus-is-kept"),
        pytest.param(" ana@acme.eu ", "ana@acme.eu", id="blanks"),
        pytest.param("ana@müller.de", "ana@xn--mller-kva.de", id="idn"),
        pytest.param("info@acme.eu", None, id="role"),
        pytest.param("ana@mailinator.com", None, id="disposable"),
        pytest.param("ana@acme", None, id="no-domain"),
        pytest.param("ana@@acme.eu", None, id="two-ats"),
        pytest.param("a b@acme.eu", None, id="blank-inside"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_given_an_address_when_matched_then_only_one_humans_address_is_a_key(address, key):
    assert matchable_email(address) == key


@given(st.text(max_size=40))
def test_given_any_text_when_normalised_then_it_never_raises_and_is_stable(text):
    normal = normal_email(text)

    assert normal is None or normal_email(normal) == normal


def test_given_both_spellings_of_a_salesforce_id_when_keyed_then_they_are_one_key():
    lead = record_keys(
        kind=CrmKind.SALESFORCE,
        connection=1,
        crm_id="00QSB0000000001AAA",
        successor="",
        email=None,
        crm_link=None,
    )
    contact = record_keys(
        kind=CrmKind.HUBSPOT, connection=2, crm_id="501", successor="", email=None, crm_link="00QSB0000000001"
    )

    assert lead & contact == {("salesforce", "00QSB0000000001")}


def test_given_two_portals_with_equal_ids_when_keyed_then_they_share_no_key():
    keys = [
        record_keys(kind=CrmKind.HUBSPOT, connection=portal, crm_id="501", successor="", email=None, crm_link=None)
        for portal in (1, 2)
    ]

    assert not keys[0] & keys[1]


def a_record(id: int, person: int | None, *keys: str) -> Recognised:
    return Recognised(record_id=id, person_id=person, keys=frozenset(key.encode() for key in keys))


def test_given_records_that_share_keys_in_a_chain_when_grouped_then_they_are_one_person():
    groups = group(
        [a_record(1, None, "a"), a_record(2, None, "a", "b"), a_record(3, None, "b"), a_record(4, None, "c")]
    )

    assert [each.record_ids for each in groups] == [(1, 2, 3), (4,)]


def test_given_two_people_who_meet_when_grouped_then_the_older_person_stays():
    [together] = group([a_record(1, 10, "a"), a_record(2, 20, "b"), a_record(3, None, "a", "b")])

    assert together.person_id == 10


def test_given_a_corrected_address_when_grouped_then_the_oldest_record_keeps_the_person_and_the_other_gets_a_new_one():
    kept, parted = group([a_record(1, 10, "a"), a_record(2, 10, "z")])

    assert (kept.record_ids, kept.person_id) == ((1,), 10)
    assert (parted.record_ids, parted.person_id) == ((2,), None)


@given(st.permutations([1, 2, 3, 4, 5, 6]))
def test_given_any_order_of_records_when_grouped_then_the_people_are_the_same(order):
    records = {
        1: a_record(1, 30, "a"),
        2: a_record(2, 20, "a", "b"),
        3: a_record(3, None, "c"),
        4: a_record(4, 20, "d"),
        5: a_record(5, 50, "c", "d"),
        6: a_record(6, None, "e"),
    }

    assert group([records[id] for id in order]) == group(list(records.values()))
