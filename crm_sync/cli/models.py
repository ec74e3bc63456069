"""`crm-sync models …`: model versions, which one is in use, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError

from crm_sync.cli import documents
from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say, table
from crm_sync.cli.prompts import agreed, picked, somebody_is_there
from crm_sync.cli.train import plain, show, warn
from crm_sync.domain.policies import Buckets
from crm_sync.domain.scores import Bucket, Scorer, counted
from crm_sync.errors import ConfigError
from crm_sync.flows import publish as publishing
from crm_sync.flows.evaluate import Foreseen, foresee
from crm_sync.flows.publish import Reach
from crm_sync.scoring.artifacts import Manifest
from crm_sync.store import model_versions
from crm_sync.store.model_versions import ModelVersion

if TYPE_CHECKING:  # importing it loads CatBoost, which takes a second that most commands don't need
    from crm_sync.flows.promote import Promoted
    from crm_sync.wiring import Installation

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


@app.command(epilog="Example: crm-sync models promote 3f2a91c0 --buckets proposed --yes")
def promote(
    version: Version,
    author: Author = "",
    reason: Reason = "",
    buckets: Annotated[
        Literal["proposed", "kept"] | None,
        typer.Option(help="Bucket edges: those that the model proposes, or those of the policy in force."),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put a model version in use. Everybody is evaluated again, at low priority."""
    from crm_sync.flows import promote as promoting
    from crm_sync.scoring import scorer

    by = documents.publisher(author, reason)
    with opened() as installation:
        chosen = promoting.found(installation.transaction, version)
        reach = publishing.reach(installation.transaction)
        edges = _Edges(standing=_standing(installation), fitting=_manifest(chosen).proposed, name="proposed")
        if not json and not (chosen.champion and edges.agree):
            documents.tell_reach(reach)
            edges.tell(_foreseen(installation, scorer.load(installation.models, chosen.name)))
            warn(_manifest(chosen))
        adopt = edges.chosen(buckets, ask=not yes and not json)
        nothing_to_do = chosen.champion and not adopt
        _agree(reach, f"Promote {chosen.name}?", yes=yes or nothing_to_do)
        done = promoting.promote(
            installation.transaction,
            installation.models,
            chosen.name,
            installation.now(),
            author=by.author,
            reason=by.reason,
            adopt_buckets=adopt,
        )
        _tell(done, _standing(installation), as_json=json)


@app.command(epilog="Example: crm-sync models rollback --buckets earlier --yes")
def rollback(
    author: Author = "",
    reason: Reason = "",
    buckets: Annotated[
        Literal["earlier", "kept"] | None,
        typer.Option(help="Bucket edges: those in force before the promotion, or those of the policy in force."),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Go back to what scored before the version in use was promoted: an earlier version, or the rules."""
    from crm_sync.flows import promote as promoting
    from crm_sync.scoring import scorer

    by = documents.publisher(author, reason)
    with opened() as installation:
        with installation.transaction() as session:
            back = model_versions.way_back(session)
        adopt = False
        if back:
            standing, earlier = _standing(installation), promoting.policy_before(back)
            edges = _Edges(standing=standing, fitting=earlier.buckets if earlier else standing, name="earlier")
            reach = publishing.reach(installation.transaction)
            if not json:
                documents.tell_reach(reach)
                model = scorer.load(installation.models, back.version.name) if back.version else None
                edges.tell(_foreseen(installation, model))
            adopt = edges.chosen(buckets, ask=not yes and not json)
            _agree(reach, f"Go back to {back.version.name if back.version else 'the rules'}?", yes=yes)
        done = promoting.rollback(
            installation.transaction,
            installation.models,
            installation.now(),
            author=by.author,
            reason=by.reason,
            adopt_buckets=adopt,
        )
        _tell(done, _standing(installation), as_json=json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edges:
    """The bucket edges of the policy in force beside those that fit what is to score, `name` being the word for these.

    The policy owns them, so which count is for whoever decides to say (law 11).
    """

    standing: Buckets
    fitting: Buckets
    name: Literal["proposed", "earlier"]

    @property
    def agree(self) -> bool:
        return self.standing.edges() == self.fitting.edges()

    def tell(self, foreseen: Foreseen) -> None:
        """How many records would be in each bucket by either."""
        if not foreseen.people:
            return
        sampled = f", counted on {foreseen.people:,} of {foreseen.everybody:,} people"
        lines = [("kept", self.standing)] if self.agree else [("kept", self.standing), (self.name, self.fitting)]
        table(
            f"Records by bucket{sampled if foreseen.people < foreseen.everybody else ''}",
            ["edges", "", *Bucket],
            [[name, _edges(each), *counted(foreseen.scores, each).values()] for name, each in lines],
        )

    def chosen(self, word: str | None, *, ask: bool) -> bool:
        """Whether to publish the fitting ones. ConfigError where they differ, none is named and nobody can be asked."""
        if word or self.agree:
            return word == self.name and not self.agree
        if not ask or not somebody_is_there():
            raise ConfigError(
                f"the policy in force has {_edges(self.standing)}, and what is to score fits {_edges(self.fitting)}: "
                f"add --buckets {self.name} to publish the latter, or --buckets kept to leave the policy as it is"
            )
        return picked("Which bucket edges?", [self.name, "kept"]) == self.name


def _standing(installation: Installation) -> Buckets:
    with installation.transaction() as session:
        return installation.policy(session).buckets


def _foreseen(installation: Installation, scorer: Scorer | None) -> Foreseen:
    return foresee(installation.transaction, installation, scorer, installation.now())


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


def _agree(reach: Reach, question: str, *, yes: bool) -> None:
    """Where nobody would be touched there is nothing to ask."""
    if reach.people and not agreed(question, yes=yes):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(1)


def _edges(buckets: Buckets) -> str:
    return ", ".join(f"{name} from {edge}" for name, edge in buckets.edges())


def _tell(done: Promoted, edges: Buckets, *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "changed": done.changed,
                "version": done.version,
                "before": done.before,
                "people": done.people,
                "buckets": dict(edges.edges()),
            }
        )
    elif done.changed:
        say(
            f"✓ {done.version} is in use (before: {done.before}), with {_edges(edges)}. "
            f"{done.people:,} people will be evaluated again."
        )
    else:
        say(f"✓ {done.version} is in use already; nothing was changed.")
