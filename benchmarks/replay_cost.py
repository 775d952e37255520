"""What a replay of single reports costs, one by one and joined: µs per report of 20 layers.

Run with ``make bench``. Both are measured in one run: compare them, not the seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from detect_cost import frame, rows

from gradwatch_service.diagnose import fold
from gradwatch_service.domain import Facts, Frame, Layer, LayerTable
from gradwatch_service.ingest.replay import joined

LAYERS, REPORTS = 20, 4_000
TABLE = LayerTable(
    tuple(Layer(f"{i}", "linear", i, (64, 64), activation="relu") for i in range(LAYERS))
)


def main() -> None:
    whole = frame(TABLE, REPORTS, seed=0)
    log = [rows(whole, start, 1) for start in range(REPORTS)]
    single, together = cost(log), cost(joined(log))
    ratio = single / together
    print(f"replay: {single:.0f} µs a report one by one, {together:.0f} joined ({ratio:.1f}x)")


def cost(log: Iterable[Frame]) -> float:
    """Microseconds per report."""
    state, begun = fold.init(TABLE, Facts()), time.perf_counter()
    for part in log:
        state, _ = fold.update(state, part, TABLE)
    return (time.perf_counter() - begun) / REPORTS * 1e6


if __name__ == "__main__":
    main()
