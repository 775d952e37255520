"""The load benchmark against a real server: what is sent is stored, and raises no alert."""

from __future__ import annotations

import os
from dataclasses import replace

import httpx
import pytest
from benchmarks.load import writing
from benchmarks.load.databases import Database
from benchmarks.load.driver import Measured, measure
from benchmarks.load.service import Service
from benchmarks.load.wire import Span
from benchmarks.load.writing import W1, W2, Workload, frame_streams

from tests.servers import Server

pytestmark = pytest.mark.sqlite_in_brief

W1_SHORT = replace(W1, steps=200, start=0)
W2_SHORT = replace(W2, runs=20, steps=30, start=0)


@pytest.fixture(name="service")
def service_of(server: Server, database_url: str) -> Service:
    assert server.process is not None
    return Service(server.port, server.process.pid, Database(database_url, (), lambda: 0))


@pytest.mark.parametrize("workload", [W1_SHORT, W2_SHORT], ids=lambda one: one.name)
def test_what_is_sent_is_stored_once_and_passes_for_healthy(
    service: Service, http: httpx.Client, workload: Workload
) -> None:
    found = writing.write(service, workload, seconds=20.0, warmup=0.0)

    requests = workload.steps // workload.batch
    assert found.acknowledged == [requests] * workload.runs
    assert found.statuses == {201: requests * workload.runs}
    assert found.floats == requests * workload.runs * workload.floats
    assert found.cpu_seconds > 0
    runs = http.get("/runs", params={"project": "load", "limit": 100}).json()["items"]
    assert [run["last_step"] for run in runs] == [workload.steps - 1] * workload.runs
    assert http.get("/alerts").json()["items"] == []


def test_a_refusal_is_counted_and_ends_the_stream(service: Service) -> None:
    found = refused(service)

    assert found.statuses == {404: 1}
    assert found.errors == found.requests == 1
    assert (found.floats, found.acknowledged) == (0, [0])
    assert "no run" in found.refusal


def test_a_stream_that_has_ended_holds_up_no_start(service: Service) -> None:
    found = refused(service, start=9)

    assert (found.requests, found.acknowledged) == (0, [0])


def test_what_comes_before_every_run_has_started_does_not_count(service: Service) -> None:
    workload = replace(W2_SHORT, steps=1_000, start=25)

    found = writing.write(service, workload, seconds=0.5, warmup=0.0)

    assert min(found.acknowledged) >= workload.start
    assert 0 < found.requests <= sum(found.acknowledged) - workload.runs * workload.start


def refused(service: Service, start: int = 0) -> Measured:
    return measure(service.port, (os.getpid(),), streams_of_nobody, Span(0.3, start=start))


def streams_of_nobody() -> list[writing.FrameStream]:
    return frame_streams(W2_SHORT, ["00000000-0000-0000-0000-000000000000"])
