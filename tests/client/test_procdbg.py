"""Forks, exits and imports: what only shows in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gradwatch import process
from tests.client.conftest import OpenRun
from tests.client.memory_service import MemoryService

CLOSED_PORT = "http://127.0.0.1:9"


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "GRADWATCH_URL": CLOSED_PORT, "GRADWATCH_MODE": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_child(work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        import faulthandler; faulthandler.dump_traceback_later(6, exit=True, file=open("/tmp/child.txt","w"))
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def test_a_forked_child_reports_as_a_writer_of_its_own(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    for step in range(3):
        run.log(step)

    def work() -> Any:
        inherited = run.counts.observed
        service.stored.clear()
        run.log(100)
        delivered = run.flush(10.0)
        run.finish()
        writers = {item.writer for item in service.stored}
        return [inherited, delivered, service.steps, *writers, list(service.ended)]

    inherited, delivered, steps, writer, ended = in_child(work)
    assert (inherited, delivered, steps) == (0, True, [100])
    assert writer != run._sender.delivery.writer
    assert ended == []  # the run belongs to the parent
    assert run.flush(10.0)
    assert service.steps == [0, 1, 2]


def test_a_child_that_reports_nothing_sends_nothing(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    run.log(0)
    assert run.flush(10.0)

    def work() -> Any:
        before = len(service.requests)
        run.finish()
        return [len(service.requests) - before, threading.active_count()]

    assert in_child(work) == [0, 1]


def test_forks_under_load_neither_hang_nor_lose_anything(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
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
    try:
        for number in range(25):
            assert in_child(report), number
    finally:
        stop.set()
        thread.join()
    assert run.flush(30.0)
    counts = run.counts
    assert counts.observed == len(logged) == counts.stored + counts.dropped
    assert len(service.steps) == counts.stored


def test_at_exit_the_runs_of_the_process_are_finished(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    run.log(0)
    others = process._living - {run}
    process._living -= others
    try:
        process.finish_all()
    finally:
        process._living |= others
    assert service.steps == [0]
    assert [end["state"] for end in service.ended.values()] == ["finished"]
    assert run not in process._living


def test_an_exit_with_unsent_records_says_how_many_and_prints_nothing() -> None:
    done = python(
        "import gradwatch\n"
        "run = gradwatch.init('lm')\n"
        "for step in range(3): run.log(step, loss=1.0)\n"
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "training goes on, records wait" in done.stderr
    assert "3 records and the end of run" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_the_exception_of_the_job_is_what_ends_it() -> None:
    done = python("import gradwatch\ngradwatch.init('lm').log(0)\nraise SystemExit(3)")
    assert done.returncode == 3
    failed = python(
        "import gradwatch, gradwatch.run as r\n"
        "r.Run.begin_finish = lambda self, state: print(state)\n"
        "gradwatch.init('lm').log(0)\n1 / 0"
    )
    assert failed.returncode == 1
    assert failed.stdout == "failed\n"
    assert "ZeroDivisionError" in failed.stderr


@pytest.mark.parametrize("mode", ["online", "disabled"])
def test_importing_the_client_imports_nothing_beyond_its_dependencies(mode: str) -> None:
    done = python(
        "import sys, sysconfig\n"
        "before = set(sys.modules)\n"
        "import gradwatch\n"
        "run = gradwatch.init('lm')\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - set(sys.stdlib_module_names)))\n"
        "getattr(run, 'finish')()\n",
        GRADWATCH_MODE=mode,
    )
    allowed = {"gradwatch", "httpx", "msgpack", "numpy"}
    brought_by_httpx = {"anyio", "certifi", "h11", "httpcore", "idna", "sniffio"}
    brought_by_httpx |= {"click", "rich", "pygments", "zstandard"}  # where they are installed
    extra = set(done.stdout.split()) - allowed - brought_by_httpx
    assert not {name for name in extra if "cython" not in name}


def test_the_client_imports_nothing_of_the_service() -> None:
    done = python(
        "import sys\n"
        "import gradwatch, gradwatch.cli\n"
        "gradwatch.cli.main(['doctor'])\n"
        "print([n for n in sys.modules if n.startswith(('gradwatch_service', 'torch', 'fastapi'))])"
    )
    assert done.stdout.splitlines()[-1] == "[]"
