"""The curves of growth as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.load.driver import MIB
from benchmarks.load.growth import LAYERS_AXIS, RUNS_AXIS, STEPS_AXIS, Point

HEAD = (
    f"{'growth':14} {'size':>9} {'CPU µs/report':>13} {'to first':>8} {'CPU ns/float':>12} "
    f"{'p50 ms':>8} {'p99 ms':>8} {'reports/s':>9} {'RSS MiB':>8}"
)
DRAWN = (RUNS_AXIS, STEPS_AXIS, LAYERS_AXIS)
CPU_COLOUR, LATENCY_COLOUR, LINE_COLOUR = "#1a6fb0", "#b45309", "#6b7280"


def growth_table(points: Sequence[Point]) -> str:
    """A line a point."""
    lines = [HEAD]
    for _, on_axis in groupby(points, key=lambda one: one.axis):
        curve = list(on_axis)
        lines += [_line(one, curve[0]) for one in curve]
    return "\n".join(lines)


def _line(point: Point, first: Point) -> str:
    found = point.measured
    ratio = found.cpu_a_request / first.measured.cpu_a_request
    line = (
        f"{point.axis:14} {point.size:9d} {1e6 * found.cpu_a_request:13.0f} {ratio:8.2f} "
        f"{1e9 * found.cpu_a_request / point.values:12.1f} {1e3 * found.p50:8.2f} "
        f"{1e3 * found.p99:8.2f} {found.requests_a_second:9.1f} {found.resident_bytes / MIB:8.0f}"
    )
    return f"{line}  errors: {dict(found.statuses)}" if found.errors else line


def draw(points: Sequence[Point], path: Path) -> None:
    """Cost and latency against size, each axis in a panel."""
    mpl.rcParams |= {"svg.hashsalt": "gradwatch", "font.size": 9, "font.family": "sans-serif"}
    figure, panels = plt.subplots(1, len(DRAWN), figsize=(11, 3.4), layout="constrained")
    for axes, axis in zip(panels, DRAWN, strict=True):
        _panel(axes, [point for point in points if point.axis == axis])
        axes.set(xlabel=axis, xscale="log", yscale="log")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("milliseconds a report")
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _panel(axes: Axes, curve: Sequence[Point]) -> None:
    sizes = [point.size for point in curve]
    cpu = [1e3 * point.measured.cpu_a_request for point in curve]
    axes.plot(sizes, cpu, "o-", color=CPU_COLOUR, label="processor time of the server")
    p50 = [1e3 * point.measured.p50 for point in curve]
    axes.plot(sizes, p50, "s--", color=LATENCY_COLOUR, label="latency, median")
