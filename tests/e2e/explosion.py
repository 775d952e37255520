"""A seeded training that goes wrong, fully measured: calm, then a spike, then growth to NaN."""

from __future__ import annotations

import numpy as np

from gradwatch_service.domain import Frame, Layer, LayerTable
from tests.everything import measured

STEPS = 160
TABLE = LayerTable(
    tuple(
        Layer(f"layers.{depth}.weight", kind="linear", depth=depth, shape=(64, 64))
        for depth in range(4)
    )
)


def report_all(seed: int = 7) -> Frame:
    """All reports of the training in one frame."""
    random = np.random.default_rng(seed)
    steps = np.arange(STEPS)
    growth = np.exp2(np.maximum(steps - 90, 0) / 3.0)
    growth[60] *= 50.0
    noise = random.lognormal(0.0, 0.1, (STEPS, len(TABLE)))
    norms = (growth[:, None] * noise).astype(np.float32)
    loss = 2.0 / (1.0 + steps / 40.0) * random.lognormal(0.0, 0.02, STEPS) * np.sqrt(growth)
    norms[-10:] = np.nan
    loss[-10:] = np.nan
    weights = np.full_like(norms, 8.0)
    plain = Frame(
        steps=steps,
        time=1.7e9 + steps,
        scalars={
            "loss": loss,
            "lr": np.full(STEPS, 0.1),
            "grad_norm": np.sqrt((norms.astype(np.float64) ** 2).sum(axis=1)),
        },
        layers_hash=TABLE.hash,
        layers={"grad_norm": norms, "weight_norm": weights, "update_norm": norms * 0.01},
    )
    return measured(plain, seed)


def part(frame: Frame, first: int, last: int) -> Frame:
    """The reports from ``first`` up to ``last``, with what was said at these steps."""
    rows = slice(first, last)
    return Frame(
        steps=frame.steps[rows],
        time=frame.time[rows],
        scalars={name: values[rows] for name, values in frame.scalars.items()},
        layers_hash=frame.layers_hash,
        layers={name: values[rows] for name, values in frame.layers.items()},
        profiles={name: values[rows] for name, values in frame.profiles.items()},
        events=tuple(event for event in frame.events if first <= event["step"] < last),
    )
