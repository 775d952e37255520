"""Packs records into a frame, a msgpack map of little-endian arrays, and halves it; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack
import numpy as np

from gradwatch.layers import LayerTable
from gradwatch.records import Event, Record, Report
from gradwatch.spool.entries import Frame
from gradwatch.values import Float32Array, missing32, missing64


def table_of(records: Sequence[Record]) -> LayerTable:
    """The layer table of a frame: that of its reports, or of its newest event if it has none."""
    reports = [record for record in records if isinstance(record, Report)]
    return (reports[-1] if reports else records[-1]).table


def pack(records: Sequence[Record]) -> Frame:
    """Records of one group, in the order given, as they travel and wait."""
    return Frame(encode(records), len(records), table_of(records).hash)


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


def split(frame: Frame) -> list[Frame]:
    """The first and the second half of an encoded frame; the frame alone if it is indivisible."""
    body: dict[str, Any] = msgpack.unpackb(frame.body)
    rows, events = len(body["steps"]) // 8, body.get("events", [])
    if rows + len(events) < 2:
        return [frame]
    middle = (rows + 1) // 2
    told = 0 if rows == 1 else len(events) // 2
    return [
        _packed(_rows(body, rows, range(middle)), events[:told], frame.table),
        _packed(_rows(body, rows, range(middle, rows)), events[told:], frame.table),
    ]


def _rows(body: Mapping[str, Any], rows: int, wanted: range) -> dict[str, Any]:
    """The arrays of a frame of so many rows, each with the wanted ones only."""

    def part(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: part(array) for name, array in value.items()}
        width = len(value) // rows
        return value[wanted.start * width : wanted.stop * width]

    if not wanted:
        return {"steps": b"", "time": b"", "scalars": {}, "layers": {}}
    arrays = ("steps", "time", "scalars", "layers", "profiles")
    return {key: part(body[key]) for key in arrays if key in body}


def _packed(arrays: Mapping[str, Any], events: Sequence[Any], table: str) -> Frame:
    body = {**arrays, "layers_hash": table, **({"events": events} if events else {})}
    return Frame(msgpack.packb(body), len(arrays["steps"]) // 8 + len(events), table)
