"""`crm-sync --help` lists what there is without importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crm_sync.cli.commands import COMMANDS, Listed
from tests.cli.conftest import Run


@pytest.mark.parametrize("listed", COMMANDS, ids=lambda each: each.name)
def test_given_a_listed_command_when_it_is_loaded_then_it_says_of_itself_what_the_list_says(listed: Listed) -> None:
    assert " ".join(listed.loaded().help.split()).startswith(listed.help)


@pytest.mark.parametrize("listed", COMMANDS, ids=lambda each: each.name)
def test_given_a_listed_command_when_asked_for_help_then_it_answers(listed: Listed, crm_sync: Run) -> None:
    ran = crm_sync(listed.name, "--help")

    assert ran.code == 0
    assert f"crm-sync {listed.name}" in ran.out


def test_given_a_word_mistyped_when_run_then_the_right_one_is_offered(crm_sync: Run) -> None:
    ran = crm_sync("statsu")

    assert ran.code == 2
    assert "'status'" in ran.err


def test_given_help_when_asked_for_then_no_library_of_the_legs_is_loaded() -> None:
    asked = "from typer.testing import CliRunner; from crm_sync.cli import app; CliRunner().invoke(app, ['--help'])"
    told = (
        "; import sys; print(*sorted({'sqlalchemy', 'polars', 'catboost', 'celery', 'alembic'} & sys.modules.keys()))"
    )

    done = subprocess.run([sys.executable, "-c", asked + told], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
