"""The wheel, installed outside the checkout, is the whole product."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_sync import __version__

ROOT = Path(__file__).parent.parent.parent
Ran = subprocess.CompletedProcess[str]
Run = Callable[..., Ran]


def run(*command: str | Path, folder: Path, env: dict[str, str] | None = None, seconds: float = 60) -> Ran:
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=seconds)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what a clone holds, so that the checkout stays as it is."""
    base = tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "-co", "--exclude-standard", folder=ROOT)
    if listed.returncode:
        pytest.skip("builds from a git checkout only")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (base / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (base / "source" / name).write_bytes((ROOT / name).read_bytes())
    built = run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", base / "dist", base / "source",
        folder=base, seconds=110,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return next((base / "dist").glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs `crm-sync` of an environment of its own, in a folder with a blank, with nothing of this one but packages."""
    base = tmp_path_factory.mktemp("some where")
    venv.create(base / "venv", with_pip=False)
    python = base / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    put = run(*pip, "install", "--no-deps", "--no-index", "--quiet", wheel, folder=base)
    assert put.returncode == 0, put.stderr
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=base).stdout.strip()
    )
    (packages / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LANG", "LD_LIBRARY_PATH")}
    env = {**keep, "HOME": str(base / "home")}
    (base / "home").mkdir()

    def crm_sync(*arguments: str, seconds: float = 60) -> Ran:
        return run(base / "venv/bin/crm-sync", *arguments, folder=base, env=env, seconds=seconds)

    ask = "import crm_sync, connectors, migrations, celery_config as c; print(crm_sync, connectors, migrations, c)"
    where = run(python, "-c", ask, folder=base, env=env).stdout
    assert where.count(f"'{packages}") == 4, where
    return crm_sync


def test_the_wheel_holds_every_file_of_the_product_and_no_test(wheel: Path) -> None:
    listed = run("git", "ls-files", "crm_sync", "connectors", "migrations", "celery_config.py", folder=ROOT).stdout
    wanted = {name for name in listed.splitlines() if (ROOT / name).is_file()}

    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    assert wanted - held == set()
    assert [name for name in held if name.startswith("tests")] == []


def test_given_a_wheel_when_installed_elsewhere_then_commands_answer(installed: Run) -> None:
    assert installed("version").stdout.strip() == __version__
    assert "Set up" in installed("--help").stdout
    assert installed("mapping", "example", "salesforce").stdout.startswith("#")
    assert "consent" in installed("policy", "example").stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_given_a_wheel_when_the_demo_runs_elsewhere_then_it_shows_the_whole_job_and_leaves_no_process(
    installed: Run,
) -> None:
    ran = installed("demo", "--people", "300", "--activities", "2000", seconds=280)

    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "everything has settled" in ran.stdout
    assert "no process is left behind" in ran.stdout
