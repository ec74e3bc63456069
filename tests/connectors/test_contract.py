"""What every connector promises. Runs once in each CRM's world; a new CRM joins in conftest.py."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest

from crm_sync.domain.changes import ChangeBatch, Cursor, Feed, Role
from crm_sync.domain.fields import OWN_FIELDS, FieldType
from crm_sync.domain.records import CrmKind, Life
from crm_sync.domain.writes import Answer, Outcome, Write
from crm_sync.errors import AuthError, ConfigError, Family, RateLimitedError, TransientError
from crm_sync.ports import Connector
from tests.connectors.world import Trouble, World

CALLS_FOR_A_THOUSAND = {
    CrmKind.SALESFORCE: {"pull": 2, "read": 1, "write": 1},
    CrmKind.HUBSPOT: {"pull": 6, "read": 10, "write": 10},
}
A_MINUTE = timedelta(minutes=1)


def pages(connector: Connector, feed: Feed, cursor: Cursor | None, fields: Sequence[str]) -> Iterator[ChangeBatch]:
    """A whole walk; between two pages the cursor goes through JSON, as it does in the database."""
    for _ in range(500):
        batch = connector.changes_since(feed, cursor, fields)
        yield batch
        if not batch.more:
            return
        cursor = Cursor(json.loads(json.dumps(batch.next_cursor)))
    pytest.fail("the walk doesn't end")


def walk(world: World, cursor: Cursor | None = None, feed: Feed | None = None) -> list[ChangeBatch]:
    return list(pages(world.connector, feed or world.people, cursor, [world.name_field]))


def ids(batches: Sequence[ChangeBatch]) -> list[str]:
    return [id for batch in batches for id in batch.records.ids]


def at_rest(world: World) -> Cursor:
    """A cursor behind everything, a minute after the last change."""
    world.clock.advance(A_MINUTE)
    cursor = walk(world)[-1].next_cursor
    world.clock.advance(A_MINUTE)
    return cursor


def lives(world: World, cursor: Cursor) -> dict[str, tuple[Life, str]]:
    """What became of the people, over every feed of their object."""
    found = {}
    for feed in (f for f in world.connector.feeds() if f.object == world.people.object):
        start = cursor if feed == world.people else world.connector.sweep_from(feed, world.now() - timedelta(hours=1))
        for batch in walk(world, start, feed):
            records = batch.records
            found |= dict(zip(records.ids, zip(records.lives, records.successors, strict=True), strict=True))
    return found


def scores(world: World, people: Sequence[str], score: int | None = 87) -> list[Write]:
    return [
        Write(key=id, object=world.people.object, record_id=id, fields={world.own("score"): score}) for id in people
    ]


def said(outcomes: Sequence[Outcome]) -> Counter[Answer]:
    return Counter(outcome.answer for outcome in outcomes)


def is_now(world: World, at: datetime | None) -> bool:
    """The CRM's now when the call began; on a busy machine that may be a moment ago."""
    return at is not None and timedelta(0) <= world.now() - at <= timedelta(seconds=30)


# Reading changes


def test_the_first_walk_meets_everybody_once(world: World):
    people = world.add_people(450)

    batches = walk(world)

    assert sorted(ids(batches)) == sorted(people)
    assert [batch.complete_until for batch in batches[:-1]] == [None] * (len(batches) - 1)
    assert is_now(world, batches[-1].complete_until)


def test_a_batch_tells_id_stamp_creation_fields_and_life(world: World):
    [person] = world.add_people(1)

    [batch] = walk(world)

    records = batch.records
    assert (records.object, records.ids, records.lives) == (world.people.object, [person], [Life.OPEN])
    assert records.fields[0][world.name_field] == world.value(person, world.name_field)
    assert records.stamps[0].replace(microsecond=0) == records.created[0].replace(microsecond=0) == world.now()


def test_given_5000_ties_when_the_run_stops_after_a_page_then_the_resume_misses_none_and_doubles_none(world: World):
    at = world.now()
    people = world.add_people(5000)
    world.tie(people, at)
    world.clock.advance(A_MINUTE)
    start = world.connector.sweep_from(world.people, at - timedelta(seconds=1))

    first = next(pages(world.connector, world.people, start, []))
    rest = list(pages(world.open(), world.people, first.next_cursor, []))
    idle = walk(world, rest[-1].next_cursor)

    assert first.more
    assert Counter(ids([first, *rest])) == Counter(people)
    assert ids(idle) == []


