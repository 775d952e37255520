"""Moves what SQLite's write-ahead log holds into the database, so that commits need not do it.

A commit that does it waits for both files to be synced: 15 ms for the log that ``make_engine``
lets grow, against .5 ms for a commit without. It still does when this thread cannot keep up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, exc

PAUSE_SECONDS = 0.02
IDLE_SECONDS = 0.25  # nothing was written meanwhile


@contextmanager
def kept_short(engine: Engine) -> Iterator[None]:
    """Run the thread that does it; nothing to do on other databases."""
    if engine.dialect.name != "sqlite":
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_keep_short, args=(engine, stop), name="gradwatch-log")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep_short(engine: Engine, stop: threading.Event) -> None:
    moved: object = None
    pause = IDLE_SECONDS
    with engine.execution_options(sqlite_begin="").connect() as connection:
        while not stop.wait(pause):
            before = moved
            try:  # passive: nobody waits for it
                moved = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
            except exc.OperationalError:  # the disk is full, say: writing says so to those it harms
                moved = None
            pause = IDLE_SECONDS if moved == before else PAUSE_SECONDS
