"""Resident memory of a job that is watched, in a fresh process; run by ``resident_bytes``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.load.overhead.blocks import step
from benchmarks.load.overhead.jobs import SIZES, job
from benchmarks.load.overhead.watchers import WATCHERS

MODEL, STEPS = "lstm", 24


def resident_bytes(watcher: str, url: str) -> int:
    """What a process that trains the small recurrent model on the CPU takes under this watcher."""
    command = [sys.executable, "-m", __name__, watcher, url]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(name: str, url: str) -> None:
    """Train for a while, then print the bytes."""
    torch.set_num_threads(1)
    watcher = next(one for one in WATCHERS if one.name == name)
    one = job(MODEL, SIZES["cpu"][MODEL], torch.device("cpu"))
    with watcher.open(one, url) as watching:
        watching.attach()
        for _ in range(STEPS):
            step(one, watching)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(pages * os.sysconf("SC_PAGE_SIZE"), flush=True)
        watching.detach()


if __name__ == "__main__":
    main(*sys.argv[1:])
