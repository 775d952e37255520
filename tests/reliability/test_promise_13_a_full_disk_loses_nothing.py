"""A disk that fills up and is freed, under a real server: nothing lost, nothing hidden, no
restart."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgpack
import numpy as np
import pytest

from tests.reliability.counts import times
from tests.servers import Server, poll

ROUNDS = times(2, 10)
DISK_MIB = 48
SPARE_BYTES = 1 << 20  # what a filler leaves
STEPS_PER_FRAME = 100
POINTS_MAX = 10_000  # of an answer
SCALARS = 100
FRAMES_OF_A_RUN = 100


def mount(options: str, folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "gradwatch-test", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of this test alone."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(f"size={DISK_MIB}m", folder):
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def server(disk: Path, tmp_path: Path) -> Iterator[Server]:
    database = disk / "gradwatch.db"
    quick = {"GRADWATCH_WORKER_TICK_SECONDS": "0.1"}
    running = Server(f"sqlite:///{database}", tmp_path / "server.log", environment=quick).start()
    assert (disk / "gradwatch.db-ballast").exists()
    yield running
    running.kill()


@dataclass
class Job:
    """A run that pushes frame after frame, and knows what was acknowledged."""

    http: httpx.Client
    run: str
    acknowledged: int = 0

    def push(self) -> httpx.Response:
        """The next frame; the same again, if it was refused."""
        first = self.acknowledged * STEPS_PER_FRAME
        steps = np.arange(first, first + STEPS_PER_FRAME, dtype="<i8")
        noise = np.random.default_rng(first)
        names = (f"noise{number}" for number in range(SCALARS))
        scalars = {name: noise.random(STEPS_PER_FRAME).tobytes() for name in names}
        scalars["loss"] = (1.0 / (1.0 + steps)).tobytes()
        answer = self.http.put(
            f"/runs/{self.run}/writers/w/frames/{self.acknowledged}",
            content=msgpack.packb({"steps": steps.tobytes(), "scalars": scalars}),
            headers={"content-type": "application/msgpack"},
        )
        self.acknowledged += answer.status_code == 201
        return answer

    def push_until_refused(self, frames: int) -> httpx.Response | None:
        for _ in range(frames):
            answer = self.push()
            if answer.status_code != 201:
                return answer
        return None

    def has_pushed(self, frames: int) -> bool:
        """Push until so many were taken, or one is refused."""
        return self.push_until_refused(frames - self.acknowledged) is None

    def check_all_is_there(self) -> None:
        steps, values = [], []
        for first in range(0, self.acknowledged * STEPS_PER_FRAME, POINTS_MAX):
            window = {"from": first, "to": first + POINTS_MAX - 1, "points": POINTS_MAX}
            asked = {"metric": "loss", **window}
            found = self.http.get(f"/runs/{self.run}/series", params=asked).json()
            steps += found["steps"]
            values += found["values"]
        assert steps == list(range(self.acknowledged * STEPS_PER_FRAME))
        assert values == [1.0 / (1.0 + step) for step in steps]
        assert self.http.get(f"/runs/{self.run}").json()["degraded"] is None


def new_job(http: httpx.Client) -> Job:
    return Job(http, http.post("/runs", json={"project": "full"}).json()["id"])


def fill(disk: Path) -> Path:
    """Somebody else's file takes nearly all that is left."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        left = shutil.disk_usage(disk).free - SPARE_BYTES
        file.write(bytes(left))
    return filler


def check_refusal(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "disk-full")
    assert int(answer.headers["retry-after"]) >= 1


def is_refused_for_good(job: Job) -> bool:
    """Three times: what moves from the log into the database meanwhile may make room once more."""
    refusal = job.push_until_refused(10 * FRAMES_OF_A_RUN)
    assert refusal is not None, "the disk must be full"
    answers = [refusal, job.push(), job.push()]
    refusals = [answer for answer in answers if answer.status_code != 201]
    for answer in refusals:
        check_refusal(answer)
    return len(refusals) == len(answers)


def is_ready(http: httpx.Client, server: Server) -> bool:
    return http.get(f"{server.url}/readyz").status_code == 200


def test_a_disk_that_is_filled_and_freed_loses_nothing(
    server: Server, http: httpx.Client, disk: Path
):
    process, jobs = server.process, [new_job(http)]
    for _ in range(ROUNDS):
        filler = fill(disk)
        poll(lambda: is_refused_for_good(jobs[-1]), "the disk is full")
        ready = http.get(f"{server.url}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert "are free" in ready.json()["checks"]["disk"]
        assert http.get(f"{server.url}/healthz").status_code == 200
        for job in jobs:
            job.check_all_is_there()
        filler.unlink()
        poll(lambda: is_ready(http, server), "ready again", 10)
        assert jobs[-1].push().status_code == 201
        jobs.append(new_job(http))
    assert server.process is process
    server.kill()
    server.start()
    for job in jobs:
        job.check_all_is_there()


def test_a_run_can_be_deleted_from_a_full_disk_and_its_room_is_used_again(
    http: httpx.Client, disk: Path
):
    jobs = [new_job(http)]
    while (refusal := jobs[-1].push_until_refused(FRAMES_OF_A_RUN)) is None:
        jobs.append(new_job(http))
    check_refusal(refusal)
    assert http.delete(f"/runs/{jobs.pop(0).run}").status_code == 204
    wanted = jobs[-1].acknowledged + FRAMES_OF_A_RUN // 2
    poll(lambda: jobs[-1].has_pushed(wanted), "as much is taken again")
    for job in jobs:
        job.check_all_is_there()
    assert mount(f"remount,size={2 * DISK_MIB}m", disk)
    poll((disk / "gradwatch.db-ballast").exists, "the ballast is back", 10)
