"""Does somebody else's CSV file become leads with the right fields, times, activities and outcomes?"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_sync.sandbox.client import SandboxClient
from crm_sync.sandbox.load import LoadProblem, load, read_loadfile, ready_names
from crm_sync.sandbox.load.history import History, read_history
from crm_sync.sandbox.serve import Options, Sandbox, running

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATA = Path(os.environ.get("CRM_SYNC_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
A_LOADFILE: dict[str, Any] = {
    "title": "Seminar guests",
    "records": {"key": "id"},
    "created": {"time": {"column": "made"}},
    "columns": {
        "id": {"name": "guest_number"},
        "score": {"name": "quiz_points", "type": "number"},
        "mail ok": {
            "salesforce": "HasOptedOutOfEmail",
            "hubspot": "hs_email_optout",
            "type": "boolean",
            "yes": ["no"],
            "no": ["yes"],
        },
    },
    "constants": {
        "salesforce": {"LastName": "Guest {number}", "Company": "[none]", "Email": "guest{key}@seminar.example"},
        "hubspot": {"lastname": "Guest {number}", "email": "guest{key}@seminar.example"},
    },
    "converted": {"where": "records", "column": "bought", "values": ["y"], "delay_days": [3, 3]},
}
SOME_ROWS = """\
id,made,score,mail ok,bought
a1,2026-01-05T09:00:00+01:00,7.5,yes,y
b2,2026-01-06,,no,n
"""


def a_loadfile(folder: Path, **changes: Any) -> str:
    """The guests' load file with some keys changed; None takes a key away."""
    content = {key: value for key, value in {**A_LOADFILE, **changes}.items() if value is not None}
    path = folder / "guests.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    return str(path)


