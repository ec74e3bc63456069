"""Who may come in: private apps with a static token, OAuth apps with tokens that expire, and their scopes.

Source: HubSpot OAuth quickstart and error reference; the body of an expired token as recorded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.refusals import Refusal
from crm_sync.sandbox.hubspot.stamps import iso

PRIVATE_APP_KEY = "pat-na1-sandbox-private-app"
CLIENT_ID = "sandbox-client-id"
CLIENT_KEY = "sandbox-client-key"
REFRESH_KEY = "na1-sandbox-refresh"
AUTHORIZATION_CODE = "sandbox-authorization-code"
ACCESS_LIFETIME = 1_800_000

ALL_SCOPES = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.leads.read",
    "crm.objects.leads.write",
    "crm.objects.owners.read",
    "crm.schemas.contacts.read",
    "crm.schemas.contacts.write",
    "crm.schemas.companies.read",
    "crm.schemas.companies.write",
    "crm.schemas.deals.read",
    "crm.schemas.deals.write",
    "sales-email-read",
)


@dataclass(slots=True, kw_only=True)
class App:
    """One integration of the portal. A private one is known by its token, an OAuth one by client id and secret."""

    app_id: int
    name: str
    user_id: int
    private: bool
    scopes: set[str] = field(default_factory=lambda: set(ALL_SCOPES))


@dataclass(slots=True)
class _Access:
    app: App
    expires_at: int | None


class SignIn:
    """Tokens of one portal. Moments are milliseconds of the portal's clock."""

    def __init__(
        self,
        *,
        portal_id: int,
        private_apps: Mapping[str, App],
        client_id: str,
        client_key: str,
        refresh_key: str,
        oauth_app: App,
    ) -> None:
        self.portal_id = portal_id
        self._client = (client_id, client_key)
        self._oauth_app = oauth_app
        self._access: dict[str, _Access] = {token: _Access(app, None) for token, app in private_apps.items()}
        self._refresh: set[str] = {refresh_key}
        self._codes: set[str] = {AUTHORIZATION_CODE}
        self._numbers = itertools.count(1)

    def admit(self, header: str | None, now: int) -> App:
        """The app that an Authorization header belongs to; raises Refusal (401)."""
        kind, _, token = (header or "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise refusals.no_credentials()
        access = self._access.get(token.strip())
        if access is None:
            raise _unknown(token, now)
        if access.expires_at is not None and access.expires_at <= now:
            raise refusals.expired_credentials((now - access.expires_at) // 1000, iso(access.expires_at))
        return access.app

    def grant(self, form: Mapping[str, str], now: int, *, rotate: bool) -> dict[str, Any]:
        """Answer POST /oauth/v1/token; raises Refusal (400). With `rotate` the refresh token used is spent."""
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            raise _grant_refused("BAD_CLIENT_SECRET", "missing or invalid client secret", "client secret is invalid")
        match form.get("grant_type"):
            case "refresh_token":
                refresh = self._use_refresh(form.get("refresh_token", ""), rotate=rotate)
            case "authorization_code":
                refresh = self._use_code(form.get("code", ""))
            case other:
                raise _grant_refused(
                    "BAD_GRANT_TYPE", "missing or unknown grant type", f"grant type {other} is invalid"
                )
        token = f"CJsandbox-{next(self._numbers)}"
        self._access[token] = _Access(self._oauth_app, now + ACCESS_LIFETIME)
        return {
            "token_type": "bearer",
            "access_token": token,
            "refresh_token": refresh,
            "expires_in": ACCESS_LIFETIME // 1000,
            "hub_id": self.portal_id,
            "scopes": sorted(self._oauth_app.scopes),
        }

    def describe_access(self, token: str, now: int) -> dict[str, Any]:
        """Answer GET /oauth/v1/access-tokens/{token}."""
        access = self._access.get(token)
        if access is None or access.expires_at is None or access.expires_at <= now:
            raise refusals.error(404, None, f"Token {token[:8]}… could not be found")
        return self._described(token, access.app) | {
            "token_type": "access",
            "app_id": access.app.app_id,
            "expires_in": (access.expires_at - now) // 1000,
        }

    def describe_refresh(self, token: str) -> dict[str, Any]:
        """Answer GET /oauth/v1/refresh-tokens/{token}."""
        if token not in self._refresh:
            raise refusals.error(404, None, "Token could not be found")
        return self._described(token, self._oauth_app) | {"token_type": "refresh", "client_id": self._client[0]}

    def describe_private(self, token: str) -> dict[str, Any]:
        """Answer POST /oauth/v2/private-apps/get/access-token-info."""
        access = self._access.get(token)
        if access is None or not access.app.private:
            raise refusals.error(404, "OBJECT_NOT_FOUND", "No access token found")
        return {
            "userId": access.app.user_id,
            "hubId": self.portal_id,
            "appId": access.app.app_id,
            "scopes": sorted(access.app.scopes - {"oauth"}),
        }

    def app_of(self, token: str | None) -> App:
        """The app of a token; without one, the OAuth app. For tests and admins."""
        return self._oauth_app if token is None else self._access[token].app

    def add_private(self, token: str, app: App) -> None:
        self._access[token] = _Access(app, None)

    def expire(self, token: str | None, now: int) -> None:
        """End one access token, or all that were granted by OAuth. A static token is then unknown."""
        for each, access in list(self._access.items()):
            if token not in (None, each):
                continue
            if access.expires_at is not None:
                access.expires_at = min(access.expires_at, now)
            elif token is not None:
                del self._access[each]

    def revoke_refresh(self, token: str | None = None) -> None:
        """Refuse this refresh token from now on, or all of them."""
        self._refresh = set() if token is None else self._refresh - {token}

    def add_refresh(self, token: str) -> None:
        self._refresh.add(token)

    def _use_refresh(self, token: str, *, rotate: bool) -> str:
        if token not in self._refresh:
            raise _grant_refused(
                "BAD_REFRESH_TOKEN",
                "missing or invalid refresh token",
                "refresh token is invalid, expired or revoked",
            )
        if not rotate:
            return token
        self._refresh.discard(token)
        return self._new_refresh()

    def _use_code(self, code: str) -> str:
        if code not in self._codes:
            raise _grant_refused("BAD_AUTH_CODE", "missing or unknown auth code", "auth code is invalid")
        self._codes.discard(code)
        return self._new_refresh()

    def _new_refresh(self) -> str:
        token = f"na1-sandbox-refresh-{next(self._numbers)}"
        self._refresh.add(token)
        return token

    def _described(self, token: str, app: App) -> dict[str, Any]:
        return {
            "token": token,
            "user": "admin@example.com",
            "hub_domain": "sandbox.example.com",
            "hub_id": self.portal_id,
            "user_id": app.user_id,
            "scopes": sorted(app.scopes),
        }


def _unknown(token: str, now: int) -> Refusal:
    """A token of unknown make is told to have expired in 1970; one that looks like a private app's is not found."""
    if token.startswith("pat-"):
        return refusals.no_credentials()
    return refusals.expired_credentials(now // 1000, iso(0))


def _grant_refused(status: str, message: str, description: str) -> Refusal:
    kind = "invalid_client" if status == "BAD_CLIENT_SECRET" else "invalid_grant"
    return Refusal(400, {"error": kind, "error_description": description, "status": status, "message": message})


def scopes_needed(family: str, verb: str) -> tuple[str, ...]:
    """The scope for reading or writing records of an object family."""
    return (f"crm.objects.{family}.{verb}",)


def schema_scopes(family: str, verb: str) -> tuple[str, ...]:
    """The scopes, one of which is needed to read or write property definitions."""
    if family == "leads":
        return (f"crm.objects.leads.{verb}",)
    reading = (f"crm.objects.{family}.read",) if verb == "read" else ()
    return (f"crm.schemas.{family}.{verb}", *reading)


def check_scopes(app: App, needed: Iterable[str]) -> None:
    """Raise Refusal (403) unless the app holds one of these scopes; none are needed where there are none."""
    wanted = tuple(needed)
    if wanted and not app.scopes.intersection(wanted):
        raise refusals.missing_scopes(wanted)
