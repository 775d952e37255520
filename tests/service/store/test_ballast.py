"""The spare file is there while the disk has room, and gone when it was needed."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gradwatch_service.store.ballast import Ballast

SIZE = 4_096


def on(path: Path | str, size_bytes: int = SIZE) -> Ballast:
    return Ballast(sa.create_engine(f"sqlite:///{path}"), size_bytes)


def test_it_is_put_back_whole_after_it_was_given_up(tmp_path: Path):
    ballast, file = on(tmp_path / "x.db"), tmp_path / "x.db-ballast"
    assert not ballast.release()
    ballast.restore()
    assert file.stat().st_size == SIZE
    file.write_bytes(b"torn")
    ballast.restore()
    assert file.stat().st_size == SIZE
    assert ballast.release()
    assert not file.exists()


def test_it_takes_nothing_that_others_will_need(tmp_path: Path):
    greedy = on(tmp_path / "x.db", size_bytes=2**62)
    greedy.restore()
    assert not list(tmp_path.iterdir())
    assert 0 < (greedy.room or 0) < 2**62


def test_without_a_file_of_ours_there_is_nothing_to_keep(tmp_path: Path):
    for ballast in (
        on(":memory:"),
        on(tmp_path / "x.db", size_bytes=0),
        Ballast(sa.create_engine("postgresql+psycopg://nobody@/nowhere"), SIZE),
    ):
        ballast.restore()
        assert not ballast.release()
    assert not list(tmp_path.iterdir())
    assert on(":memory:").room is None
