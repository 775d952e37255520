from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.layers import LayerTable
from gradwatch.notices import Notices
from gradwatch.spool import dead, folder
from gradwatch.spool.entries import DamagedError, Frame
from gradwatch.spool.lane import Lane

RUN = "01935b2e-7a4c-7000-8000-000000000001"


def written(spool: Path, writer: str = "r0-w", run: str = RUN) -> Path:
    lane = Lane.begin(Launch(run, "lm", "l1"), writer, Config(spool=spool), Notices())
    lane.put(Frame(b"body", 1, ""), LayerTable())
    lane.leave()
    assert lane.path is not None
    return lane.path


def aged(path: Path, seconds: float = folder.ORPHAN_SECONDS + 10) -> Path:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
    return path


def test_files_are_found_by_run_and_name(spool: Path) -> None:
    other = RUN.replace("01935", "01936")
    paths = [written(spool, "r1-a", other), written(spool, "r1-a"), written(spool, "r0-b")]
    (spool / RUN / "r0-b.spool.new").touch()
    (spool / RUN / "notes.txt").touch()
    assert folder.files(spool) == [paths[2], paths[1], paths[0]]
    assert folder.files(spool / other) == [paths[0]]
    assert folder.files(spool / "nothing") == []


def test_a_file_that_nobody_touches_is_an_orphan(spool: Path) -> None:
    path = written(spool)
    assert not folder.is_orphan(path)
    assert not folder.is_orphan(aged(path, folder.TOUCH_SECONDS))
    assert folder.is_orphan(aged(path))
    assert not folder.is_orphan(spool / "gone")


def test_of_two_that_claim_a_file_one_gets_it(spool: Path) -> None:
    path = aged(written(spool))
    first, second = folder.claim(path), folder.claim(path)
    assert (first is None, second) == (False, None)
    assert not path.exists()
    assert first is not None
    assert not folder.is_orphan(first)


def test_a_claim_that_was_left_ages_and_is_claimed_again(spool: Path) -> None:
    first = folder.claim(aged(written(spool)))
    assert first is not None
    assert folder.files(spool) == [first]
    assert folder.is_orphan(aged(first))
    second = folder.claim(first)
    assert second is not None
    assert second.name.startswith("r0-w~")
    assert second.name.count("~") == 1
    journal = folder.open_claimed(second)
    assert journal is not None
    assert journal.frames == 1


def test_a_file_that_holds_nothing_is_removed(spool: Path) -> None:
    path = spool / RUN / "r0-w.spool"
    path.parent.mkdir(parents=True)
    path.touch()
    assert folder.open_claimed(path) is None
    assert not path.parent.exists()
    assert folder.open_claimed(path) is None


def test_a_file_of_something_else_is_put_aside(spool: Path) -> None:
    path = written(spool)
    path.write_bytes(b"#!/bin/sh\n" * 10)
    with pytest.raises(DamagedError), folder.looked_at(path):
        pass
    assert folder.open_claimed(path) is None
    assert path.with_suffix(".damaged").read_bytes().startswith(b"#!/bin/sh")
    assert folder.files(spool) == []


def test_looking_changes_nothing(spool: Path) -> None:
    path = written(spool)
    path.write_bytes(path.read_bytes() + b"torn")
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with folder.looked_at(path) as journal:
        assert (journal.frames, journal.torn_bytes) == (1, 4)
        assert journal.front() == Frame(b"body", 1, "")
        journal.settle(seq=1, doubtful=False)
        assert journal.front() is None
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_the_room_of_a_run_is_that_of_all_its_writers(spool: Path) -> None:
    sizes = [written(spool, writer).stat().st_size for writer in ("r0-a", "r1-b")]
    assert folder.total_bytes(spool / RUN) == sum(sizes)
    assert folder.total_bytes(spool / "nothing") == 0


def test_what_was_left_half_written_is_removed_once_it_is_old(spool: Path) -> None:
    half = written(spool).with_name("r0-w.spool.new")
    half.touch()
    folder.clear(spool)
    assert half.exists()
    aged(half)
    folder.clear(spool)
    assert not half.exists()


def test_refused_frames_are_kept_with_the_reason_up_to_a_limit(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "MAX_BYTES", 3000)
    for number in range(5):
        dead.keep(spool, bytes(1000), {"status": 422, "run": number})
    kept = sorted(path.suffix for path in (spool / "dead").iterdir())
    assert kept == [".frame", ".frame", ".json", ".json"]
    assert folder.files(spool) == []


def test_where_nothing_can_be_written_nothing_is_kept(spool: Path) -> None:
    spool.touch()
    dead.keep(spool, b"body", {"status": 422})
    assert spool.read_bytes() == b""
