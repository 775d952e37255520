"""Clocks that are wrong by years, jump, or differ between replicas: the same alerts."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gradwatch_service.domain import Frame
from gradwatch_service.store.packing import pack
from tests.databases import POSTGRES
from tests.e2e.explosion import STEPS, part, report_all
from tests.e2e.test_batching import LAYERS, verdict
from tests.reliability.counts import times
from tests.servers import Server

YEARS = 10 * 365.25 * 86_400
FRAMES = 16
REPORTS = STEPS // FRAMES
SEEDS = times(1, 5)
TICKS_SECONDS = times(3, 10)
SKEWS = (0, 90, -90, 86_400)
# A server whose machine's clock is wrong; nothing else of it is different.
PROGRAM = """
import datetime, sys
from gradwatch_service import clock
right = clock.utc_now
clock.utc_now = lambda: right() + datetime.timedelta(seconds={skew})
from gradwatch_service.commands import serve
sys.exit(serve(sys.argv[1:]))
"""
Bend = Callable[[Frame, random.Random], np.ndarray]


def right(frame: Frame, _: random.Random) -> np.ndarray:
    return frame.time


def ahead(frame: Frame, _: random.Random) -> np.ndarray:
    return frame.time + YEARS


def behind(frame: Frame, _: random.Random) -> np.ndarray:
    return frame.time - YEARS


def jumping(frame: Frame, chance: random.Random) -> np.ndarray:
    return frame.time + np.array([chance.uniform(-YEARS, YEARS) for _ in frame.time])


def backwards(frame: Frame, _: random.Random) -> np.ndarray:
    return frame.time[::-1].copy()


def standing(frame: Frame, _: random.Random) -> np.ndarray:
    return np.zeros_like(frame.time)


BENT: tuple[Bend, ...] = (ahead, behind, jumping, backwards, standing)


@contextmanager
def replicas(url: str, folder: Path, skews: Sequence[int]) -> Iterator[list[Server]]:
    """Servers on one database, each with a clock that is wrong by so many seconds."""
    environment = {"GRADWATCH_WORKER_TICK_SECONDS": "0.2"}
    with ExitStack() as stack:
        servers = []
        for skew in skews:
            server = Server(
                url,
                folder / f"{skew}.log",
                program=PROGRAM.format(skew=skew),
                environment=environment,
            )
            stack.callback(server.kill)
            servers.append(server.start())
        yield servers


def told(apis: Sequence[str], frame: Frame, bend: Bend) -> Sequence[Any]:
    """Report a training, each frame to the next of the servers; what they conclude."""
    bent = replace(frame, time=bend(frame, random.Random(15)))
    with ExitStack() as stack:
        doors = [stack.enter_context(client(api)) for api in apis]
        run = doors[0].post("/runs", json={"project": "clocks", "layers": LAYERS}).json()["id"]
        for number in range(FRAMES):
            answer = doors[number % len(doors)].put(
                f"/runs/{run}/writers/w/frames/{number}",
                content=pack(part(bent, number * REPORTS, (number + 1) * REPORTS)),
                headers={"content-type": "application/msgpack"},
            )
            assert answer.status_code == 201, answer.text
        for door in doors:  # each judges what it has stored before it answers
            assert door.get(f"/runs/{run}").json()["state"] == "running"
        return verdict(doors[0], run)


def client(api: str) -> httpx.Client:
    return httpx.Client(base_url=api, timeout=30, trust_env=False)


@pytest.mark.parametrize("backend", ["sqlite", POSTGRES])
def test_the_clock_of_the_job_decides_nothing(database_url: str, tmp_path: Path):
    with replicas(database_url, tmp_path, [0]) as servers:
        apis = [servers[0].api]
        for seed in range(SEEDS):
            frame = report_all(seed)
            expected = told(apis, frame, right)
            assert expected[0]
            for bend in BENT:
                assert told(apis, frame, bend) == expected, (bend.__name__, seed)


@pytest.mark.parametrize("backend", [POSTGRES])
def test_replicas_with_clocks_of_their_own_say_the_same_and_call_no_run_stale(
    database_url: str, tmp_path: Path
):
    with replicas(database_url, tmp_path, SKEWS) as servers:
        apis = [server.api for server in servers]
        for seed in range(SEEDS):
            frame = report_all(seed)
            expected = told(apis[:1], frame, right)
            assert expected[0]
            assert told(apis, frame, jumping) == expected
        time.sleep(TICKS_SECONDS)  # every worker looks several times
        with client(apis[0]) as http:
            runs = http.get("/runs").json()["items"]
            rules = {alert["rule"] for alert in http.get("/alerts").json()["items"]}
    assert len(runs) == 2 * SEEDS
    assert {run["state"] for run in runs} == {"running"}
    assert "stale-run" not in rules
    begun = sorted(dt.datetime.fromisoformat(run["started_at"]) for run in runs)
    assert begun[-1] - begun[0] < dt.timedelta(seconds=min(filter(None, map(abs, SKEWS))))
