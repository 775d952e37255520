"""What the API answers and what pushes look like, as OpenAPI shows it; routes build the values."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from gradwatch_service.api.values import YEAR_10000
from gradwatch_service.store.wording import NAME_SCHEMA

T = TypeVar("T")

Number = Annotated[
    float | Literal["NaN", "Infinity", "-Infinity"],
    Field(description="a number; non-finite ones are words"),
]


# A map whose keys are names.
_KEYS: JsonDict = {"propertyNames": {**NAME_SCHEMA}}
Named = Annotated[dict[str, T], Field(json_schema_extra=_KEYS)]


class Shape(BaseModel):
    """A closed object."""

    model_config = ConfigDict(extra="forbid")


class Items(Shape, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None


class Attempt(Shape):
    """One launch of a run; a resume opens the next."""

    number: int
    launch_id: str | None
    resume_step: int | None
    started_at: dt.datetime


class Run(Shape):
    """A training job."""

    id: uuid.UUID
    project: str
    name: str
    state: Literal["running", "finished", "failed", "stale"]
    health: Literal["ok", "warning", "critical"]
    last_step: int | None
    attempts: list[Attempt]
    started_at: dt.datetime
    last_seen_at: dt.datetime
    finished_at: dt.datetime | None
    finish_reason: str | None
    open_alerts: int
    config: dict[str, Any]
    tags: list[str]
    layers_hash: str
    layers_count: int
    degraded: str | None


class GuardBody(Shape):
    """Limits the job may apply by itself before an update; null: none known yet."""

    max_norm: Number | None
    skip_above: Number | None
    skip_nonfinite: bool
    max_consecutive_skips: int
    expires_step: int


class Advice(Shape):
    """One thing to do, with its numbers."""

    id: uuid.UUID
    alert_id: uuid.UUID
    cause: str
    severity: Literal["info", "warning", "error", "critical"]
    confidence: float
    action: str
    params: dict[str, Any]
    class_: Annotated[int, Field(alias="class")]
    title: str
    text: str
    code: str
    apply_at_step: int
    expires_step: int
    preconditions: list[str]
    verify: dict[str, Any]
    undo: str
    evidence: list[str]
    handed_by: Annotated[
        str | None,
        Field(description="who wants the job to do it now; null: nobody, or it has answered"),
    ] = None


class Evidence(Shape):
    """One observed fact."""

    name: str
    text: str
    step: int
    value: Number | None
    threshold: Number | None
    layer: str | None
    weight: float | None


class Sign(Shape):
    """What speaks for a cause, or with a negative weight against it."""

    name: str
    text: str
    weight: float


class Suspect(Shape):
    """A cause an alert may have."""

    cause: str
    title: str
    confidence: float
    evidence: list[Sign]
    against: list[Sign]


class Alert(Shape):
    """What is wrong with a run, for one cause."""

    id: uuid.UUID
    run_id: uuid.UUID
    project: str
    rule: str
    severity: Literal["info", "warning", "error", "critical"]
    actionable: bool
    state: Literal["pending", "firing", "acknowledged", "resolved"]
    cause: str
    confidence: float
    opened_step: int
    last_step: int
    resolved_step: int | None
    layers: list[str]
    title: str
    explanation: str
    evidence: list[Evidence]
    advice: list[Advice]
    causes: list[Suspect]
    regressed: bool
    writers: list[str]
    opened_at: dt.datetime
    updated_at: dt.datetime
    acknowledged_by: str | None = None
    acknowledged_at: dt.datetime | None = None
    resolved_by: str | None = None
    comment: str | None = None
    silenced_by: list[uuid.UUID] = []


class Rejection(Shape):
    """One item of a push that was refused."""

    index: int
    pointer: str
    code: str
    detail: str


class ReceiptBody(Shape):
    """The answer to a push, given after it is stored."""

    status: Literal["stored", "duplicate"]
    accepted: int
    duplicates: int
    rejected: int
    rejections: list[Rejection]
    contiguous_through: int
    gaps: list[tuple[int, int]]
    health: Literal["ok", "warning", "critical"]
    alerts: list[Alert]
    advice: list[Advice]
    guard: GuardBody
    server_time: dt.datetime
    warnings: list[str] = []


class SeriesBody(Shape):
    """One metric of one run against the step."""

    run_id: uuid.UUID
    metric: str
    layer: str | None
    steps: list[int]
    values: list[Number]
    total_points: int
    downsampled: bool


class Accepted(Shape):
    """How many events were stored."""

    accepted: int


class EventShape(BaseModel):
    """What the job said; besides these members whatever it sent along, such as ``text``.

    ``event_id`` is the service's, ``id`` the job's own (of advice, say).
    """

    model_config = ConfigDict(extra="allow")

    event_id: uuid.UUID
    kind: str
    step: int | None
    attempt: int
    received_at: dt.datetime


class Status(Shape):
    """Whether the service can work."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, str] = {}
    age_seconds: dict[str, float | None] = {}


class ProblemItem(Shape):
    """Where a body is wrong."""

    pointer: str
    code: str


class Problem(Shape):
    """RFC 9457; never repeats what was sent."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    retry_after_s: float | None = None
    errors: list[ProblemItem] = []


class StepBody(BaseModel):
    """One step; every other member is a scalar metric such as ``loss`` or ``grad_norm``."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_KEYS)
    __pydantic_extra__: dict[str, Number | None]

    step: Annotated[int, Field(ge=0, lt=2**53)]
    time: Annotated[float, Field(ge=0, lt=YEAR_10000)] | dt.datetime | None = None
    layers: Named[Named[Number | None]] | None = None


class StepsBody(BaseModel):
    """``POST /runs/{id}/steps``."""

    steps: Annotated[list[StepBody], Field(min_length=1, max_length=1_000)]


class FrameBody(BaseModel):
    """A frame in JSON; in msgpack every list of numbers is raw little-endian bytes instead."""

    steps: list[int]
    time: list[float | None] | None = None
    scalars: dict[str, list[Number | None]] = {}
    layers_hash: str = ""
    layers: dict[str, list[list[Number | None]]] = {}
    profiles: dict[str, list[list[Number | None]]] = {}
    events: list[dict[str, Any]] = []
