"""What a load file says: how to read a CSV file as leads or contacts of a CRM, with their activities and outcomes."""

from __future__ import annotations

from datetime import date, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

READY = "crm_sync.sandbox.loadfiles"
Crm = Literal["salesforce", "hubspot"]
Kind = Literal["call_in", "call_out", "email_in", "email_out", "meeting", "note", "task"]
Type = Literal["text", "long_text", "number", "boolean", "date", "datetime"]


class LoadProblem(ValueError):
    """Something in a load file or a data file is wrong; the text is one sentence a problem, one a line."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error
    return name


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("needs a time zone, as in 2026-11-22T00:00:00Z")
    return moment


Zone = Annotated[str, AfterValidator(_zone)]
Moment = Annotated[datetime, AfterValidator(_aware)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Format(_Part):
    """How the data files are written. Cells that hold one of `nulls` are empty."""

    separator: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    nulls: tuple[str, ...] = ("",)


class Time(_Part):
    """A column that holds a moment: `format` is `iso` or a strptime pattern, `zone` counts where the cell has none."""

    column: str
    format: str = "iso"
    zone: Zone = "UTC"


class Column(_Part):
    """Where a column goes. `name` makes a custom field in both CRMs (`total_visits`, `Total_Visits__c`).

    `salesforce` and `hubspot` name a field of that CRM instead, custom (`__c`) or standard. Cells that hold one of
    `nulls` are empty besides those of the format. For booleans, `yes` and `no` list what is written.
    """

    type: Type = "text"
    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,35}$")
    salesforce: str | None = None
    hubspot: str | None = None
    length: int = Field(default=255, ge=1, le=255)
    nulls: tuple[str, ...] = ()
    yes: tuple[str, ...] = ("Yes", "yes", "True", "true", "1")
    no: tuple[str, ...] = ("No", "no", "False", "false", "0")
    format: str = "iso"
    zone: Zone = "UTC"

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Column:
        if not (self.name or self.salesforce or self.hubspot):
            raise ValueError("name a field: name for both CRMs, or salesforce or hubspot for one")
        return self

    def field(self, crm: Crm) -> str | None:
        """The CRM's name of the field, None where the column isn't loaded there."""
        own = self.salesforce if crm == "salesforce" else self.hubspot
        if own or not self.name:
            return own
        return (
            "_".join(part.capitalize() for part in self.name.split("_")) + "__c" if crm == "salesforce" else self.name
        )


class Records(_Part):
    """Which rows become records: as `salesforce` and `hubspot` objects, known by the column `key`.

    Where no column names a row, `#row` is its number in the file.

    `repeats` says what a second row with the same key is: a mistake, or (`first`) a further event of the first.
    """

    salesforce: Literal["Lead"] = "Lead"
    hubspot: Literal["contacts"] = "contacts"
    key: str
    repeats: Literal["refuse", "first"] = "refuse"


class Created(_Part):
    """When a record was made: a `time` column, the `first_activity`, or spread evenly from `start` to `end`.

    Spread means in order of the number in `sequence`, or in `file_order`.
    """

    time: Time | None = None
    first_activity: bool = False
    sequence: str | None = None
    file_order: bool = False
    start: Moment | None = None
    end: Moment | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Created:
        ways = [self.time is not None, self.first_activity, self.sequence is not None, self.file_order]
        if sum(ways) != 1:
            raise ValueError("name one of time, first_activity, sequence and file_order")
        spread = self.sequence is not None or self.file_order
        if spread != (self.start is not None) or spread != (self.end is not None):
            raise ValueError("sequence and file_order need start and end, the others take none")
        if self.start and self.end and self.start >= self.end:
            raise ValueError("start must be before end")
        return self


class Activities(_Part):
    """Rows that are activities: of `file` beside the data file, or of the data file itself (an event log).

    A row counts where each column of `only` holds one of its values, and, with `kinds`, where the cell of
    `kind_column` is one of them. `kind` is one kind for all.
    """

    file: str | None = None
    key: str
    time: Time
    kind: Kind | None = None
    kind_column: str | None = None
    kinds: dict[str, Kind] = {}
    only: dict[str, tuple[str, ...]] = {}
    subject: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Activities:
        if (self.kind is None) != bool(self.kinds) or bool(self.kinds) != (self.kind_column is not None):
            raise ValueError("name either kind, or kind_column together with kinds")
        return self


class Outcome(_Part):
    """What counts as the outcome: rows of `where` whose cell in `column` is one of `values` (all rows without it).

    `where` is `records`, `activities`, or a file beside the data file whose column `key` names the record. It
    happened at `time`, or `delay_days` (a range, drawn for each key) after the record was made.
    """

    where: str = "records"
    key: str | None = None
    column: str | None = None
    values: tuple[str, ...] = ()
    time: Time | None = None
    delay_days: tuple[float, float] | None = None
    deal: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Outcome:
        if (self.column is None) != (not self.values):
            raise ValueError("column and values belong together")
        if self.where == "records" and self.column is None:
            raise ValueError("name the column and the values that count")
        if (self.key is None) != (self.where in ("records", "activities")):
            raise ValueError(
                "key is the column of the other file that names the record; records and activities need none"
            )
        if self.where == "activities":
            if self.time or self.delay_days:
                raise ValueError("an outcome among the activities happens at the activity's time")
        elif (self.time is None) == (self.delay_days is None):
            raise ValueError("name either time or delay_days")
        if self.delay_days and not 0 <= self.delay_days[0] <= self.delay_days[1]:
            raise ValueError("delay_days is a range of days, the smaller first")
        return self


class LoadFile(_Part):
    """A whole load file. `constants` by CRM may use {key} and {number}; `move_to_now` shifts all by whole weeks.

    `company_column` names the column that tells the firm, if there is one.
    """

    title: str
    source: str = ""
    format: Format = Format()
    records: Records
    created: Created
    columns: dict[str, Column]
    constants: dict[Crm, dict[str, str]] = {}
    activities: Activities | None = None
    converted: Outcome | None = None
    lost: Outcome | None = None
    move_to_now: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> LoadFile:
        outcomes = [o for o in (self.converted, self.lost) if o is not None]
        needs_activities = self.created.first_activity or any(o.where == "activities" for o in outcomes)
        if needs_activities and self.activities is None:
            raise ValueError("first_activity and outcomes among the activities need activities")
        for crm in ("salesforce", "hubspot"):
            fields = [f for c in self.columns.values() if (f := c.field(crm)) is not None]
            twice = sorted({f for f in fields if fields.count(f) > 1})
            if twice:
                raise ValueError(f"several columns go to {crm} {', '.join(twice)}")
        return self


def read_loadfile(name: str) -> LoadFile:
    """A load file by its path, or one of the ready ones by its name. Raises LoadProblem naming the key."""
    path = Path(name)
    if not path.exists() and name in ready_names():
        text, name = resources.files(READY).joinpath(f"{name}.yaml").read_text("utf-8"), f"{name}.yaml"
    else:
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            ready = ", ".join(ready_names())
            raise LoadProblem(f"Can't read {name}: {error.strerror}. Ready load files are {ready}.") from error
        name = path.name
    try:
        raw = yaml.load(text, Loader=_Strict)  # noqa: S506 -- a SafeLoader that also refuses keys given twice
    except yaml.YAMLError as error:
        raise LoadProblem(f"{name} is no YAML: {_yaml_problem(error)}") from error
    try:
        return LoadFile.model_validate(raw)
    except ValidationError as error:
        raise LoadProblem("\n".join(_sentence(name, problem) for problem in error.errors())) from error


def ready_names() -> list[str]:
    found = (entry.name for entry in resources.files(READY).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return f"{where}{getattr(error, 'problem', None) or error}."


def _sentence(name: str, problem: Any) -> str:
    where = " › ".join(str(step) for step in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            said = "there is no such key"
        case "missing":
            said = "is missing"
        case _:
            said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {where}: {said}." if where else f"{name}: {said}."


def as_moment(text: str, *, format: str, zone: str) -> datetime:
    """An aware moment from a cell; raises ValueError. A bare date is its midnight in `zone`."""
    moment = datetime.fromisoformat(text) if format == "iso" else datetime.strptime(text, format)  # noqa: DTZ007
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))


def as_date(text: str, *, format: str) -> date:
    return date.fromisoformat(text[:10]) if format == "iso" else datetime.strptime(text, format).date()  # noqa: DTZ007
