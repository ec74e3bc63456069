"""Turns data files into people with a history: when each record was made, what was done, and how it ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from crm_sync.sandbox.load.loadfile import Activities, Kind, LoadFile, LoadProblem, Outcome, Time, as_moment
from crm_sync.sandbox.load.source import Line, Problems, Value, rows, value

WEEK = timedelta(weeks=1)


@dataclass(slots=True, kw_only=True)
class Deed:
    at: datetime
    kind: Kind
    subject: str


@dataclass(slots=True, kw_only=True)
class Person:
    """One record to be, with all that the files know of it. `number` counts from 1 in file order."""

    key: str
    line: int
    number: int
    created: datetime
    values: dict[str, Value]
    deeds: list[Deed] = field(default_factory=list)
    converted: datetime | None = None
    lost: datetime | None = None


@dataclass(slots=True)
class History:
    """All people in file order. `remarks` are sentences on what was put right on the way."""

    people: list[Person]
    remarks: list[str]

    def latest(self) -> datetime:
        return max(m for p in self.people for m in (p.created, p.converted, p.lost, *(d.at for d in p.deeds)) if m)

    def move(self, by: timedelta) -> None:
        for person in self.people:
            person.created += by
            person.converted = person.converted and person.converted + by
            person.lost = person.lost and person.lost + by
            for deed in person.deeds:
                deed.at += by


def read_history(loadfile: LoadFile, data: Path, now: datetime) -> History:
    """Read `data` and the files named beside it. Raises LoadProblem with up to twenty sentences.

    With `move_to_now`, everything is moved by whole weeks so that the last thing happened within the week before
    `now`: weekdays and hours stay.
    """
    reading = _Reading(loadfile, data)
    history = reading.history()
    if loadfile.move_to_now:
        history.move((now - history.latest()) // WEEK * WEEK)
    late = sum(p.created > now for p in history.people)
    if late:
        raise LoadProblem(f"{late} records would be made after the sandbox's now, {now:%Y-%m-%d %H:%M} UTC.")
    return history


class _Reading:
    def __init__(self, loadfile: LoadFile, data: Path) -> None:
        self._loadfile = loadfile
        self._data = data
        self._problems = Problems()
        self._remarks: list[str] = []
        self._people: dict[str, Person] = {}
        self._log: list[tuple[Line, datetime]] = []

    def history(self) -> History:
        lines = list(rows(self._data, self._loadfile.format, self._needed()))
        if not lines:
            raise LoadProblem(f"{self._data.name} has a header but no rows.")
        firsts = self._firsts(lines)
        if self._loadfile.activities is not None:
            self._log = self._timed(self._loadfile.activities, lines)
        self._problems.raise_if_any()
        self._created(firsts)
        self._problems.raise_if_any()
        self._activities()
        self._outcome("converted", self._loadfile.converted, firsts)
        self._outcome("lost", self._loadfile.lost, firsts)
        self._problems.raise_if_any()
        return History(list(self._people.values()), self._remarks)

    def _needed(self) -> list[str]:
        loadfile = self._loadfile
        names = [loadfile.records.key, *loadfile.columns]
        names += [loadfile.created.time.column] if loadfile.created.time else []
        names += [loadfile.created.sequence] if loadfile.created.sequence else []
        if loadfile.activities is not None and loadfile.activities.file is None:
            names += self._activity_columns(loadfile.activities)
        for outcome in (loadfile.converted, loadfile.lost):
            if outcome is not None and outcome.where == "records":
                names += [c for c in (outcome.column, outcome.time and outcome.time.column) if c]
        return names

    def _firsts(self, lines: Sequence[Line]) -> dict[str, Line]:
        """The row that each record is made from."""
        firsts: dict[str, Line] = {}
        key_column = self._loadfile.records.key
        for line in lines:
            key = line.cells[key_column]
            if key in self._loadfile.format.nulls:
                self._wrong(line, key_column, "is empty, and it is the key")
            elif key not in firsts:
                firsts[key] = line
            elif self._loadfile.records.repeats == "refuse":
                self._wrong(line, key_column, f"{key!r} stood in line {firsts[key].number} already")
        return firsts

    def _created(self, firsts: dict[str, Line]) -> None:
        made = self._creation(firsts)
        for number, (key, line) in enumerate(firsts.items(), start=1):
            values = {}
            for name, column in self._loadfile.columns.items():
                try:
                    values[name] = value(line.cells[name], column, self._loadfile.format.nulls)
                except ValueError as error:
                    self._wrong(line, name, str(error))
            at = made(key, line)
            if at is not None:
                self._people[key] = Person(key=key, line=line.number, number=number, created=at, values=values)

    def _creation(self, firsts: dict[str, Line]) -> Callable[[str, Line], datetime | None]:
        created = self._loadfile.created
        if created.time is not None:
            time = created.time
            return lambda _, line: self._moment(line, time, self._data.name)
        if created.first_activity:
            assert self._loadfile.activities is not None
            begun: dict[str, datetime] = {}
            for line, at in self._log:
                key = line.cells[self._loadfile.activities.key]
                begun[key] = min(at, begun.get(key, at))
            # Every record of an event log has an event: the row that it is made from.
            return lambda key, _: begun.get(key)
        assert created.start is not None
        assert created.end is not None
        start, span = created.start.astimezone(UTC), created.end - created.start
        order = list(firsts) if created.file_order else self._by_sequence(firsts, created.sequence or "")
        place = {key: n / len(order) for n, key in enumerate(order)}
        return lambda key, _: (start + place[key] * span).replace(microsecond=0) if key in place else None

    def _by_sequence(self, firsts: dict[str, Line], column: str) -> list[str]:
        numbers: dict[str, float] = {}
        for key, line in firsts.items():
            try:
                numbers[key] = float(line.cells[column])
            except ValueError:
                self._wrong(line, column, f"{line.cells[column]!r} is no number to put records in order by")
        return sorted(numbers, key=lambda key: numbers[key])

    def _timed(self, activities: Activities, own: Sequence[Line]) -> list[tuple[Line, datetime]]:
        """Every row of the activity file with its time, whether or not it counts as an activity."""
        path = self._data if activities.file is None else self._beside(activities.file)
        lines = (
            own if activities.file is None else rows(path, self._loadfile.format, self._activity_columns(activities))
        )
        timed = ((line, self._moment(line, activities.time, path.name)) for line in lines)
        return [(line, at) for line, at in timed if at is not None]

    def _activity_columns(self, activities: Activities) -> list[str]:
        outcomes = [self._loadfile.converted, self._loadfile.lost]
        told = [o.column for o in outcomes if o is not None and o.where == "activities" and o.column]
        return [*_columns_of(activities), *told]

    def _activities(self) -> None:
        activities = self._loadfile.activities
        if activities is None:
            return
        strangers = 0
        for line, at in self._log:
            kind = activities.kind
            if activities.kind_column is not None:
                kind = activities.kinds.get(line.cells[activities.kind_column])
            if kind is None or any(line.cells[c] not in allowed for c, allowed in activities.only.items()):
                continue
            person = self._people.get(line.cells[activities.key])
            if person is None:
                strangers += 1
                continue
            subject = line.cells[activities.subject] if activities.subject else ""
            person.deeds.append(Deed(at=at, kind=kind, subject=subject))
        if strangers:
            self._remarks.append(f"Activities of nobody in {self._data.name}: {strangers}, left out.")

    def _outcome(self, which: str, outcome: Outcome | None, firsts: dict[str, Line]) -> None:
        if outcome is None:
            return
        early = 0
        for key, at in self._happened(outcome, firsts):
            person = self._people[key]
            known = getattr(person, which)
            if at < person.created:
                early, at = early + 1, person.created
            setattr(person, which, min(at, known) if known else at)
        if which == "lost":
            for person in self._people.values():
                person.lost = None if person.converted else person.lost
        if early:
            self._remarks.append(f"{which.capitalize()} before being made: {early}, moved to the moment of making.")

    def _happened(self, outcome: Outcome, firsts: dict[str, Line]) -> Iterator[tuple[str, datetime]]:
        def counts(line: Line) -> bool:
            return outcome.column is None or line.cells[outcome.column] in outcome.values

        if outcome.where == "activities":
            assert self._loadfile.activities is not None
            for line, at in self._log:
                key = line.cells[self._loadfile.activities.key]
                if counts(line) and key in self._people:
                    yield key, at
            return
        if outcome.where == "records":
            found: Iterator[tuple[str, Line, str]] = ((key, line, self._data.name) for key, line in firsts.items())
        else:
            found = self._other_rows(outcome)
        for key, line, file in found:
            if counts(line):
                ended = self._moment(line, outcome.time, file) if outcome.time else self._drawn(key, outcome)
                if ended is not None:
                    yield key, ended

    def _other_rows(self, outcome: Outcome) -> Iterator[tuple[str, Line, str]]:
        assert outcome.key is not None
        path = self._beside(outcome.where)
        needed = [c for c in (outcome.key, outcome.column, outcome.time and outcome.time.column) if c]
        for line in rows(path, self._loadfile.format, needed):
            key = line.cells[outcome.key]
            if key in self._people:
                yield key, line, path.name
            else:
                self._wrong(line, outcome.key, f"{key!r} is no key of {self._data.name}", path.name)

    def _drawn(self, key: str, outcome: Outcome) -> datetime:
        """Somewhere in the range, always the same for the same key."""
        assert outcome.delay_days is not None
        low, high = outcome.delay_days
        share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) / 2**32
        return self._people[key].created + timedelta(seconds=round(86_400 * (low + (high - low) * share)))

    def _moment(self, line: Line, time: Time, file: str) -> datetime | None:
        text = line.cells[time.column]
        try:
            return as_moment(text, format=time.format, zone=time.zone).astimezone(UTC)
        except ValueError:
            self._wrong(line, time.column, f"{text!r} is no moment in the format {time.format}", file)
            return None

    def _beside(self, name: str) -> Path:
        return self._data.parent / name

    def _wrong(self, line: Line, column: str, what: str, file: str | None = None) -> None:
        self._problems.add(f"{file or self._data.name} line {line.number}, column {column!r}: {what}.")


def _columns_of(activities: Activities) -> list[str]:
    named = [activities.key, activities.time.column, activities.kind_column, activities.subject, *activities.only]
    return [name for name in named if name]
