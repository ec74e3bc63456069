"""What `crm-sync --help` lists, and how a command is imported: when it is run, and nothing else with it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

TRY = "Try it on this machine"
SET_UP = "Set up: join CRMs, say what counts"
RUN = "Run: start it, hold it, let it go on"
LEARN = "Learn: models from your own history"
LOOK = "Look: what it does and why"
MEND = "Mend: what a CRM refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A command, or a group of them (`example` is empty then), in a panel of `crm-sync --help`.

    It is `function` in `module` of this package. `help` repeats what stands there, which a test compares: to read it
    there, each command with all that it needs would be imported to show a page of help.
    """

    panel: str
    name: str
    module: str
    help: str
    function: str = "app"
    example: str = ""

    def listed(self) -> TyperCommand:
        return TyperCommand(name=self.name, help=self.help, rich_help_panel=self.panel)

    def loaded(self) -> Any:
        """The command itself, with its example below its help."""
        found = getattr(import_module(f"crm_sync.cli.{self.module}"), self.function)
        if isinstance(found, typer.Typer):
            return get_group(found)
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
        alone.command(self.name, epilog=f"Example: {self.example}")(found)
        return get_command(alone)


def _command(panel: str, name: str, example: str, help: str, *, module: str = "") -> Listed:
    return Listed(panel=panel, name=name, module=module or name, function=name, help=help, example=example)


def _group(panel: str, name: str, help: str) -> Listed:
    return Listed(panel=panel, name=name, module=name.replace("-", "_"), help=help)


COMMANDS = (
    _command(
        TRY,
        "demo",
        "crm-sync demo --people 1000 --activities 8000",
        "Show the whole job on two sandbox CRMs: connect, pull, evaluate, push; then a rep's changes score themselves.",
    ),
    _group(TRY, "sandbox", "A Salesforce org and a HubSpot portal on this machine, to try things on."),
    _command(
        SET_UP,
        "connect",
        "crm-sync connect salesforce --name acme --observe",
        "Sign in to a CRM, look whether everything is there that we need, and remember the connection.",
    ),
    _group(SET_UP, "fields", "Our own fields in a CRM: install, check and remove them."),
    _group(SET_UP, "mapping", "Which CRM field says what: check, publish and show field mappings."),
    _group(SET_UP, "policy", "Quality, consent, scoring and bucket rules: check, publish and show the policy."),
    _group(
        SET_UP, "routing", "Who gets which lead: check the rules, see whom they would touch, and route leads again."
    ),
    _group(SET_UP, "database", "Bring the database's schema to the head that this version needs."),
    _command(RUN, "up", "crm-sync up --sandbox", "Run servers, workers and beat until Ctrl-C."),
    _command(
        RUN,
        "poll",
        "crm-sync poll acme",
        "Ask the CRMs for changes once, now. Who changed waits for the workers (`crm-sync up`).",
    ),
    _command(
        RUN,
        "observe",
        "crm-sync observe acme --reason 'trying a new policy'",
        "Pull and evaluate, but write nothing into this CRM.",
        module="connections",
    ),
    _command(
        RUN,
        "pause",
        "crm-sync pause acme --reason 'data import until noon'",
        "Do nothing with this CRM, at once: no pull, no push.",
        module="connections",
    ),
    _command(
        RUN,
        "resume",
        "crm-sync resume acme",
        "Pull, evaluate and push again; what was held waits again.",
        module="connections",
    ),
    _command(
        LEARN,
        "train",
        "crm-sync train --seed 1",
        "Train a candidate model on the history of the CRMs. Nobody is scored by it until you promote it.",
    ),
    _group(LEARN, "models", "Model versions: list, show, promote one, or go back."),
    _command(
        LOOK,
        "status",
        "crm-sync status --json",
        "Show each connection: its state, how fresh it is, what waits, what failed, and what its calls cost.",
    ),
    _command(
        LOOK,
        "explain",
        "crm-sync explain 00QPL00000001232AA",
        "Show why a lead has its score: records, evaluation, reasons, writes and what the CRM answered.",
    ),
    _command(
        LOOK,
        "doctor",
        "crm-sync doctor",
        "Check settings, database, broker, workers, documents in force and every connection. Exit code 1 if one fails.",
    ),
    _group(LOOK, "audit", "The audit log: who or what changed which record, and why."),
    _command(LOOK, "version", "crm-sync version", "Print the version."),
    _group(MEND, "dead-letters", "Writes that a CRM refused for good: list, show and replay them."),
)
_BY_NAME = {each.name: each for each in COMMANDS}


class Commands(TyperGroup):
    """Lists every command, and imports the one that is run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for each in COMMANDS:
            self.add_command(each.listed())

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, _BY_NAME[name].loaded() if name in _BY_NAME else found, rest
