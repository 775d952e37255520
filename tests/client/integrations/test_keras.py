"""Keras trains a real model with the lines of the docs on two backends, on a real service."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client.integrations.explosion import ON_SQLITE, STEPS, Told, assert_detected, series
from tests.reliability.counts import FULL
from tests.servers import Server

pytestmark = pytest.mark.frameworks

DEADLINE_SECONDS = 200
SCENARIOS = ("measured", "skipped", "clipped", "accumulated", "interrupted", "in_part")
COMMAND = [sys.executable, "-W", "ignore", "-m", "tests.client.integrations.keras_job"]


def play(backend: str, *scenarios: str, **environment: str) -> dict[str, Any]:
    """What came out of scenarios in a process of their own."""
    for package in ("keras", backend):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    done = subprocess.run(
        [*COMMAND, *scenarios],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"KERAS_BACKEND": backend} | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


BACKENDS_IN_BRIEF = (
    ("torch", "jax") if FULL else ("torch",)
)  # one process of either takes half a minute


@ON_SQLITE
@pytest.mark.parametrize("keras_backend", ["torch", "jax"])
def test_the_lines_of_the_docs_detect_an_explosion_in_the_right_layer(
    server: Server, http: httpx.Client, keras_backend: str
) -> None:
    told = play(keras_backend, "docs", GRADWATCH_URL=server.url, GRADWATCH_AUTOPILOT="0")
    run = Told(told["docs"]["run"])
    assert_detected(http, run, "net/middle/kernel")
    assert series(http, run, "loss")["steps"] == list(range(STEPS))


@pytest.fixture(scope="module", params=BACKENDS_IN_BRIEF)
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    return play(request.param, *SCENARIOS, GRADWATCH_AUTOPILOT="1")


def test_the_reported_numbers_are_those_of_the_training(told: dict[str, Any]) -> None:
    found = told["measured"]
    assert found["moved"] < 1e-5
    assert found["steps"] == [0, 1, 2, 3, 4, 5]
    assert found["loss"] == pytest.approx(found["losses"], rel=1e-4)
    assert found["lr"] == pytest.approx([0.01] * 6)
    assert min(found["grad_norm"]) > 0.5
    assert found["clip_norm"] == [0.5] * 6
    updates = [norm for row in found["update_norm"] for norm in row if not math.isnan(norm)]
    assert len(updates) >= 6  # on torch, those before the end of a fit; on jax every eighth
    assert all(0.0 < norm < 1.0 for norm in updates)
    assert found["config"]["framework"] == "keras"
    assert found["config"]["optimizer"] == "Adam"
    assert found["config"]["betas"] == [0.9, 0.999]


def test_the_layers_are_described(told: dict[str, Any]) -> None:
    layers = told["measured"]["layers"]
    assert [(layer["name"], layer["kind"], layer["depth"]) for layer in layers[:4]] == [
        ("net/first/kernel", "linear", 0),
        ("net/first/bias", "bias", 0),
        ("net/middle/kernel", "linear", 1),
        ("net/middle/bias", "bias", 1),
    ]
    assert layers[0]["activation"] == "tanh"


def test_the_guard_leaves_updates_out_and_clips(told: dict[str, Any]) -> None:
    assert told["skipped"] == {"moved": 0.0, "skipped": [1.0, 1.0, 1.0]}
    assert told["clipped"]["moved"] == pytest.approx(1e-3, rel=1e-2)


def test_each_part_of_an_accumulated_update_is_a_step(told: dict[str, Any]) -> None:
    found = told["accumulated"]
    assert found["moved"] < 1e-5
    assert found["steps"] == [0, 1, 2, 3, 4, 5]
    assert found["losses"] == 6
    assert min(found["norms"]) > 0.1


def test_a_new_optimizer_is_watched_after_an_interrupted_fit(told: dict[str, Any]) -> None:
    found = told["interrupted"]
    assert found["rates"] == pytest.approx([0.01] * 2 + [0.02] * 3)
    assert found["steps"] == [0, 1, 2, 3, 4]
    assert found["left"] == []


def test_updates_of_a_part_of_the_variables_are_made_and_not_reported(
    told: dict[str, Any],
) -> None:
    found = told["in_part"]
    assert found["moved"] == pytest.approx([0.03] * 2 + [0.02] * 4, rel=1e-4)
    assert (found["loss"], found["reports"]) == ([6.0], 1)
