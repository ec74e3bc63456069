"""Law 2: what a CRM shows is evaluated, repaired, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.domain.echoes import Known, prepare, sort
from crm_sync.domain.records import Life, RecordBatch

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OWN = {"score": "CrmSync_Score__c", "bucket": "CrmSync_Bucket__c"}


def a_page(*rows, stamp=NOW, life=Life.OPEN, successor=""):
    return RecordBatch(
        object="Lead",
        ids=[f"00Q{n}" for n in range(len(rows))],
        stamps=[stamp] * len(rows),
        created=[NOW] * len(rows),
        fields=[dict(row) for row in rows],
        lives=[life] * len(rows),
        successors=[successor] * len(rows),
        ties=[()] * len(rows),
    )


def prepared(*rows, **more):
    return prepare(a_page(*rows, **more), own_names=OWN, owner_field="OwnerId")


def known(row, *, stamp=NOW - timedelta(hours=1), owner_accepted=None, own_accepted=None, life=Life.OPEN):
    before = prepared(row)
    return {
        "00Q0": Known(
            record_id=1,
            stamp=stamp,
            content_hash=before.content_hashes[0],
            inputs_hash=before.inputs_hashes[0],
            life=life,
            owner=before.owners[0],
            owner_accepted=owner_accepted,
            own_accepted=own_accepted or {},
        )
    }


A_LEAD = {"Id": "00Q0", "Email": "ana@acme.eu", "OwnerId": "005A", "SystemModstamp": "1", "CrmSync_Score__c": 87}
ACCEPTED = {"score": 87}


def test_given_a_new_row_when_sorted_then_it_is_stored_as_a_version_and_evaluated():
    order = sort(prepared(A_LEAD), {})

    assert (order.changed, order.versioned, order.evaluate, order.repair) == ([0], [0], [0], {})


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param({"SystemModstamp": "2"}, id="re-stamped-without-a-change"),
        pytest.param({"CrmSync_Score__c": 87.0}, id="our-score-as-a-float"),
    ],
)
def test_given_an_echo_when_sorted_then_nothing_is_evaluated_or_repaired(shown):
    order = sort(prepared({**A_LEAD, **shown}), known(A_LEAD, own_accepted=ACCEPTED))

    assert (order.versioned, order.evaluate, order.repair) == ([], [], {})


def test_given_our_own_write_comes_back_when_sorted_then_nothing_is_evaluated():
    before = {**A_LEAD, "CrmSync_Score__c": None}

    order = sort(prepared(A_LEAD), known(before, own_accepted=ACCEPTED))

    assert (order.evaluate, order.repair) == ([], {})


def test_given_a_person_changed_a_field_in_the_same_second_as_our_write_when_sorted_then_it_is_evaluated():
    before = {**A_LEAD, "CrmSync_Score__c": None}

    order = sort(prepared({**A_LEAD, "Title": "CTO"}), known(before, own_accepted=ACCEPTED))

    assert (order.evaluate, order.repair) == ([0], {})


def test_given_a_stranger_wrote_over_our_score_when_sorted_then_it_is_repaired_and_not_evaluated():
    order = sort(prepared({**A_LEAD, "CrmSync_Score__c": 12}), known(A_LEAD, own_accepted=ACCEPTED))

    assert (order.versioned, order.evaluate, order.repair) == ([], [], {0: ["score"]})


def test_given_the_owner_that_we_assigned_when_sorted_then_it_counts_as_ours():
    order = sort(prepared({**A_LEAD, "OwnerId": "005B"}), known(A_LEAD, owner_accepted="005B"))

    assert order.evaluate == []


def test_given_an_owner_that_a_human_set_when_sorted_then_it_is_evaluated():
    order = sort(prepared({**A_LEAD, "OwnerId": "005C"}), known(A_LEAD, owner_accepted="005B"))

    assert order.evaluate == [0]


def test_given_an_older_page_of_a_backfill_when_sorted_then_the_newer_row_stays():
    order = sort(prepared({**A_LEAD, "Title": "old"}, stamp=NOW - timedelta(days=9)), known(A_LEAD))

    assert order.changed == []


def test_given_a_record_merged_away_without_fields_when_sorted_then_its_version_stays_and_its_person_is_evaluated():
    order = sort(prepared({}, life=Life.MERGED, successor="00Q9"), known(A_LEAD))

    assert (order.changed, order.versioned, order.evaluate) == ([0], [], [0])


def test_given_a_hidden_own_field_when_sorted_then_it_is_no_repair():
    hidden = {name: value for name, value in A_LEAD.items() if name != "CrmSync_Score__c"}

    order = sort(prepared(hidden), known(A_LEAD, own_accepted=ACCEPTED))

    assert order.repair == {}
