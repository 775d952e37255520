"""The forms in which peers take measurements; only times are filled in when sending."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.load.courses import Course
from benchmarks.load.protobuf import FIXED64, TEXT, field, snappy, varint
from benchmarks.load.reports import Report, report
from benchmarks.load.streams import KEEP_ALIVE, Parts
from benchmarks.load.writing import Workload, course_of

STAMP_BYTES = 6  # of a time as a varint


def whole(sent: Report) -> list[Report]:
    """One request a report."""
    return [sent]


@dataclass(frozen=True)
class Format:
    """A way in: ``pieces`` of a body, between which the steps' times stand in turn.

    ``requests``: a report in as many parts as it takes requests, which are sent one by one.
    """

    name: str
    path: str
    pieces: Callable[[Report], list[bytes]]
    stamps: Callable[[Sequence[int]], list[bytes]]
    wrap: Callable[[bytes], bytes] = bytes
    headers: str = "Content-Type: text/plain\r\n"
    requests: Callable[[Report], list[Report]] = whole


@dataclass(frozen=True)
class Prepared:
    """A request but for its times, and how many values it has."""

    pieces: list[bytes]
    floats: int


class FormatStream:
    """The reports of one run in a peer's format; ``floats`` are those of the next request."""

    def __init__(self, form: Format, course: Course, run: str, workload: Workload) -> None:
        self.sent = 0
        self._part = 0
        self._form = form
        self._batch = workload.batch
        self._end = workload.steps // workload.batch
        self._milliseconds = (course.time * 1e3).astype(np.int64)
        count = min(workload.sections, self._end)
        places = range(0, count * workload.batch, workload.batch)
        self._reports = [
            [
                Prepared(form.pieces(part), part.floats)
                for part in form.requests(report(course, run, at, workload.batch))
            ]
            for at in places
        ]

    @property
    def floats(self) -> int:
        return self._parts[self._part].floats

    def parts(self) -> Parts | None:
        """The next request, None at the end."""
        if self.sent == self._end:
            return None
        form, at = self._form, self.sent * self._batch
        pieces = self._parts[self._part].pieces
        stamps = form.stamps(self._milliseconds[at : at + self._batch].tolist())
        filled = [b""] * (2 * len(pieces) - 1)
        filled[::2] = pieces
        filled[1::2] = stamps * ((len(pieces) - 1) // len(stamps))
        body = form.wrap(b"".join(filled))
        head = (
            f"POST {form.path} HTTP/1.1\r\n{KEEP_ALIVE}{form.headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return [head.encode(), body]

    def acknowledged(self) -> None:
        """Go on to the next request; after a report's last one, to the next report."""
        self._part = (self._part + 1) % len(self._parts)
        self.sent += self._part == 0

    @property
    def _parts(self) -> list[Prepared]:
        return self._reports[self.sent % len(self._reports)]


def format_streams(form: Format, workload: Workload, runs: Sequence[str]) -> list[FormatStream]:
    """A stream for each run of a workload."""
    return [
        FormatStream(form, course_of(workload, place), run, workload)
        for place, run in enumerate(runs)
    ]


def digits(milliseconds: Sequence[int]) -> list[bytes]:
    """Times as decimal numbers."""
    return [b"%d" % one for one in milliseconds]


def _list(milliseconds: Sequence[int]) -> list[bytes]:
    return [b",".join(digits(milliseconds))]


def json_lines(sent: Report) -> list[bytes]:
    """A line a series, all its values and times in it."""
    pieces = [b""]
    for metric, layer, values in sent.series:
        where = f',"layer":"{layer}"' if layer else ""
        names = f'{{"__name__":"{metric}","run":"{sent.run}"{where}}}'
        text = f'{{"metric":{names},"values":[{",".join(values)}],"timestamps":['
        pieces[-1] += text.encode()
        pieces.append(b"]}\n")
    return pieces


def exposition(sent: Report) -> list[bytes]:
    """The text format of Prometheus: a line a value."""
    pieces = [b""]
    for metric, layer, values in sent.series:
        where = f',layer="{layer}"' if layer else ""
        for value in values:
            pieces[-1] += f'{metric}{{run="{sent.run}"{where}}} {value} '.encode()
            pieces.append(b"\n")
    return pieces


def line_protocol(sent: Report) -> list[bytes]:
    """InfluxDB's: a line a layer and step, all statistics in it."""
    return _lines(
        sent,
        lambda layer: f"layers,run={sent.run},layer={layer} ",
        f"runs,run={sent.run} ",
        "{}={}".format,
    )


def csv_line(sent: Report) -> list[bytes]:
    """A line a layer and step, all statistics in it; scalars are a line padded with zeros."""
    nothing = ["0"] * len(next(iter(sent.scalars.values())))
    padding = dict.fromkeys(sent.stats[len(sent.scalars) :], nothing)
    padded = replace(sent, scalars={**sent.scalars, **padding})
    return _lines(
        padded,
        lambda layer: f"{sent.run},{layer},",
        f"{sent.run},,",
        lambda _, value: value,
        end=",",
    )


def _lines(
    sent: Report,
    of_layer: Callable[[str], str],
    of_run: str,
    field: Callable[[str, str], str],
    end: str = " ",
) -> list[bytes]:
    pieces = [b""]
    rows = [
        (of_layer(name), dict(zip(sent.stats, by_stat, strict=True)))
        for name, by_stat in zip(sent.names, sent.layers, strict=True)
    ]
    for begin, columns in [*rows, (of_run, sent.scalars)]:
        for values in zip(*columns.values(), strict=True):
            fields = ",".join(map(field, columns, values))
            pieces[-1] += f"{begin}{fields}{end}".encode()
            pieces.append(b"\n")
    return pieces


def remote_write(sent: Report) -> list[bytes]:
    """The protobuf message of Prometheus' remote write."""
    pieces = [b""]
    for metric, layer, values in sent.series:
        labels = {"__name__": metric, "layer": layer, "run": sent.run}
        text = b"".join(
            field(1, field(1, name.encode()) + field(2, value.encode()))
            for name, value in labels.items()
            if value
        )
        sample_bytes = 1 + 8 + 1 + STAMP_BYTES
        size = len(text) + len(values) * (2 + sample_bytes)
        pieces[-1] += b"\x0a" + varint(size) + text
        for value in values:
            number = struct.pack("<d", float(value))
            pieces[-1] += bytes([2 << 3 | TEXT, sample_bytes, 1 << 3 | FIXED64]) + number + b"\x10"
            pieces.append(b"")
    return pieces


def _varints(milliseconds: Sequence[int]) -> list[bytes]:
    return [varint(one) for one in milliseconds]


PROTOBUF = (
    "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
    "X-Prometheus-Remote-Write-Version: 0.1.0\r\n"
)


def json_import(path: str) -> Format:
    """JSON lines."""
    return Format("JSON lines", path, json_lines, _list)


def text_import(path: str) -> Format:
    """Prometheus' text."""
    return Format("text", path, exposition, digits)


def influx(path: str) -> Format:
    """InfluxDB's line protocol, times in milliseconds."""
    return Format("line protocol", path, line_protocol, digits)


def csv(path: str) -> Format:
    """Comma-separated values."""
    return Format("CSV", path, csv_line, digits)


def prometheus(path: str) -> Format:
    """Prometheus' remote write."""
    return Format("remote write", path, remote_write, _varints, snappy, PROTOBUF)
