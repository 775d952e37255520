"""The block of 16 reports that is being collected, and the per-layer medians of a closed one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.detect import columns
from gradwatch_service.detect.baseline import EMPTY, upper_median
from gradwatch_service.detect.columns import per_table
from gradwatch_service.detect.fixedpoint import ONE_BIT, Fixed, log2_fixed
from gradwatch_service.detect.scalars import NORM
from gradwatch_service.domain import BoolArray, Float32Array, FloatArray, IntArray, LayerTable

N = TypeVar("N", bound=np.generic)
SIGNALS = ("act_grad_norm", "bias_grad_norm", "grad_norm")
# What rules judge by the block besides, as it was reported.
KEPT = frozenset(
    {
        *SIGNALS, "grad_max", "grad_rms", "grad_zero", "moment_rms", "spectral_norm", "weight_norm",
    }
)  # fmt: skip
KEPT_SCALARS = frozenset({"clip_norm", "loss_scale"})
MIN_LAYERS = 4
_NO_CHAIN = frozenset({"norm", "embedding", "recurrent", "head"})


@dataclass(frozen=True, slots=True)
class Rows:
    """Reports of the open block: scalar tracks int32[n, 3] (EMPTY: no value) and what was kept."""

    scalars: Fixed
    stats: Mapping[str, Float32Array]
    settings: Mapping[str, FloatArray] = field(default_factory=dict)

    def rearranged(self, source: IntArray) -> Rows:
        """The same reports in the columns of another layer table."""
        return replace(self, stats=columns.rearranged(self.stats, source))

    def without(self, track: int) -> Rows:
        """The same reports with one scalar track forgotten."""
        scalars = self.scalars.copy()
        scalars[:, track] = EMPTY
        return replace(self, scalars=scalars)


@dataclass(frozen=True, slots=True)
class DepthProfile:
    """log2 of the back-propagated signal against depth, input side first.

    ``columns`` int64[K], ``signal`` float64[K] in bits, ``slope`` bits per layer (negative: it
    grows towards the input), ``source`` the statistic.
    """

    columns: IntArray
    signal: FloatArray
    slope: float
    source: str

    @property
    def growth_bits(self) -> float:
        """D: by how many bits the signal grows from the last layer back to the first."""
        return -self.slope * (len(self.columns) - 1)

    @property
    def spearman(self) -> float:
        """Rank correlation of the signal with depth."""
        position, spread = _positions(len(self.columns))
        order = np.argsort(self.signal, kind="stable")
        ranks = np.argsort(order, kind="stable") - (len(order) - 1) / 2
        return float((position * ranks).sum()) / spread


@dataclass(frozen=True)
class Block:
    """A closed block: ``rows[signal]`` int32[16, L], EMPTY where there is no number.

    ``parts``: the reports themselves, as they came.
    """

    layers: LayerTable
    rows: Mapping[str, Fixed]
    parts: Sequence[Rows] = ()

    def measures(self, name: str) -> bool:
        """Whether a kept statistic was measured."""
        return _measure(self.parts, name)

    def values(self, name: str) -> Float32Array | None:
        """A kept statistic, float32[16, L], NaN where there is no number; None: not measured."""
        if not self.measures(name):
            return None
        values = _joined(self.parts, name, len(self.layers))
        finite = np.isfinite(values)
        return values if finite.all() else np.where(finite, values, np.float32(np.nan))

    def median(self, name: str) -> Float32Array | None:
        """Upper median per layer, float32[L], NaN where there is none; None: not measured."""
        values = self.values(name)
        return None if values is None else upper_median_of(values)

    def setting(self, name: str) -> FloatArray | None:
        """A kept scalar, float64[16], NaN where there is no number; None: not measured."""
        found = [part.settings.get(name) for part in self.parts]
        if all(values is None for values in found):
            return None
        rows = [
            np.full(len(part.scalars), np.nan) if values is None else values
            for values, part in zip(found, self.parts, strict=True)
        ]
        joined = np.concatenate(rows)
        return np.where(np.isfinite(joined), joined, np.nan)

    @cached_property
    def clipping(self) -> FloatArray:
        """What clipping left of each report's gradient, float64[16], 1 where it was not clipped."""
        clip = self.setting("clip_norm")
        if clip is None:
            return np.ones(1)
        norm = np.concatenate([part.scalars[:, NORM] for part in self.parts])
        clipped = (clip > 0) & (norm != EMPTY)
        left = np.where(clipped, log2_fixed(clip) - norm.astype(np.int64), 0)
        return np.asarray(np.exp2(np.minimum(left, 0) / ONE_BIT))

    @cached_property
    def medians(self) -> Mapping[str, Fixed]:
        """Median per layer, ``medians[statistic]`` int32[L], EMPTY where nothing was measured."""
        return {name: upper_median(rows) for name, rows in self.rows.items()}

    @cached_property
    def rms_bits(self) -> tuple[FloatArray, BoolArray]:
        """log2 of the gradient's root mean square per layer, float64[L], and where it is known."""
        y = self.medians.get("grad_norm", _nothing(self.layers))
        return y / ONE_BIT - half_log_numel(self.layers), y != EMPTY

    @cached_property
    def depth_profile(self) -> DepthProfile | None:
        """The best signal there is, fitted against depth; None with fewer than four layers.

        By preference: activation gradient, bias gradient / sqrt(n), bias layers' own gradient rms,
        weight gradient rms. Weight gradients hide forward growth (DETECTORS section 1, point 1),
        hence last.
        """
        for source, wanted, scale in _choices(self.layers):
            if source not in self.medians or len(wanted) < MIN_LAYERS:
                continue
            y = self.medians[source]
            found = wanted[y[wanted] != EMPTY]
            if len(found) >= MIN_LAYERS:
                return _fit(source, found, y[found] / ONE_BIT - scale[found])
        return None


