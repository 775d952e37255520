"""Layers that appear in the middle of a run: their columns and names stay right, also restarted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.store.packing import pack
from tests.servers import Server

pytestmark = pytest.mark.sqlite_in_brief

NARROW = LayerTable(
    (Layer("body.0", "linear", 0, (64, 64)), Layer("body.1", "linear", 1, (64, 64)))
)
WIDE = LayerTable((*NARROW.layers, Layer("adapter", "linear", 2, (64, 8))))
PUSHES = 12
PER_PUSH = 10
GROWS, BREAKS = 50, 90  # the step of the first report with the adapter, and of its first NaN


def value(step: int, column: int) -> float:
    """What was measured: every layer and step has a number of its own, exact in 32 bits."""
    return float("nan") if column == 2 and step >= BREAKS else 1.0 + column / 4 + step / 1024


def frame(number: int) -> Frame:
    steps = np.arange(number * PER_PUSH, (number + 1) * PER_PUSH)
    table = NARROW if steps[0] < GROWS else WIDE
    norms = [[value(int(step), column) for column in range(len(table))] for step in steps]
    return Frame(
        steps=steps,
        time=1.7e9 + steps,
        scalars={"loss": np.ones(len(steps)), "grad_norm": np.full(len(steps), 2.0)},
        layers_hash=table.hash,
        layers={"grad_norm": np.array(norms, np.float32)},
    )


def put(http: httpx.Client, run: str, number: int) -> httpx.Response:
    return http.put(
        f"/runs/{run}/writers/rank-0/frames/{number}",
        content=pack(frame(number)),
        headers={"content-type": "application/msgpack"},
    )


def introduce(http: httpx.Client, table: LayerTable, **run: str) -> Mapping[str, Any]:
    layers = [layer.as_json() for layer in table.layers]
    answer = http.post("/runs", json={"project": "growing", "layers": layers, **run})
    assert answer.is_success, answer.text
    return answer.json()


def check_series(http: httpx.Client, run: str, last: int) -> None:
    for column, name in enumerate(WIDE.names):
        wanted = {"metric": "grad_norm", "layer": name}
        found = http.get(f"/runs/{run}/series", params=wanted).json()
        first = GROWS if column == 2 else 0
        assert found["steps"] == list(range(first, last))
        expected = [value(step, column) for step in range(first, last)]
        assert found["values"] == ["NaN" if norm != norm else norm for norm in expected]


def the_alert(http: httpx.Client, run: str) -> Mapping[str, Any]:
    found = http.get("/alerts", params={"run": run, "rule": "non-finite"}).json()["items"]
    assert len(found) == 1
    return found[0]


def test_frames_of_two_tables_are_read_by_their_own(server: Server, http: httpx.Client):
    run = introduce(http, NARROW)["id"]
    for number in range(PUSHES):
        if number * PER_PUSH == GROWS:
            unknown = put(http, run, number)
            assert (unknown.status_code, unknown.json()["code"]) == (409, "unknown-layers")
            known = introduce(http, WIDE, id=run)
            assert (known["layers_hash"], known["layers_count"]) == (WIDE.hash, len(WIDE))
        assert put(http, run, number).status_code == 201
        if number in {4, 5, 8}:  # before, at and after the growth
            server.restart()
    check_series(http, run, PUSHES * PER_PUSH)
    alert = the_alert(http, run)
    assert (alert["opened_step"], alert["layers"], alert["state"]) == (
        BREAKS,
        ["adapter"],
        "firing",
    )
    assert http.get(f"/runs/{run}").json()["degraded"] is None


def test_frames_of_the_old_table_may_come_after_the_new_one(server: Server, http: httpx.Client):
    run = introduce(http, NARROW)["id"]
    introduce(http, WIDE, id=run)
    for number in [5, 6, 0, 3, 2, 1, 9, 8, 7, 4]:
        assert put(http, run, number).status_code == 201
    check_series(http, run, 100)
    late = the_alert(http, run)
    assert (late["opened_step"], late["layers"]) == (BREAKS, ["adapter"])
    server.restart()
    again = put(http, run, 9)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert the_alert(http, run) == late


def test_a_frame_wider_than_its_table_is_refused_and_the_run_goes_on(http: httpx.Client):
    run = introduce(http, NARROW)["id"]
    wide = frame(5)
    wrong = Frame(wide.steps, wide.time, wide.scalars, NARROW.hash, wide.layers)
    refused = http.put(
        f"/runs/{run}/writers/rank-0/frames/0",
        content=pack(wrong),
        headers={"content-type": "application/msgpack"},
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert [error["code"] for error in refused.json()["errors"]] == ["wrong-width"]
    introduce(http, WIDE, id=run)
    assert put(http, run, 5).status_code == 201


def test_steps_that_name_new_layers_extend_the_table(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "growing"}).json()["id"]
    for first in range(0, PUSHES * PER_PUSH, PER_PUSH):
        steps = [step_of(step) for step in range(first, first + PER_PUSH)]
        answer = http.post(f"/runs/{run}/steps", json={"steps": steps})
        assert (answer.status_code, answer.json()["accepted"]) == (201, PER_PUSH)
        if first in {40, 50, 80}:
            server.restart()
    check_series(http, run, PUSHES * PER_PUSH)
    alert = the_alert(http, run)
    assert (alert["opened_step"], alert["layers"]) == (BREAKS, ["adapter"])
    stored = http.get(f"/runs/{run}").json()
    assert (stored["layers_count"], stored["degraded"]) == (3, None)


def step_of(step: int) -> dict[str, Any]:
    """The same measurements as ``frame``; the layers in another order at every step."""
    names = WIDE.names if step >= GROWS else NARROW.names
    norms = {name: value(step, column) for column, name in enumerate(names)}
    turned = [*norms][step % len(norms) :] + [*norms][: step % len(norms)]
    layers = {
        name: {"grad_norm": "NaN" if norms[name] != norms[name] else norms[name]} for name in turned
    }
    return {"step": step, "loss": 1.0, "grad_norm": 2.0, "layers": layers}
