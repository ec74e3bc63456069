"""Who gets which lead: when an owner may be routed, whose rule takes a lead, and whose turn it is. Pure.

Turns, limits and users are handed in as they stand; taking them in one commit is `store/assignments.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import polars as pl

from crm_sync.domain.features import company_size
from crm_sync.domain.policies import (
    ROUTING_COLUMNS,
    Member,
    PolicyVersion,
    Pool,
    Routing,
    RoutingRule,
    ToPool,
    ToQueue,
)
from crm_sync.domain.rules import passes
from crm_sync.domain.states import CONSENT_STATES, State

ROUTABLE_STATES = (
    State.SCORED,
    State.NOT_ENOUGH_DATA,
    State.CONSENT_REFUSED,
    State.CONSENT_EXPIRED,
    State.CONSENT_UNKNOWN,
)
"""A lead without consent to scoring is still somebody's lead. Refused processing and erasure leave the owner alone;
test records, held and converted ones are nobody's."""

NOT_TERRITORY = ("lead_source", "bucket", "score")
"""What routing may not look at without consent to scoring (law 8)."""

GAVE_WAY = "gave way: somebody set the owner meanwhile"
NEW_OWNER_LEFT = "the new owner has left meanwhile; the lead is routed again"


class Why(StrEnum):
    """What lets a lead be routed. Nothing else does: no mapping, model, score, backfill or merge (law 9)."""

    FIRST = "first"
    OWNER_LEFT = "owner_left"
    REROUTE = "reroute"


class Taken(StrEnum):
    """What became of an assignment. DROPPED ones were overtaken before the CRM saw them, and are decided again."""

    TAKEN = "taken"
    ACCEPTED = "accepted"
    GAVE_WAY = "gave_way"
    REFUSED = "refused"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerNow:
    """Who owns a lead, and what is known about that. `last` is our newest assignment of it, `last_why` its reason.

    `owner_left` and `last_owner_left` say that the CRM shows them as inactive or not at all.
    """

    owner: str | None
    accepted: str | None
    unassigned: bool
    owner_left: bool
    last: Taken | None
    last_why: Why | None
    last_owner_left: bool
    asked: bool

    @property
    def may_be_routed(self) -> bool:
        """Blank, listed as nobody, or our own last accepted assignment; anything else somebody set (law 9)."""
        return not self.owner or self.unassigned or self.owner == self.accepted


def why_routed(lead: OwnerNow, *, created_at: datetime, since: datetime) -> Why | None:
    """What lets this lead be routed now, None where it stays with whom it is."""
    if lead.last is Taken.TAKEN or not lead.may_be_routed:
        return None
    if lead.asked:
        return Why.REROUTE
    if lead.owner and lead.owner == lead.accepted and lead.owner_left:
        return Why.OWNER_LEFT
    if lead.last is Taken.DROPPED:
        return lead.last_why
    if lead.last is Taken.REFUSED and lead.last_owner_left:
        return Why.OWNER_LEFT
    return Why.FIRST if lead.last is None and created_at >= since else None


def matching_rules(policy: PolicyVersion, facts: pl.DataFrame) -> list[tuple[int, ...]]:
    """For each row of `facts` the positions of the rules whose tests it passes, in their order.

    `facts` are evaluated rows and `connection_kind`. Without consent to scoring a rule sees territory alone.
    """
    silent = pl.col("state").is_in([state.value for state in CONSENT_STATES])
    seen = facts.with_columns(
        company_size(pl.col("employees")).alias("company_size"),
        *(pl.when(~silent).then(pl.col(name)).alias(name) for name in NOT_TERRITORY),
    ).select(*ROUTING_COLUMNS)
    passed = seen.select(
        pl.all_horizontal(pl.lit(True), pl.col("state").is_not_null(), *_tests(rule)).alias(str(position))
        for position, rule in enumerate(policy.routing.rules)
    )
    return [tuple(position for position, yes in enumerate(row) if yes) for row in passed.iter_rows()]


