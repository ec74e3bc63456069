"""`crm-sync demo`: two sandbox CRMs, real servers and workers, from nothing to scores on records, and back again."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.resources import files
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crm_sync import embedded
from crm_sync.cli import checks, demo_owners, demo_report, explain, sandboxed
from crm_sync.cli.opened import held
from crm_sync.cli.output import console, errors, say
from crm_sync.cli.stack import Stack
from crm_sync.domain.connections import Connection
from crm_sync.domain.mappings import parse_mapping
from crm_sync.domain.policies import parse_policy
from crm_sync.domain.records import CrmKind
from crm_sync.errors import ConfigError
from crm_sync.flows.connect import Person, Request, connect
from crm_sync.flows.promote import promote
from crm_sync.flows.publish import Publisher, publish_mapping, publish_policy
from crm_sync.flows.train import train
from crm_sync.sandbox.client import SandboxClient
from crm_sync.settings import Settings
from crm_sync.store import explanations
from crm_sync.wiring import Installation

PATIENCE = timedelta(minutes=5)
BY = Publisher(author="demo", reason="the example that is shipped")


@dataclass
class Stage:
    """The demo's installation, its CRMs, and the clock on the wall."""

    installation: Installation
    ready: Mapping[str, Any]
    began: float
    crms: dict[CrmKind, SandboxClient]
    step: int = 0
    first_round: dict[CrmKind, dict[str, Any]] = field(default_factory=dict)

    def head(self, text: str) -> None:
        self.step += 1
        console.rule(f"[bold]{self.step}. {text}[/]  {time.monotonic() - self.began:.0f} s", align="left")


