"""Settings, read once from the environment. Every problem is reported at once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from crm_sync.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an installation is told from outside.

    `database_url` and `broker_url` are empty where the embedded servers below `home` are used. `secret_key` seals
    credentials and keys the pseudonyms (law 19); it is never below `home`, so a copy of the data alone opens nothing.
    `poll_every` is how often each feed is asked for changes. `clock_offset` sets the time of decisions apart from the
    machine's, to rehearse what a month of quiet does.
    """

    home: Path
    database_url: str
    broker_url: str
    secret_key: str
    worker_processes: int
    call_deadline: timedelta
    push_max_attempts: int
    poll_every: timedelta
    clock_offset: timedelta

    @property
    def embedded(self) -> bool:
        return not self.database_url or not self.broker_url

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read `CRM_SYNC_…`. Raises ConfigError with one sentence that names every wrong setting."""
        env = os.environ if env is None else env
        problems: list[str] = []

        def whole(name: str, default: int, least: int) -> int:
            text = env.get(name, str(default))
            if not text.isdigit() or int(text) < least:
                problems.append(f"{name} must be a whole number of at least {least}, got {text!r}")
                return default
            return int(text)

        home = Path(env.get("CRM_SYNC_HOME") or Path(env.get("HOME", "~")).expanduser() / ".local/share/crm-sync")
        database_url = env.get("CRM_SYNC_DATABASE_URL", "")
        if database_url and not database_url.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
            problems.append("CRM_SYNC_DATABASE_URL must begin with postgresql://")
        broker_url = env.get("CRM_SYNC_BROKER_URL", "")
        if broker_url and not broker_url.startswith(("redis", "valkey", "amqp", "unix")):
            problems.append("CRM_SYNC_BROKER_URL must begin with redis://, rediss://, redis+socket:// or amqp://")
        problems += [
            f"{name} is no URL that can be read ({reason})"
            for name, url in (("CRM_SYNC_DATABASE_URL", database_url), ("CRM_SYNC_BROKER_URL", broker_url))
            if (reason := _unreadable(url))
        ]
        if bool(database_url) != bool(broker_url):
            problems.append(
                "CRM_SYNC_DATABASE_URL and CRM_SYNC_BROKER_URL go together: set both, or neither for the embedded ones"
            )
        processes = whole("CRM_SYNC_WORKER_PROCESSES", 2, 1)
        deadline = whole("CRM_SYNC_CALL_DEADLINE_SECONDS", 60, 1)
        poll = whole("CRM_SYNC_POLL_SECONDS", 60, 1)
        attempts = whole("CRM_SYNC_PUSH_MAX_ATTEMPTS", 8, 1)
        offset = env.get("CRM_SYNC_CLOCK_OFFSET_SECONDS", "0")
        if not offset.lstrip("-").isdigit():
            problems.append(f"CRM_SYNC_CLOCK_OFFSET_SECONDS must be a whole number, got {offset!r}")
            offset = "0"
        secret_key = env.get("CRM_SYNC_SECRET_KEY", "")
        if secret_key and len(secret_key) < 32:
            problems.append("CRM_SYNC_SECRET_KEY must have at least 32 characters")
        if problems:
            raise ConfigError("; ".join(problems))
        return cls(
            home=home.expanduser().absolute(),
            database_url=database_url,
            broker_url=broker_url,
            secret_key=secret_key or _key_from_file(_key_path(env)),
            worker_processes=processes,
            call_deadline=timedelta(seconds=deadline),
            push_max_attempts=attempts,
            poll_every=timedelta(seconds=poll),
            clock_offset=timedelta(seconds=int(offset)),
        )


def _unreadable(url: str) -> str:
    """Why `url` can't be taken apart, empty where it can. The words hold nothing of its password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the host is malformed"
    try:
        _ = parts.port
    except ValueError:
        return "the port is no number up to 65535; a password needs its / ? # @ and : percent-encoded"
    return ""


def key_file(env: Mapping[str, str] | None = None) -> Path | None:
    """The file that holds the secret key; None where the environment holds the key itself."""
    env = os.environ if env is None else env
    return None if env.get("CRM_SYNC_SECRET_KEY") else _key_path(env)


def _key_path(env: Mapping[str, str]) -> Path:
    if named := env.get("CRM_SYNC_SECRET_KEY_FILE"):
        return Path(named)
    config = env.get("XDG_CONFIG_HOME") or str(Path(env.get("HOME", "~")).expanduser() / ".config")
    return Path(config) / "crm-sync" / "secret.key"


def _key_from_file(path: Path) -> str:
    """The key in `path`; made, readable by us alone, where there is none yet. Two at once end with one key."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(48))
            try:
                os.link(fresh, path)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} may be read by others; run: chmod 600 '{path}'")
        return path.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"the secret key file {path} can't be used ({error.strerror}); set CRM_SYNC_SECRET_KEY or "
            "CRM_SYNC_SECRET_KEY_FILE"
        ) from error
