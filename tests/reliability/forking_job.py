"""A job that forks while two threads report: arguments ``fork`` or ``spawn``, COUNT, PATIENCE.

PATIENCE: how many seconds each process waits for its reports. It prints as JSON the run, what each
child said, and where the reports of the parent are.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import sys
import threading
from collections.abc import Callable
from typing import Any

import gradwatch
from tests.children import in_child

CHILD_DEADLINE_SECONDS = 60
CHILD_STEPS = 3
AT_ONCE = 5
PAUSE_SECONDS = 0.002


def reports(run: gradwatch.Run, first: int, patience: float) -> Callable[[], list[Any]]:
    """What a child does: it reports steps nobody else does, and says where its reports are."""

    def work() -> list[Any]:
        inherited = run.counts.observed
        for step in range(first, first + CHILD_STEPS):
            run.log(step, loss=1.0)
        run.flush(patience)
        run.finish()
        return [inherited, dataclasses.asdict(run.counts)]

    return work


class Load:
    """Threads that report from now until they are told to stop, each its own steps."""

    def __init__(self, run: gradwatch.Run, threads: int) -> None:
        self.logged = [0] * threads
        self._run, self._stop = run, threading.Event()
        self._threads = [threading.Thread(target=self._log, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _log(self, number: int) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            step = number + len(self.logged) * self.logged[number]
            self._run.log(step, loss=1.0, layers={"fc": {"grad_norm": 1.0}})
            self.logged[number] += 1


def fork(run: gradwatch.Run, forks: int, patience: float) -> dict[str, Any]:
    """Fork while everybody reports, a few children at a time."""
    load = Load(run, 2)
    children: list[Any] = []
    for first in range(0, forks, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, forks))
        begun = [
            in_child(reports(run, 10_000_000 + CHILD_STEPS * n, patience), CHILD_DEADLINE_SECONDS)
            for n in numbers
        ]
        children += [said() for said in begun]
    load.stop()
    run.flush(patience)
    return {"children": children, "logged": sum(load.logged)}


def spawned(run_id: str, first: int, patience: float, said: Any) -> None:
    """A process of the same job that shares nothing with it but the names."""
    with gradwatch.init("forks", id=run_id, launch_id="launch") as run:
        said.put(reports(run, first, patience)())


def spawn(run: gradwatch.Run, processes: int, patience: float) -> dict[str, Any]:
    """Start processes afresh, as ``torch.multiprocessing`` and Windows do."""
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    firsts = [10_000_000 + CHILD_STEPS * n for n in range(processes)]
    begun = [
        context.Process(target=spawned, args=(run.id, first, patience, said)) for first in firsts
    ]
    run.log(0, loss=1.0)
    for process in begun:
        process.start()
    children = [said.get(timeout=CHILD_DEADLINE_SECONDS) for _ in begun]
    for process in begun:
        process.join(CHILD_DEADLINE_SECONDS)
    run.flush(patience)
    return {"children": children, "logged": 1}


def main(way: str, count: int, patience: float) -> None:
    run = gradwatch.init("forks", launch_id="launch")
    found = {"fork": fork, "spawn": spawn}[way](run, count, patience)
    run.finish()
    print(json.dumps(found | {"run": run.id, "parent": dataclasses.asdict(run.counts)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
