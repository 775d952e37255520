"""Templates in, pages out: one environment, one content security policy, one look."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from gradwatch_service.api.access.headers import CONTENT_SECURITY_POLICY, NOT_KEPT
from gradwatch_service.api.access.principal import IN_SCOPE
from gradwatch_service.api.backend import backend_of
from gradwatch_service.api.sightings import cursor_of
from gradwatch_service.web import words
from gradwatch_service.web.assets import address

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


@cache
def environment() -> Environment:
    """Everything is escaped, and a name that is not there is an error."""
    made = Environment(
        loader=PackageLoader("gradwatch_service.web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(words.FILTERS)
    made.globals["asset"] = address
    return made


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Render a page for whoever asks; ``who`` is None for strangers."""
    who = request.scope.get(IN_SCOPE)
    text = (
        environment()
        .get_template(template)
        .render(
            who=who,
            since=_since(request) if who is not None and status == 200 else None,
            path=request.url.path,
            query=request.query_params,
            **context,
        )
    )
    return HTMLResponse(text, status, headers={CONTENT_SECURITY_POLICY: POLICY, **NOT_KEPT})


def _since(request: Request) -> int:
    """The id of events after which whoever shows the page has to be told."""
    return cursor_of(backend_of(request).clock())
