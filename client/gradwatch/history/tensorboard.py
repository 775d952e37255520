"""TensorBoard's event files: every folder with some is a run; scalars, and norms of histograms."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from gradwatch.history.past_run import MAX, NORM, PastRun, Value
from gradwatch.history.record_files import tensorflow_records
from gradwatch.history.wire import DamagedError, fields, parts, real, signed, text
from gradwatch.history.wire import Value as Field

PATTERN = "*tfevents*"

# Field numbers of Event, Summary.Value, HistogramProto and TensorProto.
_WALL_TIME, _STEP, _SUMMARY = 1, 2, 5
_VALUE, _TAG, _SIMPLE, _HISTOGRAM, _TENSOR = 1, 1, 2, 5, 8
_MIN, _MAX, _SUM_SQUARES = 1, 2, 5
_DTYPE, _SHAPE, _CONTENT, _FLOATS, _DOUBLES = 1, 2, 4, 5, 6
_FORMATS = {1: "f", 2: "d"}


def read(root: Path) -> Iterator[PastRun]:
    """The runs below a folder, or of one file, in the order of their names."""
    files = [root] if root.is_file() else sorted(root.rglob(PATTERN))
    for folder in sorted({file.parent for file in files}):
        name = folder.name if folder in (root, root.parent) else str(folder.relative_to(root))
        yield _read_run(name or "run", [file for file in files if file.parent == folder])


def _read_run(name: str, files: Iterable[Path]) -> PastRun:
    """One run; what a later file says of a step replaces what an earlier one said."""
    run = PastRun("tensorboard", key=name, name=name)
    began = math.inf
    for file in files:
        try:
            for record in tensorflow_records(file.read_bytes()):
                began = min(began, _take(run, record))
        except DamagedError as error:
            run.left_out[f"rest of {file.name}: {error}"] += 1
    run.key = f"{name}\n{began}"
    return run


def _take(run: PastRun, event: bytes) -> float:
    """Take in an event; returns its time."""
    time, step, summaries = 0.0, 0, []
    for number, value in fields(event):
        if number == _WALL_TIME:
            time = real(value)
        elif number == _STEP:
            step = signed(value)
        elif number == _SUMMARY and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for one in parts(summary, _VALUE):
            _take_value(run, one, step, time)
    return time


def _take_value(run: PastRun, summary: bytes, step: int, time: float) -> None:
    tag = text(summary, _TAG)
    numbers = dict(_numbers(summary))
    if not numbers:
        run.left_out["images, texts and other summaries that are no numbers"] += 1
    for ending, number in numbers.items():
        run.add(tag + ending, step, Value(time, number))


def _numbers(summary: bytes) -> Iterator[tuple[str, float]]:
    """Ending of the name -> number: of a scalar, a tensor that holds one, or a histogram."""
    for number, value in fields(summary):
        if number == _SIMPLE:
            yield "", real(value)
        elif number == _HISTOGRAM and isinstance(value, bytes):
            yield from _of_histogram(value)
        elif number == _TENSOR and isinstance(value, bytes):
            scalar = _of_tensor(value)
            if scalar is not None:
                yield "", scalar


def _of_histogram(histogram: bytes) -> Iterator[tuple[str, float]]:
    found = {
        number: real(value)
        for number, value in fields(histogram)
        if number in (_MIN, _MAX, _SUM_SQUARES)
    }
    yield NORM, math.sqrt(max(found.get(_SUM_SQUARES, 0.0), 0.0))
    yield MAX, max(abs(found.get(_MIN, 0.0)), abs(found.get(_MAX, 0.0)))


def _of_tensor(tensor: bytes) -> float | None:
    """The one number in a tensor of floats or doubles; None if it holds anything else."""
    found: dict[int, Field] = dict(fields(tensor))
    form = _FORMATS.get(signed(found.get(_DTYPE, 0)))
    raw = found.get(_CONTENT) or found.get(_FLOATS) or found.get(_DOUBLES)
    if form is None or found.get(_SHAPE) or not isinstance(raw, bytes):
        return None
    size = struct.calcsize(form)
    return float(struct.unpack(f"<{form}", raw)[0]) if len(raw) == size else None
