"""Errors as people see them: a page for a browser, a problem for everybody else."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from gradwatch_service.api.operations import PREFIX
from gradwatch_service.api.problems import of_request, problem
from gradwatch_service.errors import NotFound, ServiceError, Unauthorized
from gradwatch_service.web.rendering import page

SIGN_IN = "/signin"


def refusal(scope: Scope, error: ServiceError) -> Response:
    """The answer to a request that is refused; who has to sign in is led there."""
    request = Request(scope)
    if not _is_for_people(request):
        return problem(error)
    if isinstance(error, Unauthorized) and request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        there = quote(request.url.path + query)
        return RedirectResponse(f"{SIGN_IN}?next={there}", 303)
    return page(request, "refused.html", error.status, error=error)


def install(app: FastAPI) -> None:
    """Make what routes raise leave through this module, too."""

    async def on_service_error(request: Request, error: ServiceError) -> Response:
        return refusal(request.scope, error)

    async def on_http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == NotFound.status and _is_for_people(request):
            return refusal(request.scope, NotFound("nothing has this address"))
        answer: Response = await plain(request, error)
        return answer

    async def on_request_error(request: Request, error: RequestValidationError) -> Response:
        return refusal(request.scope, of_request(error))

    plain: Any = app.exception_handlers[HTTPException]
    handlers: dict[type[Exception], Any] = {
        ServiceError: on_service_error,
        HTTPException: on_http_error,
        RequestValidationError: on_request_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _is_for_people(request: Request) -> bool:
    is_page = not request.url.path.startswith(PREFIX)
    return is_page and "text/html" in request.headers.get("accept", "")