def a_file(folder: Path, text: str = SOME_ROWS, name: str = "guests.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def read(folder: Path, text: str = SOME_ROWS, **changes: Any) -> History:
    return read_history(read_loadfile(a_loadfile(folder, **changes)), a_file(folder, text), NOW)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def clients(sandbox: Sandbox) -> Iterator[dict[str, SandboxClient]]:
    with running(sandbox, Options()) as connection:
        found = {crm: SandboxClient(connection[crm]["url"]) for crm in ("salesforce", "hubspot")}
        yield found
        for client in found.values():
            client.close()


def test_rows_become_salesforce_leads_with_their_own_creation_dates_and_fields(tmp_path, sandbox, clients):
    loaded = load(a_file(tmp_path), read_loadfile(a_loadfile(tmp_path)), clients["salesforce"])

    bought, other = sorted(sandbox.org.rows("Lead"), key=lambda row: row["CreatedDate"])
    assert bought["CreatedDate"] == "2026-01-05T08:00:00.000+0000"
    assert bought["Quiz_Points__c"] == 7.5
    assert (bought["LastName"], bought["Email"]) == ("Guest 1", "guesta1@seminar.example")
    assert (bought["IsConverted"], bought["ConvertedDate"]) == (True, "2026-01-08")
    assert sandbox.org.get("Contact", bought["ConvertedContactId"])["Email"] == "guesta1@seminar.example"
    assert other.get("Quiz_Points__c") is None
    assert (other["HasOptedOutOfEmail"], other["IsConverted"]) == (True, False)
    history = [(row["Field"], row["CreatedDate"]) for row in sandbox.org.rows("LeadHistory")]
    assert ("leadConverted", "2026-01-08T08:00:00.000+0000") in history
    assert loaded.converted == 1
    assert loaded.defined == ["Guest_Number__c", "Quiz_Points__c"]


def test_rows_become_hubspot_contacts_whose_lifecycle_has_a_history(tmp_path, sandbox, clients):
    load(a_file(tmp_path), read_loadfile(a_loadfile(tmp_path)), clients["hubspot"])

    bought, other = sorted(sandbox.portal.rows("contacts"), key=lambda row: row["createdAt"])
    assert bought["createdAt"] == "2026-01-05T08:00:00.000Z"
    assert bought["properties"]["quiz_points"] == "7.5"
    assert other["properties"]["hs_email_optout"] == "true"
    stages = bought["propertiesWithHistory"]["lifecyclestage"]
    assert [(s["value"], s["timestamp"]) for s in stages] == [
        ("opportunity", "2026-01-08T08:00:00.000Z"),
        ("lead", "2026-01-05T08:00:00.000Z"),
    ]
    assert other["properties"]["lifecyclestage"] == "lead"


@pytest.mark.parametrize(("crm", "object"), [("salesforce", "Lead"), ("hubspot", "contacts")])
def test_given_a_file_that_was_loaded_when_loaded_again_then_its_rows_are_replaced(
    tmp_path, sandbox, clients, crm, object
):
    loadfile = read_loadfile(a_loadfile(tmp_path))
    load(a_file(tmp_path), loadfile, clients[crm])

    again = load(a_file(tmp_path, SOME_ROWS.replace("7.5", "8")), loadfile, clients[crm])

    target = sandbox.org if crm == "salesforce" else sandbox.portal
    assert len(list(target.rows(object))) == 2
    assert again.defined == []


def test_an_event_log_becomes_activities_and_outcomes_at_their_own_times(tmp_path, sandbox, clients):
    log = "case,what,at\n" + "".join(
        f"{case},{what},{at}\n"
        for case, what, at in [
            ("7", "asked", "2026-03-02T10:00:00+01:00"),
            ("7", "rang", "2026-03-03T10:00:00+01:00"),
            ("8", "asked", "2026-03-04T10:00:00+01:00"),
            ("7", "signed", "2026-03-29T12:00:00+02:00"),
            ("8", "gone", "2026-04-01T12:00:00+02:00"),
            ("7", "met", "2026-04-02T12:00:00+02:00"),
        ]
    )
    loadfile = a_loadfile(
        tmp_path,
        records={"key": "case", "repeats": "first"},
        created={"first_activity": True},
        columns={"case": {"name": "case_number"}},
        activities={
            "key": "case",
            "time": {"column": "at"},
            "subject": "what",
            "kind_column": "what",
            "kinds": {"asked": "email_in", "rang": "call_out", "met": "meeting"},
        },
        converted={"where": "activities", "column": "what", "values": ["signed"], "deal": True},
        lost={"where": "activities", "column": "what", "values": ["gone"]},
    )

    for client in clients.values():
        load(a_file(tmp_path, log), read_loadfile(loadfile), client)

    org, portal = sandbox.org, sandbox.portal
    won, lost = sorted(org.rows("Lead"), key=lambda row: row["CreatedDate"])
    assert (won["CreatedDate"], won["ConvertedDate"]) == ("2026-03-02T09:00:00.000+0000", "2026-03-29")
    assert lost["Status"] == "Closed - Not Converted"
    assert org.get("Opportunity", won["ConvertedOpportunityId"])["IsWon"] is True
    tasks = {(t["Subject"], t["WhoId"], t["CreatedDate"]) for t in org.rows("Task")}
    assert ("rang", won["ConvertedContactId"], "2026-03-03T09:00:00.000+0000") in tasks
    assert ("Email: Re: asked", lost["Id"], "2026-03-04T09:00:00.000+0000") in tasks
    assert [e["StartDateTime"] for e in org.rows("Event")] == ["2026-04-02T10:00:00.000+0000"]
    assert len(list(portal.rows("calls"))) == len(list(portal.rows("deals"))) == len(list(portal.rows("meetings"))) == 1
    assert len(list(portal.rows("emails"))) == 2


def test_records_without_dates_are_spread_in_the_order_of_their_numbers(tmp_path):
    created = {"sequence": "score", "start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z"}

    history = read(tmp_path, "id,made,score,mail ok,bought\na,,9,yes,n\nb,,3,yes,n\n", created=created)

    assert {p.key: p.created.day for p in history.people} == {"b": 1, "a": 2}


def test_move_to_now_keeps_weekdays_hours_and_distances(tmp_path):
    still, moved = read(tmp_path), read(tmp_path, move_to_now=True)

    by = moved.people[0].created - still.people[0].created
    assert by % timedelta(weeks=1) == timedelta(0)
    assert NOW - timedelta(weeks=1) < moved.latest() <= NOW
    assert [m.created - s.created for m, s in zip(moved.people, still.people, strict=True)] == [by, by]


def test_outcomes_of_another_file_are_joined_by_key_and_never_come_before_the_record(tmp_path):
    a_file(tmp_path, "who,when\na1,2026-02-01 08:30:00\nb2,2025-12-31 00:00:00\n", "sales.csv.gz")
    outcome = {
        "where": "sales.csv.gz",
        "key": "who",
        "time": {"column": "when", "format": "%Y-%m-%d %H:%M:%S", "zone": "America/Sao_Paulo"},
    }

    history = read(tmp_path, converted=outcome)

    first, second = history.people
    assert first.converted == datetime(2026, 2, 1, 11, 30, tzinfo=UTC)
    assert second.converted == second.created
    assert history.remarks == ["Converted before being made: 1, moved to the moment of making."]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"colums": {}}, "guests.yaml: colums: there is no such key.", id="misspelt-key"),
        pytest.param({"title": None}, "guests.yaml: title: is missing.", id="missing-key"),
        pytest.param(
            {"columns": {"id": {"name": "id", "type": "decimal"}}},
            "guests.yaml: columns › id › type: Input should be 'text', 'long_text', 'number', 'boolean', 'date' or 'datetime'.",  # noqa: E501
            id="unknown-type",
        ),
        pytest.param(
            {"columns": {"id": {"type": "text"}}},
            "guests.yaml: columns › id: name a field: name for both CRMs, or salesforce or hubspot for one.",
            id="column-without-field",
        ),
        pytest.param(
            {"columns": {"id": {"name": "x"}, "score": {"salesforce": "X__c"}}},
            "guests.yaml: several columns go to salesforce X__c.",
            id="two-columns-one-field",
        ),
        pytest.param(
            {"created": {"file_order": True}},
            "guests.yaml: created: sequence and file_order need start and end, the others take none.",
            id="spread-over-what",
        ),
        pytest.param(
            {"created": {"time": {"column": "made", "zone": "Europe/Bonn"}}},
            "guests.yaml: created › time › zone: there is no time zone 'Europe/Bonn'.",
            id="unknown-zone",
        ),
        pytest.param(
            {"converted": {"where": "records", "column": "bought", "values": ["y"]}},
            "guests.yaml: converted: name either time or delay_days.",
            id="outcome-without-time",
        ),
        pytest.param(
            {"lost": {"where": "activities"}},
            "guests.yaml: first_activity and outcomes among the activities need activities.",
            id="no-activities",
        ),
    ],
)
def test_a_wrong_load_file_is_refused_in_one_sentence_that_names_the_key(tmp_path, changes, sentence):
    with pytest.raises(LoadProblem) as refusal:
        read_loadfile(a_loadfile(tmp_path, **changes))

    assert str(refusal.value) == sentence


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path):
    (tmp_path / "twice.yaml").write_text("title: A\nrecords: {key: id}\ntitle: B\n")

    with pytest.raises(LoadProblem, match="line 3: the key 'title' stands twice"):
        read_loadfile(str(tmp_path / "twice.yaml"))