def test_given_stamps_that_run_against_the_ids_when_pages_split_them_then_each_is_met_once(world: World):
    at = world.now()
    people = world.add_people(2200)
    for hundred in range(22):
        world.tie(people[100 * hundred : 100 * hundred + 100], at + timedelta(seconds=22 - hundred))
    world.clock.advance(A_MINUTE)

    batches = walk(world, world.connector.sweep_from(world.people, at - timedelta(seconds=1)))

    assert len(batches) > 1
    assert Counter(ids(batches)) == Counter(people)


def test_only_what_changed_since_is_met_again(world: World):
    people = world.add_people(5)
    cursor = at_rest(world)

    world.touch(people[2:3])

    [batch] = walk(world, cursor)
    assert batch.records.ids == people[2:3]
    assert batch.records.stamps[0].replace(microsecond=0) == world.now()


def test_given_an_object_read_whole_when_it_is_through_then_it_begins_again(world):
    people = world.add_people(5)
    whole = next(f for f in world.connector.feeds() if f.name == f"{world.people.object}:whole")
    world.clock.advance(timedelta(days=1))

    first = walk(world, feed=whole)
    world.clock.advance(timedelta(days=30))
    again = walk(world, first[-1].next_cursor, whole)

    assert set(ids(first)) == set(ids(again)) == set(people)


def test_given_a_row_seen_three_seconds_late_when_polled_then_the_overlap_meets_it(world: World):
    [person] = world.add_people(1)
    cursor = at_rest(world)
    world.hide(person, seconds=3)
    world.clock.advance(timedelta(seconds=2))
    first = walk(world, cursor)
    world.clock.advance(timedelta(seconds=2))

    second = walk(world, first[-1].next_cursor)

    assert (ids(first), ids(second)) == ([], [person])


def test_given_a_row_seen_minutes_late_when_swept_then_it_is_met(world: World):
    [person] = world.add_people(1)
    cursor = at_rest(world)
    world.hide(person, seconds=600)
    polled = walk(world, cursor)
    world.clock.advance(timedelta(minutes=11))

    swept = walk(world, world.connector.sweep_from(world.sweep, world.now() - timedelta(hours=1)), world.sweep)

    assert ids(polled) == []
    assert person in ids(swept)


def test_an_idle_poll_is_one_call_and_no_row(world: World):
    world.add_people(20)
    cursor = at_rest(world)
    before = world.mark()

    [batch] = walk(world, cursor)

    assert len(world.calls(before)) == 1
    assert len(batch.records) == 0
    assert is_now(world, batch.complete_until)


@pytest.mark.parametrize("n", [1, 199, 1000])
def test_changed_people_cost_few_calls(world: World, n: int):
    people = world.add_people(n + 50)
    cursor = at_rest(world)
    world.touch(people[:n])
    before = world.mark()

    batches = walk(world, cursor)

    assert sorted(ids(batches)) == sorted(people[:n])
    assert len(world.calls(before)) <= max(1, CALLS_FOR_A_THOUSAND[world.kind]["pull"] * n / 1000 + 1)
    if n == 1000:
        assert len(world.calls(before)) <= CALLS_FOR_A_THOUSAND[world.kind]["pull"]


def test_a_deleted_person_is_told(world: World):
    people = world.add_people(2)
    cursor = at_rest(world)

    world.delete(people[0])

    assert lives(world, cursor)[people[0]] == (Life.DELETED, "")


def test_a_merged_person_names_who_lives_on(world: World):
    loser, winner = world.add_people(2)
    cursor = at_rest(world)

    survivor = world.merge(loser, winner)

    told = lives(world, cursor)
    assert told[loser] == (Life.MERGED, survivor)
    assert told[survivor] == (Life.OPEN, "")


def test_a_converted_lead_names_its_contact(world: World):
    [person] = world.add_people(1)
    cursor = at_rest(world)

    contact = world.convert(person)

    if contact is None:
        pytest.skip("this CRM converts no records")
    assert lives(world, cursor)[person] == (Life.CONVERTED, contact)


def test_a_field_that_the_crm_lacks_is_named(world: World):
    world.add_people(1)

    for cursor in (None, world.connector.sweep_from(world.people, world.now() - A_MINUTE)):
        with pytest.raises(ConfigError, match="no_such_field__c"):
            world.connector.changes_since(world.people, cursor, [world.name_field, "no_such_field__c"])


