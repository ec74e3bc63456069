"""Laws 1 and 4: a cursor moves with its rows, a feed has one reader, late rows are met, versions are real changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import yaml

from crm_sync.domain.changes import Walk
from crm_sync.domain.connections import ConnectionState
from crm_sync.domain.records import CrmKind
from crm_sync.flows.pull import pull
from crm_sync.sandbox.hubspot import PRIVATE_APP_KEY
from crm_sync.store import feeds
from crm_sync.store.engine import run
from tests.connectors.world import Trouble
from tests.flows.sites import SPAN, Site


def _feed(site: Site, name: str) -> Any:
    [row] = site.office.ask("SELECT * FROM feed WHERE connection_id = :id AND name = :name", id=site.id, name=name)
    return row


def test_given_a_store_that_fails_when_a_page_is_pulled_then_neither_rows_nor_cursor_move(site: Site):
    [lead] = site.add()
    site.pull()
    before = _feed(site, site.world.people.name)
    site.later(seconds=90)
    site.edit(lead, title="VP Sales")
    site.office.ask_as_owner("ALTER TABLE inbox ADD CONSTRAINT broken CHECK (person_id < 0) NOT VALID")

    with pytest.raises(Exception, match="broken"):
        site.pull_feed(site.world.people)

    after = _feed(site, site.world.people.name)
    assert (after.cursor, after.watermark) == (before.cursor, before.watermark)
    assert len(site.versions(lead)) == 1
    assert after.lease_token is None

    site.office.ask_as_owner("ALTER TABLE inbox DROP CONSTRAINT broken")
    site.settle()
    assert site.value(lead, "score") is not None
    assert len(site.versions(lead)) == 2


def test_given_another_worker_took_the_feed_over_when_a_page_arrives_then_it_is_rolled_back(site: Site):
    [lead] = site.add()
    source, now = site.source(site.world.people), site.now

    class Slow:
        """A CRM so slow that the lease lapses and somebody else takes the feed meanwhile."""

        def __getattr__(self, name: str) -> Any:
            return getattr(site.connector, name)

        def changes_since(self, *asked: Any) -> Any:
            page = site.connector.changes_since(*asked)
            with site.transaction() as session:
                later = now + SPAN + timedelta(seconds=1)
                assert feeds.lease(session, site.id, source.feed.name, later, span=SPAN)
            return page

    pulled = pull(site.transaction, site.source(site.world.people, Slow()), now, span=SPAN)

    assert pulled.problem == "another worker took the feed over"
    assert site.office.count("record") == 0
    assert _feed(site, source.feed.name).cursor is None
    site.later(seconds=SPAN.total_seconds() * 3)
    site.settle()
    assert site.shown(lead)["state"] == "scored"


def test_given_two_workers_when_they_want_one_feed_then_one_reads_and_the_other_leaves(site: Site):
    site.add(2)
    source, now, ready = site.source(site.world.people), site.now, Barrier(2)

    def work(_: int) -> int:
        ready.wait()
        return pull(site.transaction, source, now, span=SPAN).rows

    with ThreadPoolExecutor(2) as workers:
        read = sorted(workers.map(work, range(2)))

    assert read == [0, 2]
    assert site.office.count("record_version") == 2


def test_given_many_leads_of_one_second_when_pages_split_them_then_each_is_met_once(site: Site):
    leads = site.add(6)
    site.world.tie(leads, site.now - timedelta(minutes=2))
    if site.kind is CrmKind.SALESFORCE:
        site.act("set_page_sizes", sizes=[2, 1])

    site.settle()

    assert {site.shown(lead)["state"] for lead in leads} == {"scored"}
    assert site.office.count("evaluation") == len(leads)
    assert site.office.count("record_version") == len(leads)


def test_given_a_row_that_becomes_visible_late_when_swept_then_it_is_evaluated(site: Site):
    [lead, other] = site.add(2)
    site.settle()
    site.world.hide(lead, seconds=120)
    site.later(seconds=60)
    site.world.touch([other])
    site.settle()
    assert len(site.versions(lead)) == 1

    site.later(seconds=100)
    site.pull(Walk.SWEEP)

    assert len(site.versions(lead)) == 2
    [waiting] = site.office.ask("SELECT person_id FROM inbox")
    assert waiting.person_id == site.person(lead)


def test_given_a_restamp_without_a_change_when_pulled_then_there_is_no_version_and_no_evaluation(site: Site):
    [lead] = site.add()
    site.settle()

    site.later(minutes=5)
    site.world.tie([lead], site.now)
    waiting = site.pull()

    assert waiting == 0
    assert len(site.versions(lead)) == 1


def test_given_an_edit_when_pulled_then_the_version_tells_when_it_was_true_and_when_it_was_known(site: Site):
    [lead] = site.add()
    site.settle()
    site.later(minutes=5)
    edited = site.now
    site.edit(lead, title="VP Sales")
    site.later(minutes=3)

    site.pull()

    first, second = site.versions(lead)
    assert abs(second.valid_from - edited) < timedelta(seconds=1)
    assert second.known_from == site.now
    assert first.known_from < edited
    assert second.fields.items() >= site.crm_fields(title="VP Sales").items()


def test_given_an_activity_with_a_typed_date_when_pulled_then_it_is_known_from_its_creation(site: Site):
    [lead] = site.add()
    site.settle()
    site.later(days=40)

    call, entered = site.call_in(lead, on=site.now - timedelta(days=30)), site.now
    site.later(days=3)
    site.touch_call(call)
    site.pull()

    [activity] = site.office.ask("SELECT known_from FROM activity")
    assert abs(activity.known_from - entered) < timedelta(seconds=1)


def test_given_an_answer_that_never_comes_when_pulled_then_the_feed_says_why_and_is_read_again(site: Site):
    [lead] = site.add()
    site.world.trouble(Trouble.MAINTENANCE, path=site.world.change_path(), times=50)

    [pulled] = site.pull_feed(site.world.people)

    feed = _feed(site, site.world.people.name)
    assert pulled.problem
    assert feed.last_problem == pulled.problem
    assert feed.next_due > site.now
    assert feed.lease_token is None
    site.world.faults.clear()
    site.later(seconds=60)
    site.settle()
    assert site.shown(lead)["state"] == "scored"
    assert _feed(site, site.world.people.name).last_problem == ""


def test_given_a_wrong_credential_when_pulled_then_the_connection_waits_for_a_sign_in_and_the_audit_tells(site: Site):
    site.add()
    stranger = site.world.open(credentials=site.world.wrong_credentials())

    site.pull_feed(site.world.people, stranger)

    assert site.connection.state is ConnectionState.NEEDS_SIGN_IN
    assert site.connection.state_reason
    assert [entry.subject for entry in site.office.audit("connection_state")] == [f"connection:{site.id}"]
    with site.transaction() as session:
        assert feeds.due(session, site.now + timedelta(days=1)) == []


def test_given_a_scope_that_lacks_for_companies_when_pulled_then_people_are_scored_without_them(
    sites: tuple[Site, Site],
):
    _, site = sites
    [lead] = site.add()
    scopes = ["crm.objects.contacts.read", "crm.objects.contacts.write"]
    site.act("set_scopes", token=PRIVATE_APP_KEY, scopes=scopes)
    companies = next(feed for feed in site.world.connector.feeds() if feed.name == "companies")

    site.pull_feed(companies)
    site.pull_feed(site.world.people)
    site.office.evaluate_all(site.now)
    site.push()

    assert "crm.objects.companies.read" in _feed(site, "companies").last_problem
    assert site.connection.state is ConnectionState.ACTIVE
    assert site.shown(lead)["state"] == "scored"


def test_given_a_connection_paused_meanwhile_when_a_call_is_refused_then_it_stays_paused(site: Site):
    stranger = site.world.open(credentials=site.world.wrong_credentials())

    class Pausing:
        """An admin pauses while the CRM is being called."""

        def __getattr__(self, name: str) -> Any:
            return getattr(stranger, name)

        def changes_since(self, *asked: Any) -> Any:
            site.steer(ConnectionState.PAUSED)
            return stranger.changes_since(*asked)

    [pulled] = site.pull_feed(site.world.people, Pausing())

    assert pulled.problem
    assert site.connection.state is ConnectionState.PAUSED


def test_given_a_limit_when_a_feed_is_pulled_then_all_of_the_connection_waits_as_the_crm_asked(site: Site):
    site.add()
    site.world.limit(0)
    site.world.expire_sessions()

    site.pull_feed(site.world.people)

    until = site.connection.wait_until
    assert until is not None
    assert until > site.now
    with site.transaction() as session:
        assert feeds.due(session, site.now) == []
        assert feeds.due(session, until + timedelta(seconds=1)) != []


def test_given_a_limit_when_a_worker_reads_on_in_another_feed_then_the_crm_is_not_asked(site: Site):
    site.add()
    others = [site.source(feed) for feed in site.feeds() if feed.name != site.world.people.name]
    site.world.limit(0)
    site.world.expire_sessions()
    site.pull_feed(site.world.people)
    mark = site.mark()

    read = [pull(site.transaction, source, site.now, span=SPAN, early=True) for source in others]

    assert {page.problem for page in read} == {""}
    assert site.world.calls(mark) == []


def test_given_a_lease_of_a_worker_that_died_when_it_lapses_then_somebody_else_reads_on(site: Site):
    [lead] = site.add()
    with site.transaction() as session:
        assert feeds.lease(session, site.id, site.world.people.name, site.now, span=SPAN)

    mark = site.mark()

    assert site.pull_feed(site.world.people)[0].rows == 0
    assert site.world.calls(mark) == []  # who doesn't get the lease doesn't ask
    site.later(seconds=SPAN.total_seconds() + 1)
    site.settle()

    assert site.shown(lead)["state"] == "scored"


def test_given_a_deleted_lead_when_it_is_restored_then_it_is_evaluated_again(site: Site):
    [lead] = site.add()
    site.settle()
    site.later(minutes=10)
    site.world.delete(lead)
    site.settle()
    assert site.history(lead)[-1].state == "closed"

    site.later(minutes=10)
    site.undelete(lead)
    site.settle()

    assert site.record(lead).life == "open"
    assert site.history(lead)[-1].state == "scored"
    assert site.shown(lead)["state"] == "scored"


def test_given_a_feed_restarted_from_the_beginning_when_read_again_then_nothing_is_evaluated_or_written(site: Site):
    leads = site.add(3)
    site.settle()
    evaluations, mark = site.office.count("evaluation"), site.mark()
    with site.transaction() as session:
        run(session, "UPDATE feed SET cursor = NULL, watermark = NULL, next_due = :now", now=site.now)

    site.settle()

    assert site.office.count("evaluation") == evaluations
    assert site.written(*leads, since=mark) == []


def test_given_a_value_that_moved_no_stamp_when_its_object_is_read_whole_then_it_is_evaluated(site: Site):
    [lead] = site.add(title="Assistant")
    site.settle()
    site.later(hours=3)
    site.pull()
    stamp = site.record(lead).stamp
    site.edit(lead, title="Chief Executive Officer")
    site.world.tie([lead], stamp)

    site.later(minutes=5)
    site.pull(Walk.CHANGES, Walk.SWEEP)
    unseen = len(site.versions(lead))
    document = yaml.safe_load(site.mapping_text()) | {"reread": {site.object: 24}}
    site.publish(yaml.safe_dump(document))
    for feed in list(site.feeds(Walk.WHOLE)):
        site.pull_feed(feed)

    assert unseen == 1
    assert len(site.versions(lead)) == 2
    site.office.evaluate_all(site.now)
    assert len(site.history(lead)) == 2


def test_given_no_interval_when_feeds_are_followed_then_no_object_is_read_whole(site: Site):
    assert list(site.feeds(Walk.WHOLE)) == []
