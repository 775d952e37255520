"""Decompression bombs at a real server: refused while they unfold, quickly, in little memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.reliability.bombs import BOMBS, MIB, gzip_bomb, zstd_bomb
from tests.reliability.counts import times
from tests.servers import COMMAND, Server

TRIES = times(2, 20)
QUICKEST_SECONDS, SLOWEST_SECONDS = 0.1, 5.0  # the slowest also when others use the machine
AT_ONCE, MOST_MORE_MIB = 50, 24
ROUNDS = times(1, 3)


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture(scope="class")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the tests of a class, a fresh one for each of the others."""
    folder = tmp_path_factory.mktemp("bombs")
    log = folder / "server.log"  # by the command: its memory is measured
    running = Server(f"sqlite:///{folder}/bombs.db", log, program=COMMAND).start()
    yield running
    running.kill()


@pytest.fixture
def path(http: httpx.Client) -> str:
    run = http.post("/runs", json={"project": "bombs"}).json()["id"]
    assert http.post(f"/runs/{run}/steps", json={"steps": [{"step": 0, "loss": 1.0}]}).is_success
    assert http.get(f"/runs/{run}").is_success  # judged: all processes of the server have begun
    return f"/runs/{run}/steps"


def send(http: httpx.Client, path: str, coding: str, bomb: bytes) -> httpx.Response:
    headers = {"content-type": "application/json", "content-encoding": coding}
    return http.post(path, content=bomb, headers=headers)


def test_the_bombs_are_as_bad_as_they_can_be():
    assert 1_024 * MIB / len(gzip_bomb()) > 1_025
    assert 1_024 * MIB / len(zstd_bomb()) > 30_000


class TestOne:
    @pytest.mark.parametrize("kind", BOMBS)
    def test_a_bomb_is_refused_at_once(self, kind: str, http: httpx.Client, path: str):
        coding, make, status = BOMBS[kind]
        bomb = make()
        seconds = []
        for _ in range(TRIES):
            begin = time.monotonic()
            answer = send(http, path, coding, bomb)
            seconds.append(time.monotonic() - begin)
            assert answer.status_code == status, answer.text
        took = f"{1000 * min(seconds):.1f} to {1000 * max(seconds):.1f} ms"
        print(f"{kind}: {len(bomb)} bytes, {took}")
        assert min(seconds) <= QUICKEST_SECONDS
        assert max(seconds) <= SLOWEST_SECONDS


@contextmanager
def watched(server: Server) -> Iterator[list[int]]:
    """The memory of all processes of the server, again and again while the block runs."""
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    seen, stop = [resident(processes)], threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            seen.append(resident(processes))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def resident(processes: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


@pytest.mark.parametrize("kind", ["gzip", "zstd that declares its size", "zstd that does not"])
def test_fifty_bombs_at_once_take_little_memory(
    kind: str, server: Server, http: httpx.Client, path: str
):
    coding, make, status = BOMBS[kind]
    bomb = make()
    assert send(http, path, coding, b"").status_code == 400
    more = []
    for _ in range(ROUNDS):
        with watched(server) as seen, ThreadPoolExecutor(AT_ONCE) as pool:
            begin = time.monotonic()
            asked = [pool.submit(send, http, path, coding, bomb) for _ in range(AT_ONCE)]
            statuses = {one.result().status_code for one in asked}
            seconds = time.monotonic() - begin
        assert statuses <= {status, 503}
        assert status in statuses
        more.append((max(seen) - seen[0]) / MIB)
    print(f"{AT_ONCE} at once, {kind}: +{max(more):.1f} MiB, {seconds:.2f} s")
    assert max(more) <= MOST_MORE_MIB
