"""Promises about the tree itself: names that repeat, words that stay out, decisions and help that are complete."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from celery import Celery
from typer.core import TyperGroup

from crm_sync.cli import app as cli
from crm_sync.cli.commands import COMMANDS as LISTED_COMMANDS

ROOT = Path(__file__).parent.parent
LEGS = ("pull", "evaluate", "push")
CRMS = ("salesforce", "hubspot")
NAMELESS = {"utils", "util", "helpers", "helper", "common", "core", "managers", "services", "misc"}


def our_files() -> list[Path]:
    """What a clone holds. Outside a checkout, everything that isn't hidden or built."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]
    hidden = {".git", ".venv", "build", "dist", "__pycache__"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.relative_to(ROOT).parts)]


FILES = our_files()


def words_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.fixture(scope="module")
def celery() -> Celery:
    import celery_config

    celery_config.app.loader.import_default_modules()
    return celery_config.app


@pytest.mark.parametrize("leg", LEGS)
def test_a_leg_has_queue_task_worker_flow_and_tests_of_its_name(leg: str, celery: Celery) -> None:
    routes, beat = celery.conf.task_routes, celery.conf.beat_schedule.values()

    assert routes[f"{leg}.*"] == leg
    assert [name for name in celery.tasks if name.startswith(f"{leg}.")]
    assert [entry for entry in beat if entry["task"].startswith(f"{leg}.")]
    assert (ROOT / "crm_sync/workers" / f"{leg}.py").is_file()
    assert (ROOT / "crm_sync/flows" / f"{leg}.py").is_file() or (ROOT / "crm_sync/flows" / leg).is_dir()


def test_beat_asks_only_for_tasks_that_a_worker_knows(celery: Celery) -> None:
    asked = {entry["task"] for entry in celery.conf.beat_schedule.values()}

    assert asked <= set(celery.tasks)


def test_every_connector_folder_holds_the_files_of_the_contract() -> None:
    salesforce, hubspot = ({path.name for path in (ROOT / "connectors" / crm).glob("*.py")} for crm in CRMS)
    contract = {"connector.py", "session.py", "changes.py", "writes.py", "fields.py", "wire.py", "errors.py"}

    assert contract <= salesforce & hubspot


def test_import_contracts_are_whole_and_run_with_every_check() -> None:
    contracts = tomllib.loads(words_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]

    assert {"Imports point inwards", "Only wiring reaches the connectors"} <= {each["name"] for each in contracts}
    assert "lint-imports" in words_of(ROOT / "Makefile")
    assert "make test" in words_of(ROOT / ".ci/run")


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    found = [str(path.relative_to(ROOT)) for path in FILES if NAMELESS & {path.stem, *path.relative_to(ROOT).parts}]

    assert found == []


def test_no_file_names_a_package_index_or_a_folder_of_one_machine() -> None:
    """A lock file with hashes is enough: whoever installs says from where."""
    index = re.compile(r"--(extra-)?index-url|--find-links|pypi\.org/simple|[\w.-]+/(artifactory|nexus|devpi)/")
    machine = re.compile(r"(?<![\w.~-])/(?:work|root)/\w|/home/\w+/")
    this = Path(__file__)

    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in FILES
        if path != this and not path.is_relative_to(ROOT / "tests/embedded")
        for pattern in (index, machine)
        if (match := pattern.search(words_of(path)))
    ]

    assert found == []


def test_a_decision_is_a_heading_with_a_date_and_five_lines() -> None:
    text = words_of(ROOT / "crm_sync/DECISIONS.md")
    records = re.split(r"^## ", text, flags=re.MULTILINE)[1:]

    assert records
    for record in records:
        title, *lines = [line for line in record.splitlines() if line.strip()]
        assert re.match(r"\d{4}-\d\d-\d\d \S", title), title
        starts = [line.split(":")[0] for line in lines]
        assert starts == ["- Context", "- Decision", "- Consequence", "- Rejected", "- Enforced by"], title


def test_what_a_decision_is_enforced_by_exists() -> None:
    named = re.findall(r"tests/[\w/]+\.py", words_of(ROOT / "crm_sync/DECISIONS.md"))

    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_places_and_tests_that_keep_the_laws_exist() -> None:
    rows = re.findall(
        r"^\| \d+ \| .+ \| `([\w/]+\.py): [^`]+` \| `([\w/]+\.py)`: `(\w+)` \|$",
        words_of(ROOT / "docs/laws.md"),
        flags=re.MULTILINE,
    )
    lost = [test for _, file, test in rows if f"def {test}(" not in words_of(ROOT / "tests" / file)]
    gone = [place for place, _, _ in rows if not any((ROOT / where / place).is_file() for where in ("crm_sync", ""))]

    assert len(rows) > 100
    assert (lost, gone) == ([], [])


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that lead to it."""
    if isinstance(group, TyperGroup):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))
    else:
        yield path, group


LISTED = {each.name: each for each in LISTED_COMMANDS}
COMMANDS = [found for name, each in LISTED.items() for found in commands(each.loaded(), (name,))]


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_says_what_it_does_and_shows_an_example_that_it_accepts(
    path: tuple[str, ...], command: Any
) -> None:
    called = "crm-sync " + " ".join(path)
    examples = re.findall(rf"({re.escape(called)}(?![\w-])[^\n]*)", f"{command.help}\n{command.epilog}")
    assert (command.help or "").strip(), f"{called} has no help"
    assert examples, f"{called} --help has no example: give app.command(epilog='Example: {called} …')"

    given = shlex.split(examples[-1].split(" > ")[0])[1 + len(path) :]

    command.make_context(called, given)


@pytest.mark.parametrize("command", [command for _, command in COMMANDS], ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_option_says_what_it_is(command: Any) -> None:
    silent = [each.name for each in command.params if each.param_type_name == "option" and not each.help]

    assert silent == []


def test_every_command_stands_in_a_named_panel_of_the_help() -> None:
    root = typer.main.get_command(cli)

    assert isinstance(root, TyperGroup)
    assert set(root.commands) == set(LISTED)
    assert [each.name for each in LISTED.values() if not each.panel] == []


@pytest.mark.parametrize("name", LISTED)
def test_the_help_that_lists_a_command_says_what_the_command_says(name: str) -> None:
    told = " ".join((LISTED[name].loaded().help or "").split())

    assert told.startswith(LISTED[name].help)


DOCUMENTS = [path for path in FILES if path.suffix == ".md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", words_of(path))
    images = re.findall(r'<img[^>]+src="([^"]+)"', words_of(path))
    inside = [link for link in links + images if not re.match(r"https?:|mailto:", link)]

    assert [link for link in inside if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_commands_that_documents_name_exist(path: Path) -> None:
    known = {words for words, _ in COMMANDS}
    groups = {words[0] for words in known if len(words) > 1}
    named = re.findall(r"(?:^|[`$])crm-sync ([a-z-]+)(?: ([a-z][a-z-]*))?", words_of(path), flags=re.MULTILINE)

    called = {(first, second) if first in groups and second else (first,) for first, second in named}

    assert called - known - {(name,) for name in groups} == set()
