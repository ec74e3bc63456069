"""What the legs cost, counted: calls at the CRM, field writes, statements at the driver. Never a stopwatch."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from crm_sync.bench.costs import Statements
from crm_sync.domain.changes import Walk
from crm_sync.domain.records import CrmKind
from tests.connectors.world import World
from tests.flows.sites import Office, Site

THOUSAND_PULLED = {CrmKind.SALESFORCE: 1, CrmKind.HUBSPOT: 5}
THOUSAND_PUSHED = {CrmKind.SALESFORCE: 2, CrmKind.HUBSPOT: 20}


def crowd(site: Site, n: int) -> list[str]:
    """People enough to be scored, added in one go."""
    if site.kind is CrmKind.HUBSPOT:
        site.act("set_limits", enforce=False)  # its clock stands still, and with it the calls of a second
    fields = site.crm_fields(title="Head of Purchasing", company="Acme", country="United States")
    return site.world.add_people(n, **fields)


def pull_people(site: Site) -> int:
    """Rows that the feed of people has now."""
    return sum(page.rows for page in site.pull_feed(site.world.people))


@pytest.mark.parametrize("others", [0, 2_000], ids=["alone", "among-others"])
def test_given_a_thousand_changed_when_pulled_then_the_calls_are_what_the_api_demands(site: Site, others: int) -> None:
    crowd(site, others)
    changed = crowd(site, 1_000)
    site.pull(Walk.CHANGES)
    site.later(minutes=5)
    pull_people(site)
    site.later(seconds=1)
    site.world.touch(changed)
    before = site.mark()

    rows = pull_people(site)

    assert rows == 1_000
    assert len(site.world.calls(before)) == THOUSAND_PULLED[site.kind]


def test_given_a_thousand_that_wait_when_pushed_then_each_is_read_and_written_in_full_calls(site: Site) -> None:
    crowd(site, 1_000)
    site.pull(Walk.CHANGES)
    site.office.evaluate_all(site.now)
    before = site.mark()

    pushed = site.push()

    assert pushed.delivered == 1_000
    assert len(site.world.calls(before)) == THOUSAND_PUSHED[site.kind]


def test_given_leads_and_contacts_with_consent_records_when_a_thousand_are_pushed_then_one_call_guards_them_all(
    office: Office, salesforce: World
) -> None:
    site = office.join(salesforce)
    org = salesforce.org  # type: ignore[attr-defined]
    consents = org.seed("Individual", [{"LastName": f"Person {n}"} for n in range(1_000)])
    rows = [
        {
            "LastName": f"Person {n}",
            "Email": f"person{n}@example.com",
            "Title": "Head of Purchasing",
            "IndividualId": id,
        }
        for n, id in enumerate(consents)
    ]
    org.seed("Lead", [{**row, "Company": "Acme", "Country": "United States"} for row in rows[:630]])
    org.seed("Contact", [{**row, "MailingCountry": "United States"} for row in rows[630:]])
    site.pull(Walk.CHANGES)
    office.evaluate_all(site.now)
    before = site.mark()

    pushed = site.push()

    assert pushed.delivered == 1_000
    assert [call.operation for call in salesforce.calls(before)] == ["composite", "composite", "composite"]
    assert len(site.written()) >= 1_000


def test_given_nothing_happened_when_polled_then_each_object_costs_one_call_and_no_write(site: Site) -> None:
    crowd(site, 50)
    site.settle()
    for _ in range(2):
        site.later(minutes=5)
        site.pull(Walk.CHANGES)
    before, objects = site.mark(), len(list(site.feeds(Walk.CHANGES)))

    waiting = site.pull(Walk.CHANGES)

    assert waiting == 0
    assert len(site.world.calls(before)) == objects
    assert not site.written(since=before)


def test_given_our_own_writes_when_they_come_back_ten_times_then_nobody_is_evaluated_or_written(site: Site) -> None:
    crowd(site, 50)
    site.pull(Walk.CHANGES)
    site.office.evaluate_all(site.now)
    assert site.push().delivered == 50
    before = site.mark()

    waited = [_cycle(site) for _ in range(10)]

    assert waited == [0] * 10
    assert not site.written(since=before)


def _cycle(site: Site) -> int:
    """A minute passes, and every leg looks. How many people waited because of it."""
    site.later(seconds=60)
    waiting = site.pull()
    site.office.evaluate_all(site.now)
    site.push()
    return waiting


def test_given_more_leads_when_taken_there_and_back_then_the_statements_for_each_do_not_grow(
    site: Site, engine: Engine
) -> None:
    statements = Statements(engine)

    few, many = (_statements_a_lead(site, statements, n) for n in (400, 1_200))

    assert few <= 0.5
    assert many <= few


def _statements_a_lead(site: Site, statements: Statements, n: int) -> float:
    """From the first page of changes to the last answer of the CRM, BEGIN and COMMIT included."""
    site.later(minutes=5)
    crowd(site, n)
    before = statements.sent
    assert pull_people(site) >= n
    assert site.office.evaluate_all(site.now) >= n
    while site.push().more:
        pass
    return (statements.sent - before) / n
