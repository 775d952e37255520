"""What detection costs: values per second and microseconds per report, by layers and batch size.

Run with ``make bench``; each figure is the best of several stretches of a healthy stream, on one
core.
"""

from __future__ import annotations

import time

import numpy as np

from gradwatch_service.detect import engine
from gradwatch_service.domain import Frame, Layer, LayerTable

USUAL = {
    "grad_norm": 0.35, "grad_max": 0.02, "grad_mean": 1e-5, "grad_rms": 5e-3, "grad_nonfinite": 0.0,
    "grad_zero": 0.1, "weight_norm": 11.0, "update_norm": 0.02,
}  # fmt: skip
CASES = ((8, 1), (8, 10), (8, 64), (300, 1), (300, 10), (300, 64))
STRETCHES, REPORTS = 8, 320


def main() -> None:
    print(f"{'layers':>6} {'batch':>6} {'µs/report':>10} {'values/s':>10}")
    for layers, batch in CASES:
        seconds = cost(layers, batch)
        values = layers * len(USUAL) / seconds
        print(f"{layers:6d} {batch:6d} {seconds * 1e6:10.0f} {values / 1e6:8.2f} M")


def cost(layers: int, batch: int) -> float:
    """Seconds per report once the baselines are full."""
    table = LayerTable(
        tuple(Layer(f"{i}", "linear", i, (64, 64), activation="relu") for i in range(layers))
    )
    state, _ = engine.update(engine.init(table), frame(table, 2 * REPORTS, seed=0), table)
    best = np.inf
    for stretch in range(STRETCHES):
        whole = frame(table, REPORTS, seed=stretch + 1)
        parts = [rows(whole, start, batch) for start in range(0, REPORTS, batch)]
        begun = time.perf_counter()
        for part in parts:
            state, _ = engine.update(state, part, table)
        best = min(best, (time.perf_counter() - begun) / REPORTS)
    return best


def frame(table: LayerTable, n: int, seed: int) -> Frame:
    rng = np.random.default_rng(seed)
    stats = {
        name: (value * np.exp2(rng.normal(0.0, 0.2, (n, len(table))))).astype(np.float32)
        for name, value in USUAL.items()
    }
    scalars = {
        "loss": np.exp2(rng.normal(0.0, 0.1, n)),
        "grad_norm": np.exp2(rng.normal(0.0, 0.2, n)),
        "lr": np.full(n, 1e-3),
    }
    return Frame(np.arange(n), np.zeros(n), scalars, table.hash, stats)


def rows(whole: Frame, start: int, count: int) -> Frame:
    part = slice(start, start + count)
    return Frame(
        whole.steps[part],
        whole.time[part],
        {name: values[part] for name, values in whole.scalars.items()},
        whole.layers_hash,
        {name: values[part] for name, values in whole.layers.items()},
    )


if __name__ == "__main__":
    main()
