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
from benchmarks.load.writing import W1, W2, Workload, frame_streams

from tests.servers import Server

W1_SHORT = replace(W1, steps=200)
W2_SHORT = replace(W2, runs=20, steps=30)


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


def refused(service: Service) -> Measured:
    return measure(service.port, (os.getpid(),), streams_of_nobody, seconds=0.3, warmup=0.0)


def streams_of_nobody() -> list[writing.FrameStream]:
    return frame_streams(W2_SHORT, ["00000000-0000-0000-0000-000000000000"])
