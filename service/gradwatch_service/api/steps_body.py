"""The body of ``POST /runs/{id}/steps``: steps become a frame; broken steps are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradwatch_service.api import values
from gradwatch_service.api.frame_body import saturate
from gradwatch_service.api.rejections import Rejection, nothing_left, rejection
from gradwatch_service.domain import (
    MISSING32,
    MISSING64,
    Float32Array,
    FloatArray,
    Frame,
    JsonValue,
)
from gradwatch_service.errors import Invalid, TooLarge
from gradwatch_service.store.packing import MAX_LAYERS, MAX_NAMES, MAX_STEPS
from gradwatch_service.store.wording import check_name, invalid, pointer_to

RESERVED = frozenset({"step", "time", "layers"})
MAX_CELLS = 2**23  # a few steps with many different names each would make a huge, empty frame

LayerValues = Mapping[str, Mapping[str, float]]


class Steps(NamedTuple):
    """Decoded steps, the layers their columns stand for, and what was refused."""

    frame: Frame
    layer_names: tuple[str, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    step: int
    time: float
    scalars: Mapping[str, float]
    layers: LayerValues


def parse_steps(value: JsonValue) -> Steps:
    """Read the body.

    Raises:
        Invalid: it is no list of steps, or every step is broken.
        TooLarge: more steps than one push may carry, or too many names for the steps.
    """
    items = _items(value)
    if len(items) > MAX_STEPS:
        raise TooLarge(f"at most {MAX_STEPS} steps in one push: split it")
    rows: list[_Row] = []
    rejections: list[Rejection] = []
    for index, item in enumerate(items):
        try:
            rows.append(_row(item, f"/steps/{index}"))
        except Invalid as error:
            rejections.append(rejection(index, error))
    if not rows:
        raise nothing_left(rejections)
    frame, layer_names = _frame(rows)
    return Steps(frame, layer_names, tuple(rejections))


def _items(value: JsonValue) -> Sequence[JsonValue]:
    items = value.get("steps") if isinstance(value, Mapping) else None
    if not isinstance(items, list) or not items:
        detail = 'send {"steps": [{"step": 0, "loss": 1.5}, …]} with at least one step'
        raise invalid("/steps", "not-a-list", detail)
    return items


def _row(item: JsonValue, at: str) -> _Row:
    if not isinstance(item, Mapping):
        raise invalid(at, "not-an-object", "a step must be an object")
    time = item.get("time")
    return _Row(
        step=values.step(item.get("step"), f"{at}/step"),
        time=float(MISSING64) if time is None else values.moment(time, f"{at}/time"),
        scalars=_numbers({key: item[key] for key in item if key not in RESERVED}, at),
        layers=_layers(item.get("layers"), f"{at}/layers"),
    )


def _numbers(members: Mapping[str, JsonValue], at: str) -> Mapping[str, float]:
    return {
        check_name(key, at): values.number(value, at + pointer_to(key))
        for key, value in members.items()
        if value is not None
    }


def _layers(layers: JsonValue, at: str) -> LayerValues:
    if layers is None:
        return {}
    if not isinstance(layers, Mapping):
        raise invalid(at, "not-an-object", "layers must be an object of layer names")
    return {check_name(name, at): _layer(layer, at) for name, layer in layers.items()}


def _layer(layer: JsonValue, at: str) -> Mapping[str, float]:
    if not isinstance(layer, Mapping):
        raise invalid(at, "not-an-object", "a layer must be an object of statistics")
    return {name: saturate(value) for name, value in _numbers(layer, at).items()}


def _frame(rows: Sequence[_Row]) -> tuple[Frame, tuple[str, ...]]:
    scalars = _names(row.scalars for row in rows)
    layers = _names(row.layers for row in rows)
    statistics = _names(layer for row in rows for layer in row.layers.values())
    _judge_size(len(rows), len(scalars), len(layers), len(statistics))
    column = {name: index for index, name in enumerate(layers)}
    frame = Frame(
        steps=np.array([row.step for row in rows], np.int64),
        time=np.array([row.time for row in rows], np.float64),
        scalars={name: _scalar(rows, name) for name in scalars},
        layers={name: _statistic(rows, name, column) for name in statistics},
    )
    return frame, layers


def _judge_size(rows: int, scalars: int, layers: int, statistics: int) -> None:
    cells = rows * (scalars + layers * statistics)
    if cells > MAX_CELLS or layers > MAX_LAYERS or scalars > MAX_NAMES:
        raise TooLarge("too many different names for one push: split it")


def _names(maps: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """All keys, each once, in the order of their first appearance."""
    return tuple(dict.fromkeys(key for item in maps for key in item))


def _scalar(rows: Sequence[_Row], name: str) -> FloatArray:
    return np.array([row.scalars.get(name, MISSING64) for row in rows], np.float64)


def _statistic(rows: Sequence[_Row], name: str, column: Mapping[str, int]) -> Float32Array:
    table = np.full((len(rows), len(column)), MISSING32, np.float32)
    for index, row in enumerate(rows):
        for layer, values_of_layer in row.layers.items():
            if name in values_of_layer:
                table[index, column[layer]] = values_of_layer[name]
    return table
