"""``/metrics`` for Prometheus: what this server counts, and what stands in the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from time import monotonic

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import Response
from typing_extensions import override

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.errors import Unavailable
from gradwatch_service.store.gauges import Labels, Standing, seen_by, standing

router = APIRouter(include_in_schema=False)

# So often at most the database is asked, whoever scrapes.
FRESH_SECONDS = 5.0


@router.get("/metrics")
@allows(READ, of=Owner.LIST)
def metrics(request: Request, backend: Served, who: Who) -> Response:
    """Everything but what is of other projects, in the format that is asked for."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    state = request.app.state
    if not hasattr(state, "census"):
        state.census = Census(backend)
    shown = CollectorRegistry()
    shown.register(_Gathered(backend.meters.gathered(), state.census, who.project))
    return Response(encode(shown), media_type=media_type)


class _Gathered(Collector):
    """Two sources as one, for somebody of a project; None: who sees all."""

    def __init__(self, meters: CollectorRegistry, census: Census, project: str | None) -> None:
        self._meters = meters
        self._census = census
        self._project = project

    @override
    def collect(self) -> Iterator[Metric]:
        """Every metric of each source."""
        yield from self._meters.collect()
        yield from self._census.collect(self._project)


class Census:
    """What stands in the database, not asked for more often than every few seconds."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._asked = -FRESH_SECONDS
        self._found: Standing | None = None

    def collect(self, project: str | None) -> Iterator[Metric]:
        """As gauges; without them where the database does not answer."""
        found = self._standing()
        yield _gauge("gradwatch_build_info", "Its version.", ("version",), {_VERSION: 1})
        yield _single("gradwatch_database_up", "Whether the database answers.", found is not None)
        if found is not None:
            yield from _shown(found, project)

    def _standing(self) -> Standing | None:
        with self._lock:
            now = monotonic()
            if now - self._asked >= FRESH_SECONDS:
                self._found, self._asked = self._count(), now
            return self._found

    def _count(self) -> Standing | None:
        try:
            with self._backend.reading() as connection:
                return standing(connection, self._backend.clock())
        except Unavailable:
            return None


_VERSION = (version("gradwatch"),)


def _shown(found: Standing, project: str | None) -> Iterator[Metric]:
    yield _gauge(
        "gradwatch_alerts", "Alerts that are not resolved.",
        ("project", "severity", "state"), seen_by(project, found.alerts),
    )  # fmt: skip
    yield _gauge(
        "gradwatch_runs", "Runs that are not over.",
        ("project", "state", "health"), seen_by(project, found.runs),
    )  # fmt: skip
    yield _gauge(
        "gradwatch_deliveries", "Messages that wait, or were given up.",
        ("project", "state"), seen_by(project, found.deliveries),
    )  # fmt: skip
    yield _gauge(
        "gradwatch_outbox_alerts", "Changed alerts not considered yet.",
        ("project",), seen_by(project, found.outbox),
    )  # fmt: skip
    yield _gauge(
        "gradwatch_outbox_age_seconds", "How long the oldest has waited.",
        ("project",), seen_by(project, found.outbox_age, max),
    )  # fmt: skip
    if found.worker_age is not None:
        age = "Seconds since a worker gave a sign of life."
        yield _single("gradwatch_worker_beat_age_seconds", age, found.worker_age)


def _single(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _gauge(name: str, words: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
