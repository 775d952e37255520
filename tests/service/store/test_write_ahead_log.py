"""What was committed moves into the database while others write, and nobody waits for it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gradwatch_service.store.database import for_writing, make_engine, use_wal
from gradwatch_service.store.write_ahead_log import kept_short
from tests.servers import poll

ROWS, BYTES = 20, 100_000


def test_it_moves_while_the_writer_holds_its_lock_and_readers_read(tmp_path: Path):
    file = tmp_path / "x.db"
    engine = make_engine(f"sqlite:///{file}")
    use_wal(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE bodies (body BLOB)")
    with kept_short(engine), for_writing(engine).connect() as writer:
        for _ in range(ROWS):
            writer.exec_driver_sql("INSERT INTO bodies VALUES (zeroblob(?))", (BYTES,))
        writer.commit()
        writer.exec_driver_sql("DELETE FROM bodies")  # not committed
        poll(lambda: file.stat().st_size > ROWS * BYTES, "the log is in the database")
        with engine.connect() as reader:
            count = reader.execute(sa.text("SELECT count(*) FROM bodies")).scalar_one()
        assert count == ROWS
    engine.dispose()


def test_other_databases_need_no_such_thing():
    with kept_short(sa.create_engine("postgresql+psycopg://nobody@/nowhere")):
        pass