def keep(
    scalars: Fixed,
    stats: Mapping[str, Float32Array],
    settings: Mapping[str, FloatArray] | None = None,
) -> Rows:
    """What the open block remembers of a segment: its tracks, its statistics, its scalars."""
    return Rows(
        scalars,
        {name: _alone(rows) for name, rows in stats.items() if name in KEPT},
        {name: values for name, values in (settings or {}).items() if name in KEPT_SCALARS},
    )


def _alone(rows: Float32Array) -> Float32Array:
    """The same numbers; a copy where a few rows would keep all of a long frame in memory."""
    whole = rows.base
    is_part = isinstance(whole, np.ndarray) and whole.nbytes > 2 * rows.nbytes
    return rows.copy() if is_part else rows


def close(rows: Sequence[Rows], layers: LayerTable) -> tuple[Fixed, Block]:
    """The scalar tracks int32[16, 3] and the layer signals of the rows of a whole block."""
    present = {name: _fixed(rows, name, len(layers)) for name in _signals(rows)}
    return _stacked([part.scalars for part in rows]), Block(layers, present, rows)


def upper_median_of(values: Float32Array) -> Float32Array:
    """Upper median of the numbers in each column of ``values`` float32[k, L]; NaN: there is none.

    Selected, not computed: an exact value that was reported.
    """
    held = len(values) - np.isnan(values).sum(axis=0)
    ordered = np.sort(values.T, axis=1)  # NaN last
    return np.asarray(ordered[np.arange(len(ordered)), held // 2])


def _signals(rows: Sequence[Rows]) -> Iterator[str]:
    return (name for name in SIGNALS if _measure(rows, name))


def _measure(rows: Sequence[Rows], name: str) -> bool:
    return any(name in part.stats for part in rows)


def _joined(rows: Sequence[Rows], name: str, width: int) -> Float32Array:
    """A statistic over the reports, NaN where it was not measured."""
    return _stacked([_or_nothing(part.stats.get(name), part, width) for part in rows])


def _stacked(parts: Sequence[NDArray[N]]) -> NDArray[N]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _or_nothing(values: Float32Array | None, part: Rows, width: int) -> Float32Array:
    if values is not None:
        return values
    return np.full((len(part.scalars), width), np.nan, dtype=np.float32)


def _fixed(rows: Sequence[Rows], name: str, width: int) -> Fixed:
    values = _joined(rows, name, width)
    fixed = log2_fixed(values)
    fixed[~np.isfinite(values)] = EMPTY
    return fixed


@per_table
def half_log_numel(layers: LayerTable) -> FloatArray:
    """log2 of the root of each layer's number of elements, float64[L]: norm to root mean square."""
    return np.log2(layers.numel) / 2


@per_table
def _nothing(layers: LayerTable) -> Fixed:
    return np.full(len(layers), EMPTY, dtype=np.int32)


@per_table
def _choices(layers: LayerTable) -> tuple[tuple[str, IntArray, FloatArray], ...]:
    """Which columns in depth order, and less how many bits, make each candidate signal."""
    order = np.argsort(layers.depth, kind="stable")
    kinds = [layers.layers[column].kind for column in order]
    chain = order[[kind not in _NO_CHAIN for kind in kinds]]
    bias = order[[kind == "bias" for kind in kinds]]
    weights = order[[kind not in _NO_CHAIN | {"bias"} for kind in kinds]]
    outputs = [max(layer.shape[0], 1) if layer.shape else 1 for layer in layers.layers]
    return (
        ("act_grad_norm", chain, np.zeros(len(layers))),
        ("bias_grad_norm", chain, np.log2(outputs) / 2),
        ("grad_norm", bias, half_log_numel(layers)),
        ("grad_norm", weights, half_log_numel(layers)),
    )


def _fit(source: str, found: IntArray, signal: FloatArray) -> DepthProfile:
    position, spread = _positions(len(found))
    return DepthProfile(found, signal, float((position * signal).sum()) / spread, source)


@cache
def _positions(count: int) -> tuple[FloatArray, float]:
    """Places in a row, centred, and the sum of their squares."""
    position = np.arange(count, dtype=np.float64) - (count - 1) / 2
    return position, float((position * position).sum())
