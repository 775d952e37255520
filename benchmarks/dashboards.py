"""How fast the board is: ``python -m benchmarks.dashboards board``; medians of five.

A thousand runs are written into SQLite past HTTP, then served and shown in headless Chromium.
Interactive is the moment when the search hides rows and the rows have been painted. On a machine
that does other things, too, compare what the browser's main thread was busy.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import os
import shutil
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import sqlalchemy as sa
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import Connection, Engine

from benchmarks.load.databases import sqlite
from benchmarks.load.service import Service, serving
from gradwatch_service.api.backend import Backend
from gradwatch_service.clock import utc_now
from gradwatch_service.domain import Frame
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import packing
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.migration import migrate
from gradwatch_service.store.tables import frames, runs, writers
from gradwatch_service.worker import compact

RUNS, LONG, REPEATS = 1_000, 50, 5
SHORT_STEPS, LONG_STEPS, A_FRAME = 200, 10_000, 10
DYING = 20
CALM = [{"step": step, "loss": 1.0, "grad_norm": 1.0} for step in range(10)]
DEADLY = [{"step": 10, "loss": "NaN", "layers": {"fc1": {"grad_norm": "NaN"}}}]
WATCH = """(() => {
  function type(field, text) {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function look() {
    const row = document.querySelector("#rows tr");
    const field = document.querySelector("#filters input[name=q]");
    if (!row || !field) return requestAnimationFrame(look);
    type(field, "no run has this name");
    const works = row.hidden;
    type(field, "");
    if (!works) return requestAnimationFrame(look);
    const painted = () => { window.interactive = performance.now(); };
    return requestAnimationFrame(() => requestAnimationFrame(painted));
  }
  requestAnimationFrame(look);
})()"""
TIMES = """() => ({
  answered: performance.getEntriesByType("navigation")[0].responseEnd,
  painted: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
  interactive: window.interactive,
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["board"])
    parser.parse_args()
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{RUNS} runs, {LONG} of them of {LONG_STEPS} steps, {DYING} alerts; {load}")
    with sqlite() as database:
        long = prepare(database.url)
        with serving(database) as service, chromium() as browser, service.client() as http:
            kill(http, DYING)
            told(median(lambda: answered(http, service, long)))
            told(median(lambda: shown(browser, service)))
            told(live(browser, service, http))


def told(figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:44} {value:8.0f} ms", flush=True)


def median(measure: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    measure()  # once for whatever is done but once
    found = [measure() for _ in range(REPEATS)]
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def answered(http: httpx.Client, service: Service, long: Sequence[uuid.UUID]) -> dict[str, float]:
    """What the server takes: the page, and the curves of 50 long runs."""
    page = f"http://127.0.0.1:{service.port}/"
    query = [("run", str(one)) for one in long]
    return {
        "the page, from the server": timed(lambda: http.get(page)),
        f"sparklines of {LONG} runs of {LONG_STEPS} steps": timed(
            lambda: http.get("/sparklines", params=query)
        ),
    }


def timed(ask: Callable[[], httpx.Response]) -> float:
    begun = time.perf_counter()
    ask().raise_for_status()
    return (time.perf_counter() - begun) * 1e3


def shown(browser: Browser, service: Service) -> dict[str, float]:
    """One visit with an empty cache."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    clock = context.new_cdp_session(page)
    clock.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.add_init_script(WATCH)
    page.goto(f"http://127.0.0.1:{service.port}/")
    page.wait_for_function("window.interactive")
    times: dict[str, float] = page.evaluate(TIMES)
    metrics = clock.send("Performance.getMetrics")["metrics"]
    busy = {one["name"]: one["value"] for one in metrics}["TaskDuration"]
    times["busy in the main thread"] = busy * 1e3
    page.wait_for_selector("#rows tr svg")
    context.close()
    return {f"board, {name}": value for name, value in times.items()}


def live(browser: Browser, service: Service, http: httpx.Client) -> dict[str, float]:
    """From the push that kills a run to its card on an open board."""
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{service.port}/")
    page.wait_for_selector("#live[data-state=on]")
    taken = []
    for run in begin(http, REPEATS):
        begun = time.perf_counter()
        push(http, run, DEADLY)
        page.wait_for_selector(f".alert a[href='/runs/{run}']", state="attached")
        taken.append((time.perf_counter() - begun) * 1e3)
    page.close()
    return {
        "an alert, from push to open board": statistics.median(taken),
        "the slowest": max(taken),
    }


def begin(http: httpx.Client, count: int) -> list[str]:
    found = []
    for number in range(count):
        body = {"project": "dying", "name": f"dying {number}"}
        found.append(str(http.post("/runs", json=body).raise_for_status().json()["id"]))
        push(http, found[-1], CALM)
    return found


def kill(http: httpx.Client, count: int) -> None:
    for run in begin(http, count):
        push(http, run, DEADLY)
        http.get(f"/runs/{run}").raise_for_status()  # answers when all is judged


def push(http: httpx.Client, run: str, steps: Sequence[Mapping[str, Any]]) -> None:
    http.post(f"/runs/{run}/steps", json={"steps": steps}).raise_for_status()


def prepare(url: str) -> list[uuid.UUID]:
    """Write all runs; returns the long ones, whose reports are in tiles but for the newest."""
    engine = make_engine(url)
    migrate(engine)
    now = utc_now()
    with engine.begin() as connection:
        ids = [new_run(connection, number, now) for number in range(RUNS)]
    for number, run_id in enumerate(ids):
        with engine.begin() as connection:
            report(connection, run_id, LONG_STEPS if number < LONG else SHORT_STEPS, now)
    into_tiles(engine, now)
    engine.dispose()
    return ids[:LONG]


def new_run(connection: Connection, number: int, now: dt.datetime) -> uuid.UUID:
    run_id = uuid.uuid4()
    config = {"max_steps": 2 * LONG_STEPS, "lr": 3e-4, "optimizer": "adamw"}
    tags = [f"sweep-{number % 20}", "bf16"]
    request = RunRequest(run_id, f"team-{number % 8}", f"gpt-{number:04}", config, tags)
    create_or_resume_run(connection, request, now - dt.timedelta(minutes=number))
    state = "running" if number < LONG else "finished"
    seen = {"state": state, "last_step": LONG_STEPS - 1, "last_seen_at": now}
    connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(seen))
    return run_id


def report(connection: Connection, run_id: uuid.UUID, steps: int, now: dt.datetime) -> None:
    """A training that goes well, in the log as ingest writes it; all of it is judged."""
    rows = list(log(run_id, steps, now))
    connection.execute(sa.insert(frames), rows)
    whose = {"run_id": run_id, "writer": "rank0", "attempt": 1, "layers_hash": "", "guard": {}}
    position = {"next_seq": len(rows), "ordinal": steps, "reports": steps, "version": 1}
    span = {"first_step": 0, "last_step": steps - 1, "lost": 0, "transitions": 0}
    connection.execute(sa.insert(writers).values(whose | position | span))


def log(run_id: uuid.UUID, steps: int, now: dt.datetime) -> Iterator[dict[str, object]]:
    noise = np.random.default_rng(run_id.int & 0xFFFF)
    at = np.arange(steps)
    loss = 1.0 + np.exp2(-at / 1000) + 0.1 * noise.standard_normal(steps)
    norm = np.exp2(0.3 * noise.standard_normal(steps))
    for seq, first in enumerate(range(0, steps, A_FRAME)):
        rows = slice(first, first + A_FRAME)
        scalars = {"loss": loss[rows], "grad_norm": norm[rows]}
        body = packing.pack(Frame(at[rows], 1.7e9 + 0.2 * at[rows], scalars, ""))
        digest = hashlib.sha256(body).digest()
        where = {"run_id": run_id, "writer": "rank0", "seq": seq, "attempt": 1, "layers_hash": ""}
        span = {"step_min": first, "step_max": first + A_FRAME - 1, "reports": A_FRAME}
        yield where | span | {"digest": digest, "ordinal": first, "received_at": now, "body": body}


def into_tiles(engine: Engine, now: dt.datetime) -> None:
    writer = Writer(engine)
    writer.start()
    while compact(Backend(engine, writer, Settings(), lambda: now, Ballast(engine, 0))):
        pass
    writer.stop()


@contextmanager
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
