"""Data points of one run, put together into steps: by their number, or counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, cast

from gradwatch_service.api.otlp.reading import Point
from gradwatch_service.api.steps_body import RESERVED, Steps, parse_steps
from gradwatch_service.errors import Invalid
from gradwatch_service.store.packing import MAX_STEPS


class Batch(NamedTuple):
    """Steps for one push; ``counted``: of so many of the request the numbers are only an order."""

    steps: Steps
    counted: int

    @property
    def cells(self) -> int:
        """How many values it has place for."""
        frame = self.steps.frame
        return len(frame) * (len(frame.scalars) + len(self.steps.layer_names) * len(frame.layers))


def batches(points: Sequence[Point], refused: Counter[str]) -> Iterator[Batch]:
    """The steps of one run, as many a push as it may have; adds why values were ``refused``.

    Raises:
        TooLarge: too many different names for the steps.
    """
    current = max((int(point.value) for point in points if point.is_step), default=None)
    values = [point for point in points if not point.is_step]
    numbered = [point for point in values if point.step is not None or current is not None]
    rows: dict[int, dict[str, Any]] = {}
    for point in sorted(numbered, key=attrgetter("time")):
        _add(rows, point, current if point.step is None else point.step)
    yield from _batched(rows.values(), refused)
    if current is None:
        loose = (point for point in values if point.step is None)
        yield from _batched(_counted(loose).values(), refused, is_counted=True)


def _counted(points: Iterable[Point]) -> dict[int, dict[str, Any]]:
    """The n-th value of each series belongs to the n-th step; a time belongs to one step."""
    rows: dict[int, dict[str, Any]] = {}
    at: dict[float, int] = {}
    seen: dict[tuple[str, str | None], tuple[int, float]] = {}
    for point in sorted(points, key=attrgetter("time")):
        step, time = seen.get((point.name, point.layer), (-1, None))
        if time == point.time:
            continue
        step = max(step + 1, at.get(point.time, 0))
        _add(rows, point, step)
        seen[point.name, point.layer] = step, point.time
        at[point.time] = step
    return rows


def _add(rows: dict[int, dict[str, Any]], point: Point, step: int | None) -> None:
    row = rows.setdefault(step or 0, {"step": step or 0})
    if point.time:
        row.setdefault("time", point.time)
    if point.layer is None:
        row[point.name] = point.value
    else:
        row.setdefault("layers", {}).setdefault(point.layer, {})[point.name] = point.value


def _batched(
    rows: Iterable[dict[str, Any]], refused: Counter[str], *, is_counted: bool = False
) -> Iterator[Batch]:
    ordered = sorted(rows, key=lambda row: int(row["step"]))
    for start in range(0, len(ordered), MAX_STEPS):
        part = ordered[start : start + MAX_STEPS]
        try:
            steps = parse_steps({"steps": [*part]})
        except Invalid as error:
            refused[error.detail] += sum(map(_size, part))
            continue
        for one in steps.rejections:
            refused[str(one["detail"])] += _size(part[cast(int, one["index"])])
        yield Batch(steps, len(ordered) if is_counted else 0)


def _size(row: Mapping[str, Any]) -> int:
    """How many values a step has."""
    scalars = sum(name not in RESERVED for name in row)
    return scalars + sum(map(len, row.get("layers", {}).values()))
