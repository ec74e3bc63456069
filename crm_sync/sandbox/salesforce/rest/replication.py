"""getUpdated and getDeleted: ids of what changed in a span of time, and up to when that is complete.

Source: REST API guide, sObject Get Updated and Get Deleted; SOAP API guide, getUpdated.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from crm_sync.sandbox.salesforce.org import SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.rest.records import kind_of
from crm_sync.sandbox.salesforce.stamps import moment, stamp, stamp_of_text
from crm_sync.sandbox.salesforce.wire import Reply, Request

MAX_IDS = 600_000
UPDATED_REACH = timedelta(days=30)
DELETED_REACH = timedelta(days=15)


def updated(org: SalesforceOrg, request: Request, object: str) -> Reply:
    kind = kind_of(org, request, object)
    start, end = _span(org, request, UPDATED_REACH)
    table = org.store.table(kind.name)
    stamped = table.stamped((stamp(start), ""), (stamp(end), ""))
    ids = [found for found in stamped if not table.rows[found].get("IsDeleted")]
    _check_count(len(ids))
    covered = _covered(org, end)
    return Reply(body={"ids": ids, "latestDateCovered": covered}, object=kind.name, records=len(ids))


def deleted(org: SalesforceOrg, request: Request, object: str) -> Reply:
    kind = kind_of(org, request, object)
    start, end = _span(org, request, DELETED_REACH)
    first, last = stamp(start), stamp(end)
    log = org.store.table(kind.name).deleted_at
    records = [{"id": one, "deletedDate": at} for one, at in log.items() if first <= at < last]
    _check_count(len(records))
    body = {
        "deletedRecords": records,
        "earliestDateAvailable": stamp(org.clock.now() - DELETED_REACH),
        "latestDateCovered": _covered(org, end),
    }
    return Reply(body=body, object=kind.name, records=len(records))


def _check_count(count: int) -> None:
    if count > MAX_IDS:
        raise Refusal("EXCEEDED_ID_LIMIT", f"Too many ids: {count}; use a shorter span.")


def _span(org: SalesforceOrg, request: Request, reach: timedelta) -> tuple[datetime, datetime]:
    """Start and end, whose seconds don't count."""
    start, end = (_minute(request.parameter(name)) for name in ("start", "end"))
    if end - start < timedelta(minutes=1):
        raise Refusal("INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate")
    if start < org.clock.now() - reach:
        raise Refusal("INVALID_REPLICATION_DATE", f"startDate cannot be more than {reach.days} days ago")
    return start, end


def _minute(text: str) -> datetime:
    # A client that doesn't encode the plus sign of its offset sends a space.
    found = stamp_of_text(text.replace(" ", "+"))
    if found is None:
        raise Refusal("INVALID_REPLICATION_DATE", f"Invalid date: {text}")
    return moment(found).replace(second=0)


def _covered(org: SalesforceOrg, end: datetime) -> str:
    """Held back to the start of the oldest transaction that is still running."""
    bounds = [end, org.clock.now()]
    oldest = org.transactions.oldest()
    return stamp(min([*bounds, oldest] if oldest else bounds))
