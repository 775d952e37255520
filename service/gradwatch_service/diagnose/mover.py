"""Names the layer that moved first, and which others move with it."""

from __future__ import annotations

import numpy as np

from gradwatch_service.detect.baseline import READY_AFTER
from gradwatch_service.detect.fixedpoint import Fixed, as_value, bits
from gradwatch_service.detect.view import View
from gradwatch_service.diagnose.heat import Heat
from gradwatch_service.diagnose.situation import Held, Mover
from gradwatch_service.domain import IntArray, LayerTable

EARLY_BITS = 3.0
RISE_BITS = 1.0


def first_mover(view: View, row: int, heat: Heat, active: tuple[Held, ...]) -> Mover | None:
    """The layer to name, by preference.

    The recurrent layer of an explosion through time; the layer hot for longest (ties by depth);
    before there are baselines the layer that rose most; the first one a finding names; the one
    furthest over its median.
    """
    hot = _longest_hot(heat, int(view.ordinal[row]), view.layers)
    column = _recurrent(view, row, heat, active)
    if column is None:
        column = hot
    if column is None and view.ordinal[row] < READY_AFTER:
        column = _most_risen(heat.rise(view.layer, row))
    if column is None:
        column = _named(view.layers, active)
    if column is None and view.ordinal[row] >= READY_AFTER:
        column = _most_risen(over_median(view, row))
    if column is None:
        return None
    layer = view.layers.layers[column]
    rise = int(over_median(view, row)[column])
    excess = as_value(max(rise, 0))
    return Mover(layer.name, layer.kind, _share(view, row, column), hot == column, excess)


def moving(view: View, row: int, heat: Heat) -> IntArray:
    """Columns of the layers that move, those hot for longest first; early: risen by 3 bits."""
    ordinal = int(view.ordinal[row])
    if ordinal < READY_AFTER:
        rise = heat.rise(view.layer, row)
        columns = np.flatnonzero(rise >= bits(EARLY_BITS))
        return columns[np.argsort(-rise[columns], kind="stable")]
    columns = np.flatnonzero(heat.hot(ordinal))
    return columns[np.lexsort((view.layers.depth[columns], heat.since[columns]))]


def over_median(view: View, row: int) -> Fixed:
    """Rise of each layer over its median, fixed point [L]; 0 where unknown."""
    track = view.layer
    known = track.ok[row] & track.ready
    return np.where(known, track.y[row] - track.median, 0).astype(np.int32)


def _longest_hot(heat: Heat, ordinal: int, layers: LayerTable) -> int | None:
    columns = np.flatnonzero(heat.hot(ordinal))
    if not len(columns):
        return None
    return int(columns[np.lexsort((layers.depth[columns], heat.since[columns]))[0]])


def _recurrent(view: View, row: int, heat: Heat, active: tuple[Held, ...]) -> int | None:
    if not any(held.rule == "explosion-through-time" for held in active):
        return None
    kinds = [layer.kind for layer in view.layers.layers]
    columns = [column for column, kind in enumerate(kinds) if kind == "recurrent"]
    if not columns:
        return None
    rise = (
        over_median(view, row) if view.ordinal[row] >= READY_AFTER else heat.rise(view.layer, row)
    )
    return max(columns, key=lambda column: int(rise[column]))


def _most_risen(rise: Fixed) -> int | None:
    if not len(rise) or rise.max() < bits(RISE_BITS):
        return None
    return int(rise.argmax())


def _named(layers: LayerTable, active: tuple[Held, ...]) -> int | None:
    worst_first = sorted(active, key=lambda held: (-held.severity, held.opened_ordinal))
    names = [held.layers[0] for held in worst_first if held.layers]
    return next((layers.column[name] for name in names if name in layers.column), None)


def _share(view: View, row: int, column: int) -> float | None:
    """The layer's share of the sum of squared gradients at this report."""
    grad = view.stat("grad_norm")
    if grad is None or not np.isfinite(grad[row, column]):
        return None
    squares = np.where(np.isfinite(grad[row]), grad[row], 0.0).astype(np.float64) ** 2
    total = float(np.add.accumulate(squares)[-1])
    return float(squares[column]) / total if total > 0 else None
