"""Forks, exits and imports: what only shows in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradwatch import process
from gradwatch.buffer import Counts
from tests.client.conftest import OpenRun
from tests.client.fork_scenarios import FORKS
from tests.client.memory_service import MemoryService

ROOT = Path(__file__).parents[2]
CLOSED_PORT = "http://127.0.0.1:9"

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def execute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "GRADWATCH_URL": CLOSED_PORT, "GRADWATCH_MODE": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return execute("-c", program, **environment)


def scenario(name: str) -> Any:
    done = execute("-m", "tests.client.fork_scenarios", name)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@forks
def test_a_forked_child_reports_as_a_writer_of_its_own() -> None:
    found = scenario("a_child_reports")
    inherited, delivered, steps, writers, ended = found["child"]
    assert (inherited, delivered, steps) == (0, True, [100])
    assert writers != [found["writer"]]
    assert ended == []  # the run belongs to the parent
    assert found["steps"] == [0, 1, 2]


@forks
def test_a_child_that_reports_nothing_sends_nothing() -> None:
    assert scenario("a_child_says_nothing") == [0, 1]


@forks
def test_forks_under_load_neither_hang_nor_lose_anything() -> None:
    found = scenario("many_forks_under_load")
    assert found == {"children": [True] * FORKS, "unaccounted": 0, "twice or lost": 0}


def test_a_fork_makes_every_run_of_the_process_start_afresh(open_run: OpenRun) -> None:
    run = open_run()
    run.log(0)
    assert run.flush(10.0)
    others = process._living - {run}
    process._living -= others
    try:
        process._after_fork()
    finally:
        process._living |= others
    assert run.counts == Counts()


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
