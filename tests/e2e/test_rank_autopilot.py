"""Two ranks, one server: rank 0 hears the advice, both lower the learning rate at the same step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import Server

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tests.e2e.rank_job import JUMP, RUN_ID  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),  # the loop is the same on any
]

WORLD = 2


def test_both_ranks_repair_a_jump_alike(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.e2e.rank_job"]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(WORLD), str(tmp_path / "store"), server.url],
            env={**os.environ, "RANK": str(rank)},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD)
    ]
    try:
        outputs = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    first, second = (json.loads(output.splitlines()[-1]) for output in outputs)
    assert first["weights"] == second["weights"]
    assert first["applied"] == second["applied"] != []
    assert second["did"] == []
    steps = [step for step, _, status in first["did"] if status == "applied"]
    assert JUMP <= steps[0] <= JUMP + 48
    assert all(step % 8 == 0 for step in steps)
    rates = http.get(f"/runs/{RUN_ID}/series", params={"metric": "lr"}).json()["values"]
    assert max(rates) == pytest.approx(0.1)
    assert max(rates[-50:]) < 0.02
