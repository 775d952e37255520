"""What a process counts of itself for Prometheus; with several processes the library adds up."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# The library's own switch: where set before it is imported, processes count into files there.
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_LIVE: Final = "gauge_live*_*.db"
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

Observe = Callable[[float], None]


disable_created_metrics()  # type: ignore[no-untyped-call]  # as many series again, of no use here


class Meters:
    """One per process; ``registry`` holds them all."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Histogram(
            "gradwatch_http_request_seconds",
            "How long requests took, by route and status.",
            ("method", "route", "status"),
            registry=registry,
            buckets=_LATENCIES,
        )
        self._known: dict[tuple[str, str, int], Observe] = {}
        self.group = Histogram(
            "gradwatch_writer_group_jobs",
            "How many jobs the writer committed at once.",
            registry=registry,
            buckets=_SIZES,
        )
        self.commit = Histogram(
            "gradwatch_writer_commit_seconds",
            "How long the writer's transactions took, judging of what is urgent included.",
            registry=registry,
            buckets=_LATENCIES,
        )
        self.queue = _gauge(registry, "gradwatch_writer_queue_jobs", "Jobs waiting for the writer.")
        self.backlog = _gauge(
            registry, "gradwatch_judge_backlog_streams", "Streams waiting to be judged."
        )
        self.listeners = _gauge(registry, "gradwatch_live_streams", "Open streams of events.")
        self.reports = Counter(
            "gradwatch_reports_stored", "Reports (steps) stored.", registry=registry
        )
        self.floats = Counter("gradwatch_floats_stored", "Numbers stored.", registry=registry)

    def request(self, method: str, route: str, status: int) -> Observe:
        """Where the seconds of such a request are counted."""
        key = (method, route, status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._requests.labels(*map(str, key)).observe
        return known

    def gathered(self) -> CollectorRegistry:
        """What is to be shown: of all processes of this server."""
        folder = os.environ.get(FOLDER)  # noqa: TID251 - set by ``serve``, read by the library
        if folder is None:
            return self.registry
        for file in Path(folder).glob(_LIVE):
            _forget_if_dead(int(file.stem.rpartition("_")[2]), folder)
        every = CollectorRegistry()
        MultiProcessCollector(every, folder)  # type: ignore[no-untyped-call]
        return every


def _gauge(registry: CollectorRegistry, name: str, words: str) -> Gauge:
    return Gauge(name, words, registry=registry, multiprocess_mode="livesum")


def _forget_if_dead(pid: int, folder: str) -> None:
    """What has ended has nothing in its queue; what it counted stays counted."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        with suppress(FileNotFoundError):  # another scrape was faster
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
