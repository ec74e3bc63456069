"""What the machine refuses, as one sentence for whoever runs the command. Anything else is a bug and rises."""

from __future__ import annotations

import errno

from sqlalchemy.exc import OperationalError

from crm_sync.errors import CrmSyncError

_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "name another place, such as CRM_SYNC_HOME=FOLDER",
    errno.EACCES: "let this user use it, or name another place, such as CRM_SYNC_HOME=FOLDER",
    errno.EPERM: "let this user use it, or name another place, such as CRM_SYNC_HOME=FOLDER",
    errno.ENOTDIR: "a part of it is a file; name a folder, such as CRM_SYNC_HOME=FOLDER",
    errno.ENAMETOOLONG: "name a shorter one, such as CRM_SYNC_HOME=FOLDER",
}


def sentence(error: Exception) -> str | None:
    """What to tell the person at the terminal; None where it is our mistake and a traceback helps more."""
    match error:
        case CrmSyncError():
            return str(error)
        case OperationalError():
            lines = str(error.orig).strip().splitlines() or ["no answer"]
            return (
                f"the database stopped the command ({lines[0]}); what wasn't committed is taken back: look with "
                "`crm-sync doctor`, then run it again"
            )
        case OSError() if error.errno in _ADVICE:
            place = error.filename or "a file"
            return f"{place} can't be used ({error.strerror}): {_ADVICE[error.errno]}"
        case _:
            return None
