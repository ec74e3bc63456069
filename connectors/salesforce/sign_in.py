"""The ways in: from credentials to a session id and the host that it is for.

Source: Salesforce Help, "OAuth Authorization Flows"; REST API guide, "Authorization Through Connected Apps";
SOAP login() exists up to API version 64.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

import jwt
import requests
from simple_salesforce import SalesforceLogin

from connectors.salesforce.errors import garbage
from crm_sync.errors import AuthError, ConfigError

API_VERSION = "62.0"


class Method(StrEnum):
    """How a connection signs in."""

    CLIENT_CREDENTIALS = "client_credentials"
    JWT = "jwt"
    PASSWORD = "password"  # noqa: S105, the name of a method
    SESSION = "session"


NEEDED: Mapping[Method, Sequence[str]] = {
    Method.CLIENT_CREDENTIALS: ("consumer_key", "consumer_secret"),
    Method.JWT: ("consumer_key", "username", "private_key"),
    Method.PASSWORD: ("username", "password"),
    Method.SESSION: ("session_id",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A session id and the host (with port) that takes it."""

    session_id: str
    host: str


def method_of(credentials: Mapping[str, str]) -> Method:
    """The method, once everything that it needs is there; else one sentence that names all that is missing."""
    named = credentials.get("method", "")
    if named not in list(Method):
        raise ConfigError(f"The sign-in method must be one of {', '.join(Method)}, not {named!r}.", field="method")
    missing = [key for key in NEEDED[Method(named)] if not credentials.get(key)]
    if missing:
        raise ConfigError(f"Signing in by {named} needs {' and '.join(missing)}.", field=missing[0])
    return Method(named)


def login_domain(credentials: Mapping[str, str], base_url: str) -> str:
    """What stands before `.salesforce.com` when signing in.

    Client credentials are taken on the org's own host only; a JWT names the login host as its audience.
    """
    if domain := credentials.get("login_domain"):
        return domain
    host = urlsplit(base_url).hostname or ""
    if method_of(credentials) is Method.CLIENT_CREDENTIALS:
        return host.removesuffix(".salesforce.com") if host.endswith(".salesforce.com") else "crm-sync.my"
    return "test" if ".sandbox." in host or host.startswith("test.") else "login"


def sign_in(session: requests.Session, credentials: Mapping[str, str], *, base_url: str) -> Token:
    """Sign in once. Raises what simple-salesforce raises, or AuthError where there is nothing to sign in with."""
    method = method_of(credentials)
    if method is Method.SESSION:
        return Token(session_id=credentials["session_id"], host=urlsplit(base_url).netloc)
    try:
        session_id, host = SalesforceLogin(
            session=session,
            sf_version=API_VERSION,
            domain=login_domain(credentials, base_url),
            **_arguments(method, credentials),
        )
    except (jwt.exceptions.InvalidKeyError, ValueError) as error:
        if isinstance(error, requests.exceptions.RequestException):
            raise
        raise AuthError("The private key can't be read: it must be a PEM file with an RSA key.") from error
    except (AttributeError, ExpatError) as error:
        # A 200 that is no token: simple-salesforce looks for the instance address in nothing.
        raise garbage() from error
    if not isinstance(session_id, str) or not session_id or not isinstance(host, str) or not host:
        raise garbage()
    return Token(session_id=session_id, host=_host(host, base_url))


def _arguments(method: Method, credentials: Mapping[str, str]) -> Mapping[str, Any]:
    if method is Method.CLIENT_CREDENTIALS:
        return {key: credentials[key] for key in NEEDED[method]}
    if method is Method.JWT:
        return {
            "username": credentials["username"],
            "consumer_key": credentials["consumer_key"],
            "privatekey": credentials["private_key"],
        }
    who = {"username": credentials["username"]}
    token = credentials.get("security_token", "")
    if credentials.get("consumer_key") and credentials.get("consumer_secret"):
        app = {key: credentials[key] for key in ("consumer_key", "consumer_secret")}
        return who | app | {"password": credentials["password"] + token}
    return who | {"password": credentials["password"], "security_token": token}


def _host(told: str, base_url: str) -> str:
    """The bare host: a path or slash behind it would spoil every later address, and `-api` may have been cut out."""
    bare = told.split("/")[0]
    ours = urlsplit(base_url).netloc
    return ours if bare == ours.replace("-api", "") else bare
