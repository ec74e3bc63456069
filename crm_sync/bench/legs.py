"""The three legs as the workers run them, one after the other in this process, for one connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crm_sync.domain.changes import Feed, Walk
from crm_sync.domain.connections import ConnectionId
from crm_sync.flows.evaluate import LARGE_BATCH, evaluate
from crm_sync.flows.pull import pull
from crm_sync.flows.push import BATCH, Pushed, push
from crm_sync.store import connections
from crm_sync.wiring import Installation


@dataclass(frozen=True, kw_only=True)
class Legs:
    """An installation and the one connection that it works for."""

    installation: Installation
    connection: ConnectionId

    def feeds(self, *walks: Walk) -> list[Feed]:
        """The feeds that the mapping in force has a use for, people first; all walks unless some are named."""
        ours = self.installation
        with ours.transaction() as session:
            connector = ours.connector(connections.by_id(session, self.connection))
        wanted = [feed for feed in connector.feeds() if not walks or feed.walk in walks]
        return [feed for feed in wanted if ours.source(self.connection, feed.name)]

    def pull(self, feeds: Iterable[Feed]) -> int:
        """Read each feed to its end, due or not. How many rows came."""
        return sum(self._pull(feed) for feed in feeds)

    def _pull(self, feed: Feed) -> int:
        ours, read = self.installation, 0
        source = ours.source(self.connection, feed.name)
        assert source is not None, f"nothing uses {feed.name}"
        while True:
            page = pull(ours.transaction, source, ours.now(), span=ours.lease_span, early=True)
            if page.problem:
                raise RuntimeError(f"{feed.name}: {page.problem}")
            read += page.rows
            if not page.more:
                return read

    def evaluate(self) -> int:
        """Evaluate until nobody waits. How many people that were."""
        ours, people = self.installation, 0
        while True:
            found = evaluate(ours.transaction, ours, ours.now(), span=ours.evaluation_span, large=LARGE_BATCH)
            if not found.people:
                return people
            people += found.people

    def push(self) -> int:
        """Push until nothing waits. How many records were written."""
        delivered = 0
        while True:
            pushed = self.push_batch()
            delivered += pushed.delivered
            if not pushed.more:
                return delivered

    def push_batch(self, most: int = BATCH) -> Pushed:
        ours = self.installation
        target = ours.target(self.connection)
        assert target is not None, "the connection does not push"
        pushed = push(ours.transaction, target, ours.now(), span=ours.claim_span, draw=ours.draw, most=most)
        if pushed.refused:
            raise RuntimeError(f"{pushed.refused} writes were refused")
        return pushed
