"""`crm-sync models …`: model versions, which one is in use, and the way there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from crm_sync.cli import documents
from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say, table
from crm_sync.cli.prompts import agreed
from crm_sync.cli.train import plain, show
from crm_sync.domain.policies import Buckets
from crm_sync.errors import ConfigError
from crm_sync.flows import publish as publishing
from crm_sync.flows.publish import Reach
from crm_sync.scoring.artifacts import Manifest
from crm_sync.store import model_versions
from crm_sync.store.model_versions import ModelVersion

if TYPE_CHECKING:  # importing it loads CatBoost, which takes a second that most commands don't need
    from crm_sync.flows.promote import Promoted

app = typer.Typer(help="Model versions: list, show, promote one, or go back.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Version = Annotated[str, typer.Argument(help="A version, or the beginning of its name or hash.", show_default=False)]
Author = Annotated[str, typer.Option(help="Who decides, for the audit log (default: who is logged in).")]
Reason = Annotated[str, typer.Option(help="Why, for the audit log.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@app.command("list", epilog="Example: crm-sync models list")
def list_(json: Json = False) -> None:
    """List every model version, the newest first."""
    with opened() as installation, installation.transaction() as session:
        found = model_versions.listed(session)
    if json:
        emit_json([_line(each) for each in found])
        return
    if not found:
        say("No model yet: the rules score. Train one with: crm-sync train")
        return
    lines = []
    for each in found:
        line = _line(each)
        lines.append(
            [line["version"], "in use" if each.champion else "", f"{each.created_at:%Y-%m-%d %H:%M}", line["people"],
             line["positives"], line["horizon_days"], f"{line['auc']:.3f}", f"{line['auc_rules']:.3f}"]
        )  # fmt: skip
    table("", ["version", "", "trained", "people", "converted", "horizon", "AUC", "AUC of the rules"], lines)


@app.command("show", epilog="Example: crm-sync models show 3f2a91c0")
def show_(version: Version, json: Json = False) -> None:
    """Print the report of a model version."""
    from crm_sync.flows.promote import found

    with opened() as installation:
        chosen = found(installation.transaction, version)
    manifest = _manifest(chosen)
    if json:
        emit_json({"version": chosen.name, "champion": chosen.champion, **plain(manifest)})
        return
    say(f"{chosen.name}, trained {chosen.created_at:%Y-%m-%d %H:%M} UTC by {chosen.author}"
        f"{', in use' if chosen.champion else ''}")  # fmt: skip
    show(manifest)


@app.command(epilog="Example: crm-sync models promote 3f2a91c0 --yes")
def promote(
    version: Version,
    author: Author = "",
    reason: Reason = "",
    buckets: Annotated[
        bool, typer.Option("--buckets", help="Publish the bucket edges that the model proposes along with it.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put a model version in use. Everybody is evaluated again, at low priority."""
    from crm_sync.flows import promote as promoting

    by = documents.publisher(author, reason)
    with opened() as installation:
        chosen = promoting.found(installation.transaction, version)
        reach = publishing.reach(installation.transaction)
        if not json:
            with installation.transaction() as session:
                standing = installation.policy(session).buckets
            _tell_edges(_manifest(chosen), standing, adopt=buckets)
        _agree(reach, f"Promote {chosen.name}?", yes=yes or (chosen.champion and not buckets), as_json=json)
        done = promoting.promote(
            installation.transaction,
            installation.models,
            chosen.name,
            installation.now(),
            author=by.author,
            reason=by.reason,
            adopt_buckets=buckets,
        )
    _tell(done, as_json=json)


@app.command(epilog="Example: crm-sync models rollback --yes")
def rollback(author: Author = "", reason: Reason = "", yes: Yes = False, json: Json = False) -> None:
    """Go back to what scored before the version in use was promoted: an earlier version, or the rules."""
    from crm_sync.flows import promote as promoting

    by = documents.publisher(author, reason)
    with opened() as installation:
        with installation.transaction() as session:
            there, earlier = model_versions.before(session)
        if there:
            reach = publishing.reach(installation.transaction)
            _agree(reach, f"Go back to {earlier.name if earlier else 'the rules'}?", yes=yes, as_json=json)
        done = promoting.rollback(
            installation.transaction, installation.models, installation.now(), author=by.author, reason=by.reason
        )
    _tell(done, as_json=json)


def _line(version: ModelVersion) -> dict[str, object]:
    report = version.manifest["report"]
    return {
        "version": version.name,
        "champion": version.champion,
        "trained": version.created_at,
        "author": version.author,
        "people": report["people"],
        "positives": report["positives"],
        "horizon_days": report["horizon_days"],
        "provisional": report["provisional"],
        "auc": report["measures"]["model"]["auc"],
        "auc_rules": report["measures"]["rules"]["auc"],
    }


def _manifest(version: ModelVersion) -> Manifest:
    try:
        return Manifest.model_validate(version.manifest)
    except ValidationError as error:
        raise ConfigError(f"{version.name} was trained by another version of crm-sync; train again") from error


def _agree(reach: Reach, question: str, *, yes: bool, as_json: bool) -> None:
    """Law 17: how many records would change at most, before anything does."""
    if not as_json:
        documents.tell_reach(reach)
    if reach.people and not agreed(question, yes=yes):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(1)


def _tell_edges(manifest: Manifest, standing: Buckets, *, adopt: bool) -> None:
    proposed = _edges(manifest.proposed)
    if adopt:
        say(f"Its bucket edges come with it: {proposed}.")
    elif _edges(standing) != proposed:
        say(
            f"The policy in force has {_edges(standing)}; this model proposes {proposed}. Its scores are probabilities "
            f"of a conversion within {manifest.report.horizon_days} days: with --buckets its edges come along."
        )


def _edges(buckets: Buckets) -> str:
    return ", ".join(f"{name} from {edge}" for name, edge in buckets.edges())


def _tell(done: Promoted, *, as_json: bool) -> None:
    if as_json:
        emit_json({"changed": done.changed, "version": done.version, "before": done.before, "people": done.people})
    elif done.changed:
        say(f"✓ {done.version} is in use (before: {done.before}). {done.people:,} people will be evaluated again.")
    else:
        say(f"✓ {done.version} is in use already; nothing was changed.")
