"""The table: one line a system and workload, with its ratio to ours on the same workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load.driver import MIB, Measured

OURS = "gradwatch"
SHOWN = 400


@dataclass(frozen=True)
class Row:
    """What one system made of one workload; ``bytes_a_float`` on disk, after a clean stop."""

    workload: str
    system: str
    measured: Measured
    bytes_a_float: float | None = None


HEAD = (
    f"{'':3} {'system':29} {'M floats/s':>10} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} "
    f"{'CPU µs/float':>12} {'CPU µs/req':>10} {'RSS MiB':>8} {'bytes/float':>11} {'ours is':>8}"
)


def table(rows: Sequence[Row]) -> str:
    """All rows, a workload after the other, errors below."""
    in_order = sorted(rows, key=lambda one: one.workload)
    lines = [_line(row, _best_of_ours(rows, row.workload)) for row in in_order]
    return "\n".join([HEAD, *lines, *(_errors(row) for row in rows if row.measured.errors)])


def _best_of_ours(rows: Sequence[Row], workload: str) -> float:
    rates = [
        row.measured.floats_a_second
        for row in rows
        if row.workload == workload and row.system.startswith(OURS)
    ]
    return max(rates, default=0.0)


def _line(row: Row, ours: float) -> str:
    found = row.measured
    return (
        f"{row.workload:3} {row.system:29} {found.floats_a_second / 1e6:10.3f} "
        f"{found.requests_a_second:10.1f} {1e3 * found.p50:8.2f} {1e3 * found.p99:8.2f} "
        f"{1e6 * found.cpu_a_float:12.4f} {1e6 * found.cpu_a_request:10.0f} "
        f"{found.resident_bytes / MIB:8.0f} {_size(row.bytes_a_float):>11} "
        f"{_ratio(ours, found.floats_a_second):>8}"
    )


def _size(bytes_a_float: float | None) -> str:
    return "-" if bytes_a_float is None else f"{bytes_a_float:.2f}"


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.3g} x" if ours and theirs else "-"


def _errors(row: Row) -> str:
    bad = {status: n for status, n in row.measured.statuses.items() if status >= 300}
    first = row.measured.refusal[-SHOWN:]
    return f"{row.workload} {row.system}: errors by status {bad}; the first: {first}"
