"""Law 7: one person in two CRMs is one person, by rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError

from crm_sync.domain.records import CrmKind
from crm_sync.store.engine import rows, run
from tests.rows import a_connection, linked_people


def test_given_one_address_in_two_crms_when_linked_then_both_records_are_one_person(transaction, keys):
    with transaction() as session:
        salesforce = a_connection(session, keys)
        hubspot = a_connection(session, keys, kind=CrmKind.HUBSPOT)
        lead = linked_people(session, salesforce, keys, {"00Q1": "ana@acme.eu"})

        contact = linked_people(session, hubspot, keys, {"501": "ANA@acme.eu "})

    assert contact["501"] == lead["00Q1"]


def test_given_a_test_org_and_production_when_linked_then_they_share_nobody(transaction, keys):
    with transaction() as session:
        real = a_connection(session, keys)
        trial = a_connection(session, keys, is_test=True)

        found = linked_people(session, real, keys, {"00Q1": "ana@acme.eu"})
        again = linked_people(session, trial, keys, {"00Q1": "ana@acme.eu"})

    assert found["00Q1"] != again["00Q1"]


def test_given_a_corrected_address_when_linked_again_then_the_records_part_and_the_link_is_closed(transaction, keys):
    with transaction() as session:
        org = a_connection(session, keys)
        before = linked_people(session, org, keys, {"00Q1": "ana@acme.eu", "00Q2": "ana@acme.eu"})
        after = linked_people(session, org, keys, {"00Q2": "bea@acme.eu"})

        history = rows(session, "SELECT to_at IS NULL AS is_open FROM link ORDER BY id")

    assert before["00Q1"] == before["00Q2"] != after["00Q2"]
    assert [row.is_open for row in history] == [True, False, True]


def test_given_a_shared_office_address_when_linked_then_the_records_stay_two_people(transaction, keys):
    with transaction() as session:
        org = a_connection(session, keys)

        found = linked_people(session, org, keys, {"00Q1": "info@acme.eu", "00Q2": "info@acme.eu"})

    assert found["00Q1"] != found["00Q2"]


def test_given_two_workers_who_meet_one_new_person_when_both_commit_then_there_is_one_person(transaction, keys):
    with transaction() as session:
        orgs = [a_connection(session, keys) for _ in range(4)]

    def meet(number: int) -> int:
        with transaction() as session:
            return linked_people(session, orgs[number], keys, {f"00Q{number}": "ana@acme.eu"})[f"00Q{number}"]

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(meet, range(4)))

    assert len(found) == 1


def test_given_a_record_of_somebody_when_it_is_given_to_another_past_us_then_the_database_refuses_it(transaction, keys):
    with transaction() as session:
        org = a_connection(session, keys)
        found = linked_people(session, org, keys, {"00Q1": "ana@acme.eu", "00Q2": "bea@acme.eu"})

    with pytest.raises(IntegrityError, match="link_open"), transaction() as session:
        run(
            session,
            """
            INSERT INTO link (record_id, person_id, evidence, from_at)
            SELECT record_id, :other, 'identity keys', now() FROM link WHERE person_id = :person
            """,
            person=found["00Q1"],
            other=found["00Q2"],
        )


def test_given_linked_people_when_the_rows_are_read_then_no_address_stands_in_the_keys(transaction, keys):
    with transaction() as session:
        linked_people(session, a_connection(session, keys), keys, {"00Q1": "ana@acme.eu"})

        found = rows(session, "SELECT encode(value, 'escape') AS value FROM identity_key")

    assert len(found) == 2
    assert not any("ana" in row.value or "00Q1" in row.value for row in found)
