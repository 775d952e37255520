"""The judge of a real server is killed while frames come: nobody notices."""

from __future__ import annotations

import os
import signal
from typing import Any

import httpx
import pytest

from gradwatch_service.store import packing
from tests.e2e.explosion import STEPS, TABLE, part, report_all
from tests.servers import Server
from tests.service.ingest.test_judge_process import processes_of

pytestmark = pytest.mark.sqlite_in_brief

WHOLE = report_all()


def create(http: httpx.Client) -> str:
    layers = [
        {"name": one.name, "kind": one.kind, "depth": one.depth, "shape": list(one.shape)}
        for one in TABLE.layers
    ]
    return str(http.post("/runs", json={"project": "judged", "layers": layers}).json()["id"])


def push(http: httpx.Client, run: str, step: int) -> None:
    """As a client does: what is refused for now is sent again."""
    body, path = packing.pack(part(WHOLE, step, step + 1)), f"/runs/{run}/writers/w0/frames/{step}"
    kind = {"content-type": "application/msgpack"}
    while (answer := http.put(path, content=body, headers=kind)).status_code == 503:
        pass
    assert answer.is_success, answer.text


def told(http: httpx.Client, run: str) -> list[dict[str, Any]]:
    """The alerts, without what names them and their run."""
    alerts = http.get("/alerts", params={"run": run}).json()["items"]
    kept = ("cause", "rule", "state", "severity", "opened_step", "last_step", "layers")
    return sorted(
        ({key: alert[key] for key in kept} for alert in alerts), key=lambda one: str(one["cause"])
    )


def test_the_judge_is_killed_and_nothing_is_lost_or_doubled(
    server: Server, http: httpx.Client
) -> None:
    assert server.process is not None
    calm, disturbed, killed = create(http), create(http), set()
    for step in range(STEPS):
        push(http, calm, step)
    for step in range(STEPS):
        if step % 20 == 10:
            (judge,) = processes_of(server.process.pid)
            os.kill(judge, signal.SIGKILL)
            killed.add(judge)
        push(http, disturbed, step)
    assert len(killed) == STEPS // 20
    asked = {"metric": "lr", "points": 10_000}
    found = http.get(f"/runs/{disturbed}/series", params=asked).json()
    assert found["steps"] == list(range(STEPS))
    assert len(told(http, calm)) > 1
    assert told(http, disturbed) == told(http, calm)
