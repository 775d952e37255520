"""The substrate: computed once per frame and shared by every rule (DETECTORS section 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from gradwatch_service.detect import block, columns, context
from gradwatch_service.detect.baseline import BLOCK, EMPTY, Baseline, LongTerm
from gradwatch_service.detect.block import Block, Rows
from gradwatch_service.detect.context import Context
from gradwatch_service.detect.fixedpoint import FRACTION_BITS, Fixed, log2_fixed
from gradwatch_service.detect.update_ratio import median_update_ratio
from gradwatch_service.detect.view import Past, Track, View
from gradwatch_service.domain import (
    MISSING64,
    BoolArray,
    Float32Array,
    FloatArray,
    Frame,
    IntArray,
    LayerTable,
    is_missing,
)

NORM: Final = 0
LOSS: Final = 1
RATIO: Final = 2
_TRACKS: Final = 3
_LINEAR_BITS: Final = 20
_LINEAR_LIMIT: Final = 2.0**29  # differences of two values still fit an int32


@dataclass(frozen=True, slots=True)
class SubstrateState:
    """Everything the substrate remembers of one writer; ``ordinal`` counts accepted reports.

    ``open`` holds the reports of the block that is not closed yet. ``norm_given``: the job has
    reported a global norm of its own. ``loss_shift`` is None while every loss was ≥ 0; after the
    first negative one the loss is tracked linearly, in units of ``2**(loss_shift - 20)``.
    """

    layers: LayerTable
    ordinal: int
    scalars: Baseline
    longterm: LongTerm
    layer: Baseline
    pasts: tuple[Past, ...]
    context: Context
    open: tuple[Rows, ...] = ()
    norm_given: bool = False
    loss_shift: int | None = None


def init(layers: LayerTable) -> SubstrateState:
    """The state before the first report."""
    return SubstrateState(
        layers=layers,
        ordinal=0,
        scalars=Baseline.empty(_TRACKS),
        longterm=LongTerm.empty(_TRACKS),
        layer=Baseline.empty(len(layers)),
        pasts=(Past.empty(),) * _TRACKS,
        context=Context(),
    )


def columns_from(old: LayerTable, new: LayerTable) -> IntArray:
    """For each layer of ``new`` its column in ``old``, -1 if it was not there: int64[L]."""
    return np.array([old.column.get(name, -1) for name in new.names], dtype=np.int64)


def align(state: SubstrateState, frame: Frame, layers: LayerTable) -> tuple[SubstrateState, Frame]:
    """Bring the state and a frame whose columns are ``layers`` to one table: all layers met so far.

    A layer keeps its column and its baseline, whichever other layers a frame happens to carry.
    """
    if not frame.layers or layers is state.layers or layers.hash == state.layers.hash:
        return state, frame
    table = columns.merged(state.layers, layers)
    stats = columns.rearranged(frame.layers, columns_from(layers, table))
    frame = replace(frame, layers=stats)
    if table == state.layers:
        return state, frame
    source = columns_from(state.layers, table)
    state = replace(
        state,
        layers=table,
        layer=state.layer.rearranged(source),
        open=tuple(rows.rearranged(source) for rows in state.open),
    )
    return state, frame


def segments(state: SubstrateState, frame: Frame) -> Iterator[Frame]:
    """Cut a frame where a block of 16 reports ends, or where the loss first turns negative."""
    total = len(frame)
    blocks = range(BLOCK - state.ordinal % BLOCK, total, BLOCK)
    cuts = sorted({0, *blocks, *_first_negative_loss(state, frame), total})
    for start, stop in pairwise(cuts):
        yield frame if stop - start == total else _rows(frame, start, stop)


def _first_negative_loss(state: SubstrateState, frame: Frame) -> list[int]:
    if state.loss_shift is not None or "loss" not in frame.scalars:
        return []
    return [int(row) for row in np.flatnonzero(_negative(frame.scalars["loss"]))[:1]]


def _negative(loss: FloatArray) -> BoolArray:
    return (loss < 0) & (loss > -math.inf)


def _rows(frame: Frame, start: int, stop: int) -> Frame:
    part = slice(start, stop)
    return replace(
        frame,
        steps=frame.steps[part],
        time=frame.time[part],
        scalars={name: values[part] for name, values in frame.scalars.items()},
        layers={name: values[part] for name, values in frame.layers.items()},
        profiles={name: values[part] for name, values in frame.profiles.items()},
    )


def observe(state: SubstrateState, part: Frame) -> tuple[SubstrateState, View]:
    """Advance by one segment (rows of one block) and make the view the rules read."""
    ordinal = state.ordinal + np.arange(len(part), dtype=np.int64)
    norm, norm_given = _norm(state, part)
    raw = _raw(part, norm, state.layers)
    state = _follow_loss_sign(state, raw[:1, LOSS])
    fixed = _fixed(raw, state.loss_shift)
    tracks = _tracks(state, raw, fixed, ordinal)
    settings, announced = context.follow(state.context, part, ordinal)
    before = state.layer
    state = replace(
        state,
        ordinal=state.ordinal + len(part),
        pasts=tuple(track.newest() for track in tracks),
        open=(*state.open, block.keep(fixed, part.layers)),
        context=settings,
        norm_given=norm_given,
    )
    state, closed = _close(state) if state.ordinal % BLOCK == 0 else (state, None)
    return state, View(
        layers=state.layers,
        ordinal=ordinal,
        step=part.steps,
        scalars=part.scalars,
        stats=part.layers,
        profiles=part.profiles,
        norm=tracks[NORM],
        loss=tracks[LOSS],
        ratio=tracks[RATIO],
        usual=before,
        announced=announced,
        block=closed,
    )


def _close(state: SubstrateState) -> tuple[SubstrateState, Block]:
    scalars, closed = block.close(state.open, state.layers)
    after = state.scalars.absorb(scalars)
    gradients = closed.rows.get("grad_norm")
    state = replace(
        state,
        scalars=after,
        longterm=state.longterm.absorb(scalars, state.scalars, after),
        layer=state.layer if gradients is None else state.layer.absorb(gradients),
        open=(),
    )
    return state, closed


def _norm(state: SubstrateState, part: Frame) -> tuple[FloatArray, bool]:
    """The global norm, float64[n]: as reported, else over the layers that were measured.

    Once the job has reported one, only that counts: the watched layers need not be all there are.
    """
    own = part.scalars.get("grad_norm", np.full(len(part), MISSING64))
    if state.norm_given:
        return own, True
    reported = ~is_missing(own)
    given = np.logical_or.accumulate(reported)
    return np.where(given, own, _joint_norm(part.layers.get("grad_norm"))), bool(given[-1])


def _joint_norm(grad: Float32Array | None) -> FloatArray | np.float64:
    """Root of the sum of squares over the measured layers, float64[n]; missing if none was."""
    if grad is None or not grad.shape[1]:
        return MISSING64
    measured = ~is_missing(grad)
    squares = np.where(measured, grad, 0).astype(np.float64) ** 2
    # One by one, as the pairwise sum of numpy may depend on the shape.
    norm = np.sqrt(np.add.accumulate(squares, axis=1)[:, -1])
    return np.where(measured.any(axis=1), norm, MISSING64)


def _raw(part: Frame, norm: FloatArray, layers: LayerTable) -> FloatArray:
    """Columns NORM, LOSS, RATIO as float64[n, 3]; values not measured are the missing NaN."""
    raw = np.full((len(part), _TRACKS), MISSING64)
    raw[:, NORM] = norm
    if "loss" in part.scalars:
        raw[:, LOSS] = part.scalars["loss"]
    raw[:, RATIO] = median_update_ratio(part.layers, layers)
    return raw


def _fixed(raw: FloatArray, loss_shift: int | None) -> Fixed:
    """The tracks in fixed point, int32[n, 3], EMPTY where there is no finite number."""
    fixed = log2_fixed(raw)
    if loss_shift is not None:
        fixed[:, LOSS] = _linear(raw[:, LOSS], loss_shift)
    return np.where(np.isfinite(raw), fixed, np.int32(EMPTY))


def _linear(values: FloatArray, shift: int) -> Fixed:
    scaled = np.ldexp(np.nan_to_num(values), _LINEAR_BITS - shift)
    return np.asarray(np.rint(np.clip(scaled, -_LINEAR_LIMIT, _LINEAR_LIMIT)), dtype=np.int32)


def _tracks(
    state: SubstrateState, raw: FloatArray, fixed: Fixed, ordinal: IntArray
) -> tuple[Track, ...]:
    scalars, longterm = state.scalars, state.longterm
    ok = fixed != EMPTY
    bad = ~ok & ~is_missing(raw)
    y = np.where(ok, fixed, scalars.median)
    z = scalars.z(y)
    count = np.cumsum(ok, axis=0)
    return tuple(
        Track(
            y=y[:, column],
            ok=ok[:, column],
            bad=bad[:, column],
            z=z[:, column],
            count=past.count + count[:, column],
            ordinal=ordinal,
            median=int(scalars.median[column]),
            scale=int(scalars.scale[column]),
            slow=int(longterm.slow[column]),
            limit=float(longterm.limit[column]),
            ready=bool(scalars.ready[column]),
            past=past,
            linear=column == LOSS and state.loss_shift is not None,
        )
        for column, past in enumerate(state.pasts)
    )


def _follow_loss_sign(state: SubstrateState, first: FloatArray) -> SubstrateState:
    """At the first negative loss change to linear units and forget the logarithms.

    ``first`` is the loss in the first row: a segment begins where the loss first turns negative.
    """
    if state.loss_shift is not None or not _negative(first).any():
        return state
    forget = np.array([NORM, -1, RATIO], dtype=np.int64)
    largest = max([*log2_fixed(first).tolist(), *state.pasts[LOSS].values().tolist()])
    return replace(
        state,
        scalars=state.scalars.rearranged(forget),
        longterm=state.longterm.rearranged(forget),
        pasts=(state.pasts[NORM], Past.empty(), state.pasts[RATIO]),
        open=tuple(rows.without(LOSS) for rows in state.open),
        loss_shift=(largest >> FRACTION_BITS) + 1,
    )
