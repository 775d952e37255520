"""Forks, each scenario in a process of its own: coverage's tracer does not survive them under load.

``python -m tests.client.fork_scenarios NAME`` prints what came out as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.run import Run
from tests.children import in_child
from tests.client.conftest import FAST, RUN_ID
from tests.client.memory_service import MemoryService

FORKS = 25
CHILD_DEADLINE_SECONDS = 30


def a_child_reports(run: Run, service: MemoryService) -> Any:
    for step in range(3):
        run.log(step)

    def work() -> Any:
        inherited = run.counts.observed
        service.stored.clear()
        run.log(100)
        delivered = run.flush(10.0)
        run.finish()
        writers = [item.writer for item in service.stored]
        return [inherited, delivered, service.steps, writers, list(service.ended)]

    child = in_child(work, CHILD_DEADLINE_SECONDS)()
    run.flush(10.0)
    return {"child": child, "steps": service.steps, "writer": service.stored[0].writer}


def a_child_says_nothing(run: Run, service: MemoryService) -> Any:
    run.log(0)
    run.flush(10.0)

    def work() -> Any:
        before = len(service.requests)
        run.finish()
        return [len(service.requests) - before, threading.active_count()]

    return in_child(work, CHILD_DEADLINE_SECONDS)()


def many_forks_under_load(run: Run, service: MemoryService) -> Any:
    stop = threading.Event()
    logged: list[int] = []

    def load() -> None:
        while not stop.is_set():
            run.log(len(logged), layers={"a": {"grad_norm": 1.0}})
            logged.append(1)

    def report() -> bool:
        run.log(0)
        return run.flush(10.0)

    thread = threading.Thread(target=load)
    thread.start()
    children = [in_child(report, CHILD_DEADLINE_SECONDS)() for _ in range(FORKS)]
    stop.set()
    thread.join()
    run.flush(30.0)
    counts = run.counts
    return {
        "children": children,
        "unaccounted": len(logged) - counts.stored - counts.dropped,
        "twice or lost": len(service.steps) - counts.stored,
    }


def main(name: str) -> None:
    service = MemoryService()
    run = Run(Launch(RUN_ID, "lm", "l1"), Config(**FAST), (), service.transport)
    print(json.dumps(globals()[name](run, service)))


if __name__ == "__main__":
    main(sys.argv[1])
