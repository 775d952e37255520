"""How many stored reports a back-test judges in a second: the first time, and when a slider moves.

``python -m benchmarks.backtest_cost``; on an SQLite file of its own.
"""

from __future__ import annotations

import resource
import tempfile
import uuid
from pathlib import Path
from time import process_time

import numpy as np

from gradwatch_service.clock import utc_now
from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.ingest.backtest import Bench, Trial
from gradwatch_service.ingest.pushes import FramePush, Judgement
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import launches, packing
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.migration import migrate

STATISTICS = ("grad_norm", "weight_norm", "update_norm", "grad_max")
SHAPES = ((20, 20, 2_000), (4, 300, 2_000))  # runs, layers, reports
CHUNK = 50


def store(folder: Path, runs: int, layers: int, reports: int) -> str:
    """Runs of noise, each with a spike; returns the database's address."""
    url = f"sqlite:///{folder}/{layers}.db"
    engine = make_engine(url)
    migrate(engine)
    table = LayerTable(tuple(Layer(f"l{i}", "linear", i, (64, 64)) for i in range(layers)))
    writer = Writer(engine)
    writer.start()
    for seed in range(runs):
        run_id = uuid.uuid4()
        request = launches.RunRequest(id=run_id, project="p", layers=table)
        with engine.begin() as connection:
            launches.create_or_resume_run(connection, request, utc_now())
        whole = story(seed, table, reports)
        for seq, first in enumerate(range(0, reports, CHUNK)):
            frame = whole.rows(first, first + CHUNK)
            body = packing.pack(frame)
            push = FramePush(run_id, "w", seq, bytes(32), frame, body)
            writer.submit(push).result(60)
        writer.submit(Judgement(run_id)).result(60)
    writer.stop()
    engine.dispose()
    return url


def story(seed: int, table: LayerTable, reports: int) -> Frame:
    noise = np.random.default_rng(seed)
    wide = (reports, len(table))
    norm = np.exp(noise.normal(0, 0.2, reports))
    norm[reports // 2] *= 30
    return Frame(
        steps=np.arange(reports),
        time=np.arange(reports, dtype=np.float64),
        scalars={"loss": 2 + 0.1 * noise.normal(size=reports), "grad_norm": norm},
        layers_hash=table.hash,
        layers={
            name: np.exp(noise.normal(0, 0.2, wide)).astype(np.float32) * np.float32(size)
            for name, size in zip(STATISTICS, (1, 10, 0.01, 0.1), strict=True)
        },
    )


def main() -> None:
    print("| runs x layers x reports | first | again | alerts change | none changes | memory |")
    for runs, layers, reports in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(make_engine(store(Path(folder), runs, layers, reports)))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            rates = []
            for values in ({}, {}, {"gradient-spike": 7.0}, {"loss-spike": 7.0}):
                changes = tuple((rule, "threshold", value) for rule, value in values.items())
                begun = process_time()
                found = bench.run(Trial("p", changes, runs, seconds=600))
                rates.append(f"{runs * reports / (process_time() - begun):,.0f}/s")
                assert found["totals"]["runs"] == runs
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
            print(f"| {runs} x {layers} x {reports:,} | {' | '.join(rates)} | {grown} MiB |")


if __name__ == "__main__":
    main()
