"""Sharded by FSDP2, a net reports what the same net reports as a whole; real ranks with gloo.

The same ranks play the examples of the docs for several processes on a real service.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.client.integrations.explosion import FAULT
from tests.e2e.exploded import assert_seen
from tests.servers import Server

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(
        not torch.distributed.is_available(), reason="PyTorch was built without distributed"
    ),
]

DEADLINE_SECONDS = 200
COMMAND = [sys.executable, "-W", "ignore", "-m", "tests.client.integrations.fsdp_job"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, standing_server: Server) -> list[dict[str, Any]]:
    """What two ranks report of every scenario."""
    store = str(tmp_path_factory.mktemp("fsdp") / "store")
    service = {"GRADWATCH_URL": standing_server.url, "GRADWATCH_AUTOPILOT": "0"}
    names = ("measured", "halves", "clipped", "mended", "exploded", "alone")
    ranks = [
        subprocess.Popen(
            [*COMMAND, str(rank), "2", store, *names],
            cwd=Path(__file__).parents[3],
            env=os.environ | service,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [rank.communicate(timeout=DEADLINE_SECONDS) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, (_, errors) in zip(ranks, outputs, strict=True):
        assert rank.returncode == 0, errors[-3000:]
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def test_norms_are_those_of_the_whole(told: list[dict[str, Any]]) -> None:
    for found in (rank["measured"] for rank in told):
        np.testing.assert_allclose(found["grad_norm"], found["gradients"], rtol=1e-5)
        total = np.linalg.norm(found["gradients"], axis=1)
        np.testing.assert_allclose(found["global"], total, rtol=1e-5)
        updates = 0.1 * np.array(found["gradients"])
        np.testing.assert_allclose(found["update_norm"][:4], updates[:4], rtol=1e-4)
        assert found["weights"] == found["whole"]
        names = [layer["name"] for layer in found["layers"]]
        assert names == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert found["layers"][0]["shape"] == [5, 6]
    assert told[0]["measured"]["global"] == told[1]["measured"]["global"]


@pytest.mark.parametrize(
    ("title", "layer"),
    [("PyTorch: several processes", "module.2.weight"), ("PyTorch: FSDP2", "2.weight")],
)
def test_an_explosion_on_two_ranks_is_detected_in_the_right_layer(
    title: str, layer: str, told: list[dict[str, Any]], standing_server: Server
) -> None:
    first, second = (rank["exploded"][title] for rank in told)
    assert first == second
    assert_seen(standing_server.api, first, layer, FAULT)


def test_half_precision_has_its_largest_elements_measured(told: list[dict[str, Any]]) -> None:
    halves = [rank["halves"] for rank in told]
    np.testing.assert_allclose(halves[0]["grad_norm"], halves[0]["gradients"], rtol=1e-2)
    first, second = (np.array(found["grad_max"]) for found in halves)
    np.testing.assert_array_equal(first[:, :2], second[:, :2])
    assert np.isnan(second[:, 2:]).all()  # this rank has no part of these
    assert (first <= np.array(halves[0]["gradients"])).all()


def test_every_rank_clips_to_the_norm_of_the_whole(told: list[dict[str, Any]]) -> None:
    for found in (rank["clipped"] for rank in told):
        moved = np.array(found["whole"]) - np.array(found["weights"])
        norm = found["global"][0]
        assert norm > 0.5
        # The whole net took the unclipped step of the same gradient.
        assert np.linalg.norm(moved) == pytest.approx(0.1 * (norm - 0.5), rel=1e-3)


def test_every_rank_skips_and_mends_alike(told: list[dict[str, Any]]) -> None:
    for found in (rank["mended"] for rank in told):
        assert found["made"] == [False, True]
        assert all(map(math.isfinite, found["weights"]))
    assert told[0]["mended"]["weights"] == told[1]["mended"]["weights"]


def test_a_rank_that_is_watched_alone_gives_up_and_the_job_goes_on(
    told: list[dict[str, Any]],
) -> None:
    assert [rank["alone"]["made"] for rank in told] == [[True] * 5] * 2
    (line,) = told[0]["alone"]["lines"]
    assert "not all 2 ranks called monitor.step" in line
    assert told[1]["alone"]["lines"] == []
