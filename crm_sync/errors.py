"""The six error families; each has one reaction.

CrmSyncError
├── TransientError     the same call may work later    → back off, try again, up to the attempt limit
├── RateLimitedError   the CRM asked us to wait        → pause the connection until retry_at; costs no attempt
├── RecordError        this record can't be written    → dead letter; the rest of the batch goes on
├── GoneError          deleted, merged or converted    → close with the reason, follow the survivor; never a dead letter
├── AuthError          the connection is not let in    → hold its entries, ask an admin to sign in again
└── ConfigError        a mapping or setting is wrong   → hold what depends on it, tell RevOps which field

`str(error)` is one sentence for the person on the page: it says what to do and holds no secret and no personal
data. Anything outside this tree is a bug and rises.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class Family(StrEnum):
    """What to do next about a failure; the name of one branch of the tree above."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    RECORD = "record"
    GONE = "gone"
    AUTH = "auth"
    CONFIG = "config"


class CrmSyncError(Exception):
    """A failure that somebody can act on.

    `code` is the CRM's own word (empty where it has none), `field` the field it names.
    """

    family: Family

    def __init__(self, message: str, *, code: str = "", field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class TransientError(CrmSyncError):
    """The same call may work later.

    `sent` is true where the request may have reached the CRM: its outcome is then unknown (law 14).
    """

    family = Family.TRANSIENT

    def __init__(self, message: str, *, code: str = "", field: str = "", sent: bool = True) -> None:
        super().__init__(message, code=code, field=field)
        self.sent = sent


class RateLimitedError(CrmSyncError):
    """The CRM asked us to wait until `retry_at` (aware UTC)."""

    family = Family.RATE_LIMITED

    def __init__(self, message: str, *, retry_at: datetime, code: str = "") -> None:
        super().__init__(message, code=code)
        self.retry_at = retry_at


class RecordError(CrmSyncError):
    """This record can't be written as it stands."""

    family = Family.RECORD


class GoneError(CrmSyncError):
    """The record is deleted, merged or converted; `survivor` is the id to follow, empty where there is none."""

    family = Family.GONE

    def __init__(self, message: str, *, code: str = "", survivor: str = "") -> None:
        super().__init__(message, code=code)
        self.survivor = survivor


class AuthError(CrmSyncError):
    """The connection is not let in: a credential or a permission is missing."""

    family = Family.AUTH


class ConfigError(CrmSyncError):
    """A mapping, setting or file is wrong; the sentence names which and what to do."""

    family = Family.CONFIG
