"""`sandbox serve` and `sandbox load`, for the product's command line and for `python -m crm_sync.sandbox`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import requests
import typer

from crm_sync.sandbox.client import SandboxClient, SandboxRefusal
from crm_sync.sandbox.load import Loaded, LoadProblem, load, read_loadfile, ready_names
from crm_sync.sandbox.serve import Options, serve

PORTS = {"salesforce": 8411, "hubspot": 8412}
NAMES = {"salesforce": "Salesforce", "hubspot": "HubSpot"}
Host = Annotated[str, typer.Option(help="Address to listen on. Whoever reaches it can do anything to the sandbox.")]

app = typer.Typer(no_args_is_help=True, help="A Salesforce org and a HubSpot portal on this machine, to try things on.")


@app.command("serve", epilog="Example: crm-sync sandbox serve --people 1000 --activities 8000")
def serve_command(
    *,
    salesforce_port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORTS["salesforce"],
    hubspot_port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORTS["hubspot"],
    host: Host = "127.0.0.1",
    https: Annotated[
        bool, typer.Option("--https", help="Speak HTTPS with a certificate made for the purpose.")
    ] = False,
    certificates: Annotated[
        Path | None, typer.Option(help="Folder for the certificate files; without it they go when the sandbox ends.")
    ] = None,
    people: Annotated[int, typer.Option(min=1, help="How many people to fill it with.")] = 5_600,
    activities: Annotated[int, typer.Option(min=0, help="How many activities they have.")] = 42_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same people.")] = 1,
    empty: Annotated[bool, typer.Option("--empty", help="Start without people.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written as JSON once both ports listen; holds credentials.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say how to connect as one line of JSON.")] = False,
    parent_pid: Annotated[int | None, typer.Option(min=1, help="End when this process has ended.")] = None,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="End when standard input ends.")
    ] = False,
) -> None:
    """Serve both CRMs until asked to end (SIGTERM, SIGINT)."""
    options = Options(
        host=host,
        salesforce_port=salesforce_port,
        hubspot_port=hubspot_port,
        https=https,
        certificates=certificates,
        people=0 if empty else people,
        activities=0 if empty else activities,
        seed=seed,
        ready_file=ready_file,
        parent=parent_pid,
        until_stdin_closes=until_stdin_closes,
    )
    try:
        serve(options, _say_json if as_json else _say)
    except OSError as error:
        _give_up(str(error))


@app.command("load", epilog="Example: crm-sync sandbox load leads.csv --as leads.yaml --crm hubspot")
def load_command(
    file: Annotated[Path, typer.Argument(help="A CSV file, plain or gzip-compressed.")],
    *,
    as_: Annotated[
        str, typer.Option("--as", help=f"A load file, or one of the ready ones: {', '.join(ready_names())}.")
    ],
    url: Annotated[str | None, typer.Option(help="Base URL of the running CRM.")] = None,
    crm: Annotated[
        Literal["salesforce", "hubspot"], typer.Option(help="Which CRM, on its usual port of this machine.")
    ] = "salesforce",
    authority: Annotated[Path | None, typer.Option(help="The sandbox's authority file, for HTTPS.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell what was loaded as one line of JSON.")] = False,
) -> None:
    """Fill a running sandbox from a CSV file."""
    base = url or f"http://127.0.0.1:{PORTS[crm]}"
    try:
        with SandboxClient(base, verify=str(authority) if authority else True) as client:
            loaded = load(file, read_loadfile(as_), client)
    except (LoadProblem, SandboxRefusal) as problem:
        _give_up(str(problem))
    except requests.RequestException:
        _give_up(f"No sandbox answers at {base}. Start one with `crm-sync sandbox serve`.")
    else:
        _tell(loaded, as_json=as_json)


def _say_json(connection: dict[str, Any]) -> None:
    typer.echo(json.dumps(connection))


def _say(connection: dict[str, Any]) -> None:
    for crm in ("salesforce", "hubspot"):
        there = connection[crm]
        typer.echo(f"{NAMES[crm]:<11} {there['url']}")
        for name, value in there["credentials"].items():
            if isinstance(value, str):
                typer.echo(f"  {name:<16} {value}")
    if connection["authority"]:
        typer.echo(f"Trust {connection['authority']} to connect over HTTPS.")
    if connection["population"]:
        known = connection["population"]
        typer.echo(
            f"{known['people']} people, {known['people_in_both']} of them in both, {known['activities']} activities."
        )
    typer.echo("Ctrl+C ends it; nothing is kept.")


def _tell(loaded: Loaded, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: getattr(loaded, name) for name in loaded.__slots__}))
        return
    for object, count in loaded.taken.items():
        typer.echo(f"{count:>9} {object}")
    typer.echo(f"{loaded.converted} converted, {loaded.lost} lost; {len(loaded.defined)} fields made in {loaded.crm}.")
    for remark in loaded.remarks:
        typer.echo(remark)


def _give_up(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)
