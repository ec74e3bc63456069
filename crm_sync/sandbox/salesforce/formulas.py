"""Fields that hold nothing and are worked out when read. Reading one never moves a stamp, so its value drifts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

from crm_sync.sandbox.salesforce.table import Row

if TYPE_CHECKING:
    from crm_sync.sandbox.salesforce.store import Store

Formula = Callable[["Store", Row], Any]


def _person_name(_: Store, row: Row) -> str | None:
    parts = (row.get("FirstName"), row.get("LastName"))
    return " ".join(p for p in parts if p) or None


def _address(prefix: str) -> Formula:
    parts = {part[0].lower() + part[1:]: prefix + part for part in ("Street", "City", "State", "PostalCode", "Country")}

    def address(_: Store, row: Row) -> dict[str, Any] | None:
        found = {part: row.get(field) for part, field in parts.items()}
        if not any(found.values()):
            return None
        return {**found, "geocodeAccuracy": None, "latitude": None, "longitude": None}

    return address


def _days_since_created(store: Store, row: Row) -> float:
    created = date.fromisoformat(row["CreatedDate"][:10])
    return float((store.clock.now().date() - created).days)


def _account_industry(store: Store, row: Row) -> str | None:
    account = store.table("Account").get(row.get("AccountId") or "")
    industry: str | None = account.get("Industry") if account else None
    return industry


FORMULAS: dict[tuple[str, str], Formula] = {
    ("Lead", "Name"): _person_name,
    ("Contact", "Name"): _person_name,
    ("User", "Name"): _person_name,
    ("Individual", "Name"): _person_name,
    ("Lead", "Address"): _address(""),
    ("Contact", "MailingAddress"): _address("Mailing"),
    ("Account", "BillingAddress"): _address("Billing"),
    ("Lead", "Days_Since_Created__c"): _days_since_created,
    ("Contact", "Account_Industry__c"): _account_industry,
}
