"""`crm-sync train`: a candidate from everything that was known, and a report that says what it is worth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say, table
from crm_sync.cli.prompts import user_name
from crm_sync.domain.reasons import field_name
from crm_sync.errors import ConfigError
from crm_sync.scoring.artifacts import Manifest
from crm_sync.scoring.conversions import AGES

DEFAULT_AGES = ",".join(f"{age.days}" for age in AGES)

NAMES = {"model": "CatBoost", "rules": "rules in force", "logistic": "logistic baseline"}


def train(
    seed: Annotated[int, typer.Option(min=0, help="Five models are fitted, from this seed on; the best is kept.")] = 0,
    as_of: Annotated[str, typer.Option("--as-of", help="Look at nothing later: a date or a time (default: now).")] = "",
    ages: Annotated[
        str, typer.Option(help="How many days after people became known to look back at them, with commas.")
    ] = DEFAULT_AGES,
    keep: Annotated[
        list[str] | None, typer.Option(help="A field to use although the leak check leaves it out; repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a candidate model on the history of the CRMs. Nobody is scored by it until you promote it."""
    from crm_sync.flows.train import Wanted
    from crm_sync.flows.train import train as flow

    wanted = Wanted(seed=seed, until=_moment(as_of), ages=_ages(ages), keep=tuple(keep or ()))
    with opened() as installation:
        candidate = flow(
            installation.transaction,
            installation,
            installation.models,
            installation.now(),
            wanted=wanted,
            author=user_name(),
        )
    if json:
        emit_json({"version": candidate.version, "new": candidate.is_new, **plain(candidate.manifest)})
        return
    show(candidate.manifest)
    again = "" if candidate.is_new else " It was there already: the same data and seed give the same version."
    say(f"\nCandidate {candidate.version}.{again} Put it in use with: crm-sync models promote {candidate.version}")


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--as-of {text!r} is no date or time; write 2026-11-22 or 2026-11-22T12:00:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _ages(text: str) -> tuple[timedelta, ...]:
    try:
        found = tuple(sorted({timedelta(days=float(each)) for each in text.split(",")}))
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--ages {text!r} are no numbers of days; write 0,7,30") from error
    if found[0] < timedelta(0):
        raise ConfigError("--ages may not be below 0: nobody is known before they are known")
    return found


def plain(manifest: Manifest) -> dict[str, Any]:
    """A manifest for JSON."""
    return manifest.model_dump(mode="json")


def show(manifest: Manifest) -> None:
    """A model version's report, as people read it."""
    report = manifest.report
    if report.provisional:
        say("Provisional: fewer than 120 conversions or 1,000 people. Train again when there are more.")
    sampled = f" (of {report.sampled_from:,})" if report.sampled_from > 50_000 else ""
    say(
        f"{report.people:,} people{sampled} up to {report.until:%Y-%m-%d %H:%M} UTC: {report.positives:,} converted "
        f"within {report.horizon_days} days of a snapshot, {report.negatives:,} did not. That horizon sees "
        f"{report.seen_by_horizon:.0%} of all conversions. Snapshots at "
        f"{', '.join(f'{age:g}' for age in report.ages_days)} days."
    )
    table(
        "\nDivided in time, no account on two sides",
        ["part", "from", "to", "people", "converted", "snapshots", "positive"],
        [
            [name, f"{f.since:%Y-%m-%d}", f"{f.until:%Y-%m-%d}", f.people, f.converted, f.snapshots, f.positives]
            for name, f in report.folds.items()
        ],
    )
    _show_left_out(manifest)
    _show_measures(manifest)
    strongest = [f"{field_name(field)} {share:.0f} %" for field, share in report.importance.items() if share >= 0.5]
    say(f"\nWhat moves the score most: {', '.join(strongest[:10])}.")


def _show_left_out(manifest: Manifest) -> None:
    report = manifest.report
    if report.people_left_out:
        say("\nPeople left out")
    for people in report.people_left_out:
        say(f"  {people.count:>7,}  {people.what.replace('_', ' ')}: {people.why}")
    if report.fields_left_out:
        say("\nFields left out")
    for field in report.fields_left_out:
        say(f"  {field.what}: {field.why}.")
    if report.assumed_static:
        say(f"\nTaken to be unchanged since the record was made: {', '.join(report.assumed_static)}.")
    if report.from_history:
        say(f"Taken back by the CRM's history rows: {', '.join(report.from_history)}.")


def _show_measures(manifest: Manifest) -> None:
    report = manifest.report
    table(
        "\nOn the newest ripe part, which nothing was fitted on",
        ["scorer", "AUC [95 %]", "log-loss", "Brier", "ECE", "its floor", "capture at 20 %"],
        [
            [
                NAMES[name],
                f"{m.auc:.3f} [{m.auc_low:.3f}, {m.auc_high:.3f}]",
                f"{m.log_loss:.3f}",
                f"{m.brier:.3f}",
                f"{m.ece:.3f}",
                f"{m.ece_floor:.3f}",
                f"{m.capture:.3f}",
            ]
            for name, m in report.measures.items()
        ],
    )
    edges = manifest.proposed
    model = report.measures["model"].buckets
    said = ", ".join(
        f"{name} {each.converted} of {each.snapshots}" if each.snapshots else f"{name} nobody"
        for name, each in model.items()
    )
    say(f"\nBuckets that it proposes: A from {edges.A}, B from {edges.B}, C from {edges.C}. Converted: {said}")
    say(
        f"({report.buckets}). Calibration: {report.calibration}. "
        f"Best of {len(report.seeds_log_loss)} seeds: {report.seed}."
    )
    warn(manifest)


def warn(manifest: Manifest) -> None:
    """Say so where the rules are the better choice."""
    model, rules = (manifest.report.measures[name] for name in ("model", "rules"))
    if model.auc < rules.auc:
        say(
            f"The rules in force rank the newest people better than this model does (AUC {rules.auc:.3f} against "
            f"{model.auc:.3f}): stay with them, and train again when more of the present market is known."
        )
