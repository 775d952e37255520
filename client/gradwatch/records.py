"""What waits to be sent: a report of one step, or an event; built from what ``log`` was given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradwatch.layers import LayerTable
from gradwatch.values import (
    UNREADABLE,
    Float32Array,
    FloatArray,
    JsonValue,
    Number,
    as_float,
    as_json,
    as_step,
    has_nonfinite,
    is_name,
    missing32,
    missing64,
    narrow,
)

MAX_PROFILE = 65_536

LayerStats: TypeAlias = Mapping[str, Mapping[str, Number]]


@dataclass(frozen=True)
class Report:
    """The measurements of one step.

    ``layers``: statistic -> float32[L] in the column order of ``table``; ``profiles``: axis ->
    float32[T]. ``first`` marks the first report of a process, which an overflow never drops.
    """

    step: int
    time: float
    table: LayerTable
    scalars: Mapping[str, float] = field(default_factory=dict)
    layers: Mapping[str, Float32Array] = field(default_factory=dict)
    profiles: Mapping[str, Float32Array] = field(default_factory=dict)
    first: bool = False

    @property
    def size(self) -> int:
        """About how many bytes this report occupies."""
        arrays = chain(self.layers.values(), self.profiles.values())
        return 200 + 100 * len(self.scalars) + sum(array.nbytes for array in arrays)

    @property
    def critical(self) -> bool:
        """Whether an overflow must not drop it: the first one, or one with a non-finite value."""
        if self.first or not all(map(math.isfinite, self.scalars.values())):
            return True
        return any(map(has_nonfinite, chain(self.layers.values(), self.profiles.values())))

    @property
    def group(self) -> tuple[object, ...]:
        """Reports may share a frame when their groups are equal."""
        lengths = sorted((axis, len(values)) for axis, values in self.profiles.items())
        return (self.table.hash, *lengths)


@dataclass(frozen=True)
class Measured:
    """One step as an integration measured it: statistic -> one value for each of ``columns``.

    ``columns`` come from ``Run.add_layers`` and stay valid for the life of the run.
    """

    step: int
    time: float
    scalars: Mapping[str, float]
    columns: NDArray[np.int64]
    arrays: Mapping[str, Float32Array]
    profiles: Mapping[str, Float32Array] = field(default_factory=dict)

    def report(self, table: LayerTable, *, first: bool) -> Report:
        """The same as a report under the layer table of now."""
        layers = {stat: missing32(len(table)) for stat in self.arrays}
        for stat, values in self.arrays.items():
            layers[stat][self.columns] = values
        return Report(self.step, self.time, table, self.scalars, layers, self.profiles, first=first)


@dataclass(frozen=True)
class Event:
    """Something that happened: a checkpoint, a phase, a skipped update."""

    table: LayerTable
    body: Mapping[str, JsonValue]
    critical: bool = True
    group: None = None

    @property
    def size(self) -> int:
        """About how many bytes this event occupies."""
        return 200 + 100 * len(self.body)


Record: TypeAlias = Report | Event


def read_scalars(given: Mapping[str, Number]) -> tuple[dict[str, float], int]:
    """Scalars as floats, without those not measured (None); and how many were not understood."""
    scalars = {name: as_float(value) for name, value in given.items() if value is not None}
    good = {name: value for name, value in scalars.items() if value is not None and is_name(name)}
    return good, len(scalars) - len(good)


def read_event(
    kind: object, step: SupportsIndex | None, fields: Mapping[str, object]
) -> dict[str, JsonValue] | None:
    """The body of an event; None if it has no usable kind or a step that is none."""
    number = None if step is None else as_step(step)
    if not is_name(kind) or (step is not None and number is None):
        return None
    body = {name: as_json(value) for name, value in fields.items()}
    return body | {"kind": str(kind)} | ({} if number is None else {"step": number})


def read_named(table: LayerTable, given: object) -> tuple[Mapping[str, Any], int]:
    """The items of ``layers=`` that have a usable name; and how many were not understood."""
    if not isinstance(given, Mapping):
        return {}, 1
    if given.keys() <= table.columns.keys():
        return given, 0
    named = {name: stats for name, stats in given.items() if is_name(name)}
    return named, len(given) - len(named)


def read_layer_stats(table: LayerTable, given: LayerStats) -> tuple[dict[str, Float32Array], int]:
    """``{name: {stat: value}}`` as ``{stat: float32[L]}``; and how many values were not understood.

    Every name in ``given`` must be in ``table``.
    """
    aligned = _read_aligned(table, given)
    return (aligned, 0) if aligned is not None else _read_one_by_one(table, given)


def read_profiles(given: object) -> tuple[dict[str, Float32Array], int]:
    """Profiles (axis -> values along it) as float32[T]; and how many were not understood."""
    if not isinstance(given, Mapping):
        return {}, 1
    profiles: dict[str, Float32Array] = {}
    for axis, values in given.items():
        try:
            array = np.asarray(values, dtype=np.float64)
        except UNREADABLE:
            continue
        if is_name(axis) and array.ndim == 1 and 0 < array.size <= MAX_PROFILE:
            profiles[axis] = narrow(array)
    return profiles, len(given) - len(profiles)


def _read_aligned(table: LayerTable, given: LayerStats) -> dict[str, Float32Array] | None:
    """The fast way, for plain dicts that all have the same statistics in the same order."""
    try:
        keys = list(chain.from_iterable(given.values()))
        stats = keys[: len(keys) // max(len(given), 1)]
        if keys != stats * len(given) or not all(map(is_name, stats)):
            return None
        flat: Iterable[float] = chain.from_iterable(map(_plain_values, given.values()))
        values = np.fromiter(flat, np.float64, len(keys))
    except UNREADABLE:
        return None
    rows = narrow(values).reshape(len(given), len(stats)).T
    if tuple(given) != table.names:
        rows, part = missing32(len(stats), len(table)), rows
        rows[:, [table.columns[name] for name in given]] = part
    return dict(zip(stats, np.ascontiguousarray(rows), strict=True))


_plain_values: Callable[[Any], Iterable[float]] = dict.values  # a TypeError for anything else


def _read_one_by_one(table: LayerTable, given: LayerStats) -> tuple[dict[str, Float32Array], int]:
    wide: dict[str, FloatArray] = {}
    malformed = 0
    for name, stats in given.items():
        if not isinstance(stats, Mapping):
            malformed += 1
            continue
        scalars, unread = read_scalars(stats)
        malformed += unread
        for stat, value in scalars.items():
            row = wide.setdefault(stat, missing64(len(table)))
            row[table.columns[name]] = value
    return {stat: narrow(row) for stat, row in wide.items()}, malformed
