"""`crm-sync status`: how far each connection is, what waits, what failed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from sqlmodel import Session

from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say, table
from crm_sync.domain.budgets import calls_to_read
from crm_sync.domain.changes import Walk
from crm_sync.domain.connections import PULLING, PUSHING, Connection
from crm_sync.errors import CrmSyncError
from crm_sync.store import budgets, connections, explanations, feeds, inbox, outbox, records, versions
from crm_sync.wiring import Installation


def status(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show each connection: its state, how fresh it is, what waits, what failed, and what its calls cost."""
    with opened() as installation:
        report = gather(installation)
    if json:
        emit_json(report)
        return
    if not report["connections"]:
        say("No connection yet. Run `crm-sync connect salesforce` or `crm-sync connect hubspot`.")
    for connection in report["connections"]:
        show(connection)
    say(f"\nWaiting to be evaluated: {report['waiting']:,}. Policy in force: {report['policy'] or 'none'}.")
    if report["parked"]:
        say(
            f"  {report['parked']:,} of them failed again and again and are tried once an hour: "
            "the evaluate worker's log says why."
        )


def gather(installation: Installation) -> dict[str, Any]:
    """Everything that status shows, ready for JSON."""
    now = installation.now()
    with installation.transaction() as session:
        mappings = versions.mappings(session)
        policy = versions.policy(session)
        return {
            "waiting": inbox.waiting(session),
            "parked": inbox.parked(session, now),
            "policy": policy.content_hash[:12] if policy else "",
            "connections": [
                {
                    "name": each.name,
                    "kind": each.kind,
                    "org": each.org_name or each.org_id,
                    "test": each.is_test,
                    "state": each.state,
                    "reason": each.state_reason,
                    "wait_until": each.wait_until,
                    "mapping": mappings[each.id].content_hash[:12] if each.id in mappings else "",
                    "feeds": [
                        {
                            "name": feed.name,
                            "watermark": feed.watermark,
                            "behind_seconds": _behind(feed.watermark, now),
                            "next_due": feed.next_due,
                            "rows_read": feed.rows_read,
                            "problem": feed.last_problem,
                        }
                        for feed in feeds.status(session, each.id, now)
                    ],
                    "at_rest": _at_rest(installation, session, each),
                    "outbox": outbox.counts(session, each.id),
                    "withheld": outbox.withheld(session, each.id) if each.state not in PUSHING else {},
                    "people": _people(explanations.reckoning(session, each.id)),
                    "budget": [
                        {"span": row.span, "taken": row.taken, "ours": row.allowed, "seen": row.seen_used}
                        for row in explanations.budgets(session, each.id)
                    ],
                }
                for each in connections.listed(session)
            ],
        }


def _at_rest(installation: Installation, session: Session, connection: Connection) -> dict[str, int]:
    """Calls a day while nothing happens: polls of each object, and what is read again whatever happens (law 3)."""
    mapping = installation.mappings(session).get(connection.id)
    if mapping is None or connection.state not in PULLING:
        return {"polls": 0, "rereads": 0}
    try:
        followed = installation.feeds(connection, mapping, budgets.share_of_the_day(session, connection))
    except CrmSyncError:
        return {}  # `doctor` says what is wrong with the credentials
    polls = sum(timedelta(days=1) / feed.every for feed in followed if feed.walk is Walk.CHANGES)
    held = records.counts(session, connection.id)
    rereads = sum(
        timedelta(days=1) / feed.every * (calls_to_read(connection.kind, held[feed.object]) if whole else 1)
        for feed in followed
        if (whole := feed.walk is Walk.WHOLE) or feed.walk is not Walk.CHANGES
    )
    return {"polls": round(polls), "rereads": round(rereads)}


def _behind(watermark: datetime | None, now: datetime) -> int | None:
    return None if watermark is None else max(0, int((now - watermark).total_seconds()))


def _people(row: Any) -> dict[str, Any]:
    return {"records": row.records, "fates": row.fates or {}, "reasons": row.reasons or {}}


def show(connection: dict[str, Any]) -> None:
    """One connection in words and small tables."""
    head = f"\n{connection['name']} ({connection['kind']}, {connection['org']}{', test' if connection['test'] else ''})"
    say(f"{head}: {connection['state']}" + (f", {connection['reason']}" if connection["reason"] else ""))
    if not connection["mapping"]:
        say("  No mapping is published, so nothing is pulled: run `crm-sync mapping publish FILE`.")
    read = [feed for feed in connection["feeds"] if feed["rows_read"] or feed["problem"]]
    table(
        "",
        ["feed", "rows read", "behind", "problem"],
        [
            [
                feed["name"],
                feed["rows_read"],
                "first walk" if feed["behind_seconds"] is None else f"{feed['behind_seconds']} s",
                feed["problem"],
            ]
            for feed in read
        ],
    )
    fates = ", ".join(f"{count:,} {fate}" for fate, count in sorted(connection["people"]["fates"].items()))
    say(f"  People records: {connection['people']['records']:,} = {fates or 'none'}")
    for reason, count in sorted(connection["people"]["reasons"].items(), key=lambda pair: -pair[1]):
        say(f"    {count:>7,}  {reason}")
    entries = ", ".join(f"{count:,} {state}" for state, count in sorted(connection["outbox"].items()))
    say(f"  Outbox: {entries or 'empty'}")
    if connection["withheld"]:
        say(f"  Written once it is resumed (`crm-sync resume {connection['name']}`):")
        for reason, count in sorted(connection["withheld"].items(), key=lambda pair: -pair[1]):
            say(f"    {count:>7,}  {reason}")
    calls = ", ".join(f"{each['taken']:,} of our {each['ours']:,} a {each['span']}" for each in connection["budget"])
    say(f"  Calls reserved: {calls or 'none'}")
    if rest := connection["at_rest"]:
        say(f"  Calls a day at rest: {rest['polls']:,} polls, {rest['rereads']:,} for what is read again in any case")
