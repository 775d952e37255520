"""What leaves through the one network seam: short bodies plain, long ones compressed."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from gradwatch.config import Config
from gradwatch.transport import COMPRESSED_FROM_BYTES, Transport


@pytest.mark.parametrize("length", [10, COMPRESSED_FROM_BYTES])
def test_long_json_is_compressed_and_says_so(length: int) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    body: dict[str, Any] = {"name": "x" * length}
    transport = Transport(Config(), httpx.MockTransport(answer))
    assert transport.post("/runs", body).status == 200
    transport.close()
    (request,) = seen
    assert request.headers["content-type"] == "application/json"
    is_long = length >= COMPRESSED_FROM_BYTES
    assert request.headers.get("content-encoding") == ("gzip" if is_long else None)
    assert (len(request.content) < length) == is_long
    content = gzip.decompress(request.content) if is_long else request.content
    assert json.loads(content) == body
