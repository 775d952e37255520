"""Templates in, pages out: one environment, one content security policy, one look."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from gradwatch_service.api.access.headers import CONTENT_SECURITY_POLICY, NOT_KEPT
from gradwatch_service.api.access.principal import IN_SCOPE
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
    text = (
        environment()
        .get_template(template)
        .render(
            who=request.scope.get(IN_SCOPE),
            path=request.url.path,
            query=request.query_params,
            **context,
        )
    )
    return HTMLResponse(text, status, headers={CONTENT_SECURITY_POLICY: POLICY, **NOT_KEPT})