def demo(
    people: Annotated[int, typer.Option(min=1, help="How many people live in the two sandbox CRMs.")] = 5_600,
    activities: Annotated[
        int, typer.Option(min=0, help="How many calls, mails, meetings and the like they have.")
    ] = 42_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same people.")] = 1,
) -> None:
    """Show the whole job on two sandbox CRMs: connect, pull, evaluate, push; then a rep's changes score themselves."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        settings = _fresh(stack, Settings.from_env({**os.environ, "CRM_SYNC_SECRET_KEY": secrets.token_urlsafe(48)}))
        console.rule("[bold]crm-sync demo[/]", align="left")
        say("PostgreSQL, Valkey, a Salesforce org and a HubSpot portal start on this machine …")
        settings = held(stack, settings)
        processes = stack.enter_context(Stack(settings, _worker_line))
        ready = sandboxed.start(
            processes, settings.home / "run", people=people, activities=activities, seed=seed, free_ports=True
        )
        crms = {kind: stack.enter_context(SandboxClient(ready[kind.value]["url"])) for kind in CrmKind}
        installation = Installation(settings)
        stack.callback(installation.close)
        stage = Stage(installation=installation, ready=ready, began=began, crms=crms)
        say(demo_report.population(ready["population"]))
        joined = _connect(stage)
        _publish(stage, joined)
        processes.start_workers()
        _first_round(stage, processes)
        teams = _share_out(stage, processes, joined)
        _learn(stage, processes)
        changed = demo_report.rep_changes(installation, crms, joined)
        _wait_for_changes(stage, processes, changed)
        _wait_for_owners(stage, processes, teams)
        _report(stage, joined, teams)
    say(f"\nEverything is stopped again after {time.monotonic() - began:.0f} s; no process is left behind.")


def _fresh(stack: ExitStack, settings: Settings) -> Settings:
    """Settings of a demo of its own: nothing of an earlier one is left, and yours is not touched."""
    home = settings.home / "demo"
    home.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = stack.enter_context(home.with_suffix(".lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"another demo runs over {home}; wait for it, or give this one its own CRM_SYNC_HOME"
        ) from error
    if (home / "servers").exists():
        embedded.stop(home / "servers")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, mode=0o700)
    return replace(settings, home=home, database_url="", broker_url="", poll_every=timedelta(seconds=5))


def _worker_line(name: str, line: str) -> None:
    if name != "sandbox" and line.strip() and "Warm shutdown" not in line:
        errors.print(f"{name:>9} | {line}", markup=False, style="dim")


def _connect(stage: Stage) -> dict[CrmKind, Connection]:
    """Both CRMs joined, checked, and with our fields in them."""
    stage.head("Connect both CRMs and install our fields")
    return {kind: _join(stage, kind) for kind in CrmKind}


def _join(stage: Stage, kind: CrmKind) -> Connection:
    """The same walk as `crm-sync connect`: sign-in, identity, permissions, fields, one test write undone again."""
    installation, url = stage.installation, stage.ready[kind.value]["url"]
    credentials = sandboxed.credentials(stage.ready, kind)
    request = Request(
        name=f"demo-{kind}", kind=kind, base_url=url, credentials=credentials, actor="demo", install_fields=True
    )
    person = Person(sees=checks.tell, agrees=lambda _: True)
    means = installation.means(kind, url, credentials)
    joined = connect(installation.transaction, installation.keys, request, means, person)
    if joined.connection is None:
        raise ConfigError(f"the sandbox's {kind} could not be connected; the steps above say why")
    return joined.connection


def _example(name: str) -> str:
    return (files("crm_sync.examples") / name).read_text(encoding="utf-8")


def _publish(stage: Stage, joined: Mapping[CrmKind, Connection]) -> None:
    stage.head("Publish the example mapping and policy")
    installation = stage.installation
    for kind, connection in joined.items():
        text = _example(f"mapping-{kind}.yaml")
        mapping = parse_mapping(text)
        publish_mapping(installation.transaction, connection, mapping, text, BY, installation.now())
        say(f"  {connection.name}: mapping {mapping.content_hash[:12]}, {len(mapping.roles)} objects")
    text = _example("policy.yaml")
    policy = parse_policy(text)
    publish_policy(installation.transaction, policy, text, BY, installation.now())
    say(f"  policy {policy.content_hash[:12]}: rules score until a model is trained")


def _first_round(stage: Stage, processes: Stack) -> None:
    """Wait until everything that the CRMs hold has been pulled, evaluated and pushed by the workers."""
    stage.head("Workers pull, evaluate and push")
    total = stage.ready["population"]
    rows = sum(sum(total[kind.value]["records"].values()) for kind in CrmKind)
    with _bars(rows, _people_records(total)) as show:

        def settled() -> bool:
            with stage.installation.transaction() as session:
                seen = explanations.progress(session)
            show(seen)
            return bool(seen.settled)

        _wait(processes, settled)
    with stage.installation.transaction() as session:
        seen = explanations.progress(session)
    say(
        f"  {seen.rows_read:,} rows pulled, {seen.people:,} people evaluated, "
        f"{seen.delivered:,} records written; everything has settled."
    )
    stage.first_round = {kind: {**crm.summary(), "written": _written(stage, kind)} for kind, crm in stage.crms.items()}


def _share_out(
    stage: Stage, processes: Stack, joined: Mapping[CrmKind, Connection]
) -> Mapping[CrmKind, demo_owners.Team]:
    """Routing is switched on for whoever comes in from now on; nobody who is there already changes hands (law 9)."""
    stage.head("RevOps publish who gets new leads")
    ours = stage.installation
    teams: dict[CrmKind, demo_owners.Team] = {}

    def known() -> bool:
        teams.update(demo_owners.teams(ours, joined))
        return all(team.sellers for team in teams.values())

    _wait(processes, known)
    text = demo_owners.policy(_example("policy.yaml"), teams, ours.now())
    publish_policy(ours.transaction, parse_policy(text), text, replace(BY, reason="share new leads out"), ours.now())
    for kind, team in teams.items():
        say(f"  {kind}: {', '.join(seller.name for seller in team.sellers)} take turns in the Americas")
    return teams


def _learn(stage: Stage, processes: Stack) -> None:
    """A model from the sandbox's own history takes over from the rules, and everybody is evaluated by it."""
    stage.head("Train on the history of both CRMs, and put the model in use")
    ours = stage.installation
    try:
        candidate = train(ours.transaction, ours, ours.models, ours.now(), author="demo")
    except ConfigError as error:  # a few hundred people are enough to see the job, and too few to learn from
        say(f"  Not trained: {error}.")
        return
    report = candidate.manifest.report
    say(
        f"  {report.people:,} people, {report.positives:,} converted within {report.horizon_days} days of a snapshot; "
        f"measured on the newest ripe part, which nothing was fitted on:"
    )
    demo_report.measures(candidate.manifest)
    promote(ours.transaction, ours.models, candidate.version, ours.now(), author="demo", adopt_buckets=True)

    def settled() -> bool:
        with ours.transaction() as session:
            return bool(explanations.progress(session).settled)

    _wait(processes, settled)
    say(f"  {candidate.version} scores now; records whose bucket or main reason changed were written again.")