def test_a_load_file_that_is_not_there_is_answered_with_the_ready_ones(tmp_path):
    with pytest.raises(LoadProblem, match=r"Ready load files are bank, bpi2012, olist, xeducation\."):
        read_loadfile(str(tmp_path / "nothing.yaml"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", "guests.csv is empty.", id="empty"),
        pytest.param("id,made,score,mail ok,bought\n", "guests.csv has a header but no rows.", id="header-only"),
        pytest.param(
            "id,made,score,bought\n",
            "guests.csv has no column 'mail ok'; it has 'id', 'made', 'score', 'bought'.",
            id="missing-column",
        ),
        pytest.param("id,id\n", "guests.csv: the column 'id' stands twice in the header.", id="column-twice"),
        pytest.param(
            SOME_ROWS + "c3,2026-01-01\n", "guests.csv line 4: 2 cells where the header has 5.", id="too-few-cells"
        ),
        pytest.param(
            SOME_ROWS.replace("7.5", "many"), "guests.csv line 2, column 'score': 'many' is no number.", id="number"
        ),
        pytest.param(
            SOME_ROWS.replace("yes,y", "maybe,y"),
            "guests.csv line 2, column 'mail ok': 'maybe' is neither in yes (no) nor in no (yes).",
            id="boolean",
        ),
        pytest.param(
            SOME_ROWS.replace("2026-01-06", "6 January"),
            "guests.csv line 3, column 'made': '6 January' is no moment in the format iso.",
            id="time",
        ),
        pytest.param(
            SOME_ROWS.replace("b2", "a1"), "guests.csv line 3, column 'id': 'a1' stood in line 2 already.", id="repeat"
        ),
        pytest.param(
            SOME_ROWS.replace("b2", ""), "guests.csv line 3, column 'id': is empty, and it is the key.", id="no-key"
        ),
        pytest.param(
            SOME_ROWS.replace("a1", "a" * 300),
            "guests.csv line 2, column 'id': 300 characters are more than the 255 that the field holds.",
            id="too-long",
        ),
        pytest.param(
            SOME_ROWS.replace("2026-01-06", "2027-01-06"),
            "1 records would be made after the sandbox's now, 2026-11-22 12:00 UTC.",
            id="future",
        ),
    ],
)
def test_a_wrong_data_file_is_refused_in_one_sentence_that_names_line_and_column(tmp_path, text, sentence):
    with pytest.raises(LoadProblem) as refusal:
        read(tmp_path, text)

    assert str(refusal.value) == sentence


