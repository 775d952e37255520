from __future__ import annotations

import errno
from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gradwatch.spool.entries import MAGIC, DamagedError, Frame
from gradwatch.spool.journal import Journal
from gradwatch.spool.storage import Memory

INTRO = {"writer": "r0-w", "run": {"id": "run"}}


class Disk(Memory):
    """Memory that can be full, as a disk can."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        super().append(data)
        self.is_full = False

    def append(self, data: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(data)

    @property
    def content(self) -> bytes:
        return self.read(0, self.size)


def begun(storage: Memory | None = None) -> Journal:
    journal = Journal(storage or Disk())
    journal.intro = dict(INTRO)
    return journal


def frame(number: int, table: str = "", size: int = 20) -> Frame:
    return Frame(f"{number}:".encode().ljust(size, b"x"), 1 + number % 3, table)


def layers(table: str = "") -> Any:
    return lambda: [{"name": table}]


def add(journal: Journal, *frames: Frame) -> None:
    for one in frames:
        journal.add(one, layers(one.table))


def replayed(journal: Journal) -> Journal:
    assert isinstance(journal.storage, Memory)
    return Journal(Disk(journal.storage.read(0, journal.storage.size)))


def rest(journal: Journal) -> list[Frame]:
    """All that waits, front to back; the journal is empty then."""
    found = []
    while (front := journal.front()) is not None:
        found.append(front)
        journal.settle(seq=journal.position.seq + 1, doubtful=False)
    return found


def test_frames_leave_in_the_order_in_which_they_came() -> None:
    journal = begun()
    add(journal, *map(frame, range(4)))
    assert (journal.frames, journal.records, journal.bytes) == (4, 7, 80)
    assert rest(journal) == [frame(number) for number in range(4)]
    assert journal.position.seq == 4


def test_an_emptied_journal_is_as_short_as_a_new_one() -> None:
    journal = begun()
    add(journal, frame(0, "a"))
    rest(journal)
    head = journal.storage.size
    for number in range(1, 100):
        add(journal, frame(number, "a"))
        assert rest(journal) == [frame(number, "a")]
        assert journal.storage.size == head


def test_a_number_outlives_the_cut() -> None:
    journal = begun()
    add(journal, frame(0), frame(1))
    rest(journal)
    add(journal, frame(2))
    assert replayed(journal).position.seq == 2


def test_a_new_table_is_kept_as_long_as_a_frame_needs_it() -> None:
    journal = begun()
    add(journal, frame(0, "a"), frame(1, "b"), frame(2, "a"))
    for found in (journal, replayed(journal)):
        assert found.layers_of("a") == [{"name": "a"}]
        assert found.layers_of("b") == [{"name": "b"}]
        assert found.layers_of("c") == []
    rest(journal)
    add(journal, frame(3, "b"))
    assert replayed(journal).layers_of("b") == [{"name": "b"}]


def test_that_the_service_has_met_the_launch_is_kept() -> None:
    journal = begun()
    add(journal, frame(0))
    journal.note_met()
    assert replayed(journal).met
    rest(journal)
    add(journal, frame(1))
    assert replayed(journal).met


def test_a_farewell_stays_until_the_file_goes() -> None:
    journal = begun()
    add(journal, frame(0), frame(1))
    journal.finish({"state": "failed"})
    assert rest(journal) == [frame(0), frame(1)]
    again = replayed(journal)
    assert again.farewell == {"state": "failed"}
    assert (again.frames, again.position.seq) == (0, 2)


def test_a_run_without_frames_can_end() -> None:
    journal = begun()
    journal.finish({"state": "finished"})
    again = replayed(journal)
    assert (again.farewell, again.intro, again.front()) == ({"state": "finished"}, INTRO, None)


def test_parts_take_the_place_of_the_front() -> None:
    journal = begun()
    add(journal, frame(0), frame(1))
    journal.split([frame(10), frame(11)])
    for found in (replayed(journal), journal):
        assert found.frames == 3
        assert rest(found) == [frame(10), frame(11), frame(1)]


def test_a_full_disk_takes_no_frame_and_keeps_what_it_has() -> None:
    disk = Disk()
    journal = begun(disk)
    add(journal, frame(0), frame(1))
    disk.is_full = True
    with pytest.raises(OSError, match="No space"):
        add(journal, frame(2))
    assert (journal.frames, replayed(journal).frames) == (2, 2)


def test_what_a_full_disk_did_not_note_is_not_sent_under_another_number() -> None:
    disk = Disk()
    journal = begun(disk)
    add(journal, *map(frame, range(4)))
    disk.is_full = True
    journal.settle(seq=1, doubtful=False)
    assert (
        replayed(journal).position.seq == 0
    )  # frame 0 again, as number 0: the same to the service
    disk.is_full = False
    journal.settle(seq=2, doubtful=False)
    again = replayed(journal)
    assert (again.position.seq, again.front()) == (2, frame(2))


def test_a_full_disk_refuses_to_split() -> None:
    disk = Disk()
    journal = begun(disk)
    add(journal, frame(0), frame(1))
    disk.is_full = True
    with pytest.raises(OSError, match="No space"):
        journal.split([frame(10), frame(11)])
    assert journal.front() == frame(0)


def test_a_number_that_was_not_written_goes_before_the_next_frame() -> None:
    disk = Disk()
    journal = begun(disk)
    add(journal, frame(0))
    disk.is_full = True
    rest(journal)
    with pytest.raises(OSError, match="No space"):
        add(journal, frame(1))
    disk.is_full = False
    add(journal, frame(1))
    again = replayed(journal)
    assert (again.position.seq, again.front()) == (1, frame(1))


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(DamagedError):
        Journal(Disk(b"#!/bin/sh\n" * 10))


@pytest.mark.parametrize("cut", range(len(MAGIC)))
def test_a_torn_head_is_no_spool(cut: int) -> None:
    if cut:
        with pytest.raises(DamagedError):
            Journal(Disk(MAGIC[:cut]))
    else:
        assert not Journal(Disk()).frames


def test_a_journal_torn_at_any_byte_goes_on_from_what_is_whole() -> None:
    journal = begun()
    add(journal, *(frame(number, "t") for number in range(3)))
    journal.settle(seq=1, doubtful=False)
    assert isinstance(journal.storage, Disk)
    whole = journal.storage.content
    counts = []
    for cut in range(len(MAGIC), len(whole) + 1):
        again = Journal(Disk(whole[:cut]))
        counts.append(again.frames)
        assert again.torn_bytes == cut - again.storage.size >= 0
        add(again, frame(9, "t"))
        assert rest(replayed(again))[-1] == frame(9, "t")
    assert counts == [*sorted(counts[:-1]), 2]
    assert set(counts) == {0, 1, 2, 3}


def test_a_frame_that_can_no_longer_be_read_is_an_error_and_can_be_given_up() -> None:
    disk = Disk()
    journal = begun(disk)
    add(journal, frame(0), frame(1))
    journal.settle(seq=1, doubtful=False)
    disk.truncate(disk.size - 40)
    with pytest.raises(DamagedError):
        journal.front()
    assert journal.forget() == frame(1).records
    add(journal, frame(2))
    assert rest(journal) == [frame(2)]


def test_a_copy_is_the_same_queue_without_what_is_settled() -> None:
    journal = begun()
    add(journal, *(frame(number, "ab"[number % 2]) for number in range(50)))
    journal.note_met()
    for number in range(40):
        journal.front()
        journal.settle(seq=number + 1, doubtful=number == 39)
    journal.split([frame(90, "a"), frame(91, "a")])
    journal.finish({"state": "finished"})
    copy = journal.copied_to(Disk())
    assert copy.storage.size < journal.storage.size / 2
    for found in (copy, replayed(copy)):
        assert (found.intro, found.met, found.farewell) == (INTRO, True, {"state": "finished"})
        assert (found.position.seq, found.position.doubtful) == (40, True)
        assert found.layers_of("b") == [{"name": "b"}]
        assert rest(found) == [
            frame(90, "a"), frame(91, "a"), *(frame(n, "ab"[n % 2]) for n in range(41, 50)),
        ]  # fmt: skip


class Replays(RuleBasedStateMachine):
    """Whatever happens to the queue, its log replays to the same queue."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.journal = begun(self.disk)
        self.model: deque[Frame] = deque()
        self.seq, self.made = 0, 0

    @rule(table=st.sampled_from(["", "a", "b"]), size=st.integers(5, 60))
    def add(self, table: str, size: int) -> None:
        self.made += 1
        self.model.append(frame(self.made, table, size))
        add(self.journal, self.model[-1])

    @rule(used=st.booleans())
    @precondition(lambda self: self.model)
    def settle(self, *, used: bool) -> None:
        assert self.journal.front() == self.model.popleft()
        self.seq += used
        self.journal.settle(seq=self.seq, doubtful=not used)

    @rule()
    @precondition(lambda self: self.model)
    def renumber(self) -> None:
        self.seq += 1
        self.journal.renumber(self.seq)

    @rule(parts=st.integers(2, 3))
    @precondition(lambda self: self.model)
    def split(self, parts: int) -> None:
        front = self.model.popleft()
        halves = [frame(1000 + self.made + part, front.table) for part in range(parts)]
        self.journal.split(halves)
        self.model.extendleft(reversed(halves))

    @rule()
    def meet(self) -> None:
        self.journal.note_met()

    @rule()
    def crash(self) -> None:
        self.disk = Disk(self.disk.content)
        met, empty = self.journal.met, not self.model
        self.journal = Journal(self.disk)
        if empty and not self.journal.intro:
            self.journal = begun(self.disk)
        if empty:  # then nobody depends on it
            self.journal.position = Journal(Disk()).position
            self.seq, self.journal.met = 0, met

    @rule()
    def move(self) -> None:
        self.disk = Disk()
        self.journal = self.journal.copied_to(self.disk)

    @invariant()
    def it_is_the_same_queue(self) -> None:
        journal = self.journal
        assert journal.frames == len(self.model)
        assert journal.bytes == sum(len(one.body) for one in self.model)
        assert journal.records == sum(one.records for one in self.model)
        assert journal.front() == (self.model[0] if self.model else None)
        if self.model:
            again = replayed(journal)
            assert (again.position.seq, again.met) == (self.seq, journal.met)
            assert rest(again) == list(self.model)


Replays.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestReplays = Replays.TestCase
