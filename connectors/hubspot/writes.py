"""Batch updates, 100 records a call, with an outcome for each record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from connectors.hubspot.errors import (
    PROPERTY_CODES,
    Complaint,
    Refusal,
    complaints,
    kind_of,
    words,
)
from connectors.hubspot.fields import Catalogues
from connectors.hubspot.session import Session
from connectors.hubspot.transport import Answer as HttpAnswer
from connectors.hubspot.wire import moment, value_text
from crm_sync.domain.fields import Catalogue, CatalogueField, FieldType
from crm_sync.domain.writes import Answer, Outcome, Write
from crm_sync.errors import CrmSyncError, Family, RateLimitedError, TransientError

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One write on the wire. `trace` is unique within the run: with it HubSpot may tell which input it refuses."""

    write: Write
    trace: str
    properties: Mapping[str, str]

    def json(self) -> dict[str, Any]:
        return {"id": self.write.record_id, "objectWriteTraceId": self.trace, "properties": self.properties}


class Run:
    """The writes of one call of the connector, and what became of them so far.

    HubSpot answers one bad value with a 400 for the whole batch, which writes nothing and names the property and the
    value, but not the record. Where that is enough to know whose value it is, the others go in one more call. Else
    the record is looked for by halves: one bad one among 100 costs 8 calls, and each further one at most 14.

    `stopped` is what ended the run early: whatever wasn't sent by then isn't.
    """

    def __init__(self, session: Session, catalogues: Catalogues) -> None:
        self._session = session
        self._catalogues = catalogues
        self._definitions: dict[str, Catalogue] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.stopped: CrmSyncError | None = None

    def send(self, object: str, inputs: Sequence[Input]) -> None:
        """Write these, in as few calls as HubSpot's answers allow."""
        refusal = self._attempt(object, inputs)
        if refusal is None:
            return
        innocent = self._sentence(object, inputs, refusal)
        if len(innocent) < len(inputs):
            self.send(object, innocent)
        else:
            self._isolate(object, inputs, refusal)

    def _attempt(self, object: str, inputs: Sequence[Input]) -> Refusal | None:
        """One call. The refusal where HubSpot complains of values; anything else is noted in the outcomes."""
        if not inputs or self.stopped:
            return None
        try:
            answer = self._session.tell(self._session.batches.update, object, {"inputs": [i.json() for i in inputs]})
            self._settle(inputs, answer)
        except Refusal as refusal:
            if refusal.status in (400, 409):
                return refusal
            self._turned_away(inputs, refusal)
        except CrmSyncError as error:
            self._unanswered(inputs, error)
        return None

    def _isolate(self, object: str, inputs: Sequence[Input], refusal: Refusal) -> None:
        """Find one of the refused `inputs` by halves. Those set aside on the way are sent together at the end."""
        suspects, aside = list(inputs), list[Input]()
        while len(suspects) > 1:
            first, second = _halves(suspects)
            refused = self._attempt(object, first)
            if self.stopped:
                return
            if refused is None:
                suspects = second
            else:
                suspects, aside, refusal = first, second + aside, refused
        self._refuse_by(suspects[0], refusal)
        refused = self._attempt(object, aside)
        if refused is not None:
            self._halve(object, aside, refused)

    def _halve(self, object: str, inputs: Sequence[Input], refusal: Refusal) -> None:
        """Find all of the refused `inputs`, which are one or more: where many are bad, this costs least."""
        innocent = self._sentence(object, inputs, refusal)
        if len(innocent) < len(inputs):
            self.send(object, innocent)
            return
        first, second = _halves(inputs)
        refused = self._attempt(object, first)
        if self.stopped:
            return
        if refused is None:
            self._halve(object, second, refusal)  # the first half is written, so the complaint is about the second
            return
        self._halve(object, first, refused)
        refused = self._attempt(object, second)
        if refused is not None:
            self._halve(object, second, refused)

    def _sentence(self, object: str, inputs: Sequence[Input], refusal: Refusal) -> list[Input]:
        """Refuse those that the complaints must be about, and answer the others."""
        found = complaints(refusal.body)
        accused = {i.trace: c for c in found for i in self._accused(object, c, inputs)}
        if len(inputs) == 1 or kind_of(refusal.status, refusal.body, found[0]).family is Family.CONFIG:
            accused = accused or {i.trace: found[0] for i in inputs}
        for input in inputs:
            if input.trace in accused:
                self._refuse_by(input, refusal, accused[input.trace])
        return [i for i in inputs if i.trace not in accused]

    def _accused(self, object: str, complaint: Complaint, inputs: Sequence[Input]) -> list[Input]:
        """Those that the complaint must be about; none where the message doesn't settle it.

        A value that only one input carries is that input's. One that several carry is refused in all of them if
        the value itself is bad, but a rule of the account may look at the record as well: the catalogue tells.
        """
        if complaint.code in PROPERTY_CODES:
            return [i for i in inputs if complaint.field in i.properties]
        value = complaint.value
        if value is None:
            return []
        carriers = [i for i in inputs if _carries(i, complaint.field, value)]
        if len(carriers) > 1 and not self._is_bad_anywhere(object, complaint, value):
            return []
        return carriers

    def _is_bad_anywhere(self, object: str, complaint: Complaint, value: str) -> bool:
        if complaint.code != "INVALID_OPTION":
            return bool(complaint.field)
        field = self._definition(object, complaint.field)
        if field is None:
            return False
        return field.type is FieldType.REFERENCE or (bool(field.options) and value not in field.options)

    def _definition(self, object: str, name: str) -> CatalogueField | None:
        """The property as it is now. Without one, the records are looked for by halves."""
        if object not in self._definitions:
            try:
                self._definitions[object] = self._catalogues.read(object)
            except CrmSyncError:
                return None
        return self._definitions[object].get(name)

    def _settle(self, inputs: Sequence[Input], answer: HttpAnswer) -> None:
        """Match what came back, record by record: a 2xx may carry errors, or too few results and no error at all."""
        told = answer.json()
        results, errors = told.get("results"), told.get("errors") or []
        if not isinstance(results, list) or not isinstance(errors, list):
            raise TransientError("HubSpot's answer can't be read: it lists no results.", code="garbage")
        call_id = answer.correlation_id
        by_trace = {i.trace: i for i in inputs}
        by_id = {i.write.record_id: i for i in inputs}
        for result in results:
            input = by_id.get(str(result.get("id"))) or by_trace.get(str(result.get("objectWriteTraceId")))
            if input is not None:
                self._note(input, Answer.ACCEPTED, stamp=moment(result.get("updatedAt")), call_id=call_id)
        for error in errors:
            for input in _meant(error, by_trace, by_id):
                self._refuse(input, answer.status, error, complaints(error)[0], call_id)
        for input in inputs:
            if input.write.key not in self.outcomes:
                self._note(
                    input,
                    Answer.UNKNOWN,
                    family=Family.TRANSIENT,
                    code="no_result",
                    message="HubSpot's answer doesn't mention this record.",
                    call_id=call_id,
                )

    def _refuse_by(self, input: Input, refusal: Refusal, complaint: Complaint | None = None) -> None:
        complaint = complaint or complaints(refusal.body)[0]
        self._refuse(input, refusal.status, refusal.body, complaint, refusal.correlation_id)

    def _refuse(self, input: Input, status: int, body: Mapping[str, Any], complaint: Complaint, call_id: str) -> None:
        self._note(
            input,
            Answer.REFUSED,
            family=kind_of(status, body, complaint).family,
            code=complaint.code,
            field=complaint.field,
            message=words(complaint),
            call_id=call_id,
        )

    def _turned_away(self, inputs: Sequence[Input], refusal: Refusal) -> None:
        """HubSpot refused the call, not its values. Locked records (423) hold back nobody else; the rest ends the run.

        Source: HubSpot error handling, 423 Locked.
        """
        if refusal.status != 423:
            self._unanswered(inputs, self._session.error(refusal), call_id=refusal.correlation_id)
            return
        for input in inputs:
            self._refuse(input, refusal.status, refusal.body, Complaint(code="LOCKED"), refusal.correlation_id)

    def _unanswered(self, inputs: Iterable[Input], error: CrmSyncError, *, call_id: str = "") -> None:
        """The whole call failed: whether HubSpot acted is unknown if it may have been reached. The run ends."""
        self.stopped = error
        unknown = isinstance(error, TransientError) and error.sent
        for input in inputs:
            self.outcomes[input.write.key] = replace(
                not_sent(input.write, error), answer=Answer.UNKNOWN if unknown else Answer.NOT_SENT, call_id=call_id
            )

    def _note(
        self,
        input: Input,
        answer: Answer,
        *,
        family: Family | None = None,
        code: str = "",
        field: str = "",
        message: str = "",
        stamp: datetime | None = None,
        call_id: str = "",
    ) -> None:
        self.outcomes[input.write.key] = Outcome(
            key=input.write.key,
            answer=answer,
            family=family,
            code=code,
            field=field,
            message=message,
            stamp=stamp,
            call_id=call_id,
        )


