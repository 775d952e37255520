"""The contract of a baseline: another's published test, run over what its original reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.recording import Stream
from gradwatch_service.domain import MISSING64, JsonValue, is_missing

Rows = NDArray[np.int64]
Array = NDArray[np.float64]
NOT_WEIGHTS = frozenset({"bias", "norm"})


@dataclass(frozen=True)
class Signals:
    """What a training loop has in hand: the scalars and layer norms of one process."""

    stream: Stream
    layers: tuple[Mapping[str, JsonValue], ...]

    def scalar(self, *names: str) -> tuple[Rows, list[Array]]:
        """The reports that measured all of these, and their values: finite, infinite or NaN."""
        none = np.full(len(self.stream), MISSING64)
        columns = [self.stream.scalars.get(name, none) for name in names]
        rows = np.flatnonzero(~np.any([is_missing(x) for x in columns], axis=0))
        return rows, [x[rows] for x in columns]

    def stat(self, name: str) -> Array:
        """A statistic of the weight tensors, float64[n, K] in the order of the net; NaN: none."""
        table: Any = self.stream.stats.get(name)
        if table is None:
            return np.full((len(self.stream), len(self.weights)), np.nan)
        return np.asarray(table[:, self.weights], np.float64)

    def reported(self, name: str) -> NDArray[np.bool_]:
        """Where the statistic was measured at all, bool[n, K]."""
        table: Any = self.stream.stats.get(name)
        if table is None:
            return np.zeros((len(self.stream), len(self.weights)), np.bool_)
        return ~is_missing(np.ascontiguousarray(table[:, self.weights]))

    @cached_property
    def broken(self) -> NDArray[np.bool_]:
        """Where the loss or the gradient of a weight tensor is NaN or infinite, bool[n]."""
        fires: NDArray[np.bool_] = np.zeros(len(self.stream), np.bool_)
        norms = self.stat("grad_norm")
        fires |= (~np.isfinite(norms) & self.reported("grad_norm")).any(axis=1)
        rows, (loss,) = self.scalar("loss")
        fires[rows[~np.isfinite(loss)]] = True
        return fires

    @cached_property
    def weights(self) -> list[int]:
        """Columns of the tensors that are neither biases nor normalisation."""
        return [i for i, x in enumerate(self.layers) if x.get("kind") not in NOT_WEIGHTS]

    @cached_property
    def numel(self) -> Array:
        """Elements of each weight tensor, float64[K]."""
        shapes: list[Any] = [self.layers[i].get("shape") or (1,) for i in self.weights]
        return np.array([float(np.prod(shape)) for shape in shapes])


@dataclass(frozen=True)
class Baseline:
    """A test with one knob: ``alarms(signals, threshold)`` are the rows at which it fires.

    A higher threshold is a stricter test, with fewer alarms. ``knob`` says it in words,
    ``published`` is its default; None: there is nothing to turn.
    """

    name: str
    knob: str
    published: float | None
    alarms: Callable[[Signals, float], Rows]


def where(rows: Rows, fires: NDArray[np.bool_]) -> Rows:
    """The rows at which it fires."""
    return rows[fires]
