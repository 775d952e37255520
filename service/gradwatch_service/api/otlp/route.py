"""The route that OpenTelemetry's exporters know; its errors are ours, its successes theirs."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from fastapi import APIRouter, Request
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import INGEST, Principal, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.bodies import media_type
from gradwatch_service.api.otlp.reading import JSON, Resource, read
from gradwatch_service.api.otlp.steps import Batch, batches
from gradwatch_service.api.otlp.target import Target, target_of
from gradwatch_service.api.steps_body import MAX_CELLS
from gradwatch_service.errors import Invalid, NotFound, TooLarge
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
    room = MAX_CELLS
    for resource in resources:
        room = await _store(backend, who, resource, digest, room)
        refused += resource.refused
    return _answer(media, refused)


def _read(media: str, body: bytes) -> tuple[list[Resource], bytes]:
    return read(media, body), sha256(body).digest()


async def _store(
    backend: Backend, who: Principal, resource: Resource, digest: bytes, room: int
) -> int:
    """Store a resource's points; what is wrong with all of them is counted as what is with one.

    Returns what is left of the room for cells.
    """
    _refuse_timeless(resource)
    if not resource.points:
        return room
    try:
        target = target_of(resource.attributes, who.project)
    except Invalid as error:
        resource.refused[error.detail] += len(resource.points)
        return room
    who.claim(target.project)
    async for batch in iterate_in_threadpool(batches(resource.points, resource.refused)):
        room -= batch.cells
        if room < 0:
            raise TooLarge("too many different names for one request: send smaller batches")
        push = _push(target, batch, digest)
        try:
            await backend.stored(backend.writer.submit(push))
        except NotFound:
            await run_in_threadpool(_make, backend, target)
            await backend.stored(backend.writer.submit(push))
    return room


def _refuse_timeless(resource: Resource) -> None:
    good = [point for point in resource.points if point.step is not None or point.time]
    lost = len(resource.points) - len(good)
    if lost:
        resource.refused[NO_TIME] += lost
        resource.points[:] = good


def _push(target: Target, batch: Batch, digest: bytes) -> PointsPush:
    return PointsPush(
        run_id=target.run_id,
        digest=digest,
        frame=batch.steps.frame,
        layer_names=batch.steps.layer_names,
        counted=batch.counted,
        project=target.project,
    )


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
