"""What is sent first, and what is left behind, when the service comes back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch.config import Config
from gradwatch.frames import encode
from gradwatch.launch import Launch
from gradwatch.layers import Layer, LayerTable
from gradwatch.notices import Notices
from gradwatch.pause import Patience, Pause
from gradwatch.records import Report
from gradwatch.spool import folder
from gradwatch.spool.entries import Frame
from gradwatch.spool.lane import Lane
from gradwatch.sweep import Sweep
from tests.client.memory_service import MemoryService, problem
from tests.client.test_delivery import RUN, Line

REFUSED = httpx.ConnectError("refused")
OTHER_RUN = "01935b2e-7a4c-7000-8000-000000000002"


def away(line: Line, service: MemoryService, frames: int) -> None:
    """An outage in which so many frames come to wait."""
    for number in range(frames):
        line.log(number)
        line.write()
    service.faults.append(REFUSED)
    assert line.dispatch.turn() is not None


def served_to_the_end(line: Line) -> None:
    pauses = line.turns(500)
    assert all(pause.seconds == 0.0 for pause in pauses[:-1])


def order(service: MemoryService) -> list[list[int]]:
    """The steps in the order of arrival, by writer."""
    found: list[list[int]] = []
    writer = ""
    for item in service.stored:
        if item.writer != writer:
            found.append([])
            writer = item.writer
        found[-1] += [int(step) for step in item.frame.steps]
    return found


def test_after_an_outage_new_reports_go_before_the_backlog(service: MemoryService) -> None:
    line = Line(service, live_first_bytes=500)
    away(line, service, 10)
    line.turn()
    assert len(line.lanes.backlog) == 1
    line.log(100)
    line.turn()
    line.turn()
    line.turn()
    line.log(101)
    served_to_the_end(line)
    steps = [int(step) for item in service.stored for step in item.frame.steps]
    assert steps.index(100) < steps.index(9)
    assert steps.index(101) < steps.index(9)
    assert sorted(steps) == [*range(10), 100, 101]
    for writer in {item.writer for item in service.stored}:
        own = [item for item in service.stored if item.writer == writer]
        assert [item.seq for item in own] == list(range(len(own)))
        assert sorted(own, key=lambda item: item.frame.steps[0]) == own
    assert line.buffer.counts.stored == 12


def test_what_is_said_about_the_backlog_does_not_replace_the_guard(
    service: MemoryService,
) -> None:
    service.guard = {"max_norm": 1.0, "expires_step": 256}
    line = Line(service, live_first_bytes=500)
    away(line, service, 10)
    line.turn()
    line.log(100)
    line.turn()
    line.turn()
    assert line.books.news.guard.max_norm == 1.0
    service.guard = {"max_norm": 9.0, "expires_step": 1}
    service.alerts = [{"id": "a"}]
    served_to_the_end(line)
    assert line.buffer.counts.pending == 0
    assert line.books.news.guard.max_norm == 1.0
    assert line.books.news.alerts == ({"id": "a"},)


def test_the_file_of_the_backlog_goes_when_it_is_delivered(
    service: MemoryService, spool: Path
) -> None:
    line = Line(service, live_first_bytes=500)
    away(line, service, 10)
    line.turn()
    line.log(100)
    line.write()
    assert len(folder.files(spool)) == 2
    served_to_the_end(line)
    line.turn()
    assert line.lanes.backlog == ()
    assert [path.stem for path in folder.files(spool)] == [line.lanes.live.origin.writer]


def test_a_short_outage_changes_no_order(service: MemoryService) -> None:
    line = Line(service, live_first_bytes=1 << 20)
    away(line, service, 10)
    line.turn()
    line.log(100)
    served_to_the_end(line)
    assert order(service) == [[*range(10), 100]]


def test_a_second_outage_makes_a_second_backlog_and_the_older_goes_first(
    service: MemoryService,
) -> None:
    line = Line(service, live_first_bytes=500)
    away(line, service, 10)
    line.turn()
    for number in range(100, 110):
        line.log(number)
        line.write()
    service.faults.append(REFUSED)
    line.dispatch.turn()
    line.dispatch.turn()
    assert len(line.lanes.backlog) == 2
    line.log(200)
    served_to_the_end(line)
    steps = [int(step) for item in service.stored for step in item.frame.steps]
    assert steps.index(200) < steps.index(109)
    assert steps.index(9) < steps.index(109)
    assert sorted(steps) == [*range(10), *range(100, 110), 200]


def test_a_run_that_ends_with_a_backlog_ends_after_it(service: MemoryService) -> None:
    line = Line(service, live_first_bytes=500)
    away(line, service, 10)
    line.turn()
    assert line.lanes.backlog
    line.log(100)
    line.end({"state": "finished"})
    assert service.requests[-1][1].endswith("/finish")
    assert sorted(service.steps) == [*range(10), 100]
    assert line.buffer.counts.pending == 0


def test_a_run_that_is_ending_is_not_divided_any_more(service: MemoryService) -> None:
    line = Line(service, live_first_bytes=500)
    away(line, service, 10)
    line.end({"state": "finished"})
    assert len({item.writer for item in service.stored}) == 1


def test_the_end_is_not_told_before_a_frame_that_came_just_before_it(
    service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(service)
    front = Lane.front

    def look_a_moment_too_early(lane: Lane) -> Frame | None:
        found = front(lane)
        patched.undo()
        line.log(0)
        line.write()
        lane.finish({"state": "finished"})
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Lane, "front", look_a_moment_too_early)
        for _ in range(5):
            line.dispatch.turn()
    assert service.steps == [0]
    assert service.requests[-1][1].endswith("/finish")


def test_the_files_go_with_the_run(service: MemoryService, spool: Path) -> None:
    line = Line(service)
    line.log(0)
    line.end({"state": "finished"})
    assert folder.files(spool) == []


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


def orphan(run: str = OTHER_RUN, *, frames: int = 2, ended: bool = False, **facts: Any) -> Path:
    """What a job left that was killed a while ago."""
    config = Config(**({"url": "http://127.0.0.1:8321"} | facts))
    lane = Lane.begin(Launch(run, "lm", "l0"), "r0-dead", config, Notices())
    table = LayerTable([Layer("fc")])
    body = encode([Report(7, 0.0, table, {"loss": 1.0})])
    for _ in range(frames):
        lane.put(Frame(body, 1, table.hash), table)
    if ended:
        lane.finish({"state": "failed"})
    lane.leave()
    assert lane.path is not None
    os.utime(lane.path, (1_000_000, 1_000_000))
    return lane.path


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