def write(session: Session, catalogues: Catalogues, writes: Sequence[Write]) -> list[Outcome]:
    """One Outcome for each write, in the same order; 100 records of one object a call.

    A record that is named twice is written in two calls, in order: HubSpot refuses a batch that repeats an id.
    Repeating is harmless: values are set, never added. A call that may have been made isn't repeated here; its
    records come back UNKNOWN and the run ends.

    Source: HubSpot CRM objects guide, batch/update; a refused batch writes nothing.
    """
    run = Run(session, catalogues)
    for batch in _batches(writes):
        run.send(batch[0].write.object, batch)
    return [run.outcomes.get(w.key) or not_sent(w, run.stopped) for w in writes]


def not_sent(write: Write, error: CrmSyncError | None) -> Outcome:
    """An earlier refusal ended the run before this write's turn."""
    assert error is not None, "a write without an outcome in a run that wasn't stopped"
    return Outcome(
        key=write.key,
        answer=Answer.NOT_SENT,
        family=error.family,
        code=error.code,
        field=error.field,
        message=str(error),
        retry_at=error.retry_at if isinstance(error, RateLimitedError) else None,
    )


def _batches(writes: Sequence[Write]) -> Iterator[list[Input]]:
    """By object, 100 at a time, in the order given; a repeated id waits for a batch after the one that holds it."""
    for object in dict.fromkeys(w.object for w in writes):
        waiting = [_input(n, w) for n, w in enumerate(writes) if w.object == object]
        while waiting:
            taken: dict[str, Input] = {}
            later: list[Input] = []
            for input in waiting:
                full = len(taken) == BATCH or input.write.record_id in taken
                if full:
                    later.append(input)
                else:
                    taken[input.write.record_id] = input
            yield list(taken.values())
            waiting = later


def _input(number: int, write: Write) -> Input:
    properties = {name: value_text(value) for name, value in write.fields.items()}
    return Input(write=write, trace=f"w-{number}", properties=properties)


def _halves(inputs: Sequence[Input]) -> tuple[list[Input], list[Input]]:
    half = (len(inputs) + 1) // 2
    return list(inputs[:half]), list(inputs[half:])


def _carries(input: Input, field: str, value: str) -> bool:
    """Whether the input sets `field` to `value`; any field where the complaint names none."""
    return input.properties.get(field) == value if field else value in input.properties.values()


def _meant(error: Any, by_trace: Mapping[str, Input], by_id: Mapping[str, Input]) -> list[Input]:
    """The inputs that one entry of `errors` names. Source: HubSpot error handling, multi-status errors."""
    context = error.get("context") if isinstance(error, dict) else None
    if not isinstance(context, dict):
        return []
    named = [by_trace.get(str(trace)) for trace in context.get("objectWriteTraceId") or ()]
    named += [by_id.get(str(id)) for key in ("ids", "id", "objectId") for id in context.get(key) or ()]
    return [input for input in named if input is not None]
