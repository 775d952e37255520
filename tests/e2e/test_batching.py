"""The same reports in whatever batches, through restarts: identical alerts and series."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from gradwatch_service.detect.rules import catalogue
from gradwatch_service.store.packing import pack
from tests.e2e.explosion import STEPS, TABLE, part, report_all
from tests.servers import Server

pytestmark = pytest.mark.sqlite_in_brief

PER_RUN = frozenset({"id", "run_id", "alert_id", "opened_at", "updated_at"})
REPORTS = report_all()
RULES = {rule.id for rule in catalogue()}
LAYERS = [layer.as_json() for layer in TABLE.layers]


def ones() -> Iterator[int]:
    return iter([1] * STEPS)


def tens() -> Iterator[int]:
    return iter([10] * (STEPS // 10))


def random_sizes() -> Iterator[int]:
    source = random.Random(11)
    while True:
        yield source.randint(1, 25)


def without_identity(value: object) -> object:
    """The same value without what names this run or this hour."""
    if isinstance(value, dict):
        return {key: without_identity(item) for key, item in value.items() if key not in PER_RUN}
    if isinstance(value, list):
        return [without_identity(item) for item in value]
    return value


def push(
    http: httpx.Client, sizes: Iterator[int], between: Callable[[int], None] = lambda _: None
) -> Sequence[Any]:
    """Push all reports into a fresh run in batches of these sizes; returns what became of them."""
    run = http.post("/runs", json={"project": "batches", "layers": LAYERS}).json()["id"]
    done, seq = 0, 0
    while done < STEPS:
        size = next(sizes)
        answer = http.put(
            f"/runs/{run}/writers/rank-0/frames/{seq}",
            content=pack(part(REPORTS, done, done + size)),
            headers={"content-type": "application/msgpack"},
        )
        assert answer.status_code == 201, answer.text
        done, seq = done + size, seq + 1
        between(seq)
    return verdict(http, run)


def verdict(http: httpx.Client, run: str) -> Sequence[Any]:
    """Everything the service concluded, in an order that does not depend on the clock."""
    alerts = http.get("/alerts", params={"run": run}).json()["items"]
    state = http.get(f"/runs/{run}").json()
    assert state["degraded"] is None
    return [
        sorted((without_identity(alert) for alert in alerts), key=lambda alert: alert["cause"]),
        http.get(f"/runs/{run}/guard").json(),
        [state[key] for key in ("health", "open_alerts", "last_step")],
        [
            http.get(f"/runs/{run}/series", params=wanted).json()["values"]
            for wanted in ({"metric": "loss"}, {"metric": "grad_norm", "layer": TABLE.names[2]})
        ],
    ]


def test_batches_and_restarts_do_not_change_what_is_concluded(server: Server, http: httpx.Client):
    def restart(seq: int) -> None:
        if seq in {4, 9}:
            server.restart()

    expected = push(http, ones())
    rules = {fact["name"] for alert in expected[0] for fact in alert["evidence"]} & RULES
    assert len(rules) >= 8, f"too few rules have their say: {rules}"
    assert push(http, tens()) == expected
    assert push(http, random_sizes()) == expected
    assert push(http, random_sizes(), restart) == expected


def test_the_simple_path_does_not_depend_on_batches_either(http: httpx.Client):
    steps = [
        {
            "step": int(step),
            **{name: _word(values[row]) for name, values in REPORTS.scalars.items()},
            "layers": {
                layer: {name: _word(table[row, column]) for name, table in REPORTS.layers.items()}
                for column, layer in enumerate(TABLE.names)
            },
        }
        for row, step in enumerate(REPORTS.steps)
    ]

    def push_steps(size: int) -> Sequence[Any]:
        run = http.post("/runs", json={"project": "batches"}).json()["id"]
        for first in range(0, STEPS, size):
            body = {"steps": steps[first : first + size]}
            assert http.post(f"/runs/{run}/steps", json=body).status_code == 201
        return verdict(http, run)

    expected = push_steps(STEPS)
    assert expected[0]
    assert push_steps(7) == expected


def _word(value: float) -> float | str:
    return "NaN" if value != value else float(value)
