"""What a job reports, as text that every peer's format is made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.load.courses import Course, layer_table


@dataclass(frozen=True)
class Report:
    """``batch`` steps of a run as text, in the fewest digits that say the same float32.

    ``layers``: by layer, then statistic, then step.
    """

    run: str
    names: Sequence[str]
    stats: Sequence[str]
    layers: Sequence[Sequence[Sequence[str]]]
    scalars: dict[str, Sequence[str]]

    @property
    def series(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        """Metric, layer (empty for scalars) and values of each series."""
        for name, by_stat in zip(self.names, self.layers, strict=True):
            for stat, values in zip(self.stats, by_stat, strict=True):
                yield stat, name, values
        for metric, values in self.scalars.items():
            yield f"run_{metric}", "", values

    @property
    def steps(self) -> list[dict[str, float]]:
        """Every value of each step by its full name, as a job logs it."""
        names = [full_name(metric, layer) for metric, layer, _ in self.series]
        columns = [map(float, values) for _, _, values in self.series]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    @property
    def floats(self) -> int:
        """How many values there are."""
        return sum(len(values) for _, _, values in self.series)


def full_name(metric: str, layer: str) -> str:
    """A series' one name, for those who know no labels."""
    return f"{layer}/{metric}" if layer else metric


def report(course: Course, run: str, at: int, batch: int) -> Report:
    """The steps from ``at`` on, as text."""
    rows = slice(at, at + batch)
    block = np.stack([values[rows].T for values in course.layers.values()], axis=1)
    scalars = {
        name: [repr(one) for one in values[rows].tolist()]
        for name, values in course.scalars.items()
    }
    names = layer_table(block.shape[0]).names
    return Report(run, names, list(course.layers), block.astype(str).tolist(), scalars)
