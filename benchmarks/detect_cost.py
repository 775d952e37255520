"""What detection costs: values per second and microseconds per report, by layers and batch size.

Run with ``make bench``. Every statistic of a layer that a client may send is there; values per
second count each of them. Processor time of one core: other work on the machine does not count.
The first figures are the best of several stretches of a healthy stream; the last line is what
single pushes of one report take, with those that end a block.
"""

from __future__ import annotations

import time

import numpy as np

from gradwatch_service.detect import engine
from gradwatch_service.detect.engine import DetectorState
from gradwatch_service.domain import Frame, Layer, LayerTable

USUAL = {
    "grad_norm": 0.35, "grad_max": 0.02, "grad_mean": 1e-5, "grad_rms": 5e-3, "grad_nonfinite": 0.0,
    "grad_zero": 0.1, "weight_norm": 11.0, "update_norm": 0.02,
}  # fmt: skip
MORE = {**USUAL, "moment_rms": 1.0, "weight_nonfinite": 0.0}
CASES = (
    (8, 1, USUAL), (8, 10, USUAL), (8, 64, USUAL), (300, 1, USUAL), (300, 10, USUAL),
    (300, 64, USUAL), (300, 10, MORE),
)  # fmt: skip
STRETCHES, REPORTS = 8, 320
SINGLE_LAYERS = 200


def main() -> None:
    print(f"{'layers':>6} {'stats':>5} {'batch':>6} {'µs/report':>10} {'values/s':>10}")
    for layers, batch, stats in CASES:
        seconds = cost(layers, batch, stats)
        values = layers * len(stats) / seconds
        line = f"{layers:6d} {len(stats):5d} {batch:6d} {seconds * 1e6:10.0f}"
        print(f"{line} {values / 1e6:8.2f} M")
    median, p99 = single(SINGLE_LAYERS)
    print(
        f"{SINGLE_LAYERS} layers, {len(MORE)} statistics, one report a push: "
        f"median {median * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms"
    )


def cost(layers: int, batch: int, stats: dict[str, float]) -> float:
    """Seconds per report once the baselines are full."""
    table, state = settled(layers, stats)
    best = np.inf
    for stretch in range(STRETCHES):
        whole = frame(table, REPORTS, stats, seed=stretch + 1)
        parts = [rows(whole, start, batch) for start in range(0, REPORTS, batch)]
        begun = time.thread_time()
        for part in parts:
            state, _ = engine.update(state, part, table)
        best = min(best, (time.thread_time() - begun) / REPORTS)
    return best


def single(layers: int) -> tuple[float, float]:
    """Median and 99th percentile of the seconds that pushes of one report take."""
    table, state = settled(layers, MORE)
    whole = frame(table, STRETCHES * REPORTS, MORE, seed=1)
    taken = []
    for row in range(len(whole)):
        part = rows(whole, row, 1)
        begun = time.thread_time()
        state, _ = engine.update(state, part, table)
        taken.append(time.thread_time() - begun)
    return float(np.median(taken)), float(np.quantile(taken, 0.99))


def settled(layers: int, stats: dict[str, float]) -> tuple[LayerTable, DetectorState]:
    """A net of this many layers, and the state once the baselines are full."""
    table = LayerTable(
        tuple(Layer(f"{i}", "linear", i, (64, 64), activation="relu") for i in range(layers))
    )
    whole = frame(table, 2 * REPORTS, stats, seed=0)
    return table, engine.update(engine.init(table), whole, table)[0]


def frame(table: LayerTable, n: int, stats: dict[str, float], seed: int) -> Frame:
    rng = np.random.default_rng(seed)
    layers = {
        name: (value * np.exp2(rng.normal(0.0, 0.2, (n, len(table))))).astype(np.float32)
        for name, value in stats.items()
    }
    scalars = {
        "loss": np.exp2(rng.normal(0.0, 0.1, n)),
        "grad_norm": np.exp2(rng.normal(0.0, 0.2, n)),
        "lr": np.full(n, 1e-3),
        "clip_norm": np.full(n, 2.0),
        "batch_size": np.full(n, 32.0),
        "seq_len": rng.integers(32, 64, n).astype(np.float64),
    }
    return Frame(np.arange(n), np.zeros(n), scalars, table.hash, layers)


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
