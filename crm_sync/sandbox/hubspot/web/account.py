"""The account itself: signing in, who a token belongs to, the account's details, its owners and pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_sync.sandbox.hubspot import refusals
from crm_sync.sandbox.hubspot.paging import offset_of, offset_token
from crm_sync.sandbox.hubspot.sign_in import scopes_needed
from crm_sync.sandbox.hubspot.stamps import from_ms
from crm_sync.sandbox.hubspot.web.call import Answer, Call, Endpoint, required

MOST_OWNERS = 500


def sign_in(call: Call) -> Answer:
    if not isinstance(call.body, dict):
        raise refusals.invalid("The token endpoint takes a form.")
    granted = call.portal.sign_in.grant(
        call.body, call.portal.now(), rotate=call.portal.behaviour.rotate_refresh_tokens
    )
    return Answer(body=granted)


def access_token(call: Call) -> Answer:
    return Answer(body=call.portal.sign_in.describe_access(call.params["token"], call.portal.now()))


def refresh_token(call: Call) -> Answer:
    return Answer(body=call.portal.sign_in.describe_refresh(call.params["token"]))


def revoke_refresh_token(call: Call) -> Answer:
    call.portal.sign_in.revoke_refresh(call.params["token"])
    return Answer(status=204)


def private_token(call: Call) -> Answer:
    required(call.mapping(), "tokenKey")
    return Answer(body=call.portal.sign_in.describe_private(str(call.mapping()["tokenKey"])))


def details(call: Call) -> Answer:
    portal = call.portal
    offset = from_ms(portal.now()).astimezone(portal.limits.zone).utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset else 0
    sign, hours = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    body = {
        "portalId": portal.portal_id,
        "accountType": "DEVELOPER_TEST",
        "timeZone": portal.time_zone,
        "companyCurrency": "EUR",
        "additionalCurrencies": ["USD"],
        "utcOffset": f"{sign}{hours[0]:02}:{hours[1]:02}",
        "utcOffsetMilliseconds": minutes * 60_000,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }
    return Answer(body=body)


def usage(call: Call) -> Answer:
    return Answer(body={"results": [call.portal.limits.usage(call.portal.now())]})


def list_owners(call: Call) -> Answer:
    """By id; `archived=true` lists only those who left."""
    limit = call.whole("limit", 100, least=1, most=MOST_OWNERS)
    email, archived = call.query.get("email"), call.flag("archived")
    found = [
        row
        for _, row in sorted(call.portal.owners.rows.items(), key=lambda item: int(item[0]))
        if row["archived"] is archived and (not email or (row["email"] or "").lower() == email.lower())
    ]
    start = offset_of(call.query.get("after"))
    body: dict[str, Any] = {"results": found[start : start + limit]}
    if start + limit < len(found):
        token = offset_token(start + limit)
        body["paging"] = {"next": {"after": token, "link": f"{call.url}{call.path}?after={token}&limit={limit}"}}
    return Answer(body=body, records=len(body["results"]))


def get_owner(call: Call) -> Answer:
    by = "userId" if (call.query.get("idProperty") or "id").lower() == "userid" else "id"
    archived = call.flag("archived")
    for row in call.portal.owners.rows.values():
        shown = row["userIdIncludingInactive"] if by == "userId" else row["id"]
        if str(shown) == call.params["id"] and row["archived"] is archived:
            return Answer(body=row, records=1)
    raise refusals.not_found()


def list_pipelines(call: Call) -> Answer:
    found = call.portal.pipelines.by_object.get(call.type().name, [])
    return Answer(body={"results": found}, records=len(found))


def get_pipeline(call: Call) -> Answer:
    return Answer(body=_pipeline(call), records=1)


def list_stages(call: Call) -> Answer:
    stages = _pipeline(call)["stages"]
    return Answer(body={"results": stages}, records=len(stages))


def _pipeline(call: Call) -> dict[str, Any]:
    found = call.portal.pipelines.find(call.type().name, call.params["id"])
    if found is None:
        raise refusals.not_found()
    return found


def _reading_owners(_call: Call) -> tuple[str, ...]:
    return ("crm.objects.owners.read",)


def _reading_pipelines(call: Call) -> tuple[str, ...]:
    family = call.type().scopes
    return (*scopes_needed(family, "read"), f"crm.schemas.{family}.read")


def _open(method: str, path: str, operation: str, answer: Callable[[Call], Answer]) -> Endpoint:
    return Endpoint(method=method, path=path, operation=operation, answer=answer, open=True)


OAUTH = (
    _open("POST", "/v1/token", "sign_in", sign_in),
    _open("POST", "/v3/token", "sign_in", sign_in),
    _open("POST", "/2026-03/token", "sign_in", sign_in),
    _open("GET", "/v1/access-tokens/{token}", "token_info", access_token),
    _open("GET", "/v1/refresh-tokens/{token}", "token_info", refresh_token),
    _open("DELETE", "/v1/refresh-tokens/{token}", "sign_out", revoke_refresh_token),
    _open("POST", "/v2/private-apps/get/access-token-info", "token_info", private_token),
)
ACCOUNT = (
    Endpoint(method="GET", path="/details", operation="account_info", answer=details),
    Endpoint(method="GET", path="/api-usage/daily/private-apps", operation="api_usage", answer=usage),
)
OWNERS = (
    Endpoint(method="GET", path="", operation="owners.list", answer=list_owners, scopes=_reading_owners),
    Endpoint(method="GET", path="/{id}", operation="owners.get", answer=get_owner, scopes=_reading_owners),
)
PIPELINES = (
    Endpoint(
        method="GET", path="/{type}", operation="pipelines.list", answer=list_pipelines, scopes=_reading_pipelines
    ),
    Endpoint(
        method="GET", path="/{type}/{id}", operation="pipelines.get", answer=get_pipeline, scopes=_reading_pipelines
    ),
    Endpoint(
        method="GET",
        path="/{type}/{id}/stages",
        operation="pipelines.stages",
        answer=list_stages,
        scopes=_reading_pipelines,
    ),
)
