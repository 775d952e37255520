"""The route that OpenTelemetry's exporters know; its errors are ours, its successes theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from fastapi import APIRouter, Request
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import INGEST, Principal, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.bodies import media_type
from gradwatch_service.api.otlp.reading import JSON, Resource, read
from gradwatch_service.api.otlp.steps import Batch, batches
from gradwatch_service.api.otlp.target import Target, target_of
from gradwatch_service.errors import Invalid, NotFound
from gradwatch_service.ingest.pushes import PointsPush
from gradwatch_service.store.launches import create_or_resume_run

PATH = "/v1/metrics"
NO_TIME = "a data point without a step needs a time"

router = APIRouter(include_in_schema=False)


@router.post(PATH)
@allows(INGEST, of=Owner.BODY)
async def post_metrics(request: Request, backend: Served, who: Who) -> Response:
    """Store gauges, sums and histograms as steps of the runs their resources name."""
    media, body = media_type(request.scope), await request.body()
    resources, digest = await run_in_threadpool(_read, media, body)
    refused: Counter[str] = Counter()
    for resource in resources:
        await _store(backend, who, resource, digest)
        refused += resource.refused
    return _answer(media, refused)


def _read(media: str, body: bytes) -> tuple[list[Resource], bytes]:
    return read(media, body), sha256(body).digest()


async def _store(backend: Backend, who: Principal, resource: Resource, digest: bytes) -> None:
    """Store a resource's points; what is wrong with all of them is counted as what is with one."""
    _refuse_timeless(resource)
    if not resource.points:
        return
    try:
        target = target_of(resource.attributes, who.project)
    except Invalid as error:
        resource.refused[error.detail] += len(resource.points)
        return
    who.claim(target.project)
    found = await run_in_threadpool(lambda: list(batches(resource.points)))
    try:
        await _push(backend, target, found, digest)
    except NotFound:
        await run_in_threadpool(_make, backend, target)
        await _push(backend, target, found, digest)


def _refuse_timeless(resource: Resource) -> None:
    good = [point for point in resource.points if point.step is not None or point.time]
    lost = len(resource.points) - len(good)
    if lost:
        resource.refused[NO_TIME] += lost
        resource.points[:] = good


async def _push(backend: Backend, target: Target, found: Sequence[Batch], digest: bytes) -> None:
    pushed = [
        backend.writer.submit(
            PointsPush(
                run_id=target.run_id,
                digest=digest,
                frame=steps.frame,
                layer_names=steps.layer_names,
                counted=counted,
                project=target.project,
            )
        )
        for steps, counted in found
    ]
    for one in pushed:
        await backend.stored(one)


def _make(backend: Backend, target: Target) -> None:
    """Make the run; another process may have been faster."""
    now = backend.clock()
    backend.write(lambda connection: create_or_resume_run(connection, target.as_request(), now))


def _answer(media: str, refused: Counter[str]) -> Response:
    """Success, be it partial: what was refused would be refused again, so nobody sends it again."""
    answer = ExportMetricsServiceResponse()
    if refused:
        answer.partial_success.rejected_data_points = refused.total()
        reasons = (f"{count} refused: {reason}" for reason, count in refused.most_common(5))
        answer.partial_success.error_message = "; ".join(reasons)
    if media == JSON:
        return Response(json_format.MessageToJson(answer, indent=None), media_type=JSON)
    return Response(answer.SerializeToString(), media_type=media)
