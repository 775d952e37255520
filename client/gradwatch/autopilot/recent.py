"""The newest reports of this process, from which the effect of an action is judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from gradwatch.layers import Layer
from gradwatch.records import Measured
from gradwatch.values import Float32Array

WINDOW = 16
MIN_ELEMENTS = 1024
NOT_WEIGHTS = ("bias", "norm")
NOT_TYPICAL = ("bias", "norm", "embedding", "head")


class Recent:
    """The last sixteen reports; a report costs nothing until a median is asked for."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._reports: deque[Measured] = deque(maxlen=WINDOW)
        self._typical = typical(layers)
        numel = np.array([max(_numel(layers[i]), 1) for i in self._typical], np.float64)
        self._floor = 1e-3 * np.sqrt(numel)

    def add(self, measured: Measured) -> None:
        """Take in the report of one more step."""
        self._reports.append(measured)

    def median(self, metric: str) -> float | None:
        """The upper median of a scalar or of ``update_ratio``, where a NaN counts as infinite.

        None if it was not measured in any of the reports.
        """
        values = [self._value(report, metric) for report in self._reports]
        known = sorted(np.inf if np.isnan(x) else x for x in values if x is not None)
        return known[len(known) // 2] if known else None

    def _value(self, report: Measured, metric: str) -> float | None:
        if metric != "update_ratio":
            return report.scalars.get(metric)
        update, weight = report.arrays.get("update_norm"), report.arrays.get("weight_norm")
        if update is None or weight is None:
            return None
        return self._update_ratio(update[self._typical], weight[self._typical])

    def _update_ratio(self, update: Float32Array, weight: Float32Array) -> float | None:
        """The lower median of ‖u‖ / max(‖w‖, 1e-3·√numel) over what moved, and not from zero."""
        known = np.isfinite(update) & np.isfinite(weight) & (update > 0) & (weight > 0)
        ratio = np.sort(update[known] / np.maximum(weight, self._floor)[known])
        return float(ratio[(len(ratio) - 1) // 2]) if len(ratio) else None


def typical(layers: Sequence[Layer]) -> list[int]:
    """Which layers are typical of a net: its weights of 1,024 elements, else all its weights.

    Source: ``detect/update_ratio.py`` of the service, whose figures the advice is checked against.
    """
    weights = [
        i
        for i, layer in enumerate(layers)
        if layer.kind not in NOT_WEIGHTS and not layer.name.endswith("bias")
    ]
    large = [
        i
        for i in weights
        if layers[i].kind not in NOT_TYPICAL and _numel(layers[i]) >= MIN_ELEMENTS
    ]
    return large or weights


def _numel(layer: Layer) -> int:
    return int(np.prod(layer.shape, dtype=np.int64)) if layer.shape else 0
