"""The network of the demo: a recurrent net, the task it learns and its backward pass, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Weights: TypeAlias = Mapping[str, Array]

LEAK = 0.8  # slope of the activation below zero
RADIUS = 1.03  # the recurrent matrix starts as this multiple of the identity: a bit over 1
INPUT_SCALE, HEAD_SCALE = 0.02, 0.03
# name -> (kind, depth, activation), as a job describes its layers to Gradwatch
LAYERS = {
    "W_xh": ("linear", 0, "leakyrelu"),
    "W_hh": ("recurrent", 1, "leakyrelu"),
    "b_h": ("bias", 1, "leakyrelu"),
    "W_hy": ("head", 2, "linear"),
    "b_y": ("bias", 2, "linear"),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences to learn from: ``inputs`` [T, B, 1] and the number to be said at the end [B, 1]."""

    inputs: Array
    targets: Array


@dataclass(frozen=True, slots=True)
class Task:
    """A savings account: the final balance after ``length`` deposits and withdrawals.

    Every period the balance grows by the factor ``growth``, so early movements matter most and
    have to be remembered longest. Amounts are log-normal, as amounts of money are: many small ones,
    a few large ones. Movements and balances are in units of their standard deviation.
    """

    length: int = 60
    batch: int = 32
    growth: float = 1.1
    spread: float = 1.3

    def draw(self, seed: int, step: int) -> Batch:
        """The mini-batch of one training step; the same for the same seed and step."""
        random = np.random.default_rng((seed, step))
        size = (self.length, self.batch)
        amounts = np.exp(self.spread * random.standard_normal(size) - self.spread**2)
        movements = amounts * random.choice((-1.0, 1.0), size)
        weight = self.growth ** np.arange(self.length - 1.0, -1.0, -1.0)
        balance = (weight / np.linalg.norm(weight)) @ movements
        return Batch(movements[:, :, None].astype(np.float32), balance[:, None].astype(np.float32))


@dataclass(frozen=True, slots=True)
class Passage:
    """What the forward pass leaves for the backward pass.

    ``states`` [T + 1, B, H] from the zero state on, ``slopes`` [T, B, H] of the activation,
    ``output`` [B, 1].
    """

    states: Array
    slopes: Array
    output: Array


@dataclass(frozen=True, slots=True)
class Gradients:
    """The loss of a batch, its gradient by layer, and ‖∂L/∂h_t‖ from the earliest time step on."""

    loss: float
    by_layer: Weights
    through_time: NDArray[np.float64]

    @property
    def norm(self) -> float:
        """The global norm."""
        return float(np.sqrt(sum(norm(one) ** 2 for one in self.by_layer.values())))


def norm(array: NDArray[np.floating]) -> float:
    """The Euclidean norm, summed in double precision so that it overflows late."""
    return float(np.sqrt(np.sum(np.square(array, dtype=np.float64))))


def initial_weights(seed: int, hidden: int) -> Weights:
    """A multiple of the identity for the recurrent matrix (Le et al. 2015), small random rest."""
    random = np.random.default_rng(seed)
    weights = {
        "W_xh": INPUT_SCALE * random.standard_normal((hidden, 1)),
        "W_hh": RADIUS * np.eye(hidden),
        "b_h": np.zeros(hidden),
        "W_hy": HEAD_SCALE / np.sqrt(hidden) * random.standard_normal((1, hidden)),
        "b_y": np.zeros(1),
    }
    return {name: array.astype(np.float32) for name, array in weights.items()}


def describe(weights: Weights) -> list[dict[str, object]]:
    """The layers in the form ``gradwatch.init(layers=…)`` takes."""
    return [
        {
            "name": name,
            "kind": kind,
            "depth": depth,
            "shape": list(weights[name].shape),
            "dtype": "float32",
            "activation": activation,
        }
        for name, (kind, depth, activation) in LAYERS.items()
    ]


def forward(weights: Weights, inputs: Array) -> Passage:
    """h_t = leaky(W_xh x_t + W_hh h_(t-1) + b_h), and the output W_hy h_T + b_y."""
    driven = inputs @ weights["W_xh"].T + weights["b_h"]
    states = np.zeros((len(driven) + 1, *driven.shape[1:]), dtype=driven.dtype)
    slopes = np.empty_like(driven)
    for t, drive in enumerate(driven):
        before = drive + states[t] @ weights["W_hh"].T
        slopes[t] = np.where(before > 0, 1.0, LEAK)
        states[t + 1] = slopes[t] * before
    return Passage(states, slopes, states[-1] @ weights["W_hy"].T + weights["b_y"])


def backward(weights: Weights, batch: Batch, passage: Passage, horizon: int) -> Gradients:
    """Back-propagate the mean squared error through at most ``horizon`` time steps.

    Products are summed time step by time step: one large product would start the threads of the
    linear algebra library, which slow a net this small down by a factor of eight.
    """
    states, slopes = passage.states, passage.slopes
    error = passage.output - batch.targets
    at_output = 2 / len(error) * error
    by_layer = {name: np.zeros_like(weight) for name, weight in weights.items()}
    by_layer["W_hy"] += at_output.T @ states[-1]
    by_layer["b_y"] += at_output.sum(axis=0)
    length = len(slopes)
    first = max(length - horizon, 0)
    through_time = np.empty(length - first)
    signal = at_output @ weights["W_hy"]
    for t in range(length - 1, first - 1, -1):
        through_time[t - first] = norm(signal)
        delta = signal * slopes[t]
        by_layer["W_hh"] += delta.T @ states[t]
        by_layer["W_xh"] += delta.T @ batch.inputs[t]
        by_layer["b_h"] += delta.sum(axis=0)
        signal = delta @ weights["W_hh"]
    return Gradients(float(np.mean(np.square(error))), by_layer, through_time)


def gradients_of(weights: Weights, batch: Batch, horizon: int) -> Gradients:
    """Forward and backward; numbers too large for a float become infinite without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return backward(weights, batch, forward(weights, batch.inputs), horizon)
