"""A policy version: quality, consent, score, bucket and routing rules, immutable and named by content."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from crm_sync.domain import documents
from crm_sync.domain.columns import EXTRA_PREFIX, PERSON_COLUMNS, Direction, Kind
from crm_sync.domain.countries import CountryGroup
from crm_sync.domain.documents import Part, did_you_mean
from crm_sync.domain.features import CATEGORIES, FEATURES
from crm_sync.domain.quality import FINDING_WORDS
from crm_sync.domain.records import CrmKind
from crm_sync.domain.states import State

Points = Annotated[float, Field(ge=-100, le=100)]
Days = Annotated[float, Field(gt=0, le=3650)]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Range(Part):
    """A number between bounds; each may be left out."""

    at_least: float | None = None
    at_most: float | None = None


Test = Literal["known", "missing"] | bool | float | Range | Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""What a column must be: known, missing, a truth, a number, a range, or one of some words."""


class Rule(Part):
    """Points for people who pass every test in `when` (column to test)."""

    when: Annotated[dict[str, Test], Field(min_length=1)]
    points: Points


class ActivityRule(Part):
    """Points for each activity of a kind; they halve with every half-life that passes."""

    kinds: Annotated[tuple[Kind, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    points: Points
    direction: Direction | None = None
    outcomes: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    half_life_days: Days | None = None
    at_most: Annotated[float, Field(gt=0, le=100)] = 100.0


class Fit(Part):
    """How well person and company match, whatever they did: 0 to 100."""

    start: Annotated[float, Field(ge=0, le=100)] = 0.0
    rules: tuple[Rule, ...] = ()


class Engagement(Part):
    """What the person did lately, whoever they are: 0 to 100."""

    half_life_days: Days = 14.0
    activities: tuple[ActivityRule, ...] = ()
    rules: tuple[Rule, ...] = ()


class Weights(Part):
    """Shares of fit and engagement in the score by rules; together 1."""

    fit: Annotated[float, Field(ge=0, le=1)] = 0.5
    engagement: Annotated[float, Field(ge=0, le=1)] = 0.5


class ScorePolicy(Part):
    weights: Weights = Weights()
    fit: Fit = Fit()
    engagement: Engagement = Engagement()


class Buckets(Part):
    """The lowest score of each bucket; D is the rest. One once reached is kept until `hysteresis` below its edge."""

    A: Annotated[int, Field(ge=1, le=100)] = 70
    B: Annotated[int, Field(ge=1, le=100)] = 45
    C: Annotated[int, Field(ge=1, le=100)] = 20
    hysteresis: Annotated[int, Field(ge=0, le=20)] = 3

    def edges(self) -> tuple[tuple[str, int], ...]:
        return ("A", self.A), ("B", self.B), ("C", self.C)


Choice = Literal["allow", "block"]


class PurposePolicy(Part):
    """Whether somebody who never answered may be treated as if they agreed, by country group.

    Whoever has one of `legal_bases` is not unknown: it counts as allowed. A refusal always counts.
    """

    unknown: dict[CountryGroup, Choice] = Field(default_factory=dict)
    otherwise: Choice = "block"
    legal_bases: tuple[str, ...] = ()

    def groups_blocking_unknown(self) -> list[str]:
        return [group.value for group in CountryGroup if self.unknown.get(group, self.otherwise) == "block"]


class ConsentPolicy(Part):
    score: PurposePolicy = PurposePolicy()
    email: PurposePolicy = PurposePolicy()
    phone: PurposePolicy = PurposePolicy()
    tracking: PurposePolicy = PurposePolicy()


Severity = Literal["off", "note", "block"]


class NotScored(Part):
    """When there is no score for other reasons than consent, and what becomes of an old one."""

    needs: tuple[Annotated[tuple[str, ...], BeforeValidator(_as_tuple)], ...] = (("email", "phone", "mobile"),)
    converted: bool = True
    old_score: Literal["clear", "keep"] = "clear"


def _as_text(value: Any) -> Any:
    """HubSpot's ids are digits, which YAML reads as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_member(value: Any) -> Any:
    return value if isinstance(value, dict | BaseModel) else {"who": value}


Who = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
"""A user or queue of one connection, by CRM id or by name."""


class Reasons(Part):
    """What a reason may speak of beside what anybody may act on: `location` is country, region, city and the like."""

    location: Literal["hide", "show"] = "hide"


class Owners(Part):
    """Owners (CRM ids or names) that count as nobody: a lead they hold may be routed (law 9)."""

    unassigned: tuple[Who, ...] = ()


class Member(Part):
    """Somebody in a pool. Twice the weight is twice the leads; a limit that is left out is none."""

    who: Who
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    open_leads: Annotated[int | None, Field(ge=1)] = None
    per_day: Annotated[int | None, Field(ge=1)] = None


class Pool(Part):
    """People of one connection who take turns. An `outbound` one gets nobody who may be neither mailed nor called."""

    connection: str
    members: Annotated[tuple[Annotated[Member, BeforeValidator(_as_member)], ...], Field(min_length=1)]
    outbound: bool = False


class ToPool(Part):
    """Whose turn it is in this pool; where all are away or full, the fallback."""

    pool: str


class ToQueue(Part):
    """One user or queue of a connection; where it is gone, the fallback."""

    queue: Who
    connection: str


class RoutingRule(Part):
    """The first rule counts whose tests a lead passes and whose target is of the lead's connection.

    `account_owner` is passed over where the lead has no account or nobody active owns it.
    """

    name: Annotated[str, Field(min_length=1, max_length=80)]
    when: dict[str, Test] = Field(default_factory=dict)
    to: Literal["account_owner", "fallback"] | ToPool | ToQueue


class RoutedConnection(Part):
    """A connection whose leads are routed: those created from `since` on, and `fallback` gets whom nobody else can."""

    since: Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]
    fallback: Who


class Routing(Part):
    """Who gets which lead. Without connections nobody is routed; `objects` are the CRM objects that hold leads."""

    connections: dict[str, RoutedConnection] = Field(default_factory=dict)
    objects: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ("Lead", "contacts")
    pools: dict[str, Pool] = Field(default_factory=dict)
    rules: tuple[RoutingRule, ...] = ()


class PolicyVersion(Part):
    """Everything that a policy says. Equal content has an equal `content_hash`."""

    consent: ConsentPolicy
    score: ScorePolicy
    buckets: Buckets
    dead_band: Annotated[int, Field(ge=0, le=50)] = 5
    quality: dict[str, Severity] = Field(default_factory=dict)
    not_scored: NotScored = NotScored()
    reasons: Reasons = Reasons()
    owners: Owners = Owners()
    routing: Routing = Routing()

    def __hash__(self) -> int:
        return hash(self.content_hash)

    @cached_property
    def content_hash(self) -> str:
        return documents.content_hash(self)

    @property
    def rules_version(self) -> str:
        """The model version that a score by these rules names."""
        return f"rules-{self.content_hash[:8]}"

    def severity(self, finding: str) -> Severity:
        return self.quality.get(finding, "block" if finding == "test_data" else "note")

    def problems(self) -> list[str]:
        """What makes no sense though its form is right, one sentence each; empty where it may be published."""
        return [
            *self._bucket_problems(),
            *self._score_problems(),
            *self._other_problems(),
            *routing_problems(self.routing),
        ]

    def _bucket_problems(self) -> list[str]:
        found = []
        edges = self.buckets
        if not edges.A > edges.B > edges.C:
            found.append("buckets: A must begin above B and B above C.")
        elif edges.hysteresis >= min(edges.A - edges.B, edges.B - edges.C, edges.C):
            found.append("buckets.hysteresis is as wide as a bucket, so nobody would ever leave it; make it smaller.")
        return found

    def _score_problems(self) -> list[str]:
        found = []
        weights = self.score.weights
        if abs(weights.fit + weights.engagement - 1) > 1e-9:
            found.append("score.weights: fit and engagement must add up to 1.")
        for part, rules in (("fit", self.score.fit.rules), ("engagement", self.score.engagement.rules)):
            for number, rule in enumerate(rules):
                for column, test in rule.when.items():
                    found += (f"score.{part}.rules[{number}].when.{column}: {fault}" for fault in _faults(column, test))
        if not (self.score.fit.rules or self.score.engagement.activities or self.score.engagement.rules):
            found.append("score has no rule at all, so everybody would get the same score; start from the example.")
        return found

    def _other_problems(self) -> list[str]:
        unknown = [code for code in self.quality if code not in FINDING_WORDS]
        found = [f"quality: {code} is not a finding; {did_you_mean(code, list(FINDING_WORDS))}" for code in unknown]
        for group in self.not_scored.needs:
            for column in group:
                if column not in PERSON_COLUMNS:
                    hint = did_you_mean(column, list(PERSON_COLUMNS))
                    found.append(f"not_scored.needs: {column} is not a canonical column; {hint}")
        return found


RULE_COLUMNS = ("country_code", *FEATURES)
"""What rules may look at, beside extra columns: never status, owner or anything else that we write (law 2)."""


def _faults(column: str, test: Test) -> list[str]:
    if column.startswith(EXTRA_PREFIX):
        return []
    if column in ("status", "owner_id"):
        return ["what we write can't be an input; take the rule out."]
    if column not in RULE_COLUMNS:
        return [f"there is no such column; {did_you_mean(column, RULE_COLUMNS)}"]
    is_text = column == "country_code" or FEATURES[column].type == "category"
    if isinstance(test, tuple):
        if not is_text:
            return ["this column holds no words; use a number, a range, true or false, known or missing."]
        words = CATEGORIES.get(column)
        return [f"{word} never occurs; {did_you_mean(word, words)}" for word in test if words and word not in words]
    if is_text and test not in ("known", "missing"):
        return ["this column holds words; name one, a list of them, known or missing."]
    return []


ROUTING_COLUMNS: dict[str, Literal["words", "number", "truth"]] = {
    "country_code": "words",
    "country_group": "words",
    "region": "words",
    "city": "words",
    "industry": "words",
    "company_size": "words",
    "employees": "number",
    "state": "words",
    "connection_kind": "words",
    "may_email": "truth",
    "may_phone": "truth",
    "lead_source": "words",
    "bucket": "words",
    "score": "number",
}
"""What routing rules may look at. The last three are missing for people without consent to scoring (law 8)."""

_ROUTING_WORDS: dict[str, tuple[str, ...]] = {
    "country_group": CATEGORIES["country_group"],
    "company_size": CATEGORIES["company_size"],
    "state": tuple(State),
    "connection_kind": tuple(CrmKind),
    "bucket": ("A", "B", "C", "D"),
}


def routing_problems(routing: Routing) -> list[str]:
    """What makes no sense in routing rules, one sentence each; whether people and queues exist is not looked at."""
    if not routing.connections:
        return ["routing.connections names none, so the rules would never be used."] if routing.rules else []
    found = [
        f"routing.pools.{name}.connection: {pool.connection} is not under routing.connections."
        for name, pool in routing.pools.items()
        if pool.connection not in routing.connections
    ]
    for name, pool in routing.pools.items():
        whos = [member.who for member in pool.members]
        found += (f"routing.pools.{name}: {who} is there twice." for who in dict.fromkeys(whos) if whos.count(who) > 1)
    names = [rule.name for rule in routing.rules]
    found += (
        f"routing.rules: {name} is the name of two rules." for name in dict.fromkeys(names) if names.count(name) > 1
    )
    if not routing.rules or routing.rules[-1].when or routing.rules[-1].to != "fallback":
        found.append("routing.rules: the last rule must take every lead, so give it no `when` and `to: fallback`.")
    taken: set[str] = set()
    for rule in routing.rules:
        found += _rule_problems(routing, rule, taken)
        if not rule.when:
            taken |= _taken_by(routing, rule)
    return found


def _rule_problems(routing: Routing, rule: RoutingRule, taken: set[str]) -> list[str]:
    place = f"routing.rules.{rule.name}"
    found = [
        f"{place}.when.{column}: {fault}"
        for column, test in rule.when.items()
        for fault in _routing_faults(column, test)
    ]
    match rule.to:
        case ToPool(pool=pool) if pool not in routing.pools:
            hint = did_you_mean(pool, list(routing.pools)) if routing.pools else "there are no pools."
            found.append(f"{place}.to.pool: there is no pool {pool}; {hint}")
        case ToQueue(connection=connection) if connection not in routing.connections:
            found.append(f"{place}.to.connection: {connection} is not under routing.connections.")
    reached = _taken_by(routing, rule) or set(routing.connections)
    if reached <= taken and rule is not routing.rules[-1]:
        found.append(f"{place} is never reached, because an earlier rule takes every lead.")
    return found


def _taken_by(routing: Routing, rule: RoutingRule) -> set[str]:
    """The connections whose leads a rule can take; an account owner may always be missing."""
    match rule.to:
        case ToPool(pool=pool):
            return {routing.pools[pool].connection} if pool in routing.pools else set()
        case ToQueue(connection=connection):
            return {connection}
        case "fallback":
            return set(routing.connections)
        case _:
            return set()


def _routing_faults(column: str, test: Test) -> list[str]:
    if column in ("status", "owner_id"):
        return ["what we write can't be an input; take the test out."]
    if column not in ROUTING_COLUMNS:
        return [f"there is no such column; {did_you_mean(column, list(ROUTING_COLUMNS))}"]
    if test in ("known", "missing"):
        return []
    holds = ROUTING_COLUMNS[column]
    fits = {"words": isinstance(test, tuple), "truth": isinstance(test, bool)}
    if not fits.get(holds, isinstance(test, Range | float) and not isinstance(test, bool)):
        return [f"this column holds {_HOLDS[holds]}, or is known or missing."]
    known = _ROUTING_WORDS.get(column)
    if not known or not isinstance(test, tuple):
        return []
    return [f"{word} never occurs; {did_you_mean(word, known)}" for word in test if word not in known]


_HOLDS = {
    "words": "words: name one or a list of them",
    "number": "a number: name it or a range",
    "truth": "true or false",
}


def parse_policy(text: str) -> PolicyVersion:
    """A policy from its YAML text. Raises ConfigError with every problem of form in one message.

    What has the right form and still makes no sense is told by `problems()`.
    """
    return documents.parse(PolicyVersion, text, what="policy")


def with_buckets(text: str, buckets: Buckets, *, dead_band: int = 0) -> str:
    """A policy's YAML text with other bucket edges; every comment and every other line stays.

    The dead band becomes `dead_band` where it was smaller. One that is wider than the narrowest bucket becomes smaller:
    else a score would stand in the CRM that belongs to another bucket than the one beside it.
    """
    narrowest = min(buckets.A - buckets.B, buckets.B - buckets.C, buckets.C)
    edges = ", ".join(f"{name}: {edge}" for name, edge in buckets.model_dump().items())
    changed = documents.replaced(text, "buckets", f"{{{edges}}}")
    standing = parse_policy(text).dead_band
    fitting = min(max(standing, dead_band), max(0, narrowest - 1))
    return changed if fitting == standing else documents.replaced(changed, "dead_band", str(fitting))
