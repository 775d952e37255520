"""What a run reported, to look at: a metric against the step, layers against steps, profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnRun
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.curve_shapes import HeatmapBody, ProfileBody
from gradwatch_service.api.negotiation import Numbers, also_packed, negotiated
from gradwatch_service.api.operations import answers
from gradwatch_service.api.queries import OneHeatmap, OneProfile, OneSeries
from gradwatch_service.api.shapes import SeriesBody
from gradwatch_service.domain import MAX_STEP, Float32Array
from gradwatch_service.store import runs
from gradwatch_service.store.canvas import ABOVE, BELOW, NAN, Heatmap
from gradwatch_service.store.downsampling import downsample
from gradwatch_service.store.heatmap import heatmap
from gradwatch_service.store.profiles import DepthAt, TimeAt, depth_at, time_at
from gradwatch_service.store.series import curve

router = APIRouter(tags=["series"])

_WORDS = ((NAN, "NaN"), (ABOVE, "Infinity"), (BELOW, "-Infinity"))


@router.get("/runs/{run_id}/series", responses=also_packed(answers({200: SeriesBody}, 404, 422)))
@allows(READ, of=Owner.RUN)
def get_series(run_id: OwnRun, wanted: OneSeries, backend: Served, request: Request) -> Response:
    """Read a scalar, or a statistic of a layer; extremes survive the thinning of long series.

    As msgpack, `steps` are int64 and `values` float64. As float32 alone, the steps count from the
    header X-Gradwatch-First-Step.
    """
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        found = curve(connection, run_id, wanted.query)
    steps, values = downsample(found.steps, found.values, wanted.points)
    first = int(steps[0]) if len(steps) else 0
    facts = {
        "run_id": str(run_id),
        "metric": wanted.metric,
        "layer": wanted.layer,
        "total_points": found.total,
        "downsampled": found.total > len(steps),
    }
    return negotiated(
        request,
        Numbers(
            facts,
            {"steps": steps, "values": values},
            lambda: {"steps": steps.tolist(), "values": values.tolist()},
            {"steps": steps - first, "values": values},
            {"X-Gradwatch-First-Step": str(first)},
        ),
    )


@router.get("/runs/{run_id}/heatmap", responses=also_packed(answers({200: HeatmapBody}, 404, 422)))
@allows(READ, of=Owner.RUN)
def get_heatmap(run_id: OwnRun, wanted: OneHeatmap, backend: Served, request: Request) -> Response:
    """Read a statistic over layers and steps; each cell keeps its extremes and what is not finite.

    As msgpack, `low` and `high` are float32, `kinds` bytes (1 NaN, 2 Infinity, 4 -Infinity in the
    cell) of `shape`, `steps` int64. As float32 alone: low, high and kinds, one after the other.
    """
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        found = heatmap(connection, run_id, wanted.query)
    last_step = found.last_step if len(found.steps) else None
    facts = {
        "run_id": str(run_id),
        "metric": wanted.metric,
        "layers": found.layers,
        "last_step": last_step,
    }
    cells: dict[str, NDArray[Any]] = {"low": found.low, "high": found.high, "kinds": found.kinds}
    shape = np.array(found.low.shape, np.int64)
    return negotiated(
        request,
        Numbers(
            facts,
            {"steps": found.steps, **cells, "shape": shape},
            lambda: _in_words(found),
            cells,
            {"X-Gradwatch-Last-Step": "" if last_step is None else str(last_step)},
        ),
    )


@router.get("/runs/{run_id}/profile", responses=answers({200: ProfileBody}, 404, 422))
@allows(READ, of=Owner.RUN)
def get_profile(run_id: OwnRun, wanted: OneProfile, backend: Served) -> Response:
    """Read the gradient signal against depth or time at a step, and the growth fitted to it.

    Signal and fit are those of the rules depth-explosion and explosion-through-time. Against depth:
    the medians of the 16 reports that end at the step.
    """
    step = MAX_STEP if wanted.step is None else wanted.step
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        if wanted.axis == "depth":
            profile = _of_depth(depth_at(connection, run_id, step))
        else:
            profile = _of_time(time_at(connection, run_id, step))
    return answer({"run_id": run_id, "axis": wanted.axis, **profile})


def _in_words(found: Heatmap) -> Mapping[str, Any]:
    nonfinite = [
        (int(row), int(column), word)
        for kind, word in _WORDS
        for row, column in np.argwhere(found.kinds & kind)
    ]
    return {
        "steps": found.steps.tolist(),
        "low": _or_null(found.low),
        "high": _or_null(found.high),
        "nonfinite": nonfinite,
    }


def _or_null(values: NDArray[Any] | Float32Array) -> list[Any]:
    """Nested lists in which what is no number is null."""
    finite = np.isfinite(values)
    if finite.all():
        return list(values.tolist())
    shown = values.astype(object)
    shown[~finite] = None
    return list(shown.tolist())


def _of_depth(found: DepthAt) -> Mapping[str, Any]:
    fitted, table = found.fitted, found.layers
    step = int(found.steps.max()) if len(found.steps) else None
    if fitted is None:
        return _profile(step, None, [], None, None) | {"rank_correlation": None}
    points = [
        {"at": int(table.depth[column]), "layer": table.names[column], "log2": float(signal)}
        for column, signal in zip(fitted.columns, fitted.signal, strict=True)
    ]
    profile = _profile(step, fitted.source, points, -fitted.slope, fitted.growth_bits)
    return profile | {"rank_correlation": -fitted.spearman}


def _of_time(found: TimeAt | None) -> Mapping[str, Any]:
    if found is None:
        return _profile(None, None, [], None, None) | {"rank_correlation": None}
    points = [
        {"at": at, "layer": None, "log2": bits} for at, bits in enumerate(_or_null(found.bits))
    ]
    growth = None if found.slope is None else found.slope * len(found.bits)
    profile = _profile(found.step, "profiles.time", points, found.slope, growth)
    return profile | {"rank_correlation": None}


def _profile(
    step: int | None,
    source: str | None,
    points: list[dict[str, Any]],
    slope: float | None,
    growth: float | None,
) -> dict[str, Any]:
    return {
        "step": step,
        "source": source,
        "points": points,
        "slope_bits": slope,
        "growth_bits": growth,
        "growth_factor": None if growth is None else float(np.exp2(growth)),
    }
