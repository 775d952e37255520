"""The one renderer of errors: whatever goes wrong leaves as RFC 9457 problem+json, ≤ 8 KiB."""

from __future__ import annotations

import logging
import uuid
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gradwatch_service.api.access.headers import HEADERS
from gradwatch_service.api.answers import encode
from gradwatch_service.api.rejections import shown
from gradwatch_service.errors import (
    Invalid,
    ItemError,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    Unauthorized,
)

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_DETAIL = 1_000
ENCODINGS = "zstd, gzip"
UNSUPPORTED_ENCODING = "unsupported-encoding"

log = logging.getLogger(__name__)


def problem(error: ServiceError) -> Response:
    """Render an error a caller can act on."""
    headers = {}
    body: dict[str, Any] = {
        "type": f"urn:gradwatch:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail[:MAX_DETAIL],
        "instance": f"/requests/{uuid.uuid4()}",
        "code": error.code,
        "retryable": error.retryable,
    }
    if error.retryable:
        body["retry_after_s"] = error.retry_after_seconds or 1
        headers["Retry-After"] = str(max(1, round(body["retry_after_s"])))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="gradwatch"'
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    if error.code == UNSUPPORTED_ENCODING:
        headers["Accept-Encoding"] = ENCODINGS
    if error.errors:
        body["errors"] = [
            {"pointer": shown(item.pointer), "code": item.code}
            for item in error.errors[:MAX_ERRORS]
        ]
    return Response(encode(body), error.status, headers, MEDIA_TYPE)


def _of_http(error: HTTPException) -> Response:
    """Render what the router itself refuses: no such path."""
    status = HTTPStatus(error.status_code)
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": f"{status.description or status.phrase}; GET /docs lists every route",
        "instance": f"/requests/{uuid.uuid4()}",
        "code": status.phrase.lower().replace(" ", "-"),
        "retryable": False,
    }
    return Response(encode(body), status.value, error.headers, MEDIA_TYPE)


def of_request(error: RequestValidationError) -> ServiceError:
    """A path that cannot name anything is 404; a query parameter that is wrong is 422."""
    found = error.errors()
    if any(item["loc"][0] == "path" for item in found):
        return NotFound("nothing has this address: an id in the path is malformed")
    return Invalid(
        "a query parameter breaks the contract; errors say which",
        errors=tuple(
            ItemError(f"/{item['loc'][0]}/{item['loc'][1]}", item["type"].replace("_", "-"))
            for item in found
        ),
    )


async def _on_service_error(_: Request, error: ServiceError) -> Response:
    return problem(error)


async def _on_http_error(_: Request, error: HTTPException) -> Response:
    return _of_http(error)


async def _on_request_error(_: Request, error: RequestValidationError) -> Response:
    return problem(of_request(error))


class _Unexpected(ServiceError):
    """A defect of the service; clients try again a few times, then set the body aside."""

    retryable = True


async def _on_defect(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    answer = problem(_Unexpected("the service failed on this request; its log says why"))
    answer.headers.update(HEADERS)  # made outside the gate, which gives them to all others
    return answer


def install(app: FastAPI) -> None:
    """Make every error of the application leave through this module."""
    handlers: dict[type[Exception], Any] = {
        ServiceError: _on_service_error,
        HTTPException: _on_http_error,
        RequestValidationError: _on_request_error,
        Exception: _on_defect,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