def _written(stage: Stage, kind: CrmKind) -> int:
    with stage.installation.transaction() as session:
        return explanations.delivered(session, kind)


@contextmanager
def _bars(rows: int, records: int) -> Iterator[Callable[[Any], None]]:
    """Progress of the three legs: bars on a terminal, a line every ten seconds elsewhere."""
    if not console.is_terminal:
        told = [time.monotonic()]

        def line(seen: Any) -> None:
            if time.monotonic() > told[0] + 10:
                told[0] = time.monotonic()
                say(f"  pulled {seen.rows_read:,}, evaluated {seen.evaluated:,}, written {seen.delivered:,} …")

        yield line
        return
    columns = (TextColumn("  {task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        pull = progress.add_task("pull", total=rows)
        evaluate = progress.add_task("evaluate", total=None)
        push = progress.add_task("push", total=records)

        def bars(seen: Any) -> None:
            progress.update(pull, completed=rows if seen.settled else min(seen.rows_read, rows))
            progress.update(evaluate, completed=seen.evaluated, total=seen.people or None)
            progress.update(push, completed=min(seen.delivered, records))

        yield bars


def _people_records(population: Mapping[str, Any]) -> int:
    salesforce, hubspot = (population[kind.value]["records"] for kind in (CrmKind.SALESFORCE, CrmKind.HUBSPOT))
    return int(salesforce.get("Lead", 0) + salesforce.get("Contact", 0) + hubspot.get("contacts", 0))


def _wait(processes: Stack, done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE.total_seconds()
    while not done():
        if ended := processes.ended():
            raise ConfigError(f"{ended[0][0]} ended with exit code {ended[0][1]}; its last lines above say why")
        if time.monotonic() > give_up:
            raise ConfigError("the demo did not settle in five minutes; is this machine very busy? try --people 1000")
        time.sleep(0.3)


def _wait_for_changes(stage: Stage, processes: Stack, changed: list[demo_report.Change]) -> None:
    """Wait until what a rep did has come back as new values on the records, by nothing but polling."""
    stage.head("A rep changes a few leads; the new scores arrive by themselves")
    for change in changed:
        say(f"  {change.what}")
    began, missing = time.monotonic(), list(changed)

    def arrived() -> bool:
        for change in [each for each in missing if each.arrived()]:
            change.seconds = time.monotonic() - began
            missing.remove(change)
        return not missing

    _wait(processes, arrived)
    for change in changed:
        say(f"  {change.told()}")


def _wait_for_owners(stage: Stage, processes: Stack, teams: Mapping[CrmKind, demo_owners.Team]) -> None:
    stage.head("Leads come in through the web form; each gets a score and an owner")
    came = demo_owners.web_form(stage.crms, teams)
    began, missing = time.monotonic(), list(came)
    _wait(processes, lambda: demo_owners.arrived(stage.installation, missing, began))
    demo_owners.tell(stage.installation, came, teams)


def _report(stage: Stage, joined: Mapping[CrmKind, Connection], teams: Mapping[CrmKind, demo_owners.Team]) -> None:
    installation = stage.installation
    stage.head("What a rep sees now")
    chosen = demo_report.four_leads(installation, joined)
    for lead in chosen:
        console.print(lead.card(installation, joined))
    stage.head("Every changed record is accounted for")
    demo_report.reckoning(installation, joined)
    stage.head("What it cost in API calls")
    demo_report.calls(stage.first_round, stage.crms, demo_owners.owner_writes(stage.crms, teams))
    stage.head("Why this lead has this score: crm-sync explain")
    if chosen:
        explain.show(explain.chain(installation, chosen[0].person))
    stage.head("What to try next")
    say(demo_report.NEXT)
