"""What healthy training jobs report: drifting log-normal norms, a decaying noisy loss.

Values of layers repeat after a cycle of steps, without a seam; scalars go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import Layer, LayerTable

W1_STATS = (
    "grad_norm", "grad_max", "grad_mean", "grad_rms", "grad_nonfinite", "grad_zero",
    "weight_norm", "update_norm",
)  # fmt: skip
W2_STATS = ("grad_norm", "grad_max", "weight_norm", "update_norm")
SCALARS = ("loss", "lr", "grad_norm")

WIDTH = 256
FIRST_SECOND, STEP_SECONDS = 1_700_000_000.0, 0.25


@dataclass(frozen=True)
class Shape:
    """What a job reports each step, and how many different steps of it there are."""

    layers: int
    stats: tuple[str, ...]
    cycle: int = 640

    @property
    def values(self) -> int:
        """Floats a step, scalars included."""
        return self.layers * len(self.stats) + len(SCALARS)


@dataclass(frozen=True)
class Course:
    """All reports of a job: steps and scalars of its whole length, layers float32[cycle, L]."""

    shape: Shape
    steps: NDArray[np.int64]
    time: NDArray[np.float64]
    scalars: Mapping[str, NDArray[np.float64]]
    layers: Mapping[str, NDArray[np.float32]]


def layer_table(count: int) -> LayerTable:
    """A deep net of linear layers."""
    return LayerTable(
        tuple(
            Layer(f"block{i:05d}.weight", "linear", i, (WIDTH, WIDTH), activation="relu")
            for i in range(count)
        )
    )


def course(shape: Shape, steps: int, seed: int) -> Course:
    """The course of one job; jobs differ by their seeds."""
    rng = np.random.default_rng(seed)
    blocks = _layers(rng, shape.cycle, shape.layers)
    numbers = np.arange(steps)
    decay = (1.0 + numbers / 200.0) ** -0.25
    whole = np.sqrt(np.square(blocks["grad_norm"], dtype=np.float64).sum(axis=1))
    scalars = {
        "loss": 0.5 + 3.5 * decay * np.exp(rng.normal(0.0, 0.03, steps)),
        "lr": np.full(steps, 1e-3),
        "grad_norm": np.resize(whole, steps),
    }
    time = FIRST_SECOND + STEP_SECONDS * numbers
    return Course(shape, numbers, time, scalars, {name: blocks[name] for name in shape.stats})


def _layers(rng: np.random.Generator, cycle: int, layers: int) -> dict[str, NDArray[np.float32]]:
    shape = (cycle, layers)
    elements = float(WIDTH * WIDTH)
    usual = 0.05 * np.exp(rng.normal(0.0, 0.5, layers))
    together = rng.normal(0.0, 0.15, (cycle, 1))
    grad = usual * np.exp(_drift(rng, shape, 0.2) + together + rng.normal(0.0, 0.12, shape))
    rms = grad / np.sqrt(elements)
    weight = 11.0 * np.exp(rng.normal(0.0, 0.2, layers) + _drift(rng, shape, 0.01))
    blocks = {
        "grad_norm": grad,
        "grad_max": rms * 5.0 * np.exp(rng.normal(0.0, 0.15, shape)),
        "grad_mean": rms / np.sqrt(elements) * rng.normal(0.0, 1.0, shape),
        "grad_rms": rms,
        "grad_nonfinite": np.zeros(shape),
        "grad_zero": rng.binomial(WIDTH * WIDTH, 0.02, shape) / elements,
        "weight_norm": weight,
        "update_norm": weight * 1e-3 * np.exp(_drift(rng, shape, 0.1) + 0.3 * together),
    }
    return {name: block.astype(np.float32) for name, block in blocks.items()}


def _drift(rng: np.random.Generator, shape: tuple[int, int], size: float) -> NDArray[np.float64]:
    """A slow wave through the whole cycle, of its own phase in each layer."""
    cycle, layers = shape
    phase = rng.uniform(0.0, 2.0 * np.pi, layers)
    return size * np.sin(2.0 * np.pi * np.arange(cycle)[:, None] / cycle + phase)