def test_every_feed_can_be_walked(world: World):
    for feed in world.connector.feeds():
        batches = walk_of(world, feed)
        assert batches[-1].complete_until is not None, feed.name


def walk_of(world: World, feed: Feed) -> list[ChangeBatch]:
    return list(pages(world.connector, feed, None, []))


def test_people_come_first_and_every_feed_has_its_own_name(world: World):
    feeds = world.connector.feeds()

    assert feeds[0].role is Role.PERSON
    assert len({feed.name for feed in feeds}) == len(feeds)
    assert {world.people.name, world.sweep.name} <= {feed.name for feed in feeds}


# Reading again


def test_records_come_in_the_order_asked_and_the_missing_are_deleted(world: World):
    people = world.add_people(7)
    world.delete(people[3])
    wanted = [people[5], people[3], people[0], people[5]]

    batch = world.connector.read(world.people.object, wanted, [world.name_field])

    assert batch.ids == wanted
    assert batch.lives == [Life.OPEN, Life.DELETED, Life.OPEN, Life.OPEN]
    assert batch.fields[1] == {}
    assert batch.fields[2][world.name_field] == world.value(people[0], world.name_field)


def test_a_merged_record_is_read_as_merged(world: World):
    loser, winner = world.add_people(2)
    survivor = world.merge(loser, winner)

    batch = world.connector.read(world.people.object, [loser], [world.name_field])

    assert (batch.lives, batch.successors, batch.fields) == ([Life.MERGED], [survivor], [{}])


def test_a_thousand_are_read_in_few_calls(world: World):
    people = world.add_people(1000)
    world.connector.server_time()
    before = world.mark()

    batch = world.connector.read(world.people.object, people, [world.name_field])

    assert batch.ids == people
    assert set(batch.lives) == {Life.OPEN}
    assert len(world.calls(before)) <= CALLS_FOR_A_THOUSAND[world.kind]["read"]


def test_nothing_to_read_is_no_call(world: World):
    world.connector.server_time()
    before = world.mark()

    assert len(world.connector.read(world.people.object, [], [world.name_field])) == 0
    assert world.calls(before) == []


def test_a_field_that_the_crm_lacks_is_named_when_reading_again(world: World):
    people = world.add_people(1)

    with pytest.raises(ConfigError, match="no_such_field__c"):
        world.connector.read(world.people.object, people, ["no_such_field__c"])


# Writing


def test_what_is_written_stands_in_the_crm_and_none_clears_it(world: World):
    [person] = world.add_people(1)
    world.install()
    values = {"score": 87, "bucket": "A", "state": "scored", "scored_at": "2026-11-22T09:20:00Z"}
    fields = {world.own(name): value for name, value in values.items()}
    write = Write(key="k", object=world.people.object, record_id=person, fields=fields)

    [outcome] = world.connector.write([write])
    after = world.connector.read(world.people.object, [person], list(fields)).fields[0]
    cleared = {world.own("score"): None, world.own("bucket"): None}
    world.connector.write([Write(key="k", object=world.people.object, record_id=person, fields=cleared)])
    then = world.connector.read(world.people.object, [person], list(fields)).fields[0]

    assert (outcome.key, outcome.answer) == ("k", Answer.ACCEPTED)
    assert {name: after[name] for name in fields} == fields
    assert (then[world.own("score")], then[world.own("bucket")]) == (None, None)
    assert then[world.own("state")] == "scored"


