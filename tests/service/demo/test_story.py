"""``gradwatch demo`` as people start it: a real server, real HTTP, a database that is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gradwatch_service.commands import demo
from gradwatch_service.demo import story as told
from gradwatch_service.demo.job import Settings

JOBS = [("with the guard", "finished"), ("without help", "failed")]


def runs_in(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT name, state FROM runs ORDER BY name").fetchall()


def test_it_shows_what_it_claims_and_leaves_its_data_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo([]) == 0
    story, complaints = capsys.readouterr()
    assert complaints == ""
    assert story.count("\n  yes  ") == 4
    assert "rule        explosion-through-time" in story
    assert "layer       W_hh" in story
    assert "1. Clip the gradient norm at " in story
    assert "job A  explosion-through-time: " in story
    assert runs_in(tmp_path / "gradwatch.db") == JOBS


def test_a_database_that_cannot_be_used_ends_it_with_a_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert demo(["--database-url", f"sqlite:///{tmp_path}/missing/x.db"]) == 1
    story, complaints = capfd.readouterr()
    assert story == ""
    assert "unable to open database file" in complaints
    assert complaints.endswith("the service did not start; the lines above say why\n")


def test_it_fails_and_says_so_when_it_does_not_show_what_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forty steps are too few for anything to explode."""
    monkeypatch.setattr(told, "Settings", lambda: Settings(steps=40))
    assert demo(["--database-url", f"sqlite:///{tmp_path}/short.db"]) == 1
    story, complaints = capsys.readouterr()
    assert "\n  NO   Without help the job was ruined.\n" in story
    assert "\n  yes  With help the same job trained on through all 40 steps.\n" in story
    assert "job A  no alerts" in story
    assert complaints.startswith(
        "gradwatch: the demo did not show this: Without help the job was ruined. "
        "Its alert came at least 10 steps before that, with a numbered remedy."
    )


def test_a_database_that_is_there_already_is_kept_and_named_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(told, "Settings", lambda: Settings(steps=20))
    address = f"sqlite:///{tmp_path}/other.db"
    for _ in range(2):
        demo(["--database-url", address])
    assert f"gradwatch serve --database-url {address}\n" in capsys.readouterr().out
    assert [name for name, _ in runs_in(tmp_path / "other.db")] == [JOBS[0][0]] * 2 + [
        JOBS[1][0]
    ] * 2
