"""``wandb_job.py REPORTS FOLDER SECONDS``: a job that logs to W&B offline, run by W&B's Python."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

import wandb


def main(reports: Path, folder: str, seconds: float) -> None:
    """Log the reports in a circle for so long, step by step, and wait until all is written."""
    prepared = json.loads(reports.read_text())
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
    run = wandb.init(mode="offline", project="load", dir=folder, settings=settings)
    _say("ready")
    sys.stdin.readline()
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    for steps in itertools.cycle(prepared):
        begun = time.perf_counter()
        if begun >= end:
            break
        for values in steps:
            run.log(values)
        latencies.append(time.perf_counter() - begun)
    run.finish()
    _say(json.dumps(latencies))
    sys.stdin.readline()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
