"""`crm-sync explain LEAD`: the chain from CRM change to CRM answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from crm_sync.cli.opened import opened
from crm_sync.cli.output import emit_json, say
from crm_sync.domain.people import normal_email
from crm_sync.domain.states import STATE_WORDS, State
from crm_sync.errors import ConfigError
from crm_sync.store import explanations
from crm_sync.wiring import Installation


def explain(
    lead: Annotated[str, typer.Argument(help="A CRM record id (00Q…, 50123) or an e-mail address.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show why a lead has its score: records, evaluation, reasons, writes and what the CRM answered."""
    with opened() as installation:
        chains = [chain(installation, person) for person in find(installation, lead)]
    if json:
        emit_json(chains)
        return
    for each in chains:
        show(each)


def find(installation: Installation, lead: str) -> list[int]:
    """The people whom a CRM record id or an e-mail address may mean, or ConfigError."""
    address = normal_email(lead)
    keys = installation.keys
    digests = [keys.pseudonym(f"{realm}/email", address) for realm in ("production", "test")] if address else []
    with installation.transaction() as session:
        found = explanations.find(session, lead, digests)
    if not found:
        raise ConfigError(f"no lead {lead!r} is known here; give its CRM id, and check `crm-sync status` for its feed")
    return found


def chain(installation: Installation, person: int) -> dict[str, Any]:
    """Everything about one person, in the order in which it happened, ready for JSON."""
    with installation.transaction() as session:
        return {
            "person": dict(explanations.person(session, person)._mapping),
            "records": [dict(row._mapping) for row in explanations.records(session, person)],
            "evaluations": [dict(row._mapping) for row in explanations.evaluations(session, person)],
            "assignments": [dict(row._mapping) for row in explanations.assignments(session, person)],
            "entries": [dict(row._mapping) for row in explanations.entries(session, person)],
        }


def show(found: dict[str, Any]) -> None:
    """The chain in words."""
    person = found["person"]
    say(f"\nPerson {person['id']}, known since {_time(person['created_at'])}")
    if person["waiting_why"]:
        say(f"  waits to be evaluated since {_time(person['waiting_since'])} ({person['waiting_why']})")
    say("\n1. What the CRMs hold")
    for record in found["records"]:
        say(
            f"  {record['connection']} {record['object']} {record['crm_id']}: {record['life']}, changed "
            f"{_time(record['stamp'])}, pulled {_time(record['seen_at'])}, {record['versions']} versions, "
            f"{record['activities']} activities; {_joined(record['evidence'])}"
        )
    _show_evaluations(found["evaluations"])
    _show_assignments(found["assignments"])
    say("\n3. What was written, and what the CRM answered")
    if not found["entries"]:
        say("  nothing yet")
    for entry in found["entries"]:
        words = f": {entry['words']}" if entry["words"] else ""
        say(
            f"  entry {entry['id']} ({entry['kind']}, {entry['why']}, evaluation {entry['number']}) on record "
            f"{entry['record_id']}: {entry['state']}{words}"
        )
        for each in entry["deliveries"]:
            fields = ", ".join(f"{name}={value!r}" for name, value in each["sent"].items() if "etail" not in name)
            call = f", call {each['call']}" if each["call"] else ""
            say(f"    {each['at'][:19]} attempt {each['attempt']}{call}: {each['result']}; {fields}")
    if person["evaluate_again_at"]:
        say(f"\nNext: evaluated again by {_time(person['evaluate_again_at'])}, or as soon as something changes.")


def _show_evaluations(evaluations: list[dict[str, Any]]) -> None:
    say("\n2. What was decided")
    if not evaluations:
        say("  nothing yet")
    for position, each in enumerate(evaluations):
        shown = f"score {each['score']}, bucket {each['bucket']}, fit {each['fit']}, engagement {each['engagement']}"
        state = STATE_WORDS[State(each["state"])] if each["score"] is None else shown
        say(f"  evaluation {each['number']} at {_time(each['as_of'])} ({each['why']}): {state}")
        if position:
            continue
        for reason in each["reasons"]:
            say(f"    {'+' if reason.get('direction') in ('up', 'raises', 'raising') else '-'} {reason.get('text')}")
        if each["findings"]:
            say(f"    findings: {', '.join(each['findings'])}")
        mappings = ", ".join(f"{name} {hash[:12]}" for name, hash in each["mapping_versions"].items())
        say(
            f"    by {each['model_version']}, mapping {mappings}, policy {each['policy_version'][:12]}, inputs "
            f"{each['inputs_hash'][:12]}, data until {_time(each['data_until'])}"
        )


def _show_assignments(assignments: list[dict[str, Any]]) -> None:
    """Who got the lead, by which rule; of the newest one also who was passed over."""
    for position, each in enumerate(assignments):
        before, after = each["owner_before"] or "nobody", each["owner_name"] or each["owner"]
        pool = f", turn of {each['member']} in pool {each['pool']}" if each["pool"] else ""
        say(
            f"  owner on record {each['record_id']} at {_time(each['at'])} ({each['why']}): from {before} to {after} "
            f"by rule {each['rule']!r}{pool}, policy {each['policy_version'][:12]}: {each['state']}"
        )
        for skipped in [] if position else each["skipped"]:
            say(f"    passed over: {skipped['who']} {skipped['why']}")


def _joined(evidence: str) -> str:
    return "the first one" if evidence == "first record" else "joined by e-mail address or a link between the CRMs"


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "never"
