from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch.pause import Patience, Pause
from gradwatch.spool import folder
from gradwatch.sweep import Sweep
from tests.client.memory_service import MemoryService, problem
from tests.client.orphans import OTHER_RUN, orphan
from tests.client.test_delivery import RUN, Line

REFUSED = httpx.ConnectError("refused")


class Sweeping(Line):
    """A sender that also looks after orphans."""

    def __init__(self, service: MemoryService, **settings: Any) -> None:
        super().__init__(service, **settings)
        self.sweep = Sweep(self.dispatch._link, self.lanes)
        self.dispatch._sweep = self.sweep

    def look(self, turns: int = 40) -> None:
        """What a minute of nothing else to do brings."""
        self.sweep._looked_at = float("-inf")
        for _ in range(turns):
            assert self.dispatch.turn() is not None


@pytest.fixture
def sweeping(service: MemoryService) -> Sweeping:
    line = Sweeping(service)
    line.log(0)
    return line


def test_a_dead_jobs_reports_are_delivered_by_the_next_job(
    sweeping: Sweeping, service: MemoryService, spool: Path
) -> None:
    orphan(ended=True)
    sweeping.turns()
    sweeping.look()
    assert [(item.run, item.writer) for item in service.stored[1:]] == [(OTHER_RUN, "r0-dead")] * 2
    assert service.runs[OTHER_RUN]["launch_id"] == "l0"
    assert service.ended == {OTHER_RUN: {"state": "failed"}}
    assert [path.parent.name for path in folder.files(spool)] == [RUN]
    assert sweeping.buffer.counts.stored == 1  # they are not ours


def test_a_job_that_was_killed_is_not_said_to_have_ended(
    sweeping: Sweeping, service: MemoryService
) -> None:
    orphan()
    sweeping.turns()
    sweeping.look()
    assert len(service.stored) == 3
    assert service.ended == {}


def test_nothing_is_swept_before_the_service_has_answered(
    sweeping: Sweeping, service: MemoryService, spool: Path
) -> None:
    path = orphan()
    service.faults.extend([REFUSED] * 5)
    for _ in range(5):
        sweeping.turn()
    assert path in folder.files(spool)


@pytest.mark.parametrize(
    "facts", [{"url": "http://127.0.0.1:1"}, {"mode": "offline"}], ids=["elsewhere", "offline"]
)
def test_what_is_meant_for_another_service_or_recorded_offline_stays(
    sweeping: Sweeping, service: MemoryService, spool: Path, facts: dict[str, Any]
) -> None:
    path = orphan(**facts)
    sweeping.turns()
    sweeping.look()
    assert len(service.stored) == 1
    assert path in folder.files(spool)


@pytest.mark.parametrize("fault", [REFUSED, problem(401), problem(403), problem(404), problem(503)])
def test_an_orphan_that_cannot_be_delivered_now_stays(
    sweeping: Sweeping, service: MemoryService, spool: Path, fault: Any
) -> None:
    orphan(ended=True)
    sweeping.turns()
    service.faults.append(fault)
    sweeping.look()
    (left,) = (path for path in folder.files(spool) if path.parent.name == OTHER_RUN)
    os.utime(left, (1_000_000, 1_000_000))
    sweeping.look()
    assert len(service.stored) == 3
    assert OTHER_RUN in service.ended


def test_our_own_file_is_no_orphan_however_long_we_slept(
    sweeping: Sweeping, service: MemoryService
) -> None:
    sweeping.turns()
    sweeping.log(1)
    sweeping.write()
    assert sweeping.lanes.live.path is not None
    os.utime(sweeping.lanes.live.path, (1_000_000, 1_000_000))
    sweeping.look()
    assert sweeping.lanes.live.path.exists()
    assert service.steps == [0, 1]


def test_our_own_reports_wait_for_no_orphan(sweeping: Sweeping, service: MemoryService) -> None:
    orphan(frames=20)
    sweeping.turns()
    sweeping.look(5)
    sweeping.log(1)
    sweeping.turn()
    assert service.stored[-1].run == RUN
    assert len(service.stored) < 10


def test_what_our_own_earlier_launch_left_opens_no_launch(
    sweeping: Sweeping, service: MemoryService
) -> None:
    orphan(RUN)
    sweeping.turns()
    sweeping.look()
    assert [item.writer for item in service.stored[1:]] == ["r0-dead"] * 2
    posts = [request for request in service.requests if request[1] == "/api/v1/runs"]
    assert len(posts) == 2  # ours, and the table that was missing
    assert service.runs[RUN]["launch_id"] == "l1"


def test_a_defect_while_sweeping_costs_nothing_of_ours(
    sweeping: Sweeping, service: MemoryService
) -> None:
    orphan(frames=3)
    sweeping.turns()
    sweeping.sweep._looked_at = float("-inf")
    service.faults.extend([lambda _: None, KeyError("a defect")])
    with pytest.raises(KeyError):
        sweeping.dispatch.turn()
    sweeping.dispatch.abandon()
    sweeping.look()
    assert len(service.stored) == 3
    assert sweeping.buffer.counts.rejected == 0


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n" * 10])
def test_a_file_without_a_beginning_is_got_out_of_the_way(
    sweeping: Sweeping, spool: Path, content: bytes
) -> None:
    path = orphan()
    path.write_bytes(content)
    os.utime(path, (1_000_000, 1_000_000))
    sweeping.turns()
    sweeping.look()
    assert [path.parent.name for path in folder.files(spool)] == [RUN]


def test_an_orphan_that_somebody_else_claims_first_is_theirs(
    sweeping: Sweeping, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan()
    sweeping.turns()
    with monkeypatch.context() as patched:
        patched.setattr(folder, "claim", lambda _: None)
        sweeping.look()
    assert len(service.stored) == 1


def test_a_damaged_orphan_costs_nothing_of_ours(
    sweeping: Sweeping, service: MemoryService, spool: Path
) -> None:
    path = orphan(frames=3)
    path.write_bytes(path.read_bytes()[:-10])
    os.utime(path, (1_000_000, 1_000_000))
    sweeping.turns()
    sweeping.look()
    assert len(service.stored) == 3
    assert sweeping.dispatch.turn() == Pause(60.0, Patience.IDLE)
    assert [path.parent.name for path in folder.files(spool)] == [RUN]
