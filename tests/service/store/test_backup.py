"""A backup is complete or not there, never overwrites, and says what is missing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gradwatch_service import commands
from gradwatch_service.store.backup import BackupError, backup


def database(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE kept (x)")
        connection.execute("INSERT INTO kept VALUES (1)")
    connection.close()
    return f"sqlite:///{path}"


def test_what_is_there_is_never_overwritten(tmp_path: Path):
    target = tmp_path / "taken"
    target.write_text("mine")
    with pytest.raises(BackupError, match="never overwritten"):
        backup(database(tmp_path / "x.db"), target)
    assert target.read_text() == "mine"


def test_what_an_interrupted_backup_left_is_replaced(tmp_path: Path):
    (tmp_path / "copy.partial").write_text("torn")
    backup(database(tmp_path / "x.db"), tmp_path / "copy")
    copy = sqlite3.connect(tmp_path / "copy")
    assert copy.execute("SELECT x FROM kept").fetchall() == [(1,)]
    copy.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy", "x.db"]


def test_no_database_is_no_backup_and_makes_no_file(tmp_path: Path):
    with pytest.raises(BackupError, match="there is no database"):
        backup(f"sqlite:///{tmp_path}/none.db", tmp_path / "copy")
    (tmp_path / "text.db").write_text("this is no database, whatever its name says")
    with pytest.raises(BackupError, match="SQLite could not copy"):
        backup(f"sqlite:///{tmp_path}/text.db", tmp_path / "copy")
    assert [file.name for file in tmp_path.iterdir()] == ["text.db"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    url = database(tmp_path / "x.db")
    with pytest.raises(BackupError, match=r"SQLite could not copy|cannot be written"):
        backup(url, tmp_path / "nowhere" / "copy")


def test_without_pg_dump_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", str(tmp_path))
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/none"
    assert commands.backup(["--database-url", url, str(tmp_path / "copy")]) == commands.FAILED
    told = capsys.readouterr().err
    assert "install the client programs of PostgreSQL" in told
    assert "hunter2" not in told


def test_what_pg_dump_says_is_passed_on_and_the_password_is_handed_over_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@" >&2; cat "${5##*passfile=}" >&2 2>/dev/null; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/none"
    with pytest.raises(BackupError, match="pg_dump failed: --format=custom") as caught:
        backup(url, tmp_path / "copy")
    assert "hunter2" not in str(caught.value)
    assert "passfile=" in str(caught.value)