def _tests(rule: RoutingRule) -> list[pl.Expr]:
    return [passes(column, test) for column, test in rule.when.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Somebody, or a queue, that can own a lead in one connection."""

    crm_id: str
    name: str
    is_queue: bool
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """Why a word of the policy names no owner."""

    words: str


class Owners:
    """The users and queues of each connection, found by CRM id or by name."""

    def __init__(self, found: Mapping[str, Iterable[Owner]]) -> None:
        self._by_id: dict[tuple[str, str], Owner] = {}
        self._by_name: dict[tuple[str, str], list[Owner]] = {}
        for connection, owners in found.items():
            for owner in owners:
                self._by_id[connection, owner.crm_id] = owner
                # Salesforce's ids come with 15 or 18 characters; the last three only repeat the case of the others.
                if len(owner.crm_id) == 18:
                    self._by_id[connection, owner.crm_id[:15]] = owner
                self._by_name.setdefault((connection, owner.name.lower()), []).append(owner)

    def find(self, connection: str, who: str) -> Owner | NotFound:
        """The active owner that `who` means, or why there is none."""
        named = self._by_name.get((connection, who.lower()), [])
        found = self._by_id.get((connection, who)) or _only([owner for owner in named if owner.active])
        if found is not None:
            return found if found.active else NotFound(words="has left")
        if not named:
            return NotFound(words="is not known in the CRM")
        return NotFound(words="has left" if not any(o.active for o in named) else "is the name of several; give the id")

    def ids(self, connection: str, whos: Iterable[str]) -> list[str]:
        """The CRM ids of these owners, active or not; one that isn't known stands for itself."""
        found: list[str] = []
        for who in whos:
            known = self._by_id.get((connection, who))
            named = self._by_name.get((connection, who.lower()), [])
            found += [known.crm_id] if known else [owner.crm_id for owner in named] or [who]
        return list(dict.fromkeys(found))


def _only(owners: Sequence[Owner]) -> Owner | None:
    return owners[0] if len(owners) == 1 else None


@dataclass(slots=True, kw_only=True)
class Seat:
    """One member of a pool as it stands, and the turns that are taken from it while routing.

    `turn` is the credit: leads that would have been fair, less leads that were given, in units of one over the sum of
    the weights. `today` counts the day's leads of this pool.
    """

    member: Member
    owner: Owner | NotFound
    turn: int = 0
    today: int = 0
    given: int = 0


@dataclass(slots=True, kw_only=True)
class Seats:
    """Pools by name with their members' seats, and open leads by connection and owner. Routing changes them."""

    pools: Mapping[str, Sequence[Seat]]
    open_leads: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A lead to route: one CRM record. `rules` are the positions of the rules whose tests it passes.

    `account_owners` are the owners of its accounts, `may_contact` says that e-mail or phone is allowed,
    `consented` that the rules saw more than territory.
    """

    record_id: int
    connection: str
    owner: str | None
    account_owners: frozenset[str]
    may_contact: bool
    consented: bool
    why: Why
    rules: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A candidate that was passed over, and why."""

    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A lead with its new owner, the rule that said so, who was passed over, and the turns before and after."""

    lead: Lead
    rule: str
    owner: str
    pool: str = ""
    member: str = ""
    skipped: tuple[Skipped, ...] = ()
    turns_before: Mapping[str, int] = field(default_factory=dict)
    turns_after: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A lead that nobody can get: the fallback itself is missing. It is tried again."""

    lead: Lead
    skipped: tuple[Skipped, ...]


def route(leads: Iterable[Lead], routing: Routing, owners: Owners, seats: Seats) -> list[Assignment | Undecided]:
    """Give each lead to exactly one owner or queue, in the order of their record ids; `seats` change with it.

    The same leads, seats and owners give the same answer.
    """
    return [_route(lead, routing, owners, seats) for lead in sorted(leads, key=lambda lead: lead.record_id)]


def _route(lead: Lead, routing: Routing, owners: Owners, seats: Seats) -> Assignment | Undecided:
    skipped: list[Skipped] = []
    for rule in (routing.rules[position] for position in lead.rules):
        match rule.to:
            case "account_owner":
                found = _account_owner(lead, owners)
                if isinstance(found, Owner):
                    return _given(lead, rule, found, skipped)
                skipped.append(Skipped(who="account owner", why=found.words))
            case ToPool(pool=name):
                pool = routing.pools[name]
                if pool.connection != lead.connection:
                    continue
                if pool.outbound and not lead.may_contact:
                    skipped.append(Skipped(who=name, why="may be neither mailed nor called"))
                    continue
                return _take_turn(lead, rule, name, seats, skipped) or _fall_back(lead, rule, routing, owners, skipped)
            case ToQueue(queue=who, connection=connection):
                if connection != lead.connection:
                    continue
                queue = owners.find(connection, who)
                if isinstance(queue, Owner):
                    return _given(lead, rule, queue, skipped)
                skipped.append(Skipped(who=who, why=queue.words))
                return _fall_back(lead, rule, routing, owners, skipped)
            case _:
                return _fall_back(lead, rule, routing, owners, skipped)
    return Undecided(lead=lead, skipped=(*skipped, Skipped(who="every rule", why="doesn't match")))


def _account_owner(lead: Lead, owners: Owners) -> Owner | NotFound:
    if not lead.account_owners:
        return NotFound(words="no account with an owner is known")
    if len(lead.account_owners) > 1:
        return NotFound(words="accounts of several owners")
    [who] = lead.account_owners
    found = owners.find(lead.connection, who)
    return NotFound(words="is a queue") if isinstance(found, Owner) and found.is_queue else found


def _given(lead: Lead, rule: RoutingRule, owner: Owner, skipped: Sequence[Skipped]) -> Assignment:
    return Assignment(lead=lead, rule=rule.name, owner=owner.crm_id, skipped=tuple(skipped))


def _fall_back(
    lead: Lead, rule: RoutingRule, routing: Routing, owners: Owners, skipped: list[Skipped]
) -> Assignment | Undecided:
    who = routing.connections[lead.connection].fallback
    found = owners.find(lead.connection, who)
    if isinstance(found, Owner):
        return _given(lead, rule, found, skipped)
    return Undecided(lead=lead, skipped=(*skipped, Skipped(who=who, why=found.words)))


def _take_turn(lead: Lead, rule: RoutingRule, pool: str, seats: Seats, skipped: list[Skipped]) -> Assignment | None:
    """The next of the pool's members who can take a lead, and None where nobody can."""
    here: list[Seat] = []
    for seat in seats.pools[pool]:
        barred = _barred(seat, lead.connection, seats.open_leads)
        if barred:
            skipped.append(Skipped(who=seat.member.who, why=barred))
        else:
            here.append(seat)
    if not here:
        return None
    before = {seat.member.who: seat.turn for seat in here}
    chosen = take_turn(here)
    assert isinstance(chosen.owner, Owner)
    chosen.today += 1
    chosen.given += 1
    held = (lead.connection, chosen.owner.crm_id)
    seats.open_leads[held] = seats.open_leads.get(held, 0) + 1
    given = _given(lead, rule, chosen.owner, skipped)
    after = {seat.member.who: seat.turn for seat in here}
    return replace(given, pool=pool, member=chosen.member.who, turns_before=before, turns_after=after)


def _barred(seat: Seat, connection: str, open_leads: Mapping[tuple[str, str], int]) -> str:
    """Why a member can't take a lead now, empty where they can."""
    if isinstance(seat.owner, NotFound):
        return seat.owner.words
    if seat.member.per_day is not None and seat.today >= seat.member.per_day:
        return f"has had {seat.today} of {seat.member.per_day} today"
    held = open_leads.get((connection, seat.owner.crm_id), 0)
    if seat.member.open_leads is not None and held >= seat.member.open_leads:
        return f"holds {held} of {seat.member.open_leads} open leads"
    return ""


def take_turn(seats: Sequence[Seat]) -> Seat:
    """Whose turn it is among `seats`; their credits move.

    Each turn everybody earns their weight, and who is chosen pays the sum of the weights. Among those whose credit is
    due, the one whose lead would be overdue first is chosen: after any number of leads everybody is within one of
    their fair share (R. Tijdeman, The chairman assignment problem, 1980). Choosing the highest credit instead, as
    smooth weighted round robin usually does, strays by more than one with one heavy weight among many light ones.
    """
    total = sum(seat.member.weight for seat in seats)
    for seat in seats:
        # A weight that was changed, or members who left, may leave more credit behind than one turn can be worth.
        seat.turn = max(-total, min(total, seat.turn)) + seat.member.weight
    slack = max(2 * len(seats) - 2, 1)
    due = [seat for seat in seats if seat.turn * slack >= total] or [max(seats, key=lambda seat: seat.turn)]
    chosen = min(due, key=lambda seat: (total * (slack - 1) - seat.turn * slack) / seat.member.weight)
    chosen.turn -= total
    return chosen


def seats_of(pool: Pool, owners: Owners) -> list[Seat]:
    """The members of a pool in the policy's order, nobody having had a turn."""
    return [Seat(member=member, owner=owners.find(pool.connection, member.who)) for member in pool.members]
