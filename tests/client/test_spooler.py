from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gradwatch import spooler
from gradwatch.buffer import Buffer
from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.layers import LayerTable
from gradwatch.notices import Notices
from gradwatch.records import Event, Report
from gradwatch.spool.lane import Lane
from gradwatch.spool.lanes import Lanes
from gradwatch.spooler import Spooler

RUN = "01935b2e-7a4c-7000-8000-000000000001"
TABLE = LayerTable()


@dataclass
class Watched:
    """A spooler on a clock of the test's, which notes what the disk was asked to keep."""

    monkeypatch: pytest.MonkeyPatch
    settings: dict[str, Any]
    announced: int = 0
    synchronised: int = 0
    touched: int = 0
    now: float = 1000.0
    made: int = 0
    config: Config = field(init=False)

    def __post_init__(self) -> None:
        self.config = replace(Config(), eager_records=10, **self.settings)
        self.monkeypatch.setattr(spooler.time, "monotonic", lambda: self.now)
        self.monkeypatch.setattr(Lane, "synchronise", lambda _: self.count("synchronised"))
        self.monkeypatch.setattr(Lane, "touch", lambda _: self.count("touched"))
        self.buffer = Buffer(self.config)
        self.lanes = Lanes(Launch(RUN, "lm", "l1"), self.config, Notices())
        self.spooler = Spooler(
            self.buffer, self.lanes, self.config, lambda: self.count("announced")
        )

    def count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)

    def log(self, records: int = 1, loss: float = 1.0) -> None:
        for _ in range(records):
            self.buffer.append(Report(self.made, 0.0, TABLE, {"loss": loss}))
            self.made += 1

    def frames_after(self, seconds: float = 0.0) -> int:
        """How many frames wait once everything is done that is due by then."""
        self.now += seconds
        while (pause := self.spooler.turn()) is not None and pause.seconds == 0.0:
            pass
        return self.lanes.live.frames


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch, {})


def test_while_the_service_keeps_up_a_record_waits_only_a_moment_for_company(
    watched: Watched,
) -> None:
    watched.log()
    assert watched.frames_after(0.1) == 0
    assert watched.frames_after(0.11) == 1
    assert watched.announced == 1


def test_ten_records_make_a_frame_at_once(watched: Watched) -> None:
    watched.log(9)
    assert watched.frames_after() == 0
    watched.log()
    assert watched.frames_after() == 1


def test_while_frames_wait_one_is_formed_a_second(watched: Watched) -> None:
    for _ in range(2):
        watched.log(10)
        watched.frames_after()
    for second in range(5):
        for _ in range(10):
            watched.log(20)
            watched.frames_after(0.1)
        assert watched.lanes.live.frames == 3 + second
    assert watched.lanes.records == watched.made


def test_while_frames_wait_many_records_make_a_frame_at_once(watched: Watched) -> None:
    for _ in range(2):
        watched.log(10)
        watched.frames_after()
    watched.log(499)
    assert watched.frames_after() == 2
    watched.log(1)
    assert watched.frames_after() == 3


@pytest.mark.parametrize("what", ["broken", "first", "event"])
def test_what_must_not_be_lost_is_on_the_disk_itself_at_once(watched: Watched, what: str) -> None:
    records = {
        "broken": Report(0, 0.0, TABLE, {"loss": math.nan}),
        "first": Report(0, 0.0, TABLE, first=True),
        "event": Event(TABLE, {"kind": "checkpoint"}),
    }
    for _ in range(3):
        watched.log(10)
        watched.frames_after(2.0)
    before = watched.synchronised
    watched.buffer.append(records[what])
    assert watched.frames_after() == 4
    assert watched.synchronised == before + 1


def test_what_waits_is_on_the_disk_itself_a_second_later(watched: Watched) -> None:
    watched.log(10)
    watched.frames_after()
    assert watched.synchronised == 0
    assert not watched.spooler.has_written
    watched.frames_after(1.0)
    assert watched.synchronised == 1
    assert watched.spooler.has_written
    watched.frames_after(5.0)
    assert watched.synchronised == 1


def test_what_was_delivered_in_time_never_costs_the_disk_anything(watched: Watched) -> None:
    watched.log(10)
    watched.frames_after()
    watched.lanes.live.settle(seq=1, doubtful=False)
    watched.frames_after(1.0)
    assert watched.synchronised == 0


def test_the_writer_shows_that_it_lives(watched: Watched) -> None:
    watched.log(10)
    watched.frames_after()
    watched.lanes.roll()
    watched.frames_after(59.0)
    assert watched.touched == 0
    watched.frames_after(1.0)
    assert watched.touched == 2


def test_at_the_cap_records_stay_in_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, {"spool_bytes": 0, "queue_records": 20})
    for _ in range(5):
        watched.log(10)
        watched.frames_after(1.0)
    assert (watched.lanes.live.frames, len(watched.buffer)) == (1, 20)
    counts = watched.buffer.counts
    assert (counts.observed, counts.pending, counts.dropped) == (50, 30, 20)
    watched.lanes.live.settle(seq=1, doubtful=False)
    assert watched.frames_after() == 1
    assert len(watched.buffer) == 0


def test_a_lane_that_was_just_closed_costs_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.log(10)
    with monkeypatch.context() as patched:
        patched.setattr(Lane, "put", lambda *_: False)
        assert watched.frames_after() == 0
    assert watched.frames_after() == 1
    assert watched.lanes.records == 10


def test_the_end_is_written_after_everything_else(watched: Watched) -> None:
    watched.log(3)
    watched.spooler.close({"state": "finished"})
    watched.frames_after()
    assert watched.spooler.ended
    assert (watched.lanes.live.frames, watched.lanes.live.farewell) == (1, {"state": "finished"})
    assert watched.spooler.has_written
    assert watched.spooler.turn() is None


def test_what_is_reported_just_before_the_end_is_written_before_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Buffer.__len__

    def look_a_moment_too_early(buffer: Buffer) -> int:
        found = count(buffer)
        patched.undo()
        watched.log()
        watched.spooler.urge()
        watched.spooler.close({"state": "finished"})
        return found

    watched.spooler.urge()
    with monkeypatch.context() as patched:
        patched.setattr(Buffer, "__len__", look_a_moment_too_early)
        watched.spooler.turn()
    assert not watched.spooler.ended
    while not watched.spooler.ended:
        watched.spooler.turn()
    assert watched.lanes.records == 1


def test_a_defect_costs_the_records_of_one_frame(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise KeyError("a defect")

    watched.log(10)
    with monkeypatch.context() as patched:
        patched.setattr("gradwatch.frames.pack", fail)
        with pytest.raises(KeyError):
            watched.spooler.turn()
        watched.spooler.abandon()
    watched.log(10)
    assert watched.frames_after() == 1
    assert (watched.buffer.counts.rejected, watched.buffer.counts.pending) == (10, 10)
