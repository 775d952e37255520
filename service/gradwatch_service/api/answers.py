"""The one JSON writer of the API: non-finite numbers leave as words, times as RFC 3339 UTC."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

from starlette.responses import Response

from gradwatch_service.store import codec


def _worded(value: object) -> str:
    if isinstance(value, dt.datetime):
        return codec.rfc3339(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_json = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_worded)


def _dump(value: object) -> bytes:
    return _json.encode(value).encode()


def encode(value: Any) -> bytes:
    """Write a value as JSON; NaN and the infinities become ``"NaN"``, ``"Infinity"``, …."""
    try:
        return _dump(value)
    except ValueError:  # there is a non-finite number somewhere: take the slow road
        return _dump(codec.plain(value))


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer written by ``encode``."""
    return Response(encode(value), status, media_type="application/json")
