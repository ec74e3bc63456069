"""The measures of the design as a table: floor, what we hold, and what was found in each scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_sync.domain.records import CrmKind

NAMES = {CrmKind.SALESFORCE: "Salesforce", CrmKind.HUBSPOT: "HubSpot"}
MISSED = "✗"
LEGS = ("pull", "pull_others", "evaluate", "push")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured in one scene: what `first`, `steady` and one `crm-sync poll` told, the yardstick beside it.

    `smaller` is the same CRM with fewer leads, to compare with; None in the smallest scene.
    """

    kind: CrmKind
    leads: int
    first: Mapping[str, Any]
    steady: Mapping[str, Any]
    poll_cpu: float
    yardstick: float
    smaller: Found | None = None

    @property
    def records(self) -> int:
        """Records of people, which a few more than people are."""
        return int(self.first["pull"]["rows"])

    def cpu_a_lead(self) -> float:
        return self._a_lead("cpu")

    def statements_a_lead(self) -> float:
        return self._a_lead("statements")

    def _a_lead(self, cost: str) -> float:
        return float(sum(self.first[leg][cost] for leg in LEGS) / self.records)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One row. `told` is what the table shows of a scene, `holds` whether that is what we hold."""

    name: str
    floor: str
    hold: str
    told: Callable[[Found], str]
    holds: Callable[[Found], bool] = lambda _: True

    def cell(self, found: Found) -> str:
        return self.told(found) + ("" if self.holds(found) else f" {MISSED}")


def _by_crm(found: Found, salesforce: float, hubspot: float) -> float:
    return salesforce if found.kind is CrmKind.SALESFORCE else hubspot


def _legs(found: Found, unit: Callable[[Mapping[str, Any]], float], form: str) -> str:
    """Pull (with what belongs to people), evaluate and push, each a lead."""
    parts = [
        (unit(found.first["pull"]) + unit(found.first["pull_others"])) / found.records,
        unit(found.first["evaluate"]) / found.records,
        unit(found.first["push"]) / found.records,
    ]
    return " + ".join(format(part, form) for part in parts)


def _ratio(found: Found) -> float:
    return found.cpu_a_lead() / found.yardstick


def _falls(found: Found) -> bool:
    return found.smaller is None or found.cpu_a_lead() < found.smaller.cpu_a_lead()


def _memory_grows(found: Found) -> float:
    return float(found.first["peak_memory"] / found.smaller.first["peak_memory"]) if found.smaller else 1.0


def _pushed_by(found: Found) -> float:
    """Calls for each 1,000 records of the first push: what a batch holds differs, leads alone or contacts too."""
    return float(found.first["push"]["calls"] / found.first["push"]["delivered"] * 1_000)


def _stays_flat(found: Found) -> bool:
    """The same calls for the same changes in a larger table; of pushes, on the average of all full batches."""
    small = found.smaller
    return small is None or (
        found.steady["pull"]["calls"] == small.steady["pull"]["calls"]
        and _pushed_by(found) <= max(_pushed_by(small), float(small.first["push_batch"]["calls"])) * 1.1
    )


def _rows_a_second(found: Found) -> float:
    return float(found.first["pull"]["rows"] / found.first["pull"]["cpu"])


MEASURES: Sequence[Measure] = (
    Measure(
        name="calls for 1,000 changed leads pulled (Salesforce / HubSpot)",
        floor="1 / 5",
        hold="≤ 2 / ≤ 6",
        told=lambda f: f"{f.steady['pull']['calls']}",
        holds=lambda f: f.steady["pull"]["rows"] == 1_000 and f.steady["pull"]["calls"] <= _by_crm(f, 2, 6),
    ),
    Measure(
        name="calls for 1,000 pushed, guarded (Salesforce / HubSpot)",
        floor="2 / 20",
        hold="≤ 4 / ≤ 21",
        told=lambda f: f"{f.first['push_batch']['calls']}",
        holds=lambda f: (
            f.first["push_batch"]["delivered"] == 1_000 and f.first["push_batch"]["calls"] <= _by_crm(f, 4, 21)
        ),
    ),
    Measure(
        name="both when the table is larger, changes fixed",
        floor="flat",
        hold="flat",
        told=lambda f: f"{f.steady['pull']['calls']} and {_pushed_by(f):.1f}",
        holds=_stays_flat,
    ),
    Measure(
        name="idle poll: calls / objects / field writes",
        floor="1 an object",
        hold="1 an object, 0 writes",
        told=lambda f: f"{f.steady['idle']['calls']} / {f.steady['idle']['objects']} / {f.steady['idle']['writes']}",
        holds=lambda f: (
            f.steady["idle"]["calls"] == f.steady["idle"]["objects"]
            and not f.steady["idle"]["rows"]
            and not f.steady["idle"]["writes"]
        ),
    ),
    Measure(
        name="writes after 10 echo cycles (evaluations)",
        floor="0",
        hold="0",
        told=lambda f: f"{f.steady['echo']['writes']} ({f.steady['echo']['people']})",
        holds=lambda f: not f.steady["echo"]["writes"],
    ),
    Measure(
        name="writes of what stood there already, all over",
        floor="0",
        hold="0",
        told=lambda f: f"{f.first['push']['no_op_writes'] + f.steady['push']['no_op_writes']}",
        holds=lambda f: not f.first["push"]["no_op_writes"] + f.steady["push"]["no_op_writes"],
    ),
    Measure(
        name="database statements a lead, BEGIN and COMMIT included",
        floor="–",
        hold="≤ 0.5, constant",
        told=lambda f: f"{f.statements_a_lead():.2f}",
        holds=lambda f: (
            f.statements_a_lead() <= 0.5
            and (f.smaller is None or f.statements_a_lead() < f.smaller.statements_a_lead() * 1.05)
        ),
    ),
    Measure(
        name="– of which pull + evaluate + push",
        floor="",
        hold="",
        told=lambda f: _legs(f, lambda leg: leg["statements"], ".2f"),
    ),
    Measure(
        name="peak memory of the process that does all three legs",
        floor="flat",
        hold="≤ 1.2 × the smaller",
        told=lambda f: f"{f.first['peak_memory'] / 1e6:.0f} MB",
        holds=lambda f: _memory_grows(f) <= 1.2,
    ),
    Measure(
        name="people's rows pulled and stored a CPU second, first pull",
        floor="110,000 parsed",
        hold="≥ 10,000",
        told=lambda f: f"{_rows_a_second(f):,.0f}",
        holds=lambda f: _rows_a_second(f) >= 10_000,
    ),
    Measure(
        name="CPU of an idle `crm-sync poll`, cold start included",
        floor="–",
        hold="≤ 1 s",
        told=lambda f: f"{f.poll_cpu:.2f} s",
        holds=lambda f: f.poll_cpu <= 1,
    ),
    Measure(
        name="CPU a lead, all three legs, against predict + exact contributions",
        floor="–",
        hold="≤ 10 ×, falling",
        told=lambda f: f"{f.cpu_a_lead() * 1e3:.2f} ms = {_ratio(f):.1f} ×",
        holds=lambda f: _ratio(f) <= 10 and _falls(f),
    ),
    Measure(
        name="– of which pull + evaluate + push, ms",
        floor="",
        hold="",
        told=lambda f: _legs(f, lambda leg: leg["cpu"] * 1e3, ".2f"),
    ),
)


def table(found: Sequence[Found]) -> str:
    """Every measure as a row of a Markdown table, one column a scene."""
    heads = [f"{NAMES[each.kind]} {each.leads:,}" for each in found]
    lines = [["measure", "floor", "we hold", *heads], ["---"] * (3 + len(found))]
    lines += [[row.name, row.floor, row.hold, *(row.cell(each) for each in found)] for row in MEASURES]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def missed(found: Sequence[Found]) -> list[str]:
    """What we don't hold, one line each."""
    return [
        f"{NAMES[each.kind]} {each.leads:,}: {row.name}: {row.told(each)}, we hold {row.hold}"
        for row in MEASURES
        for each in found
        if not row.holds(each)
    ]


def apart(found: Found) -> str:
    """What is read again whatever happens (law 3): calls each time, how often, and calls a day."""
    lines = [["feed", "calls", "every", "calls a day"], ["---"] * 4]
    day = 0.0
    for name, told in found.steady["apart"].items():
        daily = told["calls"] * 86_400 / told["every"]
        day += daily
        lines.append([name, str(told["calls"]), f"{told['every'] / 60:.0f} min", f"{daily:,.0f}"])
    lines.append(["all", "", "", f"{day:,.0f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
