"""Packs records into the bytes of one frame: a msgpack map of little-endian arrays; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgpack
import numpy as np

from gradwatch.layers import LayerTable
from gradwatch.records import Event, Record, Report
from gradwatch.values import Float32Array, missing32, missing64


def table_of(records: Sequence[Record]) -> LayerTable:
    """The layer table of a frame: that of its reports, or of its newest event if it has none."""
    reports = [record for record in records if isinstance(record, Report)]
    return (reports[-1] if reports else records[-1]).table


def encode(records: Sequence[Record]) -> bytes:
    """The body of ``PUT …/frames/{seq}`` for records of one group, in the order given."""
    reports = [record for record in records if isinstance(record, Report)]
    body: dict[str, object] = {
        "steps": np.array([report.step for report in reports], "<i8").tobytes(),
        "time": np.array([report.time for report in reports], "<f8").tobytes(),
        "scalars": _scalars(reports),
        "layers_hash": table_of(records).hash,
        "layers": _stacked(reports, lambda report: report.layers),
    }
    if any(report.profiles for report in reports):
        body["profiles"] = _stacked(reports, lambda report: report.profiles)
    if len(reports) < len(records):
        body["events"] = [record.body for record in records if isinstance(record, Event)]
    packed: bytes = msgpack.packb(body)
    return packed


def _scalars(reports: Sequence[Report]) -> dict[str, bytes]:
    """Scalar name -> float64[n], missing where a report lacks it."""
    columns: dict[str, bytes] = {}
    for name in dict.fromkeys(name for report in reports for name in report.scalars):
        column = missing64(len(reports))
        for row, report in enumerate(reports):
            if name in report.scalars:
                column[row] = report.scalars[name]
        columns[name] = column.astype("<f8").tobytes()
    return columns


def _stacked(
    reports: Sequence[Report], arrays: Callable[[Report], Mapping[str, Float32Array]]
) -> dict[str, bytes]:
    """Statistic or axis -> float32[n, width], missing where a report lacks it."""
    widths = {name: len(array) for report in reports for name, array in arrays(report).items()}
    stacked: dict[str, bytes] = {}
    for name, width in widths.items():
        matrix = missing32(len(reports), width)
        for row, report in enumerate(reports):
            if name in arrays(report):
                matrix[row] = arrays(report)[name]
        stacked[name] = matrix.astype("<f4").tobytes()
    return stacked
