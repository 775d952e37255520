"""Runs trials side by side, each process with a real service of its own, on SQLite."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager

import torch

from benchmarks.repair.plan import Plan
from benchmarks.repair.trial import Trial, trial
from gradwatch_service.demo.server import serving

PROCESSES = 2
FAULTY_LEVELS, HEALTHY_LEVELS = (2, 3), (1, 2, 3)


def perform(wanted: Sequence[Plan]) -> Iterator[Trial]:
    """All trials as they end, in two processes, each with a service of its own."""
    context = multiprocessing.get_context("spawn")
    with services(PROCESSES) as urls, ProcessPoolExecutor(PROCESSES, context, be_quiet) as pool:
        todo = {
            pool.submit(
                trial, one, urls[place % PROCESSES], FAULTY_LEVELS if one.case else HEALTHY_LEVELS
            ): one
            for place, one in enumerate(wanted)
        }
        for done, future in enumerate(as_completed(todo), 1):
            one = todo[future]
            print(f"{done}/{len(todo)} {one.name} {one.seed}", file=sys.stderr)
            yield future.result()


@contextmanager
def services(count: int) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = [f"sqlite:///{folder}/{number}.db" for number in range(count)]
        yield [stack.enter_context(serving(file)) for file in files]


def be_quiet() -> None:
    """One thread a process; what the client logs is in the story."""
    torch.set_num_threads(1)
    logging.getLogger("gradwatch").setLevel(logging.CRITICAL)
