"""A network that is really trained and really explodes, and one that does not, told to a server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx
import numpy as np

from gradwatch_service.domain import Frame
from gradwatch_service.store import packing
from tests.servers import Server, poll
from tests.simulation import Net, train
from tests.streams import cut

NET = Net(depth=12, activation="tanh")
STEPS, RISES = 400, 250
SPIKE = 77


@dataclass(frozen=True)
class Runs:
    """Their ids; ``dies``: the first step without a finite gradient norm."""

    exploding: str
    healthy: str
    empty: str
    dies: int


def told(server: Server) -> Runs:
    """Push all runs, and wait until the explosion is known."""
    with httpx.Client(base_url=server.api, timeout=30, trust_env=False) as http:
        frame = _exploding()
        exploding = _push(http, "tanh-12", frame)
        healthy = _push(http, "tanh-12-calm", _healthy())
        empty = _open(http, "nothing yet")
        poll(lambda: _is_critical(http, exploding), "the explosion is noticed")
    dies = int(frame.steps[~np.isfinite(frame.scalars["grad_norm"])][0])
    return Runs(exploding, healthy, empty, dies)


def _exploding() -> Frame:
    """The rate rises by 3 % a step from step 250 on; one batch at step 77 was bad."""
    rates = np.minimum(0.02 * 1.03 ** np.maximum(np.arange(STEPS) - RISES, 0), 5.0)
    frame = train(NET, steps=STEPS, lr=rates)
    norm, clip = frame.scalars["grad_norm"].copy(), np.full(STEPS, 5.0)
    norm[SPIKE] = 40.0
    skipped = np.isin(np.arange(STEPS), [SPIKE]) * 1.0
    events = (
        {"kind": "checkpoint", "step": 200, "text": "step-200.pt"},
        {"kind": "lr", "step": RISES, "text": "the rate rises from here on"},
        {"kind": "advice", "step": 370, "status": "failed", "text": "lower the rate: not loss <"},
    )
    scalars = {**frame.scalars, "grad_norm": norm, "clip_norm": clip, "skipped": skipped}
    return replace(frame, scalars=scalars, events=events)


def _healthy() -> Frame:
    frame = train(NET, steps=STEPS, lr=0.02, seed=1)
    through_time = np.tile(np.exp2(-0.25 * np.arange(24.0)), (STEPS, 1)).astype(np.float32)
    return replace(frame, profiles={"time": through_time})


def _open(http: httpx.Client, name: str) -> str:
    layers = [layer.as_json() for layer in NET.table().layers]
    body = {"id": str(uuid.uuid4()), "project": "rings", "name": name, "layers": layers}
    return str(http.post("/runs", json=body).raise_for_status().json()["id"])


def _push(http: httpx.Client, name: str, frame: Frame) -> str:
    run = _open(http, name)
    packed = {"content-type": "application/msgpack"}
    for seq, part in enumerate(cut(frame, range(20, STEPS, 20))):
        address = f"/runs/{run}/writers/w/frames/{seq}"
        http.put(address, content=packing.pack(part), headers=packed).raise_for_status()
    return run


def _is_critical(http: httpx.Client, run: str) -> bool:
    return bool(http.get(f"/runs/{run}").json()["health"] == "critical")


@dataclass
class Job:
    """A job that is under way; it calls itself ``run``."""

    http: httpx.Client
    run: str

    def report(self, first: int, last: int) -> None:
        """Tell of these steps."""
        steps = [{"step": step, "loss": 1.0, "grad_norm": 2.0} for step in range(first, last)]
        self.http.post(f"/runs/{self.run}/steps", json={"steps": steps}).raise_for_status()


@contextmanager
def started(server: Server) -> Iterator[Job]:
    """A job that has said nothing yet."""
    with httpx.Client(base_url=server.api, timeout=30, trust_env=False) as http:
        yield Job(http, _open(http, "under way"))
