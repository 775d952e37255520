"""Offline runs of Weights & Biases: the ``.wandb`` files below a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from gradwatch.history.past_run import MAX, NORM, PastRun, Value
from gradwatch.history.record_files import wandb_records
from gradwatch.history.wire import DamagedError, fields, parts, signed, text
from gradwatch.values import JsonValue, as_json

PATTERN = "*.wandb"

# Field numbers of Record, HistoryRecord, its items, ConfigRecord, RunRecord and RunExitRecord.
_HISTORY, _CONFIG, _RUN, _EXIT = 2, 5, 17, 18
_ITEM, _STEP, _NUM = 1, 2, 1
_KEY, _NESTED_KEY, _VALUE_JSON = 1, 2, 16
_UPDATE = 1
_RUN_ID, _PROJECT, _RUN_CONFIG, _NAME, _TAGS = 1, 3, 4, 8, 10
_EXIT_CODE = 1
_STEP_KEY, _TIME_KEY, _OWN = "_step", "_timestamp", "_"
_TYPE, _BINS, _COUNTS = "._type", ".bins", ".values"
_PACKED_MIN, _PACKED_SIZE = ".packedBins.min", ".packedBins.size"
_HISTOGRAM_PARTS = (_TYPE, _BINS, _COUNTS, _PACKED_MIN, _PACKED_SIZE, ".packedBins.count")
_RUNNING = "running"


def read(root: Path) -> Iterator[PastRun]:
    """The runs below a folder, or of one file, in the order of their names."""
    for file in [root] if root.is_file() else sorted(root.rglob(PATTERN)):
        run = PastRun("wandb", key=file.stem, name=file.stem, state=_RUNNING)
        try:
            for record in wandb_records(file.read_bytes()):
                _take(run, record)
        except DamagedError as error:
            run.left_out[f"rest of {file.name}: {error}"] += 1
        if run.state == _RUNNING:  # cut off
            run.state = "failed"
        yield run


def _take(run: PastRun, record: bytes) -> None:
    for number, value in fields(record):
        if not isinstance(value, bytes):
            continue
        if number == _HISTORY:
            _take_history(run, value)
        elif number == _RUN:
            _take_run(run, value)
        elif number == _CONFIG:
            run.config = {**run.config, **_config(value)}
        elif number == _EXIT:
            code = next((signed(one) for key, one in fields(value) if key == _EXIT_CODE), 0)
            run.state = "failed" if code else "finished"


def _take_run(run: PastRun, record: bytes) -> None:
    run.key = text(record, _RUN_ID) or run.key
    run.name = text(record, _NAME) or run.key
    run.project = text(record, _PROJECT) or None
    run.tags = tuple(tag.decode("utf-8", "replace") for tag in parts(record, _TAGS))
    for config in parts(record, _RUN_CONFIG):
        run.config = {**run.config, **_config(config)}


def _config(record: bytes) -> dict[str, JsonValue]:
    """The settings, save those W&B keeps for itself."""
    updates = (_pair(update) for update in parts(record, _UPDATE))
    return {key: as_json(value) for key, value in updates if not key.startswith(_OWN)}


def _take_history(run: PastRun, record: bytes) -> None:
    """One row: its numbers at its step; what is no number is counted."""
    row = dict(_pair(item) for item in parts(record, _ITEM))
    told = [
        signed(one) for step in parts(record, _STEP) for key, one in fields(step) if key == _NUM
    ]
    step, time = row.get(_STEP_KEY, told[0] if told else 0), row.get(_TIME_KEY, 0)
    if not isinstance(step, int) or not isinstance(time, int | float):
        raise DamagedError("a row of the history has no step")
    for name, value in _numbers(run, row):
        run.add(name, step, Value(float(time), value))


def _numbers(run: PastRun, row: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """Name -> number; a histogram leaves about the norm of what it counts, and the largest."""
    for name, value in row.items():
        if name.endswith(_TYPE) and value == "histogram":
            yield from _of_histogram(name.removesuffix(_TYPE), row)
        elif name.startswith(_OWN) or name.endswith(_HISTOGRAM_PARTS):
            continue
        elif isinstance(value, int | float):
            yield name, float(value)
        else:
            run.left_out["texts and media"] += 1


def _of_histogram(name: str, row: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    counts, edges = row.get(name + _COUNTS), row.get(name + _BINS)
    low, width = row.get(name + _PACKED_MIN), row.get(name + _PACKED_SIZE)
    if not isinstance(counts, list):
        return
    if isinstance(low, int | float) and isinstance(width, int | float):
        edges = [low + width * place for place in range(len(counts) + 1)]
    if isinstance(edges, list) and len(edges) == len(counts) + 1:
        norm, top = _size(counts, edges)
        yield name + NORM, norm
        yield name + MAX, top


def _size(counts: Sequence[Any], edges: Sequence[Any]) -> tuple[float, float]:
    """The norm of what a histogram counts, and the largest."""
    try:
        middles = [(left + right) / 2 for left, right in pairwise(edges)]
        squares = sum(n * x * x for n, x in zip(counts, middles, strict=True))
        return math.sqrt(squares), float(max(map(abs, edges)))
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedError("a histogram has values that are no numbers of anything") from error


def _pair(item: bytes) -> tuple[str, object]:
    """A key and its value; the parts of a nested key are joined by points."""
    nested = [part.decode("utf-8", "replace") for part in parts(item, _NESTED_KEY)]
    try:
        value: object = json.loads(text(item, _VALUE_JSON) or "null")
    except ValueError as error:
        raise DamagedError("a value is no JSON") from error
    return text(item, _KEY) or ".".join(nested), value
