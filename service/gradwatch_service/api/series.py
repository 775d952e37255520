"""One metric of one run against the step."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from starlette.responses import Response

from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.operations import answers
from gradwatch_service.api.queries import OneSeries
from gradwatch_service.api.shapes import SeriesBody
from gradwatch_service.store import runs
from gradwatch_service.store.downsampling import downsample
from gradwatch_service.store.series import series

router = APIRouter(tags=["series"])


@router.get("/runs/{run_id}/series", responses=answers({200: SeriesBody}, 404, 422))
def get_series(run_id: uuid.UUID, wanted: OneSeries, backend: Served) -> Response:
    """Read a scalar, or a statistic of a layer; extremes survive the thinning of long series."""
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        steps, values = series(connection, run_id, wanted.query)
    shown_steps, shown_values = downsample(steps, values, wanted.points)
    return answer(
        {
            "run_id": run_id,
            "metric": wanted.metric,
            "layer": wanted.layer,
            "steps": shown_steps.tolist(),
            "values": shown_values.tolist(),
            "total_points": len(steps),
            "downsampled": len(steps) > len(shown_steps),
        }
    )
