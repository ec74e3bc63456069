"""The way from the unmodified client to the org under test."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from simple_salesforce import Salesforce

from crm_sync.sandbox.salesforce import SalesforceOrg


class ToSandbox(requests.adapters.HTTPAdapter):
    """simple-salesforce builds https addresses whatever it is told; this leads them to the sandbox."""

    def __init__(self, base: str) -> None:
        self.base = urlsplit(base)
        super().__init__()

    def send(self, request: requests.PreparedRequest, **kw: Any) -> requests.Response:  # type: ignore[override]
        meant = urlsplit(str(request.url))
        request.headers["X-Original-Host"] = meant.netloc
        request.url = urlunsplit((self.base.scheme, self.base.netloc, meant.path, meant.query, ""))
        return super().send(request, **kw)


class Door:
    """Opens clients as one user or another, and closes their sockets in the end."""

    def __init__(self, org: SalesforceOrg, url: str) -> None:
        self.org = org
        self.url = url
        self._sessions: list[requests.Session] = []

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", ToSandbox(self.url))
        self._sessions.append(session)
        return session

    def client_credentials(self, *, domain: str = "acme.my", secret: str = "", version: str = "62.0") -> Salesforce:
        known = self.org.credentials
        return Salesforce(
            consumer_key=known.consumer_key,
            consumer_secret=secret or known.consumer_secret,
            domain=domain,
            session=self.session(),
            version=version,
        )

    def as_user(self, user: str) -> Salesforce:
        """A client with a ready session of `user`; Sforce-Auto-Assign is FALSE, as a careful client sends it."""
        session = self.session()
        session.headers["Sforce-Auto-Assign"] = "FALSE"
        token = self.org.sessions.issue(user)
        return Salesforce(
            instance_url="https://acme.my.salesforce.com", session_id=token, session=session, version="62.0"
        )

    def close(self) -> None:
        for session in self._sessions:
            session.close()
