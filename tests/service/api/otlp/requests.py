"""Requests as an exporter would send them, written as JSON or packed as protobuf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tests.service.api.conftest import Api

URL = "http://test/v1/metrics"
SECOND = 10**9
START = 1_700_000_000 * SECOND


def attributes(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in given.items()]


def point(value: Any, time: int = START, **given: Any) -> dict[str, Any]:
    return {"asDouble": value, "timeUnixNano": str(time), "attributes": attributes(given)}


def gauge(name: str, *points: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "gauge": {"dataPoints": points}}


def request(*metrics: Mapping[str, Any], **resource: Any) -> dict[str, Any]:
    """A request of one resource; the words of its attributes are joined by points."""
    named = {key.replace("__", "."): value for key, value in resource.items()}
    scopes = [{"metrics": metrics}]
    return {
        "resourceMetrics": [{"resource": {"attributes": attributes(named)}, "scopeMetrics": scopes}]
    }


def packed(body: Mapping[str, Any]) -> bytes:
    return json_format.ParseDict(body, ExportMetricsServiceRequest()).SerializeToString()


def send(api: Api, body: Mapping[str, Any], **headers: str) -> httpx.Response:
    headers = {"content-type": "application/json"} | headers
    return api.send("POST", URL, content=json.dumps(body).encode(), headers=headers)


def run_of(api: Api, project: str) -> dict[str, Any]:
    """The only run of a project."""
    (run,) = api.get("/runs", project=project).json()["items"]
    return dict(run)


def series(api: Api, project: str, metric: str, **where: str) -> dict[int, Any]:
    """Step -> value."""
    run = run_of(api, project)["id"]
    found = api.get(f"/runs/{run}/series", metric=metric, **where).json()
    return dict(zip(found["steps"], found["values"], strict=True))
