"""Small curves of many runs at once, for lists of runs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.curve_shapes import SparklineShape
from gradwatch_service.api.operations import answers
from gradwatch_service.api.queries import Sparklines
from gradwatch_service.api.shapes import Items
from gradwatch_service.store.sparklines import Sparkline, sparklines

router = APIRouter(tags=["series"])


@router.get("/sparklines", responses=answers({200: Items[SparklineShape]}, 422))
@allows(READ, of=Owner.LIST)
def get_sparklines(wanted: Sparklines, backend: Served, who: Who) -> Response:
    """Read loss and gradient norm of up to 50 runs in a few points each.

    Extremes and what is not finite survive the thinning. Runs that are not there are left out.
    """
    with backend.reading() as connection:
        found = sparklines(connection, who.project, wanted.run, wanted.points)
    items = [{"run_id": run_id, **_curves(one)} for run_id, one in found.items()]
    return answer({"items": items, "next_cursor": None})


def _curves(found: Sparkline) -> dict[str, Any]:
    return {
        metric: {"steps": steps.tolist(), "values": values.tolist()}
        for metric, (steps, values) in found.items()
    }
