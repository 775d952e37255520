"""How soon the page of a run of 300 layers x 100,000 steps is there, in headless Chromium.

Run with ``python -m benchmarks.dashboards_run``. The run is stored past HTTP, judged, and put into
tiles; the newest reports are still in frames. Medians of five visits, each with an empty cache.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from playwright.sync_api import Browser, sync_playwright

from gradwatch_service.api.backend import Backend
from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import packing
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.migration import migrate
from gradwatch_service.store.tables import runs
from gradwatch_service.worker import compact

LAYERS, STEPS, PER_FRAME, VISITS = 300, 100_000, 100, 5
BREAKS, FIRST, DIES = 99_200, 137, 99_900
TABLE = LayerTable(
    tuple(Layer(f"blocks.{n}.weight", "linear", n, (512, 512)) for n in range(LAYERS))
)
MARKS = {
    "verdict visible": "() => document.querySelector('#verdict') !== null",
    "curves painted": "() => document.querySelector('#curves[data-state=\"drawn\"]') !== null",
    "heat map painted": """() => {
        document.querySelector('#heatmap').scrollIntoView();
        return document.querySelector('#heatmap[data-state="drawn"]') !== null;
    }""",  # below the fold: for who scrolls there as soon as the curves are painted
}
CPU = "processor time"  # of the page's main thread; hardly depends on what else is running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path, help="keep it there; a run in it is used again")
    folder = Path(tempfile.mkdtemp(prefix="gradwatch-dashboards-"))
    try:
        database = parser.parse_args().database or folder / "run.db"
        url = f"sqlite:///{database}"
        run_id = stored_run(url) or prepare(url)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {run_id}")
        with served(url, folder) as origin:
            measure(f"{origin}/runs/{run_id}")
    finally:
        shutil.rmtree(folder)


def stored_run(url: str) -> uuid.UUID | None:
    """The run that an earlier call prepared."""
    engine = make_engine(url)
    migrate(engine)
    with engine.connect() as connection:
        found = connection.execute(sa.select(runs.c.run_id)).scalar()
    engine.dispose()
    return found


def prepare(url: str) -> uuid.UUID:
    """Store the run as ingest does, and compact it."""
    engine, run_id = make_engine(url), uuid.uuid4()
    now = dt.datetime.now(dt.UTC)
    with engine.begin() as connection:
        create_or_resume_run(connection, RunRequest(run_id, "lm", "gpt-300", layers=TABLE), now)
    writer = Writer(engine)
    writer.start()
    begun = time.perf_counter()
    for seq, frame in enumerate(reports()):
        body = packing.pack(frame)
        digest = hashlib.sha256(body).digest()
        writer.submit(FramePush(run_id, "w", seq, digest, frame, body)).result(600)
    writer.judge(run_id).result(600)
    print(f"stored and judged in {time.perf_counter() - begun:.0f} s")
    backend = Backend(engine, writer, Settings(), lambda: now, Ballast(engine, 0))
    print(f"{compact(backend)} groups of tiles")
    writer.stop()
    engine.dispose()
    return run_id


def reports() -> Iterator[Frame]:
    """A calm training; from ``BREAKS`` on one layer grows, its neighbours after it, then NaN."""
    noise = np.random.default_rng(0)
    level = noise.standard_normal(LAYERS) / 2 - 4
    weights = 20 * np.exp(noise.standard_normal(LAYERS) / 4)
    lag = 3 * np.abs(np.arange(LAYERS) - FIRST)
    for start in range(0, STEPS, PER_FRAME):
        steps, shape = np.arange(start, start + PER_FRAME), (PER_FRAME, LAYERS)
        level = level + 0.01 * noise.standard_normal(LAYERS)
        growth = np.exp2(np.clip((steps[:, None] - BREAKS - lag) / 20, 0, 100))
        norms = np.exp(level + 0.2 * noise.standard_normal(shape)) * growth
        norms[steps >= DIES] = np.nan
        total = np.sqrt((norms**2).sum(axis=1))
        loss = (1.5 + 8 * np.exp2(-steps / 8000)) * np.exp(0.05 * noise.standard_normal(PER_FRAME))
        stats = {
            "grad_norm": norms,
            "grad_max": norms / 100,
            "weight_norm": np.broadcast_to(weights, shape) * (1 + steps[:, None] / 1e6),
            "update_norm": 1e-3 * weights * np.exp(0.1 * noise.standard_normal(shape)),
        }
        scalars = {
            "loss": loss * (1 + total / 1e3),
            "grad_norm": total,
            "lr": 3e-4 * np.minimum(steps / 2000, 1) * np.exp2(-steps / 60_000),
        }
        layers = {name: block.astype(np.float32) for name, block in stats.items()}
        yield Frame(steps, 1.7e9 + 0.2 * steps, scalars, TABLE.hash, layers)


@contextmanager
def served(url: str, folder: Path) -> Iterator[str]:
    """A real server in a process of its own; the address of its pages."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    program = "import sys; from gradwatch_service.commands import serve; serve(sys.argv[1:])"
    command = [sys.executable, "-c", program, "--port", str(port), "--database-url", url]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        origin = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(origin)
            yield origin
        finally:
            process.terminate()


def _wait_until_ready(origin: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{origin}/readyz", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError("the server is not ready")


def measure(address: str) -> None:
    """Print when what people look for was painted, since navigation began."""
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        visits = [visit(browser, address) for _ in range(VISITS)]
        browser.close()
    for name in (*MARKS, CPU):
        taken = [one[name] for one in visits]
        print(f"{name:18} {statistics.median(taken):6.0f} ms   of {sorted(map(round, taken))}")


def visit(browser: Browser, address: str) -> dict[str, float]:
    """Milliseconds from navigation to each mark, by the page's own clock."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(address, wait_until="commit")
    found = {}
    for name, condition in MARKS.items():
        page.wait_for_function(condition, polling="raf", timeout=30_000)
        found[name] = float(page.evaluate("performance.now()"))
    spent = tools.send("Performance.getMetrics")["metrics"]
    found[CPU] = next(one["value"] for one in spent if one["name"] == "TaskDuration") * 1e3
    context.close()
    return found


if __name__ == "__main__":
    main()
