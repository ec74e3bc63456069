"""Paging tokens of lists that aren't walked by id: the offset in base 64, which clients must not look into."""

from __future__ import annotations

import base64
from typing import Any

from crm_sync.sandbox.hubspot import refusals


def offset_token(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode().rstrip("=")


def offset_of(token: Any) -> int:
    """The offset of a token, 0 without one; raises Refusal where it is none of ours."""
    if token in (None, ""):
        return 0
    text = str(token)
    try:
        return int(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except ValueError:
        raise refusals.invalid(f"The paging token {text} is not valid.") from None
