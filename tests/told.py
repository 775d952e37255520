"""Runs for the run's page: one that dies, one that is well, and odd ones; pushed over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.store import packing
from tests.e2e import explosion
from tests.streams import MLP, training

CONFIG = {
    "framework": "torch",
    "optimizer": "AdamW",
    "lr": 0.1,
    "max_steps": 400,
    "model": {"layers": 4, "width": 64},
}
WIDE = LayerTable(
    tuple(Layer(f"blocks.{depth}.weight", "linear", depth, (64, 64)) for depth in range(300))
)
UNTIL = 140  # of the explosion: by then it is critical, and not a number is left to come
MSGPACK = {"content-type": "application/msgpack"}

Post = Callable[[str, Mapping[str, Any]], Any]  # path and body -> answer
Put = Callable[[str, bytes], Any]


def layers_of(table: LayerTable) -> list[dict[str, Any]]:
    return [asdict(one) for one in table.layers]


def exploding(post: Post, put: Put, name: str = "dying", **fields: Any) -> str:
    """Its id; the learning rate is too high from step 60 on."""
    body = {"config": CONFIG, "tags": ["sweep"], "layers": layers_of(explosion.TABLE)}
    run = opened(post, name, **body | fields)
    frame = explosion.report_all()
    for seq, (first, last) in enumerate([(0, 80), (80, UNTIL)]):
        push(put, run, seq, explosion.part(frame, first, last))
    return run


def healthy(post: Post, put: Put, name: str = "well", **fields: Any) -> str:
    run = opened(post, name, layers=layers_of(MLP), config={"lr": 0.001}, **fields)
    push(put, run, 0, training().frame)
    return run


def broken(post: Post, name: str = "not a number") -> str:
    """Its loss is NaN from step 40 on; it has no layers."""
    run = opened(post, name)
    losses = [1.0] * 40 + ["NaN"] * 8
    steps = [{"step": step, "loss": loss} for step, loss in enumerate(losses)]
    assert post(f"/runs/{run}/steps", {"steps": steps}).status_code == 201
    return run


def wide(post: Post, put: Put, name: str = "300 layers") -> str:
    """Every layer's gradient is NaN in the end."""
    run = opened(post, name, layers=layers_of(WIDE))
    norms = np.ones((48, 300), np.float32)
    norms[40:] = np.nan
    total = np.sqrt((norms.astype(np.float64) ** 2).sum(axis=1))
    frame = Frame(
        steps=np.arange(48),
        time=1.7e9 + np.arange(48),
        scalars={"loss": np.where(np.isfinite(total), 1.0, np.nan), "grad_norm": total},
        layers_hash=WIDE.hash,
        layers={"grad_norm": norms},
    )
    push(put, run, 0, frame)
    return run


def opened(post: Post, name: str, **fields: Any) -> str:
    answer = post("/runs", {"project": "lm", "name": name, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def push(put: Put, run: str, seq: int, frame: Frame) -> None:
    answer = put(f"/runs/{run}/writers/rank0/frames/{seq}", packing.pack(frame))
    assert answer.status_code == 201, answer.text
