"""The JSON bodies of the simple routes, as types that refuse what the contract does not know."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Scope

from gradwatch_service.api import values
from gradwatch_service.api.json_text import parse
from gradwatch_service.domain import MAX_STEP, JsonValue, Layer, LayerTable
from gradwatch_service.errors import Invalid, ItemError, UnsupportedMedia
from gradwatch_service.store.codec import uuid7
from gradwatch_service.store.launches import RunRequest
from gradwatch_service.store.packing import MAX_EVENTS, MAX_LAYERS
from gradwatch_service.store.wording import NAME_SCHEMA, check_event, check_name, pointer_to

T = TypeVar("T")
M = TypeVar("M", bound="Body")


def _fit(check: Callable[[T, str], object]) -> Callable[[T], T]:
    """A check of ours as pydantic knows validators."""

    def validate_one(value: T) -> T:
        try:
            check(value, "")
        except Invalid as error:
            raise PydanticCustomError(error.errors[0].code, error.detail) from error
        return value

    return validate_one


def _whole(value: object) -> object:
    """JSON has one kind of number: 90.0 is 90."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _id(value: object) -> object:
    return uuid.UUID(value) if isinstance(value, str) else value


# No zero byte: PostgreSQL keeps none.
_TEXT = {"type": "string", "pattern": r"^[^\u0000]*$"}
_EVENT = {
    "type": "object",
    "required": ["kind"],
    "properties": {
        "kind": NAME_SCHEMA,
        "step": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_STEP},
    },
}

Name = Annotated[str, AfterValidator(_fit(check_name)), WithJsonSchema(dict(NAME_SCHEMA))]
Text = Annotated[
    str,
    Field(max_length=4_096),
    AfterValidator(_fit(values.text)),
    WithJsonSchema({**_TEXT, "maxLength": 4_096}),
]
Word = Annotated[
    str,
    Field(max_length=64),
    AfterValidator(_fit(values.text)),
    WithJsonSchema({**_TEXT, "maxLength": 64}),
]
Id = Annotated[uuid.UUID, BeforeValidator(_id)]
WHOLE = BeforeValidator(_whole)  # behind the bounds, which OpenAPI would not show otherwise
Step = Annotated[int, Field(ge=0, le=MAX_STEP)]
Free = Annotated[dict[str, Any], AfterValidator(_fit(values.free))]
Event = Annotated[Free, WithJsonSchema(_EVENT)]
Tags = Annotated[list[Name], Field(max_length=100)]


class Body(BaseModel):
    """Strict types, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class LayerBody(Body):
    """One watched tensor."""

    name: Name
    kind: Word = ""
    depth: Annotated[int, Field(ge=-1, le=1_000_000)] = -1
    shape: Annotated[list[Annotated[int, Field(ge=0, le=MAX_STEP)]], Field(max_length=16)] = []
    dtype: Word = "float32"
    activation: Word = ""
    normalised: bool | None = None
    residual: bool | None = None

    def as_layer(self) -> Layer:
        """The same as the domain knows it."""
        return Layer(**{**dict(self), "shape": tuple(self.shape)})


def _distinct(layers: list[LayerBody]) -> list[LayerBody]:
    if len({layer.name for layer in layers}) != len(layers):
        raise PydanticCustomError("duplicate-layer", "two layers have the same name")
    return layers


Layers = Annotated[list[LayerBody], Field(max_length=MAX_LAYERS), AfterValidator(_distinct)]


class RunBody(Body):
    """``POST /runs``."""

    project: Name
    name: Name | None = None
    id: Id | None = None
    config: Free | None = None
    tags: Tags | None = None
    layers: Layers | None = None
    launch_id: Name | None = None
    resume_step: Step | None = None

    def as_request(self, now: dt.datetime) -> RunRequest:
        """The same as the store knows it; a run without an id gets one."""
        return RunRequest(
            id=self.id or uuid7(now),
            project=self.project,
            name=self.name,
            config=self.config,
            tags=None if self.tags is None else [*self.tags],
            layers=LayerTable(tuple(layer.as_layer() for layer in self.layers or ())),
            launch_id=self.launch_id,
            resume_step=self.resume_step,
        )


class RunChanges(Body):
    """``PATCH /runs/{id}``: what is given is changed."""

    name: Name | None = None
    tags: Tags | None = None

    def as_changes(self) -> dict[str, Any]:
        """What is to be changed, by name."""
        return self.model_dump(exclude_none=True)


class EventsBody(Body):
    """``POST /runs/{id}/events``."""

    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_EVENTS)]

    def as_events(self) -> tuple[Mapping[str, JsonValue], ...]:
        """The events, checked one by one."""
        numbered = enumerate(self.events)
        return tuple(check_event(event, f"/events/{index}") for index, event in numbered)


class FinishBody(Body):
    """``POST /runs/{id}/finish``."""

    state: Literal["finished", "failed"]
    reason: Text | None = None


class WordBody(Body):
    """``POST /alerts/{id}/acknowledge`` and ``…/resolve``: who does it, and why."""

    by: Name = "somebody"
    comment: Text = ""


BODIES: tuple[type[Body], ...] = (RunBody, RunChanges, EventsBody, FinishBody, WordBody)


def validate(model: type[M], value: JsonValue) -> M:
    """Check a parsed body.

    Raises:
        Invalid: with a pointer to and a code for everything that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        errors = tuple(
            ItemError(pointer_to(*map(str, item["loc"])), item["type"].replace("_", "-"))
            for item in found
        )
        raise Invalid(
            "the body breaks the contract; errors say where, /docs says what is right",
            errors=errors,
        ) from error


def require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON."""
    if media_type(request.scope) != "application/json":
        raise UnsupportedMedia("send the header Content-Type: application/json")


def media_type(scope: Scope) -> str:
    """The media type of the body of a request, without its parameters."""
    named = (value for name, value in scope["headers"] if name == b"content-type")
    return next(named, b"").decode("latin-1").partition(";")[0].strip().lower()


def reader(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads and checks a JSON body."""

    async def read(request: Request) -> M:
        require_json(request)
        body = await request.body()
        return await run_in_threadpool(lambda: validate(model, parse(body).value))

    return read
