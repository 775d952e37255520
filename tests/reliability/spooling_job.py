"""Jobs for the promises about the spool: ``python -m tests.reliability.spooling_job crash RUN``.

``crash`` reports an explosion until it is killed. ``hour`` does as it is told on standard input.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradwatch
from gradwatch import config
from gradwatch.launch import Launch
from gradwatch.run import Run

PROJECT = "spooled"
CALM = 60
STEP_SECONDS = 0.003
PROGRESS_STEPS = 100
LAYERS, STATS = 300, 8
CROWDED = 100  # records in the queue, at which a job that is faster than real ones waits


def values(step: int) -> dict[str, Any]:
    """What is reported of a step: calm at first, then gradients that double."""
    norm = 2.0 ** min(max(0, step - CALM), 40)
    layers = {"in": {"grad_norm": 0.6 * norm}, "out": {"grad_norm": 0.8 * norm}}
    return {"loss": 1.0 + norm / 1e3, "grad_norm": norm, "lr": 0.1, "layers": layers}


def crash(run_id: str) -> None:
    run = gradwatch.init(PROJECT, id=run_id)
    for step in itertools.count():
        run.log(step, **values(step))
        time.sleep(STEP_SECONDS)
        if step % PROGRESS_STEPS == 0:
            print(step, flush=True)


def hour(run_id: str) -> None:
    """Each line of input is a number of steps to report, with the seconds between two of them.

    A frame a step, as if there were a second between two of them.
    """
    run = Run(Launch(run_id, PROJECT, "launch-1"), replace(config.load(), frame_records=1))
    wide = {f"layer{i}": {f"stat{j}": 1.0 + j for j in range(STATS)} for i in range(LAYERS)}
    numbers: Iterator[int] = itertools.count()
    for line in sys.stdin:
        steps, pause = line.split()
        for _ in range(int(steps)):
            step = next(numbers)
            run.log(step, loss=2.0 / (1.0 + step / 100), layers=wide)
            write_at_once(run)
            time.sleep(float(pause))
        counts = run.counts
        known = {name: getattr(counts, name) for name in ("observed", "stored", "dropped")}
        print(json.dumps(known | {"resident": _resident_bytes()}), flush=True)
    run.flush(300.0)
    run.finish()


def write_at_once(run: Run) -> None:
    """Have what was reported written, as it would be a second later; wait if much is not."""
    sender = run._sender
    sender._spooler.urge()
    sender._spooling.wake()
    while len(sender.buffer) > CROWDED:
        time.sleep(0.001)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    {"crash": crash, "hour": hour}[sys.argv[1]](sys.argv[2])
