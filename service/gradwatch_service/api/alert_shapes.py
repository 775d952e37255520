"""One alert with its past, and silences, as OpenAPI shows them; the bodies that make silences."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from gradwatch_service.api.bodies import Body, Name, Text
from gradwatch_service.api.shapes import Alert, Shape
from gradwatch_service.notify.pattern import PatternError, compiled
from gradwatch_service.store.codec import uuid7
from gradwatch_service.store.silences import Matcher, Silence

LONGEST = dt.timedelta(days=366)
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"([0-9]{1,5}[dhms])+")

MatcherName = Literal["project", "run", "run_name", "cause", "rule", "severity", "layer", "tag"]
Operator = Literal["=", "!=", "=~", "!~"]


class PastEvent(Shape):
    """What happened to an alert: seen by a writer of the run, or done by somebody."""

    at: dt.datetime
    kind: str
    step: int
    text: str
    writer: str | None
    by: str | None


class AlertWithHistory(Alert):
    """What is wrong with a run, for one cause, and how it came to stand so."""

    history: list[PastEvent]


class MatcherShape(Shape):
    """What a label of an alert must be for a silence to cover it."""

    name: MatcherName
    op: Operator
    value: str


class SilenceShape(Shape):
    """For some time nobody is told of the alerts it covers; they fire, and are shown."""

    id: uuid.UUID
    project: str
    state: Literal["pending", "active", "expired"]
    matchers: list[MatcherShape]
    comment: str
    created_by: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    created_at: dt.datetime


class MatcherBody(Body):
    """A label and what it must be; with ``~`` an expression that describes all of it."""

    name: MatcherName
    value: Annotated[Text, Field(max_length=512)]
    op: Operator = "="

    @model_validator(mode="after")
    def _is_readable(self) -> MatcherBody:
        if self.op.endswith("~"):
            try:
                compiled(self.value)
            except PatternError as error:
                raise PydanticCustomError("bad-expression", "{why}", {"why": str(error)}) from error
        return self


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    moment = dt.datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise PydanticCustomError("not-a-time", "must name its offset from UTC, such as Z")
    return moment.astimezone(dt.UTC)


def _is_duration(value: str) -> str:
    if not _DURATION.fullmatch(value):
        raise PydanticCustomError("not-a-duration", "must be such as 2h or 1d12h or 90s")
    return value


def _only(given: str, other: str) -> JsonDict:
    """Of two members one has a value, the other none."""
    values: JsonDict = {given: {"type": "string"}, other: {"type": "null"}}
    return {"required": [given], "properties": values}


Moment = Annotated[dt.datetime, BeforeValidator(_moment)]
Duration = Annotated[
    str,
    Field(max_length=40, json_schema_extra={"pattern": f"^{_DURATION.pattern}$"}),
    AfterValidator(_is_duration),
]


class SilenceBody(Body):
    """``POST /silences``: which alerts, and until when; from now on if it does not say."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [_only("ends_at", "duration"), _only("duration", "ends_at")]}
    )

    project: Name
    matchers: Annotated[list[MatcherBody], Field(min_length=1, max_length=20)]
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    duration: Duration | None = None
    comment: Text = ""
    by: Name = "somebody"

    @model_validator(mode="after")
    def _ends_once(self) -> SilenceBody:
        if (self.ends_at is None) == (self.duration is None):
            raise PydanticCustomError("no-end", "give either ends_at or duration")
        return self

    def as_silence(self, now: dt.datetime) -> Silence | None:
        """The same as the store knows it; None if it would not last, or for more than a year."""
        starts_at = self.starts_at or now
        ends_at = self.ends_at
        if ends_at is None:
            ends_at = _later(starts_at, self.duration or "")
        if ends_at is None or not max(starts_at, now) < ends_at <= max(starts_at, now) + LONGEST:
            return None
        return Silence(
            id=uuid7(now),
            project=self.project,
            matchers=tuple(Matcher(one.name, one.op, one.value) for one in self.matchers),
            comment=self.comment,
            created_by=self.by,
            starts_at=starts_at,
            ends_at=ends_at,
            created_at=now,
        )


def _later(moment: dt.datetime, duration: str) -> dt.datetime | None:
    parts = re.findall(r"(\d+)([dhms])", duration)
    seconds = sum(int(count) * _UNITS[unit] for count, unit in parts)
    try:
        return moment + dt.timedelta(seconds=seconds)
    except OverflowError:
        return None
