"""Makes custom fields in an org or portal from one neutral description, as an admin would before an import.

A description is `{"name", "label", "type", "length"}`: `name` as the CRM spells it, `type` one of text, long_text,
number, boolean, date and datetime. What exists already is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Define = Callable[[str, list[dict[str, Any]]], list[str]]
