"""`crm-sync policy …`: quality, consent, scoring and bucket rules; checked, published, shown."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_sync.cli import documents
from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json
from crm_sync.domain.policies import parse_policy
from crm_sync.errors import ConfigError
from crm_sync.examples import example_policy
from crm_sync.flows import publish as publishing
from crm_sync.store import versions

app = typer.Typer(
    help="Quality, consent, scoring and bucket rules: check, publish and show the policy.", no_args_is_help=True
)

File = Annotated[str, typer.Argument(help="A YAML file, or - for standard input.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: crm-sync policy check policy.yaml")
def check(file: File, json: Json = False) -> None:
    """Look whether a policy makes sense, and whom it would touch. Nothing is written."""
    policy = parse_policy(documents.read_text(file, what="policy"))
    documents.refuse("policy", policy.problems(), as_json=json)
    with opened() as installation:
        documents.tell_checked("policy", publishing.reach(installation.transaction), as_json=json)


@app.command(epilog="Example: crm-sync policy publish policy.yaml --reason 'Swiss leads may be scored'")
def publish(
    file: File,
    author: Annotated[str, typer.Option(help="Who publishes, for the audit log (default: who is logged in).")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Put a policy in force. Everybody is evaluated again, at low priority."""
    text = documents.read_text(file, what="policy")
    policy = parse_policy(text)
    documents.refuse("policy", policy.problems(), as_json=json)
    with opened() as installation:
        with installation.transaction() as session:
            standing = versions.policy(session)
        reach = publishing.reach(installation.transaction)
        repeats = standing is not None and standing.content_hash == policy.content_hash
        if not repeats and not documents.agrees(reach, yes=yes, as_json=json):
            documents.not_published()
        published = publishing.publish_policy(
            installation.transaction, policy, text, documents.publisher(author, reason), installation.now()
        )
        documents.tell_published("policy", published, reach, as_json=json)


@app.command(epilog="Example: crm-sync policy show > policy.yaml")
def show(json: Json = False) -> None:
    """Print the policy in force."""
    with opened() as installation, installation.transaction() as session:
        version = versions.policy(session)
    if version is None:
        raise ConfigError(
            "no policy is published yet; run `crm-sync policy publish FILE` (`crm-sync policy example` prints one)"
        )
    if json:
        emit_json({"content_hash": version.content_hash, "content": version.content})
    else:
        typer.echo(version.content.rstrip())


@app.command(epilog="Example: crm-sync policy example > policy.yaml")
def example() -> None:
    """Print a policy to start from."""
    typer.echo(example_policy().rstrip())
