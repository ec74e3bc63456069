"""What is derived from the installation's secret: the seal on credentials, pseudonyms, and the audit chain's key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken

from crm_sync.errors import ConfigError


class Keys:
    """One secret, several keys: none of them tells another, and none of them is in the database."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._fernet = Fernet(base64.urlsafe_b64encode(self._derive(b"seal")))
        self._pseudonyms = self._derive(b"pseudonyms")
        self._audit = self._derive(b"audit")

    def _derive(self, purpose: bytes) -> bytes:
        return hmac.new(self._secret, b"crm-sync/" + purpose, hashlib.sha256).digest()

    def seal(self, credentials: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(dict(credentials), sort_keys=True).encode())

    def open(self, sealed: bytes) -> dict[str, str]:
        """The credentials again, or ConfigError where another secret sealed them."""
        try:
            opened = json.loads(self._fernet.decrypt(bytes(sealed)))
        except InvalidToken as error:
            raise ConfigError(
                "the stored credentials were sealed with another secret key; restore CRM_SYNC_SECRET_KEY (or its file) "
                "or run `crm-sync connect` again"
            ) from error
        return {str(name): str(value) for name, value in opened.items()}

    def pseudonym(self, kind: str, value: str) -> bytes:
        """A keyed digest that recognises `value` again and doesn't tell it."""
        return hmac.digest(self._pseudonyms, f"{kind}:{value}".encode(), "sha256")

    def audit_root(self, previous: bytes, block: bytes) -> bytes:
        """The root of an audit block on top of the block before it (law 18)."""
        return hmac.new(self._audit, previous + block, hashlib.sha256).digest()
