"""Owners: the users that records can be assigned to. Their id is not their user id.

Source: HubSpot owners guide. An archived owner has no userId, only userIdIncludingInactive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.sandbox.hubspot.stamps import iso, parse_ms


class Owners:
    """All owners of a portal by id, as HubSpot shows them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._next_id = 96_001

    def add(self, raw: Mapping[str, Any], now: int) -> str:
        """Add one; `raw` has the wire's names, all of them optional."""
        id = str(raw.get("id") or self._draw_id())
        user_id = raw.get("userIdIncludingInactive", raw.get("userId", int(id) + 675_200))
        archived = _yes(raw.get("archived", False))
        created = parse_ms(raw.get("createdAt") or raw.get("created") or now) or now
        self.rows[id] = {
            "id": id,
            "email": raw.get("email"),
            "type": raw.get("type", "PERSON"),
            "firstName": raw.get("firstName", ""),
            "lastName": raw.get("lastName", ""),
            "userId": None if archived or user_id is None else int(user_id),
            "userIdIncludingInactive": None if user_id is None else int(user_id),
            "teams": list(raw.get("teams") or ()),
            "createdAt": iso(created),
            "updatedAt": iso(parse_ms(raw.get("updatedAt") or created) or created),
            "archived": archived,
        }
        return id

    def assignable(self) -> list[str]:
        return [id for id, row in self.rows.items() if not row["archived"]]

    def set_archived(self, id: str, archived: bool, now: int) -> dict[str, Any]:
        if id not in self.rows:
            raise ValueError(f"There is no owner {id}.")
        row = self.rows[id]
        user_id = None if archived else row["userIdIncludingInactive"]
        row |= {"archived": archived, "userId": user_id, "updatedAt": iso(now)}
        return row

    def primary_team(self, id: str) -> str | None:
        teams = self.rows[id]["teams"] if id in self.rows else []
        return next((str(t["id"]) for t in teams if t.get("primary")), None)

    def _draw_id(self) -> int:
        while str(self._next_id) in self.rows:
            self._next_id += 1
        return self._next_id


def _yes(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes")
