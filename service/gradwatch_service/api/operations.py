"""How a route tells OpenAPI which body it reads, what it answers, and how it can fail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel

from gradwatch_service.api.shapes import Problem

PREFIX = "/api/v1"
EVENTS = f"{PREFIX}/events"  # its answer has no end
LIVE = "live"  # who sends them, in the state of an application
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

# Under the same key the same body is stored once, however often it is sent.
IdempotencyKey = Annotated[
    str | None, Header(alias="idempotency-key", max_length=255, pattern="^[!-~]+$")
]
Responses = dict[int | str, dict[str, Any]]


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Point to the schema of a model, under the name pydantic gives it."""
    return {"$ref": f"#/components/schemas/{re.sub('[^A-Za-z0-9]', '_', model.__name__)}"}


def takes(model: type[BaseModel], *more_media_types: str) -> dict[str, Any]:
    """The request body of an operation."""
    content = {media: {"schema": reference(model)} for media in (JSON, *more_media_types)}
    return {"requestBody": {"required": True, "content": content}}


def answers(successes: Mapping[int, type[BaseModel]], *failures: int) -> Responses:
    """The answers of an operation; 503 is always among them."""
    found: Responses = {
        status: {"description": model.__doc__, "content": {JSON: {"schema": reference(model)}}}
        for status, model in successes.items()
    }
    for status in (*failures, 503):
        found[status] = {
            "description": Problem.__doc__,
            "content": {PROBLEM_JSON: {"schema": reference(Problem)}},
        }
    return found