def test_a_file_with_many_mistakes_lists_the_first_twenty_and_counts_the_rest(tmp_path):
    rows = "".join(f"{n},2026-01-01,x,yes,n\n" for n in range(25))

    with pytest.raises(LoadProblem) as refusal:
        read(tmp_path, "id,made,score,mail ok,bought\n" + rows)

    sentences = str(refusal.value).splitlines()
    assert len(sentences) == 21
    assert sentences[-1] == "And 5 more like these."


def test_given_a_mistake_in_the_file_when_loaded_then_nothing_reaches_the_sandbox(tmp_path, sandbox, clients):
    with pytest.raises(LoadProblem):
        load(
            a_file(tmp_path, SOME_ROWS.replace("7.5", "x")), read_loadfile(a_loadfile(tmp_path)), clients["salesforce"]
        )

    assert list(sandbox.org.rows("Lead")) == []


def test_every_ready_load_file_is_right_in_itself():
    assert ready_names() == ["bank", "bpi2012", "olist", "xeducation"]
    for name in ready_names():
        assert read_loadfile(name).source


REAL = {
    # name: file, records, converted, lost, activities
    "xeducation": ("xeducation_leads.csv.gz", 9_240, 3_561, 0, 0),
    "bank": ("bank_additional_full.csv.gz", 41_188, 4_640, 0, 0),
    "olist": ("olist_mql.csv.gz", 8_000, 842, 0, 0),
    "bpi2012": ("bpi2012_loan_events.csv.gz", 13_087, 2_246, 10_442, 117_134),
}
# The two large ones go into one CRM each, to save half a minute; the small ones show that both can take them.
LOADED_INTO = {
    "xeducation": ("salesforce", "hubspot"),
    "bank": ("hubspot",),
    "olist": ("salesforce", "hubspot"),
    "bpi2012": ("salesforce",),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "crm"),
    [
        pytest.param(
            name,
            crm,
            marks=pytest.mark.skipif(
                not (DATA / file).exists(), reason=f"{file} is not in {DATA}; CRM_SYNC_DATA names the folder"
            ),
        )
        for name, (file, *_) in REAL.items()
        for crm in LOADED_INTO[name]
    ],
)
def test_the_real_data_sets_load_whole(sandbox, clients, name, crm):
    file, records, converted, lost, activities = REAL[name]

    loaded = load(DATA / file, read_loadfile(name), clients[crm])

    assert (loaded.converted, loaded.lost) == (converted, lost)
    if crm == "salesforce":
        rows = list(sandbox.org.rows("Lead"))
        assert sum(row["IsConverted"] for row in rows) == converted
        assert loaded.taken.get("Task", 0) == activities
    else:
        rows = list(sandbox.portal.rows("contacts"))
        assert sum(loaded.taken.get(t, 0) for t in ("emails", "calls", "notes", "tasks")) == activities
    assert len(rows) == records
