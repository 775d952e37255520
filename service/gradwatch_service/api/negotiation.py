"""Numbers as JSON, as msgpack with packed arrays, or as nothing but float32: as the caller accepts.

All arrays are little-endian, in C order. "Not measured" is the NaN of decision 0002.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from gradwatch_service.api.answers import encode
from gradwatch_service.api.operations import JSON, Responses

MSGPACK = "application/msgpack"
RAW = "application/octet-stream"
_KNOWN = (JSON, MSGPACK, RAW)
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@dataclass(frozen=True, slots=True)
class Numbers:
    """One answer in its three forms.

    ``facts`` go into JSON and msgpack alike; ``arrays`` are packed in msgpack; ``words`` makes of
    them what JSON shows. ``raw``: name -> array of one shape, stacked; ``headers`` explain it.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    words: Callable[[], Mapping[str, Any]]
    raw: Mapping[str, NDArray[Any]]
    headers: Mapping[str, str] = field(default_factory=dict)


def also_packed(responses: Responses) -> Responses:
    """Tell OpenAPI that the answer can be had packed, too."""
    responses[200]["content"] |= {MSGPACK: _BINARY, RAW: _BINARY}
    return responses


def negotiated(request: Request, numbers: Numbers) -> Response:
    """Answer in the form that the caller likes best; JSON if it is all the same."""
    media = preferred(request.headers.get("accept", ""))
    headers = {"Vary": "Accept"}
    if media == RAW:
        stacked = np.stack([part.astype("<f4") for part in numbers.raw.values()])
        headers |= {
            **numbers.headers,
            "X-Gradwatch-Shape": ",".join(map(str, stacked.shape)),
            "X-Gradwatch-Order": ",".join(numbers.raw),
        }
        return Response(stacked.tobytes(), headers=headers, media_type=RAW)
    if media == MSGPACK:
        packed = {
            name: np.ascontiguousarray(part).tobytes() for name, part in numbers.arrays.items()
        }
        return Response(
            msgpack.packb({**numbers.facts, **packed}), headers=headers, media_type=media
        )
    return Response(encode({**numbers.facts, **numbers.words()}), headers=headers, media_type=JSON)


def preferred(accept: str) -> str:
    """The first of those we write that the header names with the highest weight."""
    weights: dict[str, float] = {}
    for entry in accept.lower().split(","):
        media, *parameters = (text.strip() for text in entry.split(";"))
        weights[media] = max(weights.get(media, 0.0), _weight(parameters))
    best = max(_KNOWN, key=lambda media: weights.get(media, 0.0))
    return best if weights.get(best, 0.0) > 0 else JSON


def _weight(parameters: list[str]) -> float:
    given = [text.removeprefix("q=") for text in parameters if text.startswith("q=")]
    try:
        return float(given[0]) if given else 1.0
    except ValueError:
        return 0.0
