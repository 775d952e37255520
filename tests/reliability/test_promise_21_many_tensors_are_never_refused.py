"""A run of 100,000 tensors: the client introduces it, and the explosion of the last is seen."""

from __future__ import annotations

import httpx
import msgpack
import numpy as np
import pytest

from gradwatch.config import Config
from gradwatch.ids import uuid7
from gradwatch.launch import Launch
from gradwatch.layers import Layer, LayerTable
from gradwatch.run import Run
from tests.databases import POSTGRES
from tests.reliability.counts import FULL
from tests.servers import Server, poll

TENSORS = 100_000
NAMES = [f"model.layers.{number // 8}.block.{number % 8}.weight" for number in range(TENSORS)]
LAST = NAMES[-1]
FRAMES, STEPS_PER_FRAME = 34, 4
EXPLODES = 120  # the step from which the last tensor's gradient doubles at each
DEADLINE_SECONDS = 120.0


@pytest.fixture(params=["sqlite", *([POSTGRES] if FULL else [])])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def frame(number: int, table: LayerTable) -> bytes:
    steps = np.arange(number * STEPS_PER_FRAME, (number + 1) * STEPS_PER_FRAME)
    noise = np.random.default_rng(number).normal(0.0, 0.1, (STEPS_PER_FRAME, TENSORS))
    norms = np.exp(noise) * 0.01
    norms[:, -1] *= np.exp2(np.maximum(steps - EXPLODES, 0))
    total = np.sqrt((norms**2).sum(axis=1))
    return msgpack.packb(
        {
            "steps": steps.astype("<i8").tobytes(),
            "scalars": {"grad_norm": total.tobytes(), "loss": np.full(len(steps), 2.0).tobytes()},
            "layers_hash": table.hash,
            "layers": {"grad_norm": norms.astype("<f4").tobytes()},
        }
    )


@pytest.mark.timeout(480)
def test_an_explosion_in_the_last_of_100_000_tensors_alerts_by_its_name(server: Server):
    table = LayerTable(Layer(name, "linear", depth, (64, 64)) for depth, name in enumerate(NAMES))
    job = Run(
        Launch(str(uuid7()), "wide", "launch-1"),
        Config(url=server.url, request_timeout_seconds=60.0),
        table.layers,
    )
    job.log(0, loss=2.0)
    poll(lambda: not job.counts.pending, "the client has introduced the run", DEADLINE_SECONDS)
    assert job.counts.stored == 1
    with httpx.Client(base_url=server.api, timeout=60, trust_env=False) as http:
        assert http.get(f"/runs/{job.id}").json()["layers_count"] == TENSORS
        for number in range(FRAMES):
            answer = http.put(
                f"/runs/{job.id}/writers/bulk/frames/{number}",
                content=frame(number, table),
                headers={"content-type": "application/msgpack"},
            )
            assert answer.status_code == 201, answer.text
        alerts = http.get("/alerts", params={"run": job.id, "state": "firing"}).json()["items"]
        assert [alert["layers"] for alert in alerts] == [[LAST]]
        assert LAST in alerts[0]["title"]
        assert alerts[0]["opened_step"] >= EXPLODES
        asked = {"metric": "grad_norm", "layer": LAST}
        found = http.get(f"/runs/{job.id}/series", params=asked).json()
        assert found["steps"] == list(range(FRAMES * STEPS_PER_FRAME))
        assert http.get(f"/runs/{job.id}").json()["degraded"] is None
    job.finish()
