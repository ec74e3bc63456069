"""What only HubSpot does, against the sandbox portal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.hubspot.connector import open_connector as open_hubspot
from connectors.registry import open_connector
from crm_sync.domain.changes import Cursor, Feed
from crm_sync.domain.fields import OWN_FIELDS, FieldType
from crm_sync.domain.records import CrmKind, Life, RecordBatch, Tie
from crm_sync.domain.writes import Answer, Write
from crm_sync.errors import ConfigError, Family
from crm_sync.ports import Connector
from crm_sync.sandbox.hubspot import PRIVATE_APP_KEY, hubspot_app
from crm_sync.sandbox.tls import certificate_in
from crm_sync.sandbox.web import LiveServer
from tests.connectors.hubspot_world import OAUTH, HubSpotWorld
from tests.connectors.world import CountingMeter

A_MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> Iterator[HubSpotWorld]:
    with closing(HubSpotWorld()) as world:
        world.clock.freeze()
        yield world


def walk(connector: Connector, feed: Feed, cursor: Cursor | None, *fields: str) -> Iterator[RecordBatch]:
    for _ in range(1000):
        batch = connector.changes_since(feed, cursor, fields)
        yield batch.records
        cursor = batch.next_cursor
        if not batch.more:
            return
    pytest.fail("the walk doesn't end")


def feed_of(world: HubSpotWorld, name: str) -> Feed:
    return next(feed for feed in world.connector.feeds() if feed.name == name)


def operations(world: HubSpotWorld, since: int) -> Counter[str]:
    return Counter(call.operation for call in world.calls(since))


def scores(world: HubSpotWorld, people: list[str], **values: Any) -> list[Write]:
    fields = {world.own(name): value for name, value in (values or {"score": 87}).items()}
    return [Write(key=id, object="contacts", record_id=id, fields=fields) for id in people]


def test_given_25000_contacts_of_one_millisecond_then_all_come_in_130_calls_without_any_offset(
    world: HubSpotWorld,
) -> None:
    at = world.now()
    people = world.portal.seed("contacts", ({"properties": {}, "modified": at} for _ in range(25_000)))
    world.clock.advance(A_MINUTE)
    before = world.mark()

    met = Counter[str]()
    for records in walk(world.connector, world.people, world.connector.sweep_from(world.people, at)):
        met.update(records.ids)

    assert met == Counter(people)
    assert operations(world, before) == {"search": 125}


def test_given_a_cold_connector_when_1000_are_guarded_and_written_then_it_costs_21_calls(world: HubSpotWorld) -> None:
    people = world.add_people(1000)
    world.install()
    before = world.mark()
    connector = world.open()

    connector.read("contacts", people, [world.own("score")])
    connector.write(scores(world, people))

    assert operations(world, before) == {"properties.list": 1, "batch.read": 10, "batch.update": 10}


def test_given_values_that_stand_already_when_walked_then_stamps_and_ids_come_with_their_company(
    world: HubSpotWorld,
) -> None:
    [person] = world.add_people(1)
    [company] = world.portal.seed("companies", [{"properties": {"name": "Acme"}}])
    world.portal.associate("contacts", "companies", [(person, company)])

    [records] = walk(world.connector, world.people, None, "associatedcompanyid", "email")

    assert records.ties == [(Tie(object="companies", id=company),)]
    assert records.fields[0]["associatedcompanyid"] == company


@pytest.mark.parametrize("first_pull", [True, False], ids=["by-list", "by-search"])
def test_activities_and_deals_name_whom_they_belong_to(world: HubSpotWorld, first_pull: bool) -> None:
    one, other = world.add_people(2)
    [company] = world.portal.seed("companies", [{"properties": {"name": "Acme"}}])
    [deal] = world.portal.seed("deals", [{"properties": {"dealname": "Big"}}])
    [call] = world.portal.seed("calls", [{"properties": {"hs_call_title": "Hello"}}])
    world.portal.associate("deals", "contacts", [(deal, one)])
    world.portal.associate("deals", "companies", [(deal, company)])
    world.portal.associate("calls", "contacts", [(call, one), (call, other)])

    ties = {}
    for name in ("deals", "calls"):
        feed = feed_of(world, name)
        cursor = None if first_pull else world.connector.sweep_from(feed, world.now() - A_MINUTE)
        [records] = walk(world.connector, feed, cursor)
        ties[name] = set(records.ties[0])

    assert ties["deals"] == {Tie(object="contacts", id=one), Tie(object="companies", id=company)}
    assert ties["calls"] == {Tie(object="contacts", id=one), Tie(object="contacts", id=other)}


def test_given_an_archived_contact_that_is_restored_then_it_is_told_as_open_again(world: HubSpotWorld) -> None:
    [person] = world.add_people(1)
    world.delete(person)
    world.clock.advance(A_MINUTE)
    gone = list(walk(world.connector, world.archive, None))

    world.act("restore", id=person)

    cursor = world.connector.sweep_from(world.people, world.now() - timedelta(seconds=1))
    [back] = walk(world.connector, world.people, cursor)
    assert [(r.ids, r.lives) for r in gone] == [([person], [Life.DELETED])]
    assert (back.ids, back.lives) == ([person], [Life.OPEN])
    assert back.stamps[0] > gone[0].stamps[0]


def test_a_contact_deleted_for_privacy_is_read_as_deleted_though_no_feed_tells(world: HubSpotWorld) -> None:
    [person] = world.add_people(1)
    world.act("gdpr_delete", id=person)

    batch = world.connector.read("contacts", [person], ["email"])

    assert (batch.lives, batch.fields) == ([Life.DELETED], [{}])


def test_given_a_merge_of_a_merge_then_every_old_id_leads_to_who_lives_on(world: HubSpotWorld) -> None:
    first, second, third = world.add_people(3)
    between = world.merge(first, second)
    survivor = world.merge(between, third)

    [records] = walk(world.connector, world.people, None)
    again = world.connector.read("contacts", [first, between, third], ["email"])

    assert records.ids[0] == survivor
    assert set(records.ids[1:]) == {first, second, third, between}
    assert set(records.successors[1:]) == {survivor}
    assert (again.lives, again.successors) == ([Life.MERGED] * 3, [survivor] * 3)


@pytest.mark.parametrize("told", ["full", "message_only", "nameless"])
@pytest.mark.parametrize("kind", ["option", "rule"])
def test_given_a_batch_that_is_refused_whole_then_one_bad_record_costs_at_most_fourteen_more_calls(
    world: HubSpotWorld, kind: str, told: str
) -> None:
    people = world.add_people(100)
    world.install()
    world.act("set_behaviour", batch_update_trace_207=False, validation_errors=told)
    world.act("plan_row_fault", id=people[17], kind=kind)
    before = world.mark()

    outcomes = world.connector.write(scores(world, people, score=87, bucket="A"))

    assert [o.key for o in outcomes if o.answer is not Answer.ACCEPTED] == [people[17]]
    assert (outcomes[17].answer, outcomes[17].family) == (Answer.REFUSED, Family.RECORD)
    assert {world.value(id, world.own("bucket")) for id in people if id != people[17]} == {"A"}
    assert len(world.calls(before)) <= 15


def test_given_a_success_that_leaves_a_record_out_then_it_is_unknown(world: HubSpotWorld) -> None:
    people = world.add_people(3)
    world.install()
    world.act("plan_row_fault", id=people[1], kind="silent")

    outcomes = world.connector.write(scores(world, people))

    assert [o.answer for o in outcomes] == [Answer.ACCEPTED, Answer.UNKNOWN, Answer.ACCEPTED]


def test_given_five_locked_records_then_only_those_are_to_be_tried_again(world: HubSpotWorld) -> None:
    people = world.add_people(300)
    world.install()
    world.act("plan_row_fault", ids=people[::60], kind="locked")

    outcomes = world.connector.write(scores(world, people))

    again = [o for o in outcomes if o.answer is not Answer.ACCEPTED]
    assert [o.key for o in again] == people[::60]
    assert {o.family for o in again} == {Family.TRANSIENT}


def test_given_a_write_to_a_merged_record_then_it_is_gone(world: HubSpotWorld) -> None:
    loser, winner = world.add_people(2)
    world.install()
    world.merge(loser, winner)

    [outcome] = world.connector.write(scores(world, [loser]))

    assert (outcome.answer, outcome.family) == (Answer.REFUSED, Family.GONE)


@pytest.mark.parametrize("field", ["hs_email_optout", "no_such_property"])
def test_given_a_mapping_to_what_cannot_be_written_then_the_mapping_is_at_fault(
    world: HubSpotWorld, field: str
) -> None:
    people = world.add_people(3)

    outcomes = world.connector.write(
        [Write(key=id, object="contacts", record_id=id, fields={field: True}) for id in people]
    )

    assert {(o.answer, o.family, o.field) for o in outcomes} == {(Answer.REFUSED, Family.CONFIG, field)}


def test_given_a_property_dropped_between_two_polls_then_the_next_names_it(world: HubSpotWorld) -> None:
    [person] = world.add_people(1)
    world.install()
    score = world.own("score")
    cursor = world.connector.changes_since(world.people, None, [score]).next_cursor
    world.act("drop_property", name=score)
    world.touch([person])

    with pytest.raises(ConfigError, match=score):
        world.connector.changes_since(world.people, cursor, [score])
    with pytest.raises(ConfigError, match=score):
        world.connector.read("contacts", [person], [score])


def test_given_a_missing_scope_then_it_is_named_and_the_other_feeds_go_on(world: HubSpotWorld) -> None:
    world.add_people(1)
    world.act("set_scopes", token=PRIVATE_APP_KEY, scopes=["crm.objects.contacts.read", "crm.objects.contacts.write"])

    [records] = walk(world.connector, world.people, None)
    with pytest.raises(ConfigError, match=r"crm\.objects\.deals\.read"):
        world.connector.changes_since(feed_of(world, "deals"), None, [])
    failed = {check.name: check.advice for check in world.connector.permissions() if not check.passed}

    assert len(records) == 1
    assert "crm.objects.deals.read" in failed["deals"]
    assert "contacts" not in failed


def test_given_another_worker_renewed_and_spent_our_refresh_token_then_theirs_is_used(world: HubSpotWorld) -> None:
    people = world.add_people(3)
    world.act("set_behaviour", rotate_refresh_tokens=True)
    stored: dict[str, str] = dict(OAUTH)

    @contextmanager
    def hold() -> Iterator[Mapping[str, str]]:
        yield stored

    workers = [
        open_hubspot(
            base_url=world.url,
            credentials=dict(stored),
            meter=CountingMeter(),
            save_credentials=stored.update,
            now=world.clock.now,
            hold_credentials=hold,
        )
        for _ in range(4)
    ]
    for round in range(3):
        met = [sorted(next(walk(worker, world.people, None)).ids) for worker in workers]
        assert met == [sorted(people)] * 4, round
        world.expire_sessions()
    for worker in workers:
        worker.close()

    sign_ins = [call for call in world.journal.calls if call.operation == "sign_in"]
    assert [call.status for call in sign_ins] == [200] * 3


def test_given_an_oauth_sign_in_that_ends_when_walking_and_writing_then_both_go_on(world: HubSpotWorld) -> None:
    people = world.add_people(1_100)
    world.install()
    world.act("set_behaviour", rotate_refresh_tokens=True)
    connector = world.open(credentials=OAUTH)

    met = []
    for records in walk(connector, world.people, None):
        met += records.ids
        world.expire_sessions()
    world.expire_sessions()
    outcomes = connector.write(scores(world, people))

    assert sorted(met) == sorted(people)
    assert {o.answer for o in outcomes} == {Answer.ACCEPTED}
    tokens = [saved["refresh_token"] for saved in world.saved]
    assert len(set(tokens)) == len(tokens) == 4


def test_given_a_private_authority_then_the_portal_is_trusted_by_its_file_and_not_without(
    world: HubSpotWorld, tmp_path: Path
) -> None:
    files = certificate_in(tmp_path)
    credentials = {"method": "private_app", "access_token": PRIVATE_APP_KEY}
    with LiveServer(hubspot_app(world.portal), certificate=files.certificate, key=files.key) as server:

        def told(**more: str) -> str:
            connector = open_connector(
                CrmKind.HUBSPOT,
                base_url=server.url,
                credentials=credentials | more,
                meter=CountingMeter(),
                save_credentials=world.saved.append,
                now=world.clock.now,
            )
            with closing(connector):
                return connector.identity().org_id

        assert told(ca_file=str(files.authority)) == str(world.portal.portal_id)
        with pytest.raises(Exception, match="can't be reached"):
            told()


def test_given_owners_then_those_who_left_are_told_apart(world: HubSpotWorld) -> None:
    owners = world.portal.seed(
        "owners",
        [{"email": f"o{n}@example.com", "firstName": "O", "lastName": str(n), "userId": 100 + n} for n in range(3)],
    )
    world.act("archive_owner", id=owners[1])

    pages = list(walk(world.connector, feed_of(world, "owners"), None, "email"))

    lives = {id: life for page in pages for id, life in zip(page.ids, page.lives, strict=True)}
    assert lives == {owners[0]: Life.OPEN, owners[1]: Life.DELETED, owners[2]: Life.OPEN}


def test_given_our_property_with_another_type_when_installed_then_it_is_left_alone_with_advice(
    world: HubSpotWorld,
) -> None:
    world.act("set_property", name="crm_sync_score", type="string", fieldType="text", label="Mine")

    checks = {check.name: check for check in world.connector.install_fields("contacts", OWN_FIELDS)}

    assert [name for name, check in checks.items() if not check.passed] == ["crm_sync_score"]
    assert "number/number" in checks["crm_sync_score"].advice
    assert world.connector.catalogue("contacts")["crm_sync_score"].type is FieldType.TEXT


def test_given_our_bucket_without_an_option_when_installed_then_the_option_is_added(world: HubSpotWorld) -> None:
    world.install()
    options = [{"label": v, "value": v, "displayOrder": n, "hidden": False} for n, v in enumerate("ABE")]
    world.act("set_property", name="crm_sync_bucket", options=options)

    checks = {check.name: check for check in world.connector.install_fields("contacts", OWN_FIELDS)}

    assert all(check.passed for check in checks.values())
    assert "C, D" in checks["crm_sync_bucket"].found
    assert set(world.connector.catalogue("contacts")["crm_sync_bucket"].options) == set("ABCDE")


def test_given_somebody_elses_property_in_our_group_when_removed_then_it_stays(world: HubSpotWorld) -> None:
    world.install()
    world.act("set_property", name="theirs", label="Theirs", type="string", fieldType="text", groupName="crm_sync")

    checks = world.connector.remove_fields("contacts", OWN_FIELDS)

    catalogue = world.connector.catalogue("contacts")
    assert all(check.passed for check in checks)
    assert "theirs" in catalogue
    assert not any(name.startswith("crm_sync_") for name in catalogue)
