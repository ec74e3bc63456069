"""Signed in to one portal: credentials, renewal, and every call that is made of HubSpot.

The paths of the API's versions stand in the generated client and, for what it doesn't cover, here; nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
import tenacity
from hubspot import HubSpot

from connectors.hubspot.errors import Refusal, error_of
from connectors.hubspot.transport import Answer, Transport
from crm_sync.errors import AuthError, ConfigError, CrmSyncError, TransientError
from crm_sync.ports import HoldCredentials, Meter, SaveCredentials

RENEW_EARLY = timedelta(minutes=5)
TRIES = 3


class Session:
    """Calls to one portal, one thread at a time.

    `credentials` is flat text by `method`:
    `private_app` (also a service key): `access_token`;
    `oauth`: `client_id`, `client_secret`, `refresh_token`, and once signed in `access_token` and `expires_at`.
    Either may add `ca_file`, `allow_http` ("yes" lets plain http leave this machine) and `token_path`, the OAuth
    token endpoint, whose first version HubSpot ends on 2027-02-16 (`/oauth/v3/token` follows).
    """

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Mapping[str, str],
        meter: Meter,
        save_credentials: SaveCredentials,
        deadline: timedelta,
        now: Callable[[], datetime],
        hold_credentials: HoldCredentials | None = None,
    ) -> None:
        self.base_url = _checked_url(base_url, credentials)
        self.now = now
        self.deadline = deadline
        self.time_zone = ""
        self._credentials = _checked(credentials)
        self._save = save_credentials
        self._hold = hold_credentials or (lambda: nullcontext(self._credentials))
        self._transport = Transport(meter=meter, deadline=deadline, ca_file=credentials.get("ca_file", ""))
        self._transport.midnight = self.midnight
        self._configurations: list[Any] = []
        self._client = HubSpot(
            host=self.base_url,
            access_token=credentials.get("access_token") or "none yet",
            retry=False,
            api_factory=self._build,
        )

    # Each is made once: an attribute access on the client builds configuration, pool and API object anew.

    @cached_property
    def objects(self) -> Any:
        return self._client.crm.objects.basic_api

    @cached_property
    def batches(self) -> Any:
        return self._client.crm.objects.batch_api

    @cached_property
    def searches(self) -> Any:
        return self._client.crm.objects.search_api

    @cached_property
    def associations(self) -> Any:
        return self._client.crm.associations.v4.batch_api

    @cached_property
    def owners(self) -> Any:
        return self._client.crm.owners.owners_api

    @cached_property
    def properties(self) -> Any:
        return self._client.crm.properties.core_api

    @cached_property
    def property_batches(self) -> Any:
        return self._client.crm.properties.batch_api

    @cached_property
    def property_groups(self) -> Any:
        return self._client.crm.properties.groups_api

    @property
    def is_oauth(self) -> bool:
        return self._credentials["method"] == "oauth"

    def ask(
        self,
        method: Callable[..., Any],
        *args: Any,
        check: Callable[[dict[str, Any]], object] = dict,
        **options: Any,
    ) -> tuple[dict[str, Any], Answer]:
        """A read through one of the client's methods: its JSON, and the answer for its clock and headers.

        Repeated for a few seconds where HubSpot stumbles, `check` raising TransientError included, but never past
        the deadline. Raises one of the six families.
        """
        return self._read(lambda: self._through_client(method, *args, **options), check)

    def ask_path(self, method: str, path: str, body: bytes | None = None) -> tuple[dict[str, Any], Answer]:
        """The same for what the client doesn't cover: account information and token information."""
        return self._read(lambda: self._plain(method, path, body), dict)

    def tell(self, method: Callable[..., Any], *args: Any, **options: Any) -> Answer:
        """A write, sent once. Raises Refusal for a refused call, so that the caller can see which record was meant.

        A TransientError with `sent` leaves the outcome unknown. An expired sign-in is renewed and the call repeated:
        a 401 is given before anything is done.
        """
        self._transport.start()
        return self._signed_in(lambda: self._through_client(method, *args, **options))

    def error(self, refusal: Refusal) -> CrmSyncError:
        """The refusal as one of the six families."""
        error = error_of(refusal, now=self.now(), midnight=self.midnight())
        error.__cause__ = refusal
        return error

    def _unread(self, refusal: Refusal) -> CrmSyncError:
        """The refusal of a read. A scope that lacks is the matter of one object, and the others go on without it."""
        error = self.error(refusal)
        if error.code == "MISSING_SCOPES":
            return ConfigError(str(error), code=error.code)
        return error

    def midnight(self) -> datetime | None:
        """When the daily allowance starts again, None until `account` has told the time zone."""
        if not self.time_zone:
            return None
        here = self.now().astimezone(ZoneInfo(self.time_zone))
        next_day = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return next_day.astimezone(UTC)

    def account(self) -> tuple[dict[str, Any], Answer]:
        """What HubSpot says of the account, from one call that needs no scope; its time zone is kept.

        Source: HubSpot account information API.
        """
        told, answer = self.ask_path("GET", "/account-info/v3/details")
        with suppress(ValueError, ZoneInfoNotFoundError):  # an unknown zone leaves the midnight unknown
            self.time_zone = ZoneInfo(str(told.get("timeZone") or "")).key
        return told, answer

    def token_info(self) -> dict[str, Any]:
        """Whose token this is: app, user and scopes, in one spelling for both methods.

        Source: HubSpot OAuth reference and private-app token information. The path or body carries the token.
        """
        self.sign_in()
        token = self._credentials["access_token"]
        if self.is_oauth:
            told, _ = self.ask_path("GET", f"/oauth/v1/access-tokens/{quote(token, safe='')}")
            return {"app_id": told.get("app_id"), "user_id": told.get("user_id"), "scopes": told.get("scopes") or []}
        body = orjson.dumps({"tokenKey": token})
        told, _ = self.ask_path("POST", "/oauth/v2/private-apps/get/access-token-info", body)
        return {"app_id": told.get("appId"), "user_id": told.get("userId"), "scopes": told.get("scopes") or []}

    def sign_in(self) -> None:
        """Renew the access token where it is missing or about to expire. A private app's token never does."""
        if self.is_oauth and not self._lasts(self._credentials):
            self._transport.start()
            self._renew()

    def close(self) -> None:
        self._transport.close()

    def _read(
        self, call: Callable[[], Answer], check: Callable[[dict[str, Any]], object]
    ) -> tuple[dict[str, Any], Answer]:
        def attempt() -> tuple[dict[str, Any], Answer]:
            try:
                answer = self._signed_in(call)
            except Refusal as refusal:
                raise self._unread(refusal) from refusal
            told = answer.json()
            check(told)
            return told, answer

        self._transport.start()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_before_delay(self.deadline),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            reraise=True,
        )
        return retrying(attempt)

    def _signed_in(self, call: Callable[[], Answer]) -> Answer:
        if self.is_oauth and not self._lasts(self._credentials):
            self._renew()
        try:
            return call()
        except Refusal as refusal:
            if refusal.status != 401 or not self.is_oauth:
                raise
        self._renew()
        return call()

    def _through_client(self, method: Callable[..., Any], *args: Any, **options: Any) -> Answer:
        answer = method(*args, **options, _preload_content=False)
        assert isinstance(answer, Answer)
        return answer

    def _plain(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = {
            "Authorization": f"Bearer {self._credentials.get('access_token', '')}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        return self._transport.request(method, self.base_url + path, body=body, headers=headers)

    def _renew(self) -> None:
        """A new access token. What is stored comes first: a rotated refresh token that is lost locks us out."""
        with self._hold() as stored:
            if stored.get("access_token") != self._credentials.get("access_token") and self._lasts(stored):
                self._use(stored)  # another worker has renewed meanwhile
                return
            renewed = {**stored, **self._renewal(stored)}
            self._save(renewed)
        self._use(renewed)

    def _renewal(self, credentials: Mapping[str, str]) -> Mapping[str, str]:
        fields = {"grant_type": "refresh_token"} | {
            name: credentials[name] for name in ("client_id", "client_secret", "refresh_token")
        }
        path = credentials.get("token_path") or "/oauth/v1/token"
        try:
            told = self._transport.request("POST", self.base_url + path, fields=fields).json()
        except Refusal as refusal:
            raise self._renewal_refused(refusal) from refusal
        except TransientError as error:
            error.sent = False  # the call that needed the sign-in was not made
            raise
        token, lasts = told.get("access_token"), told.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(lasts, int | float):
            raise TransientError("HubSpot's answer to the sign-in holds no access token.", code="garbage", sent=False)
        return {
            "access_token": token,
            "expires_at": (self.now() + timedelta(seconds=lasts)).isoformat(),
            "refresh_token": str(told.get("refresh_token") or credentials["refresh_token"]),
        }

    def _renewal_refused(self, refusal: Refusal) -> CrmSyncError:
        if refusal.status in (400, 401, 403):
            return AuthError(
                "HubSpot refuses to renew the sign-in: an admin has to connect the portal again.",
                code=str(refusal.body.get("status") or refusal.body.get("error") or refusal.status),
            )
        error = self.error(refusal)
        if isinstance(error, TransientError):
            error.sent = False
        return error

    def _lasts(self, credentials: Mapping[str, str]) -> bool:
        """Whether the access token will still be good in a while."""
        text = credentials.get("expires_at")
        try:
            until = datetime.fromisoformat(text) if text and credentials.get("access_token") else None
        except ValueError:
            return False
        return until is not None and until > self.now() + RENEW_EARLY

    def _use(self, credentials: Mapping[str, str]) -> None:
        self._credentials = dict(credentials)
        for configuration in self._configurations:
            configuration.access_token = credentials["access_token"]

    def _build(self, package: Any, name: str, options: Mapping[str, Any]) -> Any:
        """One API object of the client, on our transport instead of a pool of its own."""
        configuration = package.Configuration(host=options["host"])
        configuration.access_token = self._credentials.get("access_token") or options["access_token"]
        configuration.retries = options["retry"]
        api = getattr(package, name)(api_client=package.ApiClient(configuration=configuration))
        api.api_client.rest_client.pool_manager = self._transport
        api.api_client.user_agent = "crm-sync"
        self._configurations.append(configuration)
        return api


def _checked(credentials: Mapping[str, str]) -> dict[str, str]:
    needed: Mapping[str, Sequence[str]] = {
        "private_app": ("access_token",),
        "oauth": ("client_id", "client_secret", "refresh_token"),
    }
    method = credentials.get("method", "")
    if method not in needed:
        raise ConfigError(f"HubSpot credentials need a method: {' or '.join(needed)}.", field="method")
    missing = [name for name in needed[method] if not credentials.get(name)]
    if missing:
        raise ConfigError(f"HubSpot credentials lack {', '.join(missing)}.", field=missing[0])
    return dict(credentials)


def _checked_url(base_url: str, credentials: Mapping[str, str]) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("The base URL of HubSpot's API must be an http or https address.", field="base_url")
    if parts.scheme == "http" and not _is_loopback(parts.hostname) and credentials.get("allow_http") != "yes":
        raise ConfigError(
            "Plain http to another machine would send tokens in the clear: use https, or set allow_http to yes.",
            field="base_url",
        )
    return base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
