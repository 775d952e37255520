"""All methods on every recording: what the tables are made of."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.detection import ours, recording
from benchmarks.detection.judge import Entry, about, judge
from benchmarks.detection.ours import Replay
from benchmarks.detection.recording import Recording
from benchmarks.detection.tune import theirs

PROCESSES = 2
SAMPLE_EVERY = 8


def enter_all(paths: Iterable[Path]) -> Iterator[Entry]:
    """Every recording, in order; every eighth is in the sample."""
    with _pool() as pool:
        yield from pool.map(enter, paths, count(), chunksize=4)


def judge_all(paths: Iterable[Path]) -> Iterator[Entry]:
    """Our side of every recording, in order."""
    with _pool() as pool:
        yield from pool.map(judge, paths, chunksize=4)


def _pool() -> ProcessPoolExecutor:
    """Spawned: the recorder's PyTorch does not survive a fork."""
    return ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"))


def enter(path: Path, place: int) -> Entry:
    """Run everything over a recording; one in the sample one by one and in random batches, too."""
    run = recording.load(path)
    case, replay = about(run), ours.replay(run)
    if place % SAMPLE_EVERY:
        return Entry(case, replay, theirs(run, case))
    singly, same = _other_batches(run, replay)
    return Entry(case, replay, theirs(run, case), tuple(singly.micros.tolist()), same)


def _other_batches(run: Recording, told: Replay) -> tuple[Replay, bool]:
    longest = max(len(stream) for stream in run.writers)
    cuts = np.flatnonzero(np.random.default_rng(run.seed).random(longest) < 0.1)
    singly = ours.replay(run, range(1, longest))
    randomly = ours.replay(run, cuts[cuts > 0].tolist())
    return singly, singly.told == told.told == randomly.told
