"""Signing in, staying signed in, and the seconds inside one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from requests.exceptions import RequestException
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from connectors.salesforce.errors import garbage, is_expired, translate
from connectors.salesforce.sign_in import API_VERSION, Method, Token, login_domain, method_of, sign_in
from connectors.salesforce.transport import Listener, Passage, open_session, origin
from crm_sync.errors import TransientError
from crm_sync.ports import HoldCredentials, Meter, SaveCredentials

T = TypeVar("T")

READ_TRIES = 3
_NOT_BY_WAITING = frozenset({"QUERY_TIMEOUT", "timeout", "unreachable"})
"""Transient, but not within the seconds of one call."""


TOKEN = ("session_id", "instance_url", "signed_in_to", "user_id")
"""What a sign-in adds to the credentials."""


class Session:
    """A ready simple-salesforce client.

    The client is given a session id, never credentials: left to renew by itself it drops headers, and on some
    calls never stops trying (fact sheet §1.5). The token in use is handed to `save_credentials`, so that the next
    connector of this connection doesn't sign in again.
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
        self._credentials = dict(credentials)
        self._hold = hold_credentials or (lambda: nullcontext(self._credentials))
        self._method = method_of(credentials)
        self._allow_http = credentials.get("allow_http") == "yes"
        address = credentials.get("instance_url", "") if self._method is Method.SESSION else ""
        self._base_url = origin(address or base_url, allow_http=self._allow_http)
        self._save = save_credentials
        self._deadline = deadline
        self._now = now
        self._passage = Passage(meter)
        self._listener = Listener(meter)
        self._http = open_session(self._passage, self._listener, ca_file=credentials.get("ca_file", ""))
        self._client: Salesforce | None = None

    @property
    def server_time(self) -> datetime | None:
        """The CRM's clock when the last call began, or None before the first answer."""
        return self._listener.server_time

    @property
    def user_id(self) -> str:
        """Who the token is for, as far as the sign-in told."""
        return self._credentials.get("user_id", "")

    def now(self) -> datetime:
        return self._now()

    def read(self, ask: Callable[[Salesforce], T]) -> T:
        """Ask for something; repeated a few times where that may help, all within one deadline."""
        self._passage.allow(self._deadline)
        tries = Retrying(
            stop=stop_after_attempt(READ_TRIES),
            wait=wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.2),
            retry=retry_if_exception(self._worth_repeating),
            reraise=True,
        )
        return tries(lambda: self._attempt(ask))

    def write(self, ask: Callable[[Salesforce], T]) -> T:
        """Ask for a change: sent once, and again only where the session was refused, so that nothing was done."""
        self._passage.allow(self._deadline)
        return self._attempt(ask)

    def close(self) -> None:
        self._http.close()

    def _worth_repeating(self, error: BaseException) -> bool:
        return isinstance(error, TransientError) and error.code not in _NOT_BY_WAITING and self._passage.left() > 1

    def _attempt(self, ask: Callable[[Salesforce], T]) -> T:
        try:
            return self._ask(ask, self._signed_in())
        except SalesforceError as error:
            # The error can't tell whose token it was, so one renewal is all that is tried.
            if not is_expired(error) or self._method is Method.SESSION:
                raise translate(error, self._now()) from error
        try:
            return self._ask(ask, self._renewed())
        except SalesforceError as error:
            raise translate(error, self._now()) from error

    def _ask(self, ask: Callable[[Salesforce], T], client: Salesforce) -> T:
        try:
            return ask(client)
        except RequestException as error:
            raise translate(error, self._now()) from error

    def _signed_in(self) -> Salesforce:
        if self._client is None:
            self._client = self._remembered() or self._renewed()
        return self._client

    def _remembered(self) -> Salesforce | None:
        """A client from the token that an earlier connector saved, if it was for the same address."""
        session_id, address = self._credentials.get("session_id"), self._credentials.get("instance_url")
        if not session_id or not address or self._credentials.get("signed_in_to") != self._base_url:
            return None
        at = origin(address, allow_http=self._allow_http)
        return self._client_for(Token(session_id=session_id, host=urlsplit(at).netloc), at)

    def _renewed(self) -> Salesforce:
        """A client with a new token. Of several workers one signs in, and the others take what that one stored."""
        with self._hold() as stored:
            if stored.get("session_id") != self._credentials.get("session_id"):
                self._credentials |= {name: stored.get(name, "") for name in TOKEN}
                if remembered := self._remembered():
                    self._client = remembered
                    return remembered
            return self._sign_in()

    def _sign_in(self) -> Salesforce:
        self._route_sign_in()
        try:
            token = sign_in(self._http, self._credentials, base_url=self._base_url)
        except (SalesforceAuthenticationFailed, RequestException) as error:
            raise translate(error, self._now()) from error
        base = urlsplit(self._base_url)
        # Only the host that we were pointed to may be spoken to in plain http.
        at = f"{base.scheme if token.host == base.netloc else 'https'}://{token.host}"
        if self._method is not Method.SESSION:
            told = (token.session_id, at, self._base_url, self._listener.user_id)
            self._credentials |= dict(zip(TOKEN, told, strict=True))
            self._save(dict(self._credentials))
        self._client = self._client_for(token, at)
        return self._client

    def _route_sign_in(self) -> None:
        if self._method is Method.SESSION:
            return
        host = f"{login_domain(self._credentials, self._base_url)}.salesforce.com"
        self._passage.routes[host] = self._base_url

    def _client_for(self, token: Token, at: str) -> Salesforce:
        self._passage.routes[token.host] = at
        return Salesforce(
            instance_url=f"https://{token.host}",
            session_id=token.session_id,
            version=API_VERSION,
            session=self._http,
            object_pairs_hook=None,
        )


def as_dict(answer: Any) -> dict[str, Any]:
    """An answer that must be a JSON object; anything else is garbage, never nothing."""
    if not isinstance(answer, dict):
        raise garbage()
    return answer
