"""Speaks to the control routes of a running sandbox, one client for each listener."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

import orjson
import requests

Action = Mapping[str, Any]
SEED_TIMEOUT = 600.0


class SandboxRefusal(ValueError):
    """The sandbox said no; the text is its own sentence."""


class SandboxClient:
    """Drives the CRM that listens at `url`. With HTTPS, `verify` is the path of the sandbox's authority file."""

    def __init__(self, url: str, *, verify: str | bool = True, timeout: float = 60) -> None:
        self._base = f"{url.rstrip('/')}/_sandbox/"
        self._timeout = timeout
        self._session = requests.Session()
        # The sandbox is on this machine: no proxy or netrc of the environment applies.
        self._session.trust_env = False
        self._session.verify = verify

    def __enter__(self) -> SandboxClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def summary(self, *, since: int = 0) -> dict[str, Any]:
        """Calls by operation and field writes after call number `since`; `last_call` is the next `since`."""
        found: dict[str, Any] = self._ask("GET", "summary", params={"since": since})
        return found

    def journal(
        self, kind: str = "calls", *, since: int = 0, limit: int = 10_000, field: str = ""
    ) -> list[dict[str, Any]]:
        """Entries of `kind` (`calls` or `writes`) numbered above `since`; with `field` only writes of that field."""
        wish = {"kind": kind, "since": since, "limit": limit, "field": field}
        found: list[dict[str, Any]] = self._ask("GET", "journal", params=wish)["entries"]
        return found

    def now(self) -> datetime:
        return datetime.fromisoformat(self._ask("GET", "clock")["now"])

    def advance(self, seconds: float) -> datetime:
        """Move the clock of both CRMs forward."""
        return datetime.fromisoformat(self._ask("POST", "clock", json={"advance_seconds": seconds})["now"])

    def freeze(self, at: datetime | None = None) -> datetime:
        wish = {"freeze": True if at is None else at.isoformat()}
        return datetime.fromisoformat(self._ask("POST", "clock", json=wish)["now"])

    def thaw(self) -> datetime:
        return datetime.fromisoformat(self._ask("POST", "clock", json={"thaw": True})["now"])

    def act(self, action: Action | Sequence[Action]) -> Any:
        """Do something as a person or an admin of the CRM: one action and its answer, or several and theirs."""
        wish = dict(action) if isinstance(action, Mapping) else [dict(a) for a in action]
        return self._ask("POST", "act", json=wish)

    def faults(self, planned: str | Action | Sequence[Action] = ()) -> list[dict[str, Any]]:
        """Plan faults (the name of a plan, one, or several), and show all that are planned for this CRM."""
        if not planned:
            return self._faults("GET")
        if isinstance(planned, str):
            return self._faults("POST", {"plan": planned})
        return self._faults("POST", dict(planned) if isinstance(planned, Mapping) else [dict(p) for p in planned])

    def clear_faults(self) -> None:
        self._faults("DELETE")

    def population(self) -> dict[str, Any]:
        """The summary of what the sandbox was filled with."""
        found: dict[str, Any] = self._ask("GET", "population")
        return found

    def seed(self, blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Load blocks (see the seed route) one after the other, without holding them all."""
        found: dict[str, Any] = self._ask("POST", "seed", data=_lines(blocks), timeout=SEED_TIMEOUT)
        return found

    def _faults(self, method: str, wish: Any = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(method, "faults", json=wish)["faults"]
        return found

    def _ask(self, method: str, route: str, *, timeout: float | None = None, **request: Any) -> Any:
        answer = self._session.request(method, self._base + route, timeout=timeout or self._timeout, **request)
        if answer.status_code == 400:
            raise SandboxRefusal(answer.json()["error"])
        answer.raise_for_status()
        return answer.json()


def _lines(blocks: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    return (orjson.dumps(block) + b"\n" for block in blocks)
