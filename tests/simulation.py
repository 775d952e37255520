"""Small networks really trained in numpy, whose reports feed the scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import Frame, Layer, LayerTable

Array = NDArray[np.float64]
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (lambda x: np.maximum(x, 0.0), lambda a: (a > 0).astype(np.float64)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
}


@dataclass(frozen=True)
class Net:
    """A chain of ``depth`` dense layers of ``width`` units and a linear head with one output.

    ``gain`` scales the critical initialisation (He for ReLU, Xavier otherwise).
    """

    depth: int = 20
    width: int = 32
    activation: str = "relu"
    gain: float = 1.0

    def table(self) -> LayerTable:
        hidden = [
            Layer(f"{i}.weight", "linear", i, (self.width, self.width), activation=self.activation)
            for i in range(self.depth)
        ]
        return LayerTable((*hidden, Layer("head", "head", self.depth, (1, self.width))))

    def weights(self, rng: np.random.Generator) -> list[Array]:
        critical = np.sqrt((2.0 if self.activation == "relu" else 1.0) / self.width)
        hidden = [
            rng.normal(0.0, self.gain * critical, (self.width, self.width))
            for _ in range(self.depth)
        ]
        return [*hidden, rng.normal(0.0, np.sqrt(1 / self.width), (1, self.width))]


def train(net: Net, *, steps: int, lr: float | Array, seed: int = 0, batch: int = 64) -> Frame:
    """Fit a random smooth function by plain gradient descent; one report a step.

    ``lr``: one for all steps, or one for each.
    """
    rates = np.broadcast_to(np.asarray(lr, np.float64), steps)
    rng = np.random.default_rng(seed)
    weights, teacher = net.weights(rng), rng.normal(0.0, 1.0, net.width) / np.sqrt(net.width)
    loss, rows = [], []
    with np.errstate(all="ignore"):
        for rate in rates.tolist():
            x = rng.normal(0.0, 1.0, (batch, net.width))
            error, reports = _step(net, weights, x, np.sin(x @ teacher)[:, None], rate)
            loss.append(float((error * error).mean()))
            rows.append(reports)
        layers = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}
    total = np.sqrt((layers["grad_norm"].astype(np.float64) ** 2).sum(axis=1))
    scalars = {"loss": np.array(loss), "grad_norm": total, "lr": rates.copy()}
    return Frame(np.arange(steps), np.zeros(steps), scalars, net.table().hash, layers)


def _step(
    net: Net, weights: list[Array], x: Array, target: Array, lr: float
) -> tuple[Array, dict[str, list[float]]]:
    """One step in place; the error and the statistics of every layer before the update."""
    act, slope = ACTIVATIONS[net.activation]
    inputs = [x]
    for weight in weights[:-1]:
        inputs.append(act(inputs[-1] @ weight.T))
    error = inputs[-1] @ weights[-1].T - target
    reports: dict[str, list[float]] = {
        name: [0.0] * len(weights)
        for name in ("grad_norm", "grad_max", "weight_norm", "update_norm", "act_grad_norm")
    }
    for index, signal, gradient in _backward(weights, inputs, 2 * error / len(x), slope):
        numbers = (
            np.linalg.norm(gradient),
            np.abs(gradient).max(),
            np.linalg.norm(weights[index]),
            lr * np.linalg.norm(gradient),
            np.linalg.norm(signal),
        )
        for name, number in zip(reports, numbers, strict=True):
            reports[name][index] = float(number)
        weights[index] = weights[index] - lr * gradient
    return error, reports


def _backward(
    weights: list[Array], inputs: list[Array], signal: Array, slope: Callable[[Array], Array]
) -> Iterator[tuple[int, Array, Array]]:
    for index in range(len(weights) - 1, -1, -1):
        below = signal @ weights[index]
        yield index, signal, signal.T @ inputs[index]
        signal = below * slope(inputs[index])
