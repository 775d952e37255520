from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.layers import Layer, LayerTable
from gradwatch.notices import Notices
from gradwatch.spool import folder, lane
from gradwatch.spool.entries import Frame
from gradwatch.spool.journal import Journal
from gradwatch.spool.lane import Lane
from gradwatch.spool.origin import Origin
from gradwatch.spool.storage import SpoolFile

RUN = "01935b2e-7a4c-7000-8000-000000000001"
TABLE = LayerTable([Layer("fc1"), Layer("fc2")])


def begun(spool: Path, **settings: Any) -> Lane:
    config = Config(spool=spool, **settings)
    return Lane.begin(Launch(RUN, "lm", "l1"), "r0-w", config, Notices())


def frame(number: int, size: int = 100) -> Frame:
    return Frame(f"{number}:".encode().ljust(size, b"x"), 1, TABLE.hash)


def put(target: Lane, *frames: Frame) -> list[bool]:
    return [target.put(one, TABLE) for one in frames]


def drained(target: Lane, frames: int = 1 << 30) -> list[bytes]:
    """What the numbers of this many frames in front are."""
    found = []
    while frames and (front := target.front()) is not None:
        found.append(front.body.partition(b":")[0])
        target.settle(seq=target.position.seq + 1, doubtful=False)
        frames -= 1
    return found


