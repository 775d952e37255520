"""``/openapi.json`` and ``/docs``: the routes described, without a byte from anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse, Response

from gradwatch_service.api import (
    alert_shapes,
    bodies,
    channel_shapes,
    curve_shapes,
    delivery_shapes,
    frames,
    key_shapes,
    rule_shapes,
    shapes,
)
from gradwatch_service.api.access.headers import CONTENT_SECURITY_POLICY
from gradwatch_service.api.access.policy import Policies, public
from gradwatch_service.api.answers import answer
from gradwatch_service.api.operations import answers

router = APIRouter(include_in_schema=False)

REFERENCE = "#/components/schemas/{model}"
MODELS: tuple[type[BaseModel], ...] = (
    *bodies.BODIES,
    *key_shapes.BODIES,
    shapes.StepsBody,
    shapes.FrameBody,
    shapes.Items[shapes.Run],
    shapes.Items[shapes.Alert],
    shapes.Items[shapes.Advice],
    shapes.Items[shapes.EventShape],
    shapes.Items[key_shapes.KeyShape],
    shapes.Items[key_shapes.Project],
    shapes.Items[key_shapes.AuditEntry],
    key_shapes.IssuedKey,
    key_shapes.SessionShape,
    alert_shapes.AlertWithHistory,
    alert_shapes.SilenceBody,
    alert_shapes.SilenceShape,
    shapes.Items[alert_shapes.SilenceShape],
    shapes.ReceiptBody,
    shapes.SeriesBody,
    delivery_shapes.DeliveryShape,
    shapes.Items[delivery_shapes.DeliveryShape],
    curve_shapes.HeatmapBody,
    curve_shapes.ProfileBody,
    channel_shapes.ChannelBody,
    channel_shapes.ChannelChanges,
    channel_shapes.Channel,
    shapes.Items[channel_shapes.Channel],
    channel_shapes.Delivered,
    rule_shapes.RulesBody,
    rule_shapes.BacktestBody,
    rule_shapes.RulesShape,
    rule_shapes.BacktestShape,
    shapes.Accepted,
    shapes.Status,
    shapes.Problem,
)
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
SECURITY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of a project; in local mode none is needed. Roles are its scopes.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-gradwatch",
        "description": "The cookie that POST /session sets (`gradwatch` in local mode).",
    },
}
STOCK_ERROR = "HTTPValidationError"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gradwatch API</title>
<meta name="viewport" content="width=device-width"><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem }}
dt {{ margin-top: .8rem }} dd {{ margin: 0 }} code {{ overflow-wrap: anywhere }}
</style></head><body><h1>Gradwatch API {version}</h1>
<p>{description}</p><p>For machines: <a href="/openapi.json">openapi.json</a></p>
<dl>
{rows}
</dl></body></html>
"""


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: what FastAPI sees, the fast path it does not see, and all bodies."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for operation in _operations(document):
        if STOCK_ERROR in str(operation["responses"].get("422")):
            del operation["responses"]["422"]  # FastAPI's own form of errors, which we never send
    document["paths"].update(frames.OPENAPI_PATHS)
    _, definitions = models_json_schema(
        [(model, "validation") for model in MODELS], ref_template=REFERENCE
    )
    document["components"] = {"schemas": definitions["$defs"], "securitySchemes": SECURITY}
    document["paths"] = dict(sorted(document["paths"].items()))
    _describe_access(document, app.state.policies)
    return document


def _describe_access(document: dict[str, Any], policies: Policies) -> None:
    """Say of every operation which key it needs, and how it is refused without one."""
    for entry in policies.entries:
        operation = document["paths"].get(entry.path, {}).get(entry.method.lower())
        if operation is None:
            continue
        if entry.policy.scopes is None:
            operation["security"] = []
            continue
        scopes = sorted(entry.policy.scopes)
        operation["security"] = [{name: scopes} for name in SECURITY]
        refusals = answers({}, 401, 403, 429)
        operation["responses"].update({str(status): said for status, said in refusals.items()})


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


@router.get("/openapi.json")
@public
def openapi_json(request: Request) -> Response:
    """Every route for machines."""
    return answer(openapi(request.app))


@router.get("/docs")
@public
def docs(request: Request) -> Response:
    """Every route on one plain page."""
    document = openapi(request.app)
    rows = [
        f"<dt>{method.upper()} <code>{escape(path)}</code><dd>{escape(operation['description'])}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    info = document["info"]
    return HTMLResponse(
        PAGE.format(
            version=escape(info["version"]),
            description=escape(info["description"]),
            rows="\n".join(rows),
        ),
        headers={CONTENT_SECURITY_POLICY: PAGE_POLICY},
    )