def test_given_one_bad_row_among_many_when_written_then_only_it_is_refused(world: World):
    people = world.add_people(world.write_batch // 5 if world.kind is CrmKind.SALESFORCE else world.write_batch)
    world.install()
    bad = people[len(people) // 3]
    world.refuse(bad)
    before = world.mark()

    outcomes = world.connector.write(scores(world, people))

    assert [outcome.key for outcome in outcomes] == people
    assert [outcome.key for outcome in outcomes if outcome.answer is not Answer.ACCEPTED] == [bad]
    refused = outcomes[people.index(bad)]
    assert (refused.answer, refused.family) == (Answer.REFUSED, Family.RECORD)
    assert refused.code
    assert refused.message
    assert {float(world.value(id, world.own("score"))) for id in people if id != bad} == {87.0}
    assert len(world.calls(before)) <= (1 if world.kind is CrmKind.SALESFORCE else 15)


def test_a_thousand_are_written_in_few_calls(world: World):
    people = world.add_people(1000)
    world.install()
    before = world.mark()

    outcomes = world.connector.write(scores(world, people))

    assert said(outcomes) == {Answer.ACCEPTED: 1000}
    assert len(world.calls(before)) <= CALLS_FOR_A_THOUSAND[world.kind]["write"]


def test_repeating_a_write_is_harmless(world: World):
    people = world.add_people(3)
    world.install()

    outcomes = [world.connector.write(scores(world, people)) for _ in range(2)]

    assert [said(o) for o in outcomes] == [{Answer.ACCEPTED: 3}] * 2
    assert {float(world.value(id, world.own("score"))) for id in people} == {87.0}


def test_two_writes_of_one_record_leave_the_second(world: World):
    [person] = world.add_people(1)
    world.install()
    first, second = scores(world, [person], 10)[0], scores(world, [person], 20)[0]

    outcomes = world.connector.write(
        [Write(key="1", object=first.object, record_id=person, fields=first.fields), second]
    )

    assert [(o.key, o.answer) for o in outcomes] == [("1", Answer.ACCEPTED), (person, Answer.ACCEPTED)]
    assert float(world.value(person, world.own("score"))) == 20.0


def test_a_record_that_is_gone_is_no_success(world: World):
    people = world.add_people(3)
    world.install()
    world.delete(people[1])

    outcomes = world.connector.write(scores(world, people))

    assert [o.answer for o in outcomes] == [Answer.ACCEPTED, Answer.REFUSED, Answer.ACCEPTED]
    assert outcomes[1].family is Family.GONE


@pytest.mark.parametrize("trouble", [Trouble.LOST_ANSWER, Trouble.TRUNCATED, Trouble.RESET])
def test_given_a_lost_answer_when_written_then_the_outcome_is_unknown_and_a_repeat_settles_it(
    world: World, trouble: Trouble
):
    people = world.add_people(3)
    world.install()
    world.trouble(trouble, path=world.write_path())

    lost = world.connector.write(scores(world, people))
    again = world.connector.write(scores(world, people))

    assert said(lost) == {Answer.UNKNOWN: 3}
    assert {outcome.family for outcome in lost} == {Family.TRANSIENT}
    assert said(again) == {Answer.ACCEPTED: 3}


def test_given_the_limit_is_reached_when_writing_then_the_rest_is_not_sent(world: World):
    people = world.add_people(world.write_batch * 2 + 10)
    world.install()
    world.limit(1)

    outcomes = world.connector.write(scores(world, people))

    assert [o.answer for o in outcomes[: world.write_batch]] == [Answer.ACCEPTED] * world.write_batch
    assert said(outcomes[world.write_batch :]) == {Answer.NOT_SENT: world.write_batch + 10}
    assert {o.family for o in outcomes[world.write_batch :]} == {Family.RATE_LIMITED}
    assert all(o.retry_at is not None and o.retry_at > world.now() for o in outcomes[world.write_batch :])


def test_nothing_to_write_is_no_call(world: World):
    world.connector.server_time()
    before = world.mark()

    assert world.connector.write([]) == []
    assert world.calls(before) == []


# Staying connected


def test_given_sessions_expire_when_walking_and_writing_then_both_go_on(world: World):
    people = world.add_people(3)
    world.install()
    world.expire_sessions()

    walked = walk(world)
    world.expire_sessions()
    outcomes = world.connector.write(scores(world, people))

    assert sorted(ids(walked)) == sorted(people)
    assert said(outcomes) == {Answer.ACCEPTED: 3}


def test_a_used_up_day_says_when_to_come_back(world: World):
    world.connector.server_time()
    world.limit(0)

    with pytest.raises(RateLimitedError) as refused:
        walk(world)

    assert refused.value.retry_at > world.now()


@pytest.mark.parametrize(
    "trouble", [Trouble.HTML, Trouble.EMPTY, Trouble.TRUNCATED, Trouble.MAINTENANCE, Trouble.RESET]
)
def test_garbage_that_stays_is_a_failure_and_never_no_records(world: World, trouble: Trouble):
    world.add_people(3)
    world.connector.server_time()
    world.trouble(trouble, times=50)

    with pytest.raises(TransientError):
        walk(world)


@pytest.mark.parametrize("trouble", [Trouble.HTML, Trouble.EMPTY, Trouble.TRUNCATED, Trouble.RESET])
def test_garbage_that_passes_is_read_again(world: World, trouble: Trouble):
    people = world.add_people(3)
    cursor = world.connector.sweep_from(world.people, world.now() - A_MINUTE)
    world.connector.server_time()
    world.trouble(trouble, path=world.change_path())

    assert sorted(ids(walk(world, cursor))) == sorted(people)


def test_a_slow_drip_ends_at_the_deadline(world: World):
    world.add_people(3)
    connector = world.open(deadline=timedelta(seconds=0.8))
    connector.server_time()
    world.trouble(Trouble.DRIP, path=world.change_path(), times=50)
    cursor = connector.sweep_from(world.people, world.now() - A_MINUTE)
    begun = time.monotonic()

    with pytest.raises(TransientError):
        connector.changes_since(world.people, cursor, [world.name_field])

    assert time.monotonic() - begun < 2


def test_a_write_that_drips_ends_at_the_deadline_unknown(world: World):
    people = world.add_people(3)
    world.install()
    connector = world.open(deadline=timedelta(seconds=0.8))
    connector.server_time()
    world.trouble(Trouble.DRIP, path=world.write_path(), times=50)
    begun = time.monotonic()

    outcomes = connector.write(scores(world, people))

    assert said(outcomes) == {Answer.UNKNOWN: 3}
    assert time.monotonic() - begun < 2


def test_wrong_credentials_are_one_sentence_without_a_secret(world: World):
    wrong = world.wrong_credentials()

    with pytest.raises(AuthError) as refused:
        world.open(credentials=wrong).identity()

    words = str(refused.value)
    assert words.endswith(".")
    assert "\n" not in words
    assert not any(secret in words for secret in wrong.values())


def test_a_host_that_is_not_there_is_one_sentence(world: World):
    with pytest.raises(TransientError) as unreachable:
        world.open(base_url="http://127.0.0.1:9").server_time()

    assert "127.0.0.1" in str(unreachable.value)
    assert unreachable.value.sent is False


def test_every_call_passes_the_meter(world: World):
    people = world.add_people(3)
    world.install()
    world.trouble(Trouble.RESET, path=world.change_path())
    walk(world)
    world.connector.write(scores(world, people))

    made = [call for call in world.journal.calls if call.crm == world.kind]
    assert len(world.meter.reserved) == len(made)


def test_what_headers_say_of_the_day_reaches_the_meter(world: World):
    world.add_people(1)

    walk(world)

    days = [usage for usage in world.meter.usages if usage.window == "day"]
    assert days
    assert all(0 <= usage.used <= usage.limit for usage in days)


# Who and what


def test_the_same_org_answers_to_every_connector(world: World):
    one, other = world.connector.identity(), world.open().identity()

    assert one == other
    assert one.org_id
    assert one.user_id


def test_the_time_is_the_crms_own(world: World):
    world.clock.advance(timedelta(days=3))

    assert abs(world.connector.server_time() - world.clock.now()) < timedelta(seconds=2)


def test_permissions_are_checked_object_by_object(world: World):
    checks = world.connector.permissions()

    assert {check.name for check in checks} >= {world.people.object}
    assert [check for check in checks if not check.passed] == []


# Fields


def test_the_catalogue_tells_types_and_what_can_be_written(world: World):
    catalogue = world.connector.catalogue(world.people.object)

    assert catalogue[world.name_field].type is FieldType.TEXT
    assert catalogue[world.name_field].writable
    assert world.own("score") not in catalogue


def test_our_fields_are_installed_and_removed_and_a_second_time_changes_nothing(world: World):
    object, connector = world.people.object, world.connector
    before = set(connector.catalogue(object))

    created = connector.install_fields(object, OWN_FIELDS)
    again = connector.install_fields(object, OWN_FIELDS)
    catalogue = connector.catalogue(object)
    removed = connector.remove_fields(object, OWN_FIELDS)
    and_again = connector.remove_fields(object, OWN_FIELDS)
    after = set(connector.catalogue(object))

    assert [check.found for check in created if check.passed] == ["created"] * len(OWN_FIELDS)
    assert [check.found for check in again if check.passed] == ["exists"] * len(OWN_FIELDS)
    names = connector.own_field_names(OWN_FIELDS)
    assert {field.name: catalogue[names[field.name]].type for field in OWN_FIELDS} == {
        f.name: f.type for f in OWN_FIELDS
    }
    assert set(catalogue[names["bucket"]].options) == {"A", "B", "C", "D"}
    assert all(catalogue[name].writable for name in names.values())
    assert all(check.passed for check in (*removed, *and_again))
    assert after == before