def on_disk(target: Lane) -> Journal:
    assert target.path is not None
    with folder.looked_at(target.path) as journal:
        return journal


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A place where no folder can be made, whoever tries."""
    place = tmp_path / "file"
    place.write_text("not a folder")
    return place / "spool"


def test_nothing_is_written_before_there_is_something_to_keep(spool: Path) -> None:
    assert begun(spool).path is None
    assert not spool.exists()


def test_only_this_user_may_look(spool: Path) -> None:
    target = begun(spool)
    put(target, frame(0))
    assert target.path == spool / RUN / "r0-w.spool"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (spool, spool / RUN, target.path)]
    assert modes == [0o700, 0o700, 0o600]


def test_the_file_says_whose_it_is_and_holds_no_key(spool: Path) -> None:
    target = begun(spool, api_key="gw_secret", url="https://gw.example.org")
    put(target, frame(0))
    origin = Origin.of(on_disk(target).intro)
    assert (origin.url, origin.writer, origin.run_id) == ("https://gw.example.org", "r0-w", RUN)
    assert (origin.run["project"], origin.run["launch_id"]) == ("lm", "l1")
    assert target.path is not None
    assert b"gw_secret" not in target.path.read_bytes()
    assert target.introduction(TABLE.hash) == {**origin.run, "layers": TABLE.described()}
    assert target.introduction("") == origin.run


def test_what_is_recorded_offline_is_for_any_service(spool: Path) -> None:
    target = begun(spool, mode="offline")
    put(target, frame(0))
    assert Origin.of(on_disk(target).intro).url == ""


def test_the_file_goes_when_everything_is_delivered(spool: Path) -> None:
    target = begun(spool)
    put(target, frame(0))
    assert not target.discard()
    drained(target)
    assert target.discard()
    assert list(spool.iterdir()) == []
    assert put(target, frame(1)) == [False]


def test_at_the_cap_nothing_more_is_taken(spool: Path) -> None:
    target = begun(spool, spool_bytes=4000, frame_bytes=1000)
    taken = 0
    while target.has_room:
        put(target, frame(taken, 1000))
        taken += 1
    assert taken == 3
    drained(target)
    assert target.has_room


def test_the_cap_is_one_for_all_writers_of_a_run(spool: Path) -> None:
    target = begun(spool, spool_bytes=10_000, frame_bytes=1000)
    put(target, frame(0))
    assert target.has_room
    (spool / RUN / "r1-other.spool").write_bytes(bytes(9000))
    assert not target.has_room


def test_one_frame_is_always_taken(spool: Path) -> None:
    target = begun(spool, spool_bytes=0)
    assert target.has_room
    assert put(target, frame(0)) == [True]
    assert not target.has_room


def test_without_a_disk_one_frame_at_a_time_is_kept_in_memory(
    unwritable: Path, warnings_logged: Callable[[], list[str]]
) -> None:
    target = begun(unwritable)
    assert put(target, frame(0), frame(1)) == [True, False]
    assert not target.has_room
    assert target.path is None
    assert target.introduction(TABLE.hash)["layers"] == TABLE.described()
    assert drained(target) == [b"0"]
    assert put(target, frame(1)) == [True]
    (warning,) = warnings_logged()
    assert f"{unwritable} cannot be written (" in warning
    assert "set GRADWATCH_SPOOL to a folder that can" in warning


def test_a_disk_that_works_again_is_used_again_and_the_numbers_go_on(
    unwritable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "RETRY_SECONDS", 0.0)
    target = begun(unwritable)
    put(target, frame(0))
    drained(target)
    unwritable.parent.unlink()
    put(target, frame(1))
    assert target.path == unwritable / RUN / "r0-w.spool"
    assert on_disk(target).position.seq == 1


def test_a_disk_that_fills_up_keeps_what_it_has_and_takes_no_more(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "RETRY_SECONDS", 0.0)
    target = begun(spool)
    put(target, frame(0), frame(1))

    def fail(_: int, __: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", fail)
        assert put(target, frame(2)) == [False]
        assert drained(target) == [b"0", b"1"]
        assert put(target, frame(2)) == [True]
        assert target.path is None
    assert drained(target) == [b"2"]
    put(target, frame(3))
    assert on_disk(target).position.seq == 3


def test_a_torn_write_leaves_nothing_behind(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = begun(spool)
    put(target, frame(0), frame(1))
    write, calls = os.write, []

    def tear(descriptor: int, data: bytes) -> int:
        if calls:
            raise OSError(28, "No space left on device")
        calls.append(1)
        return write(descriptor, data[:50])

    with monkeypatch.context() as full:
        full.setattr(os, "write", tear)
        assert put(target, frame(2)) == [False]
    put(target, frame(3))
    found = on_disk(target)
    assert (found.frames, found.torn_bytes) == (3, 0)


def test_a_file_that_somebody_took_is_written_anew(spool: Path) -> None:
    target = begun(spool)
    put(target, frame(0), frame(1))
    drained(target, 1)
    assert target.path is not None
    taken = folder.claim(target.path)
    assert taken is not None
    put(target, frame(2))
    assert on_disk(target).frames == 2
    with folder.looked_at(taken) as theirs:
        assert (theirs.frames, theirs.position.seq) == (1, 1)
    assert drained(target) == [b"1", b"2"]


def test_a_file_of_which_most_is_settled_is_written_anew(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "WASTE_BYTES", 10_000)
    target = begun(spool)
    put(target, *(frame(number, 1000) for number in range(30)))
    sizes = []
    for number in range(25):
        assert drained(target, 1) == [str(number).encode()]
        assert target.path is not None
        sizes.append(target.path.stat().st_size)
    assert sizes[-1] < 10_000 < max(sizes)
    put(target, frame(30, 1000))
    found = on_disk(target)
    assert (found.frames, found.position.seq) == (6, 25)
    assert drained(target) == [str(number).encode() for number in range(25, 31)]
    assert [path.name for path in (spool / RUN).iterdir()] == ["r0-w.spool"]


def test_a_file_that_cannot_be_written_anew_stays_as_it_is(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lane, "WASTE_BYTES", 10_000)
    target = begun(spool)
    put(target, *(frame(number, 1000) for number in range(30)))
    with monkeypatch.context() as full:
        full.setattr(SpoolFile, "replace", fail)
        drained(target, 25)
    assert on_disk(target).frames == 5
    assert [path.name for path in (spool / RUN).iterdir()] == ["r0-w.spool"]
    assert drained(target) == [str(number).encode() for number in range(25, 30)]


def test_the_end_of_a_run_is_remembered_without_a_disk(unwritable: Path) -> None:
    target = begun(unwritable)
    target.finish({"state": "finished"})
    assert target.farewell == {"state": "finished"}
    target.touch()
    target.synchronise()
    target.leave()
    assert target.discard()


def test_a_found_file_is_taken_up_where_it_was_left(spool: Path) -> None:
    first = begun(spool)
    put(first, frame(0), frame(1))
    first.note_met()
    drained(first, 1)
    assert first.path is not None
    mine = folder.claim(first.path)
    assert mine is not None
    journal = folder.open_claimed(mine)
    assert journal is not None
    second = Lane(Origin.of(journal.intro), Config(spool=spool), Notices(), journal=journal)
    assert (second.met, second.position.seq, second.frames) == (True, 1, 1)
    assert drained(second) == [b"1"]
    assert second.discard()
    assert not mine.exists()


def test_synchronising_and_touching_survive_a_file_that_is_gone(spool: Path) -> None:
    target = begun(spool)
    put(target, frame(0))
    assert target.path is not None
    os.utime(target.path, (0, 0))
    target.touch()
    assert folder.age_seconds(target.path) < 100
    target.synchronise()
    target.path.unlink()
    target.touch()
    target.leave()
    target.synchronise()
