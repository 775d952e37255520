"""What is sent first, and what is left behind, when the service comes back."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gradwatch.spool import folder
from gradwatch.spool.entries import Frame
from gradwatch.spool.lane import Lane
from tests.client.memory_service import MemoryService
from tests.client.test_delivery import Line

REFUSED = httpx.ConnectError("refused")


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


def test_a_backlog_into_which_something_came_meanwhile_stays(service: MemoryService) -> None:
    line = Line(service)
    line.log(0)
    line.write()
    line.lanes.roll()
    (old,) = line.lanes.backlog
    line.lanes.drop(old)
    assert line.lanes.backlog == (old,)
    line.turns()
    assert service.steps == [0]


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
