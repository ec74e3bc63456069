"""What the signed-in user may do in the org."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.salesforce import composite
from connectors.salesforce.errors import refusal, said
from connectors.salesforce.session import Session, as_dict
from crm_sync.domain.changes import Feed, Role
from crm_sync.errors import AuthError, ConfigError
from crm_sync.ports import Check


def permissions(session: Session, feeds: Iterable[Feed]) -> list[Check]:
    """One Check an object: may our user read it and, for people, write it. One call.

    Describe is answered for the signed-in user; an object hidden from it isn't described at all.
    """
    writable = {feed.object: feed.role is Role.PERSON for feed in feeds}
    asks = [composite.Ask(method="GET", path=f"sobjects/{object}/describe") for object in writable]
    answers = session.read(lambda client: composite.send(client, asks, name="d"))
    return [
        _check(session, object, answer, must_write=writable[object])
        for object, answer in zip(writable, answers, strict=True)
    ]


def _check(session: Session, object: str, answer: composite.Answered, *, must_write: bool) -> Check:
    if answer.refused:
        error = refusal(said(answer.body), answer.status, session.now())
        if not isinstance(error, ConfigError | AuthError):
            raise error
        return Check(name=object, passed=False, found="not there", advice=str(error))
    told = as_dict(answer.body)
    if not told.get("queryable"):
        return Check(name=object, passed=False, found="hidden", advice=f"Give the integration user read on {object}.")
    if must_write and not told.get("updateable"):
        return Check(
            name=object, passed=False, found="read-only", advice=f"Give the integration user edit on {object}."
        )
    return Check(name=object, passed=True, found="read and write" if must_write else "read")
