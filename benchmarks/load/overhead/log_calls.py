"""How long ``run.log`` holds up a job, with a server that takes the reports."""

from __future__ import annotations

import time

import numpy as np

import gradwatch

CALLS, FIRST_CALLS, PAUSE_SECONDS = 2_000, 100, 0.002
STATS = ("grad_norm", "grad_max", "weight_norm", "update_norm")
LAYERS = 20


def seconds_of_calls(url: str, calls: int = CALLS) -> np.ndarray:
    """Of calls with three scalars and 20 layers of 4 statistics, some milliseconds apart."""
    layers = {f"block{i}.weight": dict.fromkeys(STATS, 0.5 + i) for i in range(LAYERS)}
    found = []
    with gradwatch.init(project="overhead", name="log", url=url) as run:
        for _ in range(FIRST_CALLS + calls):
            time.sleep(PAUSE_SECONDS)
            begun = time.perf_counter()
            run.log(loss=0.5, lr=1e-3, grad_norm=1.5, layers=layers)
            found.append(time.perf_counter() - begun)
    return np.array(found[FIRST_CALLS:])
