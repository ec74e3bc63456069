"""A policy version: quality, consent, score and bucket rules that RevOps publishes, immutable, named by content."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from crm_sync.domain import documents
from crm_sync.domain.columns import EXTRA_PREFIX, PERSON_COLUMNS, Direction, Kind
from crm_sync.domain.countries import CountryGroup
from crm_sync.domain.documents import Part, did_you_mean
from crm_sync.domain.features import CATEGORIES, FEATURES
from crm_sync.domain.quality import FINDING_WORDS

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


class Owners(Part):
    """Owners (CRM ids or names) that count as nobody: a lead they hold may be routed (law 9)."""

    unassigned: tuple[str, ...] = ()


class PolicyVersion(Part):
    """Everything that a policy says. Equal content has an equal `content_hash`."""

    consent: ConsentPolicy
    score: ScorePolicy
    buckets: Buckets
    dead_band: Annotated[int, Field(ge=0, le=50)] = 5
    quality: dict[str, Severity] = Field(default_factory=dict)
    not_scored: NotScored = NotScored()
    owners: Owners = Owners()

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
        return [*self._bucket_problems(), *self._score_problems(), *self._other_problems()]

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


def parse_policy(text: str) -> PolicyVersion:
    """A policy from its YAML text. Raises ConfigError with every problem of form in one message.

    What has the right form and still makes no sense is told by `problems()`.
    """
    return documents.parse(PolicyVersion, text, what="policy")


def with_buckets(text: str, buckets: Buckets) -> str:
    """A policy's YAML text with other bucket edges; every comment and every other line stays.

    A dead band that is wider than the narrowest bucket becomes smaller: else a score would stand in the CRM that
    belongs to another bucket than the one beside it.
    """
    narrowest = min(buckets.A - buckets.B, buckets.B - buckets.C, buckets.C)
    edges = ", ".join(f"{name}: {edge}" for name, edge in buckets.model_dump().items())
    changed = documents.replaced(text, "buckets", f"{{{edges}}}")
    if parse_policy(text).dead_band < narrowest:
        return changed
    return documents.replaced(changed, "dead_band", str(max(0, narrowest - 1)))
