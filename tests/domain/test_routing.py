"""Who gets which lead: when an owner may be routed, which rule takes a lead, and whose turn it is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.domain.policies import Member, PolicyVersion, parse_policy, routing_problems
from crm_sync.domain.routing import (
    Assignment,
    Lead,
    NotFound,
    Owner,
    OwnerNow,
    Owners,
    Seat,
    Seats,
    Skipped,
    Taken,
    Undecided,
    Why,
    matching_rules,
    route,
    seats_of,
    take_turn,
    why_routed,
)
from crm_sync.errors import ConfigError
from crm_sync.examples import example_policy
from tests.factories import a_policy

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
QUEUE = Owner(crm_id="00G1", name="Inbound", is_queue=True, active=True)
PEOPLE = [Owner(crm_id=f"005{n}", name=f"Rep {n}", is_queue=False, active=True) for n in range(1, 21)]


def routing(**sections: Any) -> dict[str, Any]:
    """Routing in one connection: one pool of three, and the catch-all."""
    return {
        "connections": {"org": {"since": SINCE, "fallback": "Inbound"}},
        "pools": {"sales": {"connection": "org", "members": ["Rep 1", "Rep 2", "Rep 3"]}},
        "rules": [{"name": "sales", "to": {"pool": "sales"}}, {"name": "rest", "to": "fallback"}],
    } | sections


def routed(**sections: Any) -> PolicyVersion:
    return a_policy(routing=routing(**sections))


def owners(*more: Owner, without: tuple[str, ...] = ()) -> Owners:
    return Owners({"org": [o for o in (QUEUE, *PEOPLE, *more) if o.name not in without], "portal": [QUEUE, *PEOPLE]})


def a_lead(number: int = 1, **changed: Any) -> Lead:
    values = {
        "record_id": number,
        "connection": "org",
        "owner": None,
        "account_owners": frozenset(),
        "may_contact": True,
        "consented": True,
        "why": Why.FIRST,
        "rules": (0, 1),
    }
    return Lead(**values | changed)


def seats_for(policy: PolicyVersion, found: Owners) -> Seats:
    return Seats(pools={name: seats_of(pool, found) for name, pool in policy.routing.pools.items()})


def share_out(policy: PolicyVersion, leads: list[Lead], found: Owners | None = None) -> list[Assignment | Undecided]:
    found = found or owners()
    return route(leads, policy.routing, found, seats_for(policy, found))


def owner_now(**changed: Any) -> OwnerNow:
    values = {
        "owner": None,
        "accepted": None,
        "unassigned": False,
        "owner_left": False,
        "last": None,
        "last_why": None,
        "last_owner_left": False,
        "asked": False,
    }
    return OwnerNow(**values | changed)


OURS = {"owner": "0051", "accepted": "0051", "last": Taken.ACCEPTED, "last_why": Why.FIRST}


@pytest.mark.parametrize(
    ("lead", "why"),
    [
        pytest.param({}, Why.FIRST, id="new-and-nobodys"),
        pytest.param({"owner": "00G1", "unassigned": True}, Why.FIRST, id="new-and-in-the-queue-of-nobody"),
        pytest.param({"owner": "0052"}, None, id="somebody-set-the-owner"),
        pytest.param({"owner": "0052", "asked": True}, None, id="somebody-set-the-owner-though-asked"),
        pytest.param({"owner": "0052", "owner_left": True}, None, id="somebody-set-an-owner-who-left"),
        pytest.param(OURS, None, id="ours"),
        pytest.param(OURS | {"asked": True}, Why.REROUTE, id="ours-and-asked"),
        pytest.param(OURS | {"owner_left": True}, Why.OWNER_LEFT, id="ours-and-left"),
        pytest.param(OURS | {"owner": "0052"}, None, id="ours-until-somebody-took-it"),
        pytest.param(OURS | {"owner": "0052", "owner_left": True}, None, id="taken-over-by-somebody-who-left"),
        pytest.param({"last": Taken.TAKEN, "last_why": Why.FIRST, "asked": True}, None, id="under-way"),
        pytest.param({"last": Taken.GAVE_WAY, "last_why": Why.FIRST}, None, id="gave-way-and-nobodys-again"),
        pytest.param({"last": Taken.DROPPED, "last_why": Why.FIRST}, Why.FIRST, id="overtaken-before-the-write"),
        pytest.param({"last": Taken.REFUSED, "last_why": Why.FIRST}, None, id="refused"),
        pytest.param({"last": Taken.REFUSED, "last_owner_left": True}, Why.OWNER_LEFT, id="refused-and-left"),
    ],
)
def test_what_lets_a_lead_be_routed(lead: dict[str, Any], why: Why | None):
    assert why_routed(owner_now(**lead), created_at=SINCE, since=SINCE) is why


def test_given_a_lead_older_than_routing_then_it_is_routed_only_when_asked():
    old = SINCE - timedelta(seconds=1)

    assert why_routed(owner_now(), created_at=old, since=SINCE) is None
    assert why_routed(owner_now(asked=True), created_at=old, since=SINCE) is Why.REROUTE


weights = st.lists(st.integers(1, 100), min_size=1, max_size=20)


@given(weights, st.integers(1, 400))
@settings(max_examples=200, deadline=None)
def test_at_every_step_everybody_is_within_one_of_their_fair_share(shares: list[int], leads: int):
    seats = [Seat(member=Member(who=str(n), weight=w), owner=PEOPLE[n]) for n, w in enumerate(shares)]
    counts, total = Counter[str](), sum(shares)

    for given_so_far in range(1, leads + 1):
        counts[take_turn(seats).member.who] += 1

        for seat in seats:
            fair = given_so_far * seat.member.weight / total
            assert abs(counts[seat.member.who] - fair) < 1 or len(seats) == 1
        assert sum(seat.turn for seat in seats) == 0


def test_given_one_heavy_among_many_light_then_the_share_holds_where_the_highest_credit_strays():
    """By the highest credit alone, one of these would be 1.27 leads away from their share."""
    shares = [1, 1, 1, 93, 5, 5, 5, 1, 2, 3, 71, 3, 5, 5, 1, 1, 3, 3, 1, 5]
    seats = [Seat(member=Member(who=str(n), weight=w), owner=PEOPLE[n]) for n, w in enumerate(shares)]

    furthest = 0.0
    for _ in range(3 * sum(shares)):
        take_turn(seats)
        furthest = max(furthest, max(abs(seat.turn) for seat in seats) / sum(shares))

    assert furthest < 1


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["takes", "leaves", "returns"])), max_size=120))
@settings(max_examples=100, deadline=None)
def test_whoever_is_away_gets_nothing_and_who_returns_gets_no_more_than_catches_up(steps: list[tuple[int, str]]):
    seats = [Seat(member=Member(who=str(n)), owner=PEOPLE[n]) for n in range(5)]
    here = set(range(5))
    for who, what in steps:
        if what == "leaves" and len(here) > 1:
            here.discard(who % 5)
        elif what == "returns":
            here.add(who % 5)
        before = {n: seats[n].turn for n in range(5)}

        chosen = take_turn([seats[n] for n in sorted(here)])

        assert int(chosen.member.who) in here
        assert all(seats[n].turn == before[n] for n in range(5) if n not in here)
        assert all(abs(seat.turn) <= 2 * 5 for seat in seats)


@given(st.integers(1, 60), st.permutations(range(60)))
@settings(max_examples=50, deadline=None)
def test_the_same_leads_in_any_order_get_the_same_owners(count: int, order: list[int]):
    policy = routed()
    leads = [a_lead(number) for number in range(1, count + 1)]
    shuffled = [leads[n] for n in order if n < count]

    first = {each.lead.record_id: each.owner for each in share_out(policy, leads) if isinstance(each, Assignment)}
    again = {each.lead.record_id: each.owner for each in share_out(policy, shuffled) if isinstance(each, Assignment)}

    assert first == again
    assert max(Counter(first.values()).values()) - min([*Counter(first.values()).values(), count // 3]) <= 1


@given(st.integers(0, 40), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_every_lead_gets_exactly_one_owner_and_no_limit_is_passed(count: int, a_day: int, at_once: int):
    members = [{"who": "Rep 1", "per_day": a_day}, {"who": "Rep 2", "open_leads": at_once}]
    policy = routed(pools={"sales": {"connection": "org", "members": members}})

    decided = share_out(policy, [a_lead(number) for number in range(1, count + 1)])

    assert [each.lead.record_id for each in decided] == list(range(1, count + 1))
    got = Counter(each.owner for each in decided if isinstance(each, Assignment))
    assert sum(got.values()) == count
    assert got["0051"] <= a_day
    assert got["0052"] <= at_once
    assert got["00G1"] == max(0, count - got["0051"] - got["0052"])


def test_given_full_and_absent_members_when_routed_then_each_is_named_with_the_reason():
    gone = Owner(crm_id="0059", name="Rep 99", is_queue=False, active=False)
    members = [{"who": "Rep 1", "per_day": 1}, "Rep 99", "Nobody"]
    policy = routed(pools={"sales": {"connection": "org", "members": members}})

    _, second = share_out(policy, [a_lead(1), a_lead(2)], owners(gone))

    assert isinstance(second, Assignment)
    assert (second.rule, second.owner) == ("sales", "00G1")
    assert second.skipped == (
        Skipped(who="Rep 1", why="has had 1 of 1 today"),
        Skipped(who="Rep 99", why="has left"),
        Skipped(who="Nobody", why="is not known in the CRM"),
    )


def test_given_one_person_in_two_pools_when_routed_then_their_limit_counts_over_both():
    member = {"who": "Rep 1", "open_leads": 1}
    policy = routed(
        pools={name: {"connection": "org", "members": [member]} for name in ("one", "two")},
        rules=[
            {"name": "one", "to": {"pool": "one"}, "when": {"bucket": "A"}},
            {"name": "two", "to": {"pool": "two"}},
            {"name": "rest", "to": "fallback"},
        ],
    )

    decided = share_out(policy, [a_lead(1, rules=(0, 1, 2)), a_lead(2, rules=(1, 2))])

    assert [each.owner for each in decided if isinstance(each, Assignment)] == ["0051", "00G1"]


@pytest.mark.parametrize(
    ("account_owners", "owner", "why"),
    [
        pytest.param({"0057"}, "0057", None, id="one-owner"),
        pytest.param(set(), "0051", "no account with an owner is known", id="no-account"),
        pytest.param({"0057", "0058"}, "0051", "accounts of several owners", id="two-owners"),
        pytest.param({"00G1"}, "0051", "is a queue", id="a-queue"),
        pytest.param({"gone"}, "0051", "is not known in the CRM", id="unknown"),
    ],
)
def test_an_account_owner_goes_before_pools(account_owners: set[str], owner: str, why: str | None):
    policy = routed(
        rules=[
            {"name": "account", "to": "account_owner"},
            {"name": "sales", "to": {"pool": "sales"}},
            {"name": "rest", "to": "fallback"},
        ]
    )

    [each] = share_out(policy, [a_lead(account_owners=frozenset(account_owners), rules=(0, 1, 2))])

    assert isinstance(each, Assignment)
    assert each.owner == owner
    assert each.skipped == ((Skipped(who="account owner", why=why),) if why else ())


def test_given_a_pool_of_another_connection_then_its_rule_takes_no_lead_of_this_one():
    policy = routed(
        connections={name: {"since": SINCE, "fallback": "Inbound"} for name in ("org", "portal")},
        pools={
            "there": {"connection": "portal", "members": ["Rep 4"]},
            "here": {"connection": "org", "members": ["Rep 5"]},
        },
        rules=[
            {"name": "there", "to": {"pool": "there"}},
            {"name": "here", "to": {"pool": "here"}},
            {"name": "rest", "to": "fallback"},
        ],
    )

    decided = share_out(policy, [a_lead(1, rules=(0, 1, 2)), a_lead(2, connection="portal", rules=(0, 1, 2))])

    assert [each.owner for each in decided if isinstance(each, Assignment)] == ["0055", "0054"]


def test_given_a_lead_who_may_be_neither_mailed_nor_called_then_an_outbound_pool_is_passed_over():
    policy = routed(pools={"sales": {"connection": "org", "members": ["Rep 1"], "outbound": True}})

    [each] = share_out(policy, [a_lead(may_contact=False)])

    assert isinstance(each, Assignment)
    assert (each.rule, each.owner) == ("rest", "00G1")


def test_given_a_fallback_that_is_gone_then_nobody_gets_the_lead_and_the_reason_is_told():
    [each] = share_out(routed(), [a_lead(rules=(1,))], owners(without=("Inbound",)))

    assert isinstance(each, Undecided)
    assert each.skipped == (Skipped(who="Inbound", why="is not known in the CRM"),)


@pytest.mark.parametrize(
    ("who", "found"),
    [
        pytest.param("005000000000001", "005000000000001AAA", id="fifteen-characters"),
        pytest.param("005000000000001AAA", "005000000000001AAA", id="eighteen-characters"),
        pytest.param("ann lee", "005000000000001AAA", id="a-name-whatever-its-case"),
        pytest.param("Two Same", "is the name of several; give the id", id="two-of-a-name"),
        pytest.param("Once Twice", "one", id="two-of-a-name-one-left"),
        pytest.param("Old Hand", "has left", id="left"),
    ],
)
def test_owners_are_found_by_id_or_name(who: str, found: str):
    def owner(crm_id: str, name: str, *, active: bool = True) -> Owner:
        return Owner(crm_id=crm_id, name=name, is_queue=False, active=active)

    known = Owners(
        {
            "org": [
                owner("005000000000001AAA", "Ann Lee"),
                owner("a", "Two Same"),
                owner("b", "Two Same"),
                owner("one", "Once Twice"),
                owner("two", "Once Twice", active=False),
                owner("old", "Old Hand", active=False),
            ]
        }
    )

    answer = known.find("org", who)

    assert (answer.words if isinstance(answer, NotFound) else answer.crm_id) == found


def facts(**columns: Any) -> pl.DataFrame:
    """One evaluated row as routing rules see it."""
    row = {
        "country_code": "DE",
        "country_group": "eu",
        "region": "Bayern",
        "city": None,
        "industry": "Manufacturing",
        "employees": 300.0,
        "state": "scored",
        "connection_kind": "salesforce",
        "may_email": True,
        "may_phone": False,
        "lead_source": "Web",
        "bucket": "A",
        "score": 80,
    }
    return pl.DataFrame([row | columns])


TESTS = [
    pytest.param({"country_group": ["eu", "uk"]}, {}, True, id="one-of-some-groups"),
    pytest.param({"country_group": "uk"}, {}, False, id="another-group"),
    pytest.param({"region": "bayern"}, {}, True, id="whatever-the-case"),
    pytest.param({"company_size": "250-999"}, {}, True, id="company-size-of-employees"),
    pytest.param({"score": {"at_least": 70}}, {}, True, id="score-in-a-range"),
    pytest.param({"bucket": ["A", "B"], "connection_kind": "hubspot"}, {}, False, id="all-tests-must-pass"),
    pytest.param({"may_phone": True}, {}, False, id="may-not-be-called"),
    pytest.param({"city": "missing"}, {}, True, id="missing"),
    pytest.param({"bucket": "A"}, {"state": "consent_refused"}, False, id="bucket-without-consent"),
    pytest.param({"score": {"at_least": 0}}, {"state": "consent_unknown"}, False, id="score-without-consent"),
    pytest.param({"lead_source": "web"}, {"state": "consent_expired"}, False, id="source-without-consent"),
    pytest.param({"region": "Bayern"}, {"state": "consent_refused"}, True, id="territory-without-consent"),
    pytest.param({"state": "consent_refused"}, {"state": "consent_refused"}, True, id="the-state-itself"),
]


@pytest.mark.parametrize(("when", "columns", "matches"), TESTS)
def test_which_leads_a_rule_takes(when: dict[str, Any], columns: dict[str, Any], matches: bool):
    policy = routed(rules=[{"name": "some", "when": when, "to": {"pool": "sales"}}, {"name": "rest", "to": "fallback"}])

    assert matching_rules(policy, facts(**columns)) == [(0, 1) if matches else (1,)]


@given(st.integers(0, 100), st.integers(0, 100))
def test_given_the_best_leads_go_first_then_a_higher_score_never_moves_a_lead_down(one: int, other: int):
    policy = routed(
        rules=[
            {"name": f"from {edge}", "when": {"score": {"at_least": edge}}, "to": {"pool": "sales"}}
            for edge in (80, 50, 20)
        ]
        + [{"name": "rest", "to": "fallback"}]
    )

    lower, higher = (matching_rules(policy, facts(score=score))[0][0] for score in sorted((one, other)))

    assert higher <= lower


def test_the_shipped_policy_routes_nobody_and_has_no_problems():
    shipped = parse_policy(example_policy())

    assert shipped.routing.connections == {}
    assert shipped.problems() == []
    assert routing_problems(routed().routing) == []


SALES = {"name": "sales", "to": {"pool": "sales"}}
POOL = {"connection": "org", "members": ["Rep 1"]}
REST = {"name": "rest", "to": "fallback"}


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        pytest.param({"rules": [SALES]}, "the last rule must take every", id="no-catch-all"),
        pytest.param({"rules": []}, "the last rule must take every lead", id="no-rules"),
        pytest.param(
            {"rules": [{"name": "s", "to": {"pool": "sale"}}, REST]}, "no pool sale; did you mean sales?", id="no-pool"
        ),
        pytest.param(
            {"rules": [{"name": "s", "to": "fallback"}, SALES, REST]},
            "routing.rules.sales is never reached",
            id="never-reached",
        ),
        pytest.param({"pools": {"sales": POOL | {"connection": "other"}}}, "other is not under", id="no-connection"),
        pytest.param({"pools": {"sales": POOL | {"members": ["A B", "A B"]}}}, "A B is there twice", id="twice"),
        pytest.param(
            {"rules": [{"name": "s", "to": {"queue": "Q", "connection": "x"}}, REST]},
            "x is not under",
            id="queue-nowhere",
        ),
        pytest.param(
            {"rules": [SALES | {"when": {"bucket": "E"}}, REST]},
            "E never occurs",
            id="word",
        ),
        pytest.param(
            {"rules": [SALES | {"when": {"score": "A"}}, REST]},
            "a number",
            id="not-words",
        ),
        pytest.param(
            {"rules": [SALES | {"when": {"owner_id": "x"}}, REST]},
            "what we write can't be an input",
            id="own-output",
        ),
        pytest.param(
            {"rules": [SALES | {"when": {"buckets": "A"}}, REST]},
            "did you mean bucket?",
            id="no-such-column",
        ),
        pytest.param(
            {"rules": [REST | {"when": {"bucket": "A"}}, REST]}, "rest is the name of two rules", id="name-twice"
        ),
        pytest.param({"connections": {}}, "names none", id="rules-for-nothing"),
    ],
)
def test_what_makes_no_sense_is_told(sections: dict[str, Any], says: str):
    assert any(says in problem for problem in routed(**sections).problems())


@pytest.mark.parametrize(
    ("section", "says"),
    [
        pytest.param("routing: {pool: {}}", "did you mean pools?", id="unknown-key"),
        pytest.param(
            "routing: {connections: {org: {since: soon, fallback: Q}}}", "routing.connections.org.since", id="time"
        ),
        pytest.param(
            "routing: {pools: {a: {connection: org, members: [{who: A, weight: 0}]}}}",
            "routing.pools.a.members[0].weight",
            id="weight",
        ),
    ],
)
def test_what_has_the_wrong_form_is_told_with_its_place(section: str, says: str):
    text = example_policy()
    text = text[: text.index("routing:")] + section + "\n" if "\nrouting:" in text else text + "\n" + section + "\n"

    with pytest.raises(ConfigError) as refused:
        parse_policy(text)

    assert says in str(refused.value)


def test_a_plain_date_begins_at_midnight_utc_and_a_number_is_an_id():
    policy = parse_policy(
        example_policy().split("\nrouting:")[0]
        + "\nrouting:\n  connections: {org: {since: 2026-11-22, fallback: 96001}}\n"
        + "  rules: [{name: rest, to: fallback}]\n"
    )

    [connection] = policy.routing.connections.values()
    assert (connection.since, connection.fallback) == (datetime(2026, 11, 22, tzinfo=UTC), "96001")
