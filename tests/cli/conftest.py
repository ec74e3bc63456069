"""Running commands as a user does, in this process: what they print, and the code they leave with."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from crm_sync.cli import main
from crm_sync.settings import Settings
from crm_sync.store import inbox
from crm_sync.store.engine import Transaction, run
from tests.connectors.world import World

ONE_CRM = pytest.mark.parametrize("crm", ["salesforce"], indirect=True)
"""For rules that are ours alone and ask no CRM differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str

    def json(self) -> object:
        return orjson.loads(self.out)


Run = Callable[..., Ran]
Connect = Callable[..., Ran]


class Typed(io.StringIO):
    """What a person types at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def crm_sync(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `crm-sync` with the arguments given, in an installation of this test's own; `stdin` may be typed at a
    terminal."""
    monkeypatch.setenv("CRM_SYNC_HOME", str(settings.home))
    monkeypatch.setenv("CRM_SYNC_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("CRM_SYNC_BROKER_URL", settings.broker_url)
    monkeypatch.setenv("CRM_SYNC_SECRET_KEY", settings.secret_key)
    monkeypatch.setenv("CRM_SYNC_CALL_DEADLINE_SECONDS", "20")

    def command(*arguments: object, env: dict[str, str] | None = None, stdin: str = "", terminal: bool = False) -> Ran:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["crm-sync", *map(str, arguments)])
            patched.setattr(sys, "stdin", Typed(stdin) if terminal else io.StringIO(stdin))
            patched.setattr(sys.stderr, "isatty", lambda: terminal)
            for name, value in (env or {}).items():
                patched.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as left:
                main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err, said.err
        code = left.value.code
        return Ran(code=code if isinstance(code, int) else int(code is not None), out=said.out, err=said.err)

    return command


@pytest.fixture
def connect(crm_sync: Run, tmp_path: Path) -> Connect:
    """Runs `crm-sync connect` for a world, by a credentials file; named arguments are laid over the credentials."""

    def join(world: World, *more: object, url: str = "", **changed: str) -> Ran:
        file = tmp_path / "credentials.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({**credentials_of(world), **changed}))
        return crm_sync("connect", world.kind, "--url", url or world.url, "--credentials-file", file, *more)

    return join


def credentials_of(world: World) -> dict[str, str]:
    """What lets us into a world, as a credentials file holds it."""
    if world.kind == "salesforce":
        from tests.connectors.salesforce_world import KNOWN

        app = {"consumer_key": KNOWN.consumer_key, "consumer_secret": KNOWN.consumer_secret}
        return {"method": "client_credentials", **app}
    from crm_sync.sandbox.hubspot import PRIVATE_APP_KEY

    return {"method": "private_app", "access_token": PRIVATE_APP_KEY}


def pulled(transaction: Transaction, count: int) -> None:
    """People with one record each in the one connection, as if they had been pulled."""
    with transaction() as session:
        run(
            session,
            """
            WITH records AS (
                INSERT INTO record (connection_id, object, crm_id, role, stamp, created_at, seen_at, content_hash,
                                    inputs_hash, life)
                SELECT connection.id, 'people', number, 'person', now(), now(), now(), '', '', 'open'
                FROM connection, generate_series(1, :count) number
                RETURNING id
            ), numbered AS (
                SELECT id, row_number() OVER () AS number FROM records
            ), somebody AS (
                INSERT INTO person (arm) SELECT '' FROM records RETURNING id
            ), people AS (
                SELECT id, row_number() OVER () AS number FROM somebody
            )
            INSERT INTO link (record_id, person_id, evidence, from_at)
            SELECT numbered.id, people.id, 'own id', now() FROM numbered JOIN people USING (number)
            """,
            count=count,
        )


def waiting(transaction: Transaction) -> int:
    """How many people wait to be evaluated."""
    with transaction() as session:
        return inbox.waiting(session)
