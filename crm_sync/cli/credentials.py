"""What lets us into a CRM: which credentials each way of signing in takes, and gathering them without showing any."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from crm_sync.cli.output import note
from crm_sync.cli.prompts import asked, somebody_is_there
from crm_sync.domain.documents import did_you_mean
from crm_sync.domain.records import CrmKind
from crm_sync.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to sign in: what it needs, and what it may have."""

    name: str
    needs: tuple[str, ...]
    may_have: tuple[str, ...] = ()


METHODS: Mapping[CrmKind, tuple[Method, ...]] = {
    CrmKind.SALESFORCE: (
        Method(name="client_credentials", needs=("consumer_key", "consumer_secret")),
        Method(name="jwt", needs=("consumer_key", "username", "private_key")),
        Method(
            name="password",
            needs=("username", "password"),
            may_have=("security_token", "consumer_key", "consumer_secret"),
        ),
        Method(name="session", needs=("session_id",), may_have=("instance_url",)),
    ),
    CrmKind.HUBSPOT: (
        Method(name="private_app", needs=("access_token",)),
        Method(name="oauth", needs=("client_id", "client_secret", "refresh_token")),
    ),
}
"""The first that everything is there for is taken; the first of all where nothing is. Names are the connectors' own."""

ALWAYS = {
    CrmKind.SALESFORCE: ("login_domain", "ca_file", "allow_http"),
    CrmKind.HUBSPOT: ("ca_file", "allow_http", "token_path"),
}
SECRETS = frozenset(
    "consumer_secret private_key password security_token session_id access_token client_secret refresh_token".split()
)
ADDRESSES = {CrmKind.HUBSPOT: "https://api.hubapi.com"}
"""Where a CRM is asked when nobody says otherwise. A Salesforce org is asked at its own My Domain address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where to sign in, and with what."""

    base_url: str
    credentials: Mapping[str, str]


def gather(
    crm: CrmKind, *, url: str, method: str, pairs: Sequence[str], file: str, env: Mapping[str, str] | None = None
) -> Access:
    """Everything that signing in takes: the command line wins over the file, the file over the environment.

    What is still missing is asked for at a terminal; elsewhere ConfigError names all of it, and where it may come from.
    """
    given = {
        **_from_environment(crm, os.environ if env is None else env),
        **(_from_file(crm, file) if file else {}),
        **_from_pairs(crm, pairs),
    }
    if url:
        given["url"] = url
    way = _method(crm, method or given.pop("method", ""), given)
    given.pop("method", None)
    missing = [name for name in way.needs if not given.get(name)]
    address = given.pop("url", "") or given.get("instance_url", "") or ADDRESSES.get(crm, "")
    if (missing or not address) and not somebody_is_there():
        raise ConfigError(_missing_words(crm, way, missing, address))
    if not address:
        address = asked("The org's My Domain address (https://….my.salesforce.com)", secret=False)
    given |= {name: _typed(name) for name in missing}
    fitting = {*way.needs, *way.may_have, *ALWAYS[crm]}
    return Access(
        base_url=address, credentials={"method": way.name, **{n: v for n, v in given.items() if n in fitting and v}}
    )


def known_names(crm: CrmKind) -> list[str]:
    """Every credential that a CRM's ways of signing in know."""
    names = [name for way in METHODS[crm] for name in (*way.needs, *way.may_have)]
    return list(dict.fromkeys((*names, *ALWAYS[crm])))


def variable(crm: CrmKind, name: str) -> str:
    """The environment variable that holds a credential."""
    return f"CRM_SYNC_{crm.value.upper()}_{name.upper()}"


def _method(crm: CrmKind, named: str, given: Mapping[str, str]) -> Method:
    ways = METHODS[crm]
    if named:
        found = next((way for way in ways if way.name == named), None)
        if found is None:
            names = [way.name for way in ways]
            raise ConfigError(f"{named!r} is no way to sign in to {crm}; {did_you_mean(named, names)}")
        return found
    return next((way for way in ways if all(given.get(name) for name in way.needs)), ways[0])


def _from_environment(crm: CrmKind, env: Mapping[str, str]) -> dict[str, str]:
    names = [*known_names(crm), "method", "url"]
    return {name: env[variable(crm, name)] for name in names if env.get(variable(crm, name))}


def _from_file(crm: CrmKind, path: str) -> dict[str, str]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        if path != "-" and Path(path).stat().st_mode & 0o077:
            note(f"{path} may be read by others; chmod 600 it, or delete it once you are connected.")
        told = orjson.loads(text)
    except OSError as error:
        raise ConfigError(f"the credentials file {path} can't be read ({error.strerror}); check the path") from error
    except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
        # Without the parser's own words: they may quote a secret.
        raise ConfigError(f"the credentials file {path} is not JSON; it holds one object of names and texts") from error
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise ConfigError(f"the credentials file {path} must hold one JSON object of names and texts")
    return {_known(crm, name): value for name, value in told.items()}


def _from_pairs(crm: CrmKind, pairs: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = _known(crm, name)
        if not equals:
            raise ConfigError(f"--credential takes NAME=VALUE or NAME=@FILE; {name} has no value")
        if value.startswith("@"):
            value = _file_value(name, value[1:])
        elif name in SECRETS:
            raise ConfigError(
                f"{name} is a secret, and others can read the command line: put it into {variable(crm, name)} or a "
                f"file (--credential {name}=@FILE), or leave it out and type it when asked"
            )
        given[name] = value
    return given


def _known(crm: CrmKind, name: str) -> str:
    names = [*known_names(crm), "method", "url"]
    if name not in names:
        raise ConfigError(f"{name!r} is no credential of {crm}; {did_you_mean(name, names)}")
    return name


def _file_value(name: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file {path} for {name} can't be read; check the path") from error


def _typed(name: str) -> str:
    if name == "private_key":
        return _file_value(name, asked("Path of the private key (PEM)", secret=False))
    return asked(name.replace("_", " ").capitalize(), secret=name in SECRETS)


def _missing_words(crm: CrmKind, way: Method, missing: Sequence[str], address: str) -> str:
    lacks = [*missing] if address else ["the address (--url)", *missing]
    ways = ", ".join(f"{other.name} ({', '.join(other.needs)})" for other in METHODS[crm])
    example = f"; give it as {variable(crm, missing[0])} or in --credentials-file" if missing else ""
    return f"signing in to {crm} by {way.name} lacks {', '.join(lacks)}{example}. Ways to sign in: {ways}"
