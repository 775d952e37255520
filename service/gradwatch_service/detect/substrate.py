"""The substrate: computed once per frame and shared by every rule (DETECTORS section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gradwatch_service.detect import block, columns, context, scalars
from gradwatch_service.detect.baseline import BLOCK, EMPTY, Baseline, LongTerm
from gradwatch_service.detect.block import Block, Rows
from gradwatch_service.detect.context import Context
from gradwatch_service.detect.fixedpoint import FRACTION_BITS, Fixed, log2_fixed
from gradwatch_service.detect.scalars import LOSS, NORM, RATIO, TRACKS
from gradwatch_service.detect.view import Past, Track, View
from gradwatch_service.domain import FloatArray, Frame, IntArray, LayerTable, is_missing


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
        scalars=Baseline.empty(TRACKS),
        longterm=LongTerm.empty(TRACKS),
        layer=Baseline.empty(len(layers)),
        pasts=(Past.empty(),) * TRACKS,
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


def told(state: SubstrateState, frame: Frame) -> SubstrateState:
    """Take note of the changes that the job announced with a frame, before its reports."""
    if not frame.events:
        return state
    return replace(state, context=context.told(state.context, frame.events))


def segments(state: SubstrateState, frame: Frame) -> Iterator[Frame]:
    """Cut a frame where a block of 16 reports ends, or where the loss first turns negative."""
    total = len(frame)
    blocks = range(BLOCK - state.ordinal % BLOCK, total, BLOCK)
    cuts = sorted({0, *blocks, *_first_negative_loss(state, frame), total})
    for start, stop in pairwise(cuts):
        yield frame if stop - start == total else frame.rows(start, stop)


def _first_negative_loss(state: SubstrateState, frame: Frame) -> list[int]:
    if state.loss_shift is not None or "loss" not in frame.scalars:
        return []
    return [int(row) for row in np.flatnonzero(scalars.negative(frame.scalars["loss"]))[:1]]


def views(
    state: SubstrateState, frame: Frame, layers: LayerTable
) -> tuple[SubstrateState, list[View]]:
    """Advance by a frame whose columns are ``layers``; a view of each of its segments."""
    base, frame = align(state, frame, layers)
    state, found = told(base, frame), []
    for part in segments(base, frame):
        state, view = observe(state, part)
        found.append(view)
    return state, found


def observe(state: SubstrateState, part: Frame) -> tuple[SubstrateState, View]:
    """Advance by one segment (rows of one block) and make the view the rules read."""
    ordinal = state.ordinal + np.arange(len(part), dtype=np.int64)
    norm, norm_given = scalars.global_norm(part, given=state.norm_given)
    raw = scalars.values(part, norm, state.layers)
    state = _follow_loss_sign(state, raw[:1, LOSS])
    fixed = scalars.fixed_point(raw, state.loss_shift)
    tracks = _tracks(state, raw, fixed, ordinal)
    settings, announced = context.follow(state.context, part, ordinal)
    before = state.layer
    state = replace(
        state,
        ordinal=state.ordinal + len(part),
        pasts=tuple(track.newest() for track in tracks),
        open=(*state.open, block.keep(fixed, part.layers, part.scalars)),
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
    rows, closed = block.close(state.open, state.layers)
    after = state.scalars.absorb(rows)
    gradients = closed.rows.get("grad_norm")
    state = replace(
        state,
        scalars=after,
        longterm=state.longterm.absorb(rows, state.scalars, after),
        layer=state.layer if gradients is None else state.layer.absorb(gradients),
        open=(),
    )
    return state, closed


def _tracks(
    state: SubstrateState, raw: FloatArray, fixed: Fixed, ordinal: IntArray
) -> tuple[Track, ...]:
    base, longterm = state.scalars, state.longterm
    ok = fixed != EMPTY
    bad = ~ok & ~is_missing(raw)
    y = np.where(ok, fixed, base.median)
    z = base.z(y)
    count = ok.cumsum(axis=0)
    return tuple(
        Track(
            y=y[:, column],
            ok=ok[:, column],
            bad=bad[:, column],
            z=z[:, column],
            count=past.count + count[:, column],
            ordinal=ordinal,
            median=int(base.median[column]),
            scale=int(base.scale[column]),
            limit=float(longterm.limit[column]),
            ready=bool(base.ready[column]),
            past=past,
            longterm=longterm,
            column=column,
            linear=column == LOSS and state.loss_shift is not None,
        )
        for column, past in enumerate(state.pasts)
    )


def _follow_loss_sign(state: SubstrateState, first: FloatArray) -> SubstrateState:
    """At the first negative loss change to linear units and forget the logarithms.

    ``first`` is the loss in the first row: a segment begins where the loss first turns negative.
    """
    if state.loss_shift is not None or not scalars.negative(first).any():
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
