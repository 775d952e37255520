from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import gradwatch
from gradwatch.buffer import Counts
from gradwatch.run import Run
from gradwatch.spool import folder
from tests.client.conftest import OpenRun
from tests.client.memory_service import MemoryService

Warnings = Callable[[], list[str]]


def test_offline_nothing_is_sent(open_run: OpenRun, service: MemoryService, spool: Path) -> None:
    run = open_run(mode="offline")
    for step in range(30):
        run.log(step, loss=1.0)
    assert run.flush(10.0)
    assert run.counts == Counts(observed=30, pending=30)
    run.finish()
    assert service.requests == []
    assert len(folder.files(spool)) == 1


def test_the_end_says_what_waits_where_and_what_to_do(
    open_run: OpenRun, warnings_logged: Warnings, spool: Path
) -> None:
    run = open_run(mode="offline")
    run.log(0, loss=1.0)
    run.finish()
    (warning,) = warnings_logged()
    (path,) = folder.files(spool)
    assert warning == (
        f"gradwatch: 1 records and the end of run {run.id} are not delivered; "
        f"they wait in {path}: `gradwatch sync` sends them"
    )


def test_offline_without_a_disk_is_said(
    open_run: OpenRun, warnings_logged: Warnings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    run = open_run(mode="offline", spool=tmp_path / "file", exit_seconds=0.1, queue_records=5)
    for step in range(100):
        run.log(step, loss=1.0)
    assert not run.flush(0.3)
    counts = run.counts
    assert counts.observed == 100 == counts.pending + counts.dropped
    run.finish()
    unwritable, left = warnings_logged()
    assert "cannot be written" in unwritable
    assert left.endswith("are not delivered; lost if the process ends now")


def test_offline_is_a_setting(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    monkeypatch.setenv("GRADWATCH_MODE", "offline")
    run = gradwatch.init("lm")
    assert isinstance(run, Run)
    run.log(0, loss=1.0)
    run.finish()
    assert [path.parent.name for path in folder.files(spool)] == [run.id]


def test_a_flush_waits_for_the_disk(open_run: OpenRun, spool: Path) -> None:
    run = open_run(mode="offline")
    for step in range(25):
        run.log(step, loss=1.0)
        assert run.flush(10.0)
        with folder.looked_at(folder.files(spool)[0]) as journal:
            assert journal.records == step + 1
