"""Every way in: SOAP login, the OAuth grants, and who-am-I. Answers have the exact shape that clients look for.

Source: facts on authentication; REST API guide, OAuth flows; SOAP API guide, login().
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import jwt
from cryptography import x509

from crm_sync.sandbox.salesforce import versions
from crm_sync.sandbox.salesforce.org import SalesforceOrg

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SHARED_HOSTS = ("login.salesforce.com", "test.salesforce.com")
_PARTNER = "{urn:partner.soap.sforce.com}"


class SignInRefusal(Exception):
    """An OAuth error, or a SOAP fault of the same words."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where somebody knocks: `base` is the address of this server, `host` the one that the client meant."""

    base: str
    host: str


def token(org: SalesforceOrg, door: Door, form: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """The OAuth token endpoint; raises SignInRefusal."""
    grant = form.get("grant_type", "")
    if org.sign_in_refusal is not None:
        raise SignInRefusal(*org.sign_in_refusal)
    if grant == "client_credentials":
        user = _client_credentials(org, door, form, headers)
    elif grant == "password":
        user = _password(org, form)
    elif grant == JWT_BEARER:
        user = _jwt_bearer(org, door, form.get("assertion", ""))
    else:
        raise SignInRefusal("unsupported_grant_type", "grant type not supported")
    return {
        "access_token": org.sessions.issue(user),
        "instance_url": door.base,
        "id": f"{door.base}/id/{org.org_id}/{user}",
        "token_type": "Bearer",
        "issued_at": str(int(org.clock.now().timestamp() * 1000)),
        "signature": "c2FuZGJveA==",
    }


def _check_client(org: SalesforceOrg, key: str, secret: str) -> None:
    if key != org.credentials.consumer_key:
        raise SignInRefusal("invalid_client_id", "client identifier invalid")
    if secret != org.credentials.consumer_secret:
        raise SignInRefusal("invalid_client", "invalid client credentials")


def _client_credentials(org: SalesforceOrg, door: Door, form: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Runs as the integration user, and only on the org's own host."""
    if door.host.lower() in _SHARED_HOSTS:
        raise SignInRefusal("invalid_grant", "request not supported on this domain")
    key, secret = _basic(headers.get("authorization", ""))
    _check_client(org, key or form.get("client_id", ""), secret or form.get("client_secret", ""))
    return _active(org, org.integration_id)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SignInRefusal("invalid_client", "invalid client credentials") from error
    return key, secret


def _password(org: SalesforceOrg, form: Mapping[str, str]) -> str:
    _check_client(org, form.get("client_id", ""), form.get("client_secret", ""))
    login = org.credentials.login(form.get("username", ""))
    # The security token goes behind the password unless the caller's address is trusted.
    if login is None or form.get("password") not in (login.password, login.password + login.token):
        raise SignInRefusal("invalid_grant", "authentication failure")
    return _active(org, org.user_id(login.username))


def _jwt_bearer(org: SalesforceOrg, door: Door, assertion: str) -> str:
    if not org.public_key:
        raise SignInRefusal("invalid_client", "no certificate is registered for this app")
    options: Any = {
        "verify_exp": False,
        "verify_aud": False,
        "verify_iat": False,
        "require": ["iss", "sub", "aud", "exp"],
    }
    try:
        claims = jwt.decode(assertion, _verifying_key(org.public_key), algorithms=["RS256"], options=options)
    except jwt.PyJWTError as error:
        raise SignInRefusal("invalid_grant", "invalid assertion") from error
    _check_claims(org, door, claims)
    try:
        user = org.user_id(str(claims["sub"]))
    except KeyError as error:
        raise SignInRefusal("invalid_grant", "user hasn't approved this consumer") from error
    return _active(org, user)


def _verifying_key(pem: str) -> Any:
    """The public key itself, or that of a certificate."""
    if "BEGIN CERTIFICATE" not in pem:
        return pem
    return x509.load_pem_x509_certificate(pem.encode()).public_key()


def _check_claims(org: SalesforceOrg, door: Door, claims: Mapping[str, Any]) -> None:
    if claims["iss"] != org.credentials.consumer_key:
        raise SignInRefusal("invalid_client_id", "client identifier invalid")
    audiences = {f"https://{host}" for host in (*_SHARED_HOSTS, org.my_domain, door.host)} | {door.base}
    if str(claims["aud"]).rstrip("/") not in audiences:
        raise SignInRefusal("invalid_grant", "audience is invalid")
    # Some clients send the expiry as text.
    expires = float(claims["exp"])
    now = org.clock.now().timestamp()
    if expires <= now:
        raise SignInRefusal("invalid_grant", "expired authorization code")
    if expires > now + 600:
        raise SignInRefusal("invalid_grant", "assertion expires too far in the future")


def _active(org: SalesforceOrg, user: str) -> str:
    if not (org.store.row("User", user) or {}).get("IsActive"):
        raise SignInRefusal("inactive_user", "user is inactive")
    return user


def user_info(org: SalesforceOrg, door: Door, user: str) -> dict[str, Any]:
    """Who the session belongs to. Source: OpenID Connect userinfo endpoint of the platform."""
    row = org.store.row("User", user) or {}
    rest = f"{door.base}/services/data/v{{version}}/"
    return {
        "sub": f"{door.base}/id/{org.org_id}/{user}",
        "user_id": user,
        "organization_id": org.org_id,
        "preferred_username": row.get("Username"),
        "nickname": row.get("Alias"),
        "name": " ".join(part for part in (row.get("FirstName"), row.get("LastName")) if part),
        "email": row.get("Email"),
        "email_verified": True,
        "given_name": row.get("FirstName"),
        "family_name": row.get("LastName"),
        "zoneinfo": row.get("TimeZoneSidKey"),
        "user_type": "STANDARD",
        "active": bool(row.get("IsActive")),
        "is_app_installed": True,
        "urls": {"rest": rest, "sobjects": f"{rest}sobjects/", "query": f"{rest}query/"},
    }


def soap_login(org: SalesforceOrg, door: Door, version: str, body: bytes) -> str:
    """The XML of a loginResponse; raises SignInRefusal for a fault."""
    if org.sign_in_refusal is not None:
        raise SignInRefusal(*org.sign_in_refusal)
    if not versions.known(version) or int(version.partition(".")[0]) > versions.LAST_SOAP_LOGIN:
        message = f"Unsupported API version for login(): {version}; it ends with {versions.LAST_SOAP_LOGIN}.0"
        raise SignInRefusal("UNSUPPORTED_API_VERSION", message)
    username, password = _soap_credentials(body)
    login = org.credentials.login(username)
    if login is None or not password.startswith(login.password):
        raise SignInRefusal("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    if password == login.password:
        message = "LOGIN_MUST_USE_SECURITY_TOKEN: use your password and security token to log in"
        raise SignInRefusal("LOGIN_MUST_USE_SECURITY_TOKEN", message)
    if password != login.password + login.token:
        raise SignInRefusal("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    user = org.user_id(login.username)
    if not (org.store.row("User", user) or {}).get("IsActive"):
        raise SignInRefusal("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    return _login_response(org, door, version, user)


def _soap_credentials(body: bytes) -> tuple[str, str]:
    # A document type declaration is the way into entity tricks, and no SOAP client sends one.
    if b"<!DOCTYPE" in body:
        raise SignInRefusal("INVALID_LOGIN", "document type declarations are not allowed")
    try:
        envelope = ElementTree.fromstring(body)  # noqa: S314 - declarations are refused above, so nothing expands
    except ElementTree.ParseError as error:
        raise SignInRefusal("INVALID_LOGIN", "the envelope is not well-formed XML") from error
    username, password = (envelope.findtext(f".//{_PARTNER}{name}") or "" for name in ("username", "password"))
    return username, password


def _login_response(org: SalesforceOrg, door: Door, version: str, user: str) -> str:
    values = {
        "metadataServerUrl": f"{door.base}/services/Soap/m/{version}/{org.org_id[:15]}",
        "passwordExpired": "false",
        "sandbox": "true",
        "serverUrl": f"{door.base}/services/Soap/u/{version}/{org.org_id[:15]}",
        "sessionId": org.sessions.issue(user),
        "userId": user,
    }
    fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
    seconds = int(org.sessions.lifetime.total_seconds())
    info = (
        f"<userInfo><organizationId>{org.org_id}</organizationId>"
        f"<sessionSecondsValid>{seconds}</sessionSecondsValid><userId>{user}</userId></userInfo>"
    )
    return _ENVELOPE.format(f"<loginResponse><result>{fields}{info}</result></loginResponse>")


_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com">'
    "<soapenv:Body>{}</soapenv:Body></soapenv:Envelope>"
)


def soap_fault(refusal: SignInRefusal) -> str:
    code = re.sub(r"\W", "_", refusal.error).upper()
    text = escape(refusal.description)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:sf="urn:fault.partner.soap.sforce.com"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring>"
        f"<detail><sf:LoginFault><sf:exceptionCode>{code}</sf:exceptionCode>"
        f"<sf:exceptionMessage>{text}</sf:exceptionMessage></sf:LoginFault></detail>"
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    )
