"""A recorded stream as a client sends it: in pushes of consecutive reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.recording import Stream
from gradwatch_service.domain import Frame, LayerTable, is_missing

_Array = TypeVar("_Array", NDArray[np.float64], NDArray[np.float32])


@dataclass(frozen=True, slots=True)
class Log:
    """A stream to be cut into pushes; ``known``: which reports measured anything of a name."""

    stream: Stream
    table: LayerTable
    known: Mapping[str, NDArray[np.bool_]]

    @staticmethod
    def of(stream: Stream, table: LayerTable) -> Log:
        """Look once at what was measured."""
        columns: dict[str, Any] = {**stream.scalars, **stream.stats, **stream.profiles}
        known: dict[str, NDArray[np.bool_]] = {
            name: np.asarray(~is_missing(values).reshape(len(values), -1).all(axis=1))
            for name, values in columns.items()
        }
        return Log(stream, table, known)

    def __len__(self) -> int:
        return len(self.stream)

    def push(self, start: int, stop: int) -> Frame:
        """These reports as a client sends them: without the names it measured nothing of."""
        rows, stream = slice(start, stop), self.stream
        since = stream.steps[start] if start else -1
        until = stream.steps[stop] if stop < len(self) else np.iinfo(np.int64).max
        return Frame(
            steps=stream.steps[rows],
            time=stream.time[rows],
            scalars=self._cut(stream.scalars, rows),
            layers_hash=self.table.hash,
            layers=self._cut(stream.stats, rows),
            profiles=self._cut(stream.profiles, rows),
            events=tuple(x for x in stream.events if since <= _step(x) < until),
        )

    def _cut(self, columns: Mapping[str, _Array], rows: slice) -> dict[str, _Array]:
        return {
            name: values[rows] for name, values in columns.items() if self.known[name][rows].any()
        }


def attempts(writers: Sequence[Stream]) -> list[int]:
    """To which launch of the job each writer belongs, counted from 0."""
    resumes = sorted({one.resumed_at for one in writers if one.resumed_at is not None})
    return [0 if one.resumed_at is None else resumes.index(one.resumed_at) + 1 for one in writers]


def _step(event: Mapping[str, object]) -> int:
    return int(str(event["step"]))
