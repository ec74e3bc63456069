"""Who may sign in, and the sessions that came of it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.salesforce.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One user's own credentials. `token` is the security token that goes behind the password."""

    username: str
    password: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What opens this org. Everything here is for tests and demos and known to everybody.

    `integration` is whom client credentials run as. `public_key` (PEM, RSA) checks JWT bearer assertions; without
    one that flow is refused.
    """

    consumer_key: str = "crm-sync-consumer-key"
    consumer_secret: str = "crm-sync-consumer-secret"  # noqa: S105 - the sandbox's own, no secret
    integration: Login = Login(username="integration@acme.example", password="integration-pass", token="INTTOKEN")  # noqa: S106 - likewise
    admin: Login = Login(username="admin@acme.example", password="admin-pass", token="ADMTOKEN")  # noqa: S106 - likewise
    limited: Login = Login(username="limited@acme.example", password="limited-pass", token="LIMTOKEN")  # noqa: S106 - likewise
    public_key: str = ""

    def logins(self) -> tuple[Login, ...]:
        return (self.integration, self.admin, self.limited)

    def login(self, username: str) -> Login | None:
        return next((known for known in self.logins() if known.username.lower() == username.lower()), None)


@dataclass(frozen=True, slots=True)
class Session:
    user: str
    issued: datetime


def invalid_session(message: str = "Session expired or invalid") -> Refusal:
    return Refusal("INVALID_SESSION_ID", message, status=401)


class Sessions:
    """Tokens by name. A session ends `lifetime` after it was issued, or when all are revoked."""

    def __init__(self, clock: SandboxClock, org_id: str, seed: int) -> None:
        self._clock = clock
        self._org_id = org_id
        self._key = f"{org_id}:{seed}".encode()
        self._sessions: dict[str, Session] = {}
        self._issued = 0
        self.lifetime = timedelta(hours=2)
        self.not_for_rest = False

    def issue(self, user: str) -> str:
        """A new token. The same org, seed and number of sign-ins give the same one."""
        self._issued += 1
        digest = hmac.new(self._key, f"{self._issued}:{user}".encode(), hashlib.sha256).hexdigest()
        token = f"{self._org_id[:15]}!AQ{digest[:62]}"
        self._sessions[token] = Session(user, self._clock.now())
        return token

    def user_of(self, token: str) -> str:
        """The user of a live session; raises INVALID_SESSION_ID."""
        session = self._sessions.get(token)
        if session is None or self._clock.now() - session.issued >= self.lifetime:
            raise invalid_session()
        if self.not_for_rest:
            raise invalid_session("This session is not valid for use with the REST API")
        return session.user

    def revoke_all(self) -> None:
        self._sessions.clear()

    def revoke(self, token: str) -> None:
        self._sessions.pop(token, None)
