"""What the routes that read reports answer in JSON, as OpenAPI shows it."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from pydantic import Field

from gradwatch_service.api.shapes import Number, Shape

# Three items each of its own kind, in words that every reader of OpenAPI 3.1 knows.
NonFiniteCell = Annotated[
    list[int | Literal["NaN", "Infinity", "-Infinity"]], Field(min_length=3, max_length=3)
]


class HeatmapBody(Shape):
    """A statistic over layers and steps: a cell holds the extremes of what falls into it."""

    run_id: uuid.UUID
    metric: str
    layers: Annotated[list[list[str]], Field(description="names in each row, in depth order")]
    steps: Annotated[list[int], Field(description="the first step of each column")]
    last_step: int | None
    low: Annotated[list[list[float | None]], Field(description="least finite value; null: none")]
    high: Annotated[list[list[float | None]], Field(description="greatest finite value")]
    nonfinite: Annotated[
        list[NonFiniteCell],
        Field(description="row, column, and what else is in the cell"),
    ]


class ProfilePoint(Shape):
    """The signal at a layer, or at a time step."""

    at: Annotated[int, Field(description="depth from the input, or time step")]
    layer: str | None
    log2: float | None


class ProfileBody(Shape):
    """log2 of the gradient signal against depth or time, and how it grows on its way back."""

    run_id: uuid.UUID
    axis: Literal["depth", "time"]
    step: Annotated[int | None, Field(description="the newest report it is made of")]
    source: Annotated[str | None, Field(description="the statistic it is made of")]
    points: list[ProfilePoint]
    slope_bits: Annotated[float | None, Field(description="bits a layer or time step, backwards")]
    growth_bits: Annotated[float | None, Field(description="bits from the end to the beginning")]
    growth_factor: Annotated[Number | None, Field(description="2 to the growth in bits")]
    rank_correlation: Annotated[float | None, Field(description="with depth, backwards")]


class SparkCurve(Shape):
    """A metric in a few points, extremes and what is not finite among them."""

    steps: list[int]
    values: list[Number]


class SparklineShape(Shape):
    """What a run looks like at a glance."""

    run_id: uuid.UUID
    loss: SparkCurve
    grad_norm: SparkCurve
