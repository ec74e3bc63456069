"""Recorded conversations: what Salesforce answers, in the shapes of its REST API guide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.salesforce.connector import SalesforceConnector, open_connector
from tests.connectors.world import CountingMeter

ORG = "https://acme.my.salesforce.com"
DATA = f"{ORG}/services/data/v62.0"
NOW = datetime(2026, 11, 22, 9, 20, tzinfo=UTC)
HEADERS = {"Sforce-Limit-Info": "api-usage=18/5000", "Date": "Sun, 22 Nov 2026 09:20:00 GMT"}

EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
TOKEN = {
    "access_token": "00DSB!TOKEN1",
    "instance_url": ORG,
    "id": "https://login.salesforce.com/id/00DSB0000000001AAA/005SB0000000001AAA",
    "token_type": "Bearer",
}
A_SESSION = {"method": "session", "session_id": "00DSB!TOKEN0", "instance_url": ORG}
AN_APP = {"method": "client_credentials", "consumer_key": "K", "consumer_secret": "S"}


def a_connector(credentials: dict[str, str] = A_SESSION, **kwargs: Any) -> SalesforceConnector:
    defaults: dict[str, Any] = {
        "base_url": ORG,
        "meter": CountingMeter(),
        "save_credentials": lambda saved: None,
        "deadline": timedelta(seconds=5),
        "now": lambda: NOW,
    }
    return open_connector(credentials=credentials, **(defaults | kwargs))


def a_lead(n: int, stamp: str = "2026-11-22T09:15:03.000+0000", **fields: Any) -> dict[str, Any]:
    return {
        "attributes": {"type": "Lead", "url": f"/services/data/v62.0/sobjects/Lead/{lead_id(n)}"},
        "Id": lead_id(n),
        "CreatedDate": "2026-11-02T08:15:04.000+0000",
        "SystemModstamp": stamp,
        "IsDeleted": False,
        "MasterRecordId": None,
        "IsConverted": False,
        "ConvertedContactId": None,
        "IndividualId": None,
        **fields,
    }


def lead_id(n: int) -> str:
    return f"00QSB{n:010d}AAA"


def a_page(*rows: dict[str, Any], done: bool = True) -> dict[str, Any]:
    return {"totalSize": len(rows), "done": done, "records": list(rows)}


def a_composite(*bodies: Any, name: str, status: int = 200) -> dict[str, Any]:
    return {
        "compositeResponse": [
            {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": f"{name}{n}"}
            for n, body in enumerate(bodies)
        ]
    }
