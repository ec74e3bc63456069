"""`crm-sync routing …`: who gets which lead; the rules checked, tried on the leads that are there, and used again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from crm_sync.cli import documents
from crm_sync.cli.explain import find
from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say, table
from crm_sync.cli.prompts import agreed
from crm_sync.domain.policies import PolicyVersion, parse_policy
from crm_sync.errors import ConfigError
from crm_sync.flows import reroute as rerouting
from crm_sync.flows.reroute import Load, Outlook, Preview
from crm_sync.store import connections
from crm_sync.wiring import Installation

app = typer.Typer(
    help="Who gets which lead: check the rules, see whom they would touch, and route leads again.",
    no_args_is_help=True,
)

File = Annotated[
    str,
    typer.Argument(help="A policy file, or - for standard input; else the policy in force.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: crm-sync routing check policy.yaml")
def check(file: File = "", json: Json = False) -> None:
    """Look whether the rules make sense, and whether everybody whom they name is there and active."""
    with opened() as installation:
        policy = _policy(installation, file)
        found = [
            *policy.problems(),
            *rerouting.problems(installation.transaction, installation, policy, installation.now()),
        ]
    documents.refuse("routing", found, as_json=json)
    routing = policy.routing
    if json:
        emit_json({"problems": [], "connections": list(routing.connections), "rules": len(routing.rules)})
    elif not routing.connections:
        say("✓ No problems, and nothing is routed: the policy names no connection under routing.connections.")
    else:
        say(f"✓ No problems. {len(routing.rules)} rules share out the leads of {', '.join(routing.connections)}.")


@app.command(epilog="Example: crm-sync routing preview policy.yaml")
def preview(file: File = "", json: Json = False) -> None:
    """Count, for each rule, the leads that it would take as they stand now. Nothing is written."""
    with opened() as installation:
        policy = _policy(installation, file)
        documents.refuse("routing", policy.problems(), as_json=json)
        found = rerouting.preview(installation.transaction, installation, policy, installation.now())
    if json:
        emit_json(_plain(policy, found))
        return
    if not policy.routing.connections:
        say("Nothing is routed: the policy names no connection under routing.connections.")
        return
    _show(policy, found)


@app.command(epilog="Example: crm-sync routing reroute --rule 'Enterprise EMEA' --reason 'the team has grown'")
def reroute(
    lead: Annotated[list[str] | None, typer.Argument(help="CRM record ids or e-mail addresses.")] = None,
    rule: Annotated[str, typer.Option(help="Every lead that this rule would take now.")] = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Route leads again by the policy in force. Leads whose owner somebody else set stay with them."""
    if bool(lead) == bool(rule):
        raise ConfigError("say which leads: record ids or e-mail addresses, or --rule NAME")
    with opened() as installation:
        policy, now = _policy(installation, ""), installation.now()
        if not policy.routing.connections:
            raise ConfigError("the policy in force routes nobody: it names no connection under routing.connections")
        known = [each.name for each in policy.routing.rules]
        if rule and rule not in known:
            raise ConfigError(f"there is no rule {rule!r}; the rules are {', '.join(known)}")
        found = rerouting.preview(installation.transaction, installation, policy, now).leads
        people = {person for each in lead or () for person in find(installation, each)}
        chosen = [each for each in found if (each.rule == rule if rule else each.person_id in people)]
        free = [each for each in chosen if each.may]
        if not json:
            _tell(installation, chosen, free)
        if free and not agreed("Route them again?", yes=yes):
            typer.echo("Nothing was changed.", err=True)
            raise typer.Exit(1)
        by = documents.publisher("", reason)
        asked = rerouting.reroute(
            installation.transaction, free, actor=f"user:{by.author}", reason=by.reason, now=installation.now()
        )
    if json:
        emit_json({"asked": asked, "left_alone": len(chosen) - len(free)})
    elif asked:
        say(f"✓ {_leads(asked)} will be routed again when the workers get to them, at low priority.")


def _policy(installation: Installation, file: str) -> PolicyVersion:
    if file:
        return parse_policy(documents.read_text(file, what="policy"))
    with installation.transaction() as session:
        return installation.policy(session)


def _tell(installation: Installation, chosen: Sequence[Outlook], free: Sequence[Outlook]) -> None:
    """Law 17: how much would change at most, before anything does."""
    if not chosen:
        say("No open lead that routing may look at is meant; nothing to do.")
        return
    left = len(chosen) - len(free)
    if left:
        say(f"{_leads(left)} stay as they are: somebody else set the owner.")
    with installation.transaction() as session:
        known = {connection.name: connection for connection in connections.listed(session)}
    for name, count in sorted(Counter(each.connection for each in free).items()):
        _say_load(rerouting.load(known[name], count))


def _say_load(load: Load) -> None:
    say(
        f"  {load.connection}: {_leads(load.owners)} may get another owner, at most {load.calls:,} calls, "
        f"{documents.span(load.time)} at our share"
    )


def _show(policy: PolicyVersion, found: Preview) -> None:
    lines: list[list[Any]] = []
    for rule in policy.routing.rules:
        for name in policy.routing.connections:
            taken = [each for each in found.leads if each.rule == rule.name and each.connection == name]
            lines.append([rule.name, name, len(taken), sum(each.due for each in taken)])
    table(
        "Leads that each rule would take, if all that may be were routed now",
        ["rule", "connection", "leads", "of them by themselves"],
        lines,
    )
    theirs = [each for each in found.leads if not each.may]
    left = sum(each.left for each in theirs)
    say(f"\n{_leads(len(theirs))} stay as they are: somebody else set the owner.")
    if left:
        say(f"  {left:,} of these owners have left; list them under owners.unassigned to let their leads be routed.")
    if nobody := sum(each.may and not each.rule for each in found.leads):
        say(f"{_leads(nobody)} could go to nobody: `crm-sync routing check` says why.")
    say("Without being asked, only the leads of the last column are routed. If all were rerouted:")
    for load in found.loads:
        _say_load(load)


def _plain(policy: PolicyVersion, found: Preview) -> dict[str, Any]:
    return {
        "rules": [
            {
                "rule": rule.name,
                "connection": name,
                "leads": sum(each.rule == rule.name and each.connection == name for each in found.leads),
                "due": sum(each.rule == rule.name and each.connection == name and each.due for each in found.leads),
            }
            for rule in policy.routing.rules
            for name in policy.routing.connections
        ],
        "left_alone": sum(not each.may for each in found.leads),
        "owner_left": sum(not each.may and each.left for each in found.leads),
        "nobody": sum(each.may and not each.rule for each in found.leads),
        "loads": [
            {
                "connection": load.connection,
                "owners": load.owners,
                "calls": load.calls,
                "seconds": round(load.time.total_seconds()),
            }
            for load in found.loads
        ],
    }


def _leads(count: int) -> str:
    return "1 lead" if count == 1 else f"{count:,} leads"
