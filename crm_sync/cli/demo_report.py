"""What the demo shows: changes that a rep makes, cards as reps see them, counts that add up, and what calls cost."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.panel import Panel

from crm_sync.cli.output import say, table
from crm_sync.domain.connections import Connection
from crm_sync.domain.fields import OWN_FIELDS
from crm_sync.domain.records import CrmKind, Value
from crm_sync.domain.states import STATE_WORDS, State
from crm_sync.sandbox.client import SandboxClient
from crm_sync.scoring.artifacts import Manifest
from crm_sync.store import explanations
from crm_sync.store.engine import rows
from crm_sync.wiring import Installation

WORDS = {"A": "hot", "B": "warm", "C": "cool", "D": "cold"}

NEXT = textwrap.dedent("""\
      crm-sync up --sandbox                      everything in one terminal, to play with
      crm-sync connect salesforce --help         join a real org (or hubspot: a real portal)
      crm-sync mapping example salesforce        the mapping that was used here, to change and publish
      crm-sync policy example                    consent, quality, buckets and rules, with comments
      crm-sync status / explain LEAD / doctor    how far it is, why a lead has its score, what is wrong""")


def population(summary: Mapping[str, Any]) -> str:
    """Who lives in the sandbox, in one sentence."""
    return (
        f"  {summary['people']:,} people ({summary['people_in_both']:,} of them in both CRMs) with "
        f"{summary['activities']:,} activities; {summary['conversion_rate']:.0%} converted."
    )


def measures(manifest: Manifest) -> None:
    """What the model, the rules and the baseline are worth, on data that none of them was fitted on."""
    named = {"model": "CatBoost", "rules": "rules", "logistic": "logistic baseline"}
    lines = [
        [
            f"  {named[name]}",
            f"{m.auc:.3f} [{m.auc_low:.3f}, {m.auc_high:.3f}]",
            f"{m.log_loss:.3f}",
            f"{m.capture:.2f}",
        ]
        for name, m in manifest.report.measures.items()
    ]
    table("", ["scorer", "AUC [95 %]", "log-loss", "capture at 20 %"], lines)


@dataclass
class Example:
    """One record in one of the situations that a rep meets."""

    situation: str
    person: int
    connection: int
    object: str
    crm_id: str

    def card(self, installation: Installation, joined: Mapping[CrmKind, Connection]) -> Panel:
        """The record as the CRM shows it now, read through the connector."""
        connection = next(each for each in joined.values() if each.id == self.connection)
        shown = own_values(installation, connection, self.object, self.crm_id)
        state = State(str(shown.get("state") or State.SCORED))
        if shown.get("score") is None:
            lines = [STATE_WORDS[state]]
        else:
            bucket = str(shown["bucket"])
            lines = [
                f"[bold]{float(shown['score'] or 0):.0f}[/]  bucket {bucket} ({WORDS[bucket]})   "
                f"fit {float(shown['fit'] or 0):.0f}   engagement {float(shown['engagement'] or 0):.0f}",
                escape(str(shown.get("reasons") or "")),
                f"[dim]{shown['model_version']}, scored at {shown['scored_at']}[/]",
            ]
        title = f"{self.situation}: {connection.kind} {self.object} {self.crm_id}"
        return Panel("\n".join(lines), title=title, title_align="left", width=110)


def own_values(installation: Installation, connection: Connection, object: str, crm_id: str) -> dict[str, Value]:
    """Our own fields of one record by neutral name, as they stand in the CRM."""
    connector = installation.connector(connection)
    names = connector.own_field_names(OWN_FIELDS)
    fields = connector.read(object, [crm_id], list(names.values())).fields[0]
    return {name: fields.get(api) for name, api in names.items()}


def four_leads(installation: Installation, joined: Mapping[CrmKind, Connection]) -> list[Example]:
    """A hot one, a cold one, one that is not scored, and one whose consent is unknown."""
    with installation.transaction() as session:
        found = explanations.examples(session)
    return [
        Example(row.situation, row.person_id, row.connection_id, row.object, row.crm_id)
        for row in found
        if any(each.id == row.connection_id for each in joined.values())
    ]


@dataclass
class Change:
    """One thing that somebody did in a CRM, and what the record showed before and after."""

    what: str
    installation: Installation
    connection: Connection
    object: str
    crm_id: str
    before: dict[str, Value]
    pulled_before: Any = None
    after: dict[str, Value] | None = None
    seconds: float = 0.0

    def read(self) -> dict[str, Value]:
        values = own_values(self.installation, self.connection, self.object, self.crm_id)
        return {name: values[name] for name in ("score", "bucket", "state")}

    def arrived(self) -> bool:
        """Whether the change is through all three legs, be it that the CRM shows something new or keeps what stood."""
        self.after = self.read()
        if self.after != self.before:
            return True
        with self.installation.transaction() as session:
            now = explanations.standing(session, self.connection.id, self.object, self.crm_id)
        is_through = now.seen_at != self.pulled_before and now.evaluated_at and now.evaluated_at >= now.seen_at
        return bool(is_through and not now.under_way)

    def told(self) -> str:
        assert self.after is not None
        if self.after == self.before:
            return f"{self.crm_id}: evaluated again after {self.seconds:.0f} s; {_state(self.after)} still says it"
        return f"{self.crm_id}: {_state(self.before)} → {_state(self.after)} after {self.seconds:.0f} s"


def _state(values: Mapping[str, Value]) -> str:
    if values["score"] is None:
        return str(values["state"] or "empty")
    return f"{float(values['score']):.0f} {values['bucket']}"


def rep_changes(
    installation: Installation, crms: Mapping[CrmKind, SandboxClient], joined: Mapping[CrmKind, Connection]
) -> list[Change]:
    """A lead that was silent wakes up, a hot one turns out to be a test entry, and a contact agrees to be profiled."""
    salesforce, hubspot = joined[CrmKind.SALESFORCE], joined[CrmKind.HUBSPOT]
    changes: list[Change] = []

    def note(what: str, connection: Connection, row: Any) -> None:
        change = Change(what, installation, connection, row.object, row.crm_id, before={})
        change.before = change.read()
        with installation.transaction() as session:
            change.pulled_before = explanations.standing(session, connection.id, row.object, row.crm_id).seen_at
        changes.append(change)

    if row := _pick(installation, salesforce, "scored", "Lead", _SILENT):
        note(f"Salesforce lead {row.crm_id}: was silent, writes three e-mails and books a meeting", salesforce, row)
        crms[CrmKind.SALESFORCE].act(_wakes_up(row.crm_id, crms[CrmKind.SALESFORCE].now()))
    if row := _pick(installation, salesforce, "scored", "Lead", _HOTTEST):
        note(f"Salesforce lead {row.crm_id}: the rep finds it is a test entry", salesforce, row)
        fields = {"FirstName": "Test", "LastName": "Test", "Company": "Test", "Email": "test@example.com"}
        crms[CrmKind.SALESFORCE].act({"do": "edit", "object": row.object, "id": row.crm_id, "fields": fields})
    if row := _pick(installation, hubspot, "consent_unknown", "contacts", _BUSIEST):
        note(f"HubSpot contact {row.crm_id}: agrees to be profiled", hubspot, row)
        basis = {"hs_legal_basis": "Freely given consent from contact"}
        crms[CrmKind.HUBSPOT].act({"do": "edit", "object": row.object, "id": row.crm_id, "properties": basis})
    return changes


def _wakes_up(lead: str, now: datetime) -> list[dict[str, Any]]:
    """What Salesforce keeps when a lead answers three times and meets us."""
    mail = {"WhoId": lead, "Subject": "Email: Re: your offer", "Status": "Completed", "TaskSubtype": "Email"}
    began = now.replace(microsecond=0)
    meeting = {"WhoId": lead, "Subject": "Product demo", "StartDateTime": began.isoformat(), "DurationInMinutes": 30}
    mails = [{"do": "create", "object": "Task", "fields": {**mail, "ActivityDate": now.date().isoformat()}}] * 3
    return [*mails, {"do": "create", "object": "Event", "fields": meeting}]


_HOTTEST = "coalesce((record.own_accepted ->> 'score')::int, 0) DESC"
_SILENT = "(record.own_accepted ->> 'engagement')::int, (record.own_accepted ->> 'fit')::int DESC"
_BUSIEST = """(SELECT count(*) FROM tie WHERE tie.connection_id = record.connection_id
                AND tie.to_object = record.object AND tie.to_id = record.crm_id) DESC"""


def _pick(installation: Installation, connection: Connection, state: str, object: str, order: str) -> Any:
    """An open record in this state whose person has only this one, the first in `order`, which is one of the above."""
    with installation.transaction() as session:
        found = rows(
            session,
            f"""
            SELECT record.object, record.crm_id FROM record
            JOIN link ON link.record_id = record.id AND link.to_at IS NULL
            JOIN record_version ON record_version.id = record.version_id
            WHERE record.connection_id = :connection AND record.object = :object AND record.life = 'open'
              AND record.own_accepted ->> 'state' = :state
              AND (SELECT count(*) FROM link AS other WHERE other.person_id = link.person_id AND to_at IS NULL) = 1
              AND (:state = 'scored' OR record_version.fields ->> 'email' IS NOT NULL
                   AND record_version.fields ->> 'hs_legal_basis' IS NULL
                   AND coalesce(record_version.fields ->> 'lifecyclestage', 'lead') IN ('subscriber', 'lead'))
            ORDER BY {order}, record.id LIMIT 1
            """,  # noqa: S608
            connection=connection.id,
            object=object,
            state=state,
        )
    return found[0] if found else None


def reckoning(installation: Installation, joined: Mapping[CrmKind, Connection]) -> None:
    """For each CRM: changed = scored + not scored, by reason + held + waiting + gone."""
    lines = []
    for connection in joined.values():
        with installation.transaction() as session:
            counted = explanations.reckoning(session, connection.id)
        fates = counted.fates or {}
        total = sum(fates.values())
        parts = [fates.get(name, 0) for name in ("scored", "not scored", "held", "waiting", "gone", "untouched")]
        lines.append([connection.name, counted.records, *parts, "yes" if total == counted.records else "NO"])
        for reason, count in sorted((counted.reasons or {}).items(), key=lambda pair: -pair[1]):
            say(f"  {connection.name:<16} {count:>6,}  {reason}")
    head = ["connection", "changed", "scored", "not scored", "held", "waiting", "gone", "untouched", "adds up"]
    table("", head, lines)


def calls(
    first_round: Mapping[CrmKind, Mapping[str, Any]], crms: Mapping[CrmKind, SandboxClient], owners: list[list[Any]]
) -> None:
    """Calls of the first round as the sandbox counted them, beside what the design allows (design §7).

    `owners` are further rows, of the owners that were written.
    """
    lines: list[list[Any]] = []
    for kind, counted in first_round.items():
        by, written = counted["by_operation"], counted["written"]
        thousands = -(-written // 1000)
        if kind is CrmKind.HUBSPOT:
            pushing = by.get("batch.read contacts", 0) + by.get("batch.update contacts", 0)
            held = 21 * thousands
        else:
            pushing = sum(n for name, n in by.items() if name.split()[0] == "composite")
            held = 4 * thousands
        lines.append([kind.value, "all calls of the first round", counted["calls"], ""])
        lines.append([kind.value, f"guard and write {written:,} records", pushing, f"at most {held}"])
        lines.append([kind.value, "field writes that changed nothing", crms[kind].summary()["no_op_writes"], "0"])
    table("", ["CRM", "what", "counted", "design"], lines + owners)
