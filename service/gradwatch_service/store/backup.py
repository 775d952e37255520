"""Copies a database while it is in use: one consistent moment, complete or not there at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import sqlalchemy as sa
from sqlalchemy import URL

PG_DUMP = "pg_dump"


class BackupError(Exception):
    """No backup was made; the message says why and what to do."""


def backup(database_url: str, target: Path) -> None:
    """Write a copy of the database to a new file.

    SQLite: a database like the original, without its free pages. PostgreSQL: what ``pg_restore``
    reads.

    Raises:
        BackupError: the target exists, or the copy failed.
    """
    url = sa.make_url(database_url)
    copy: Callable[[URL, Path], None] = (
        _copy_sqlite if url.get_backend_name() == "sqlite" else _dump_postgres
    )
    if target.exists():
        raise BackupError(f"{target} exists: backups are never overwritten")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        copy(url, partial)
        _sync(partial)
        partial.rename(target)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _copy_sqlite(url: URL, target: Path) -> None:
    source = Path(url.database or "")
    if not source.is_file():
        raise BackupError(f"there is no database {source}")
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as opened:
            opened.execute("VACUUM INTO ?", (str(target),))
        with closing(sqlite3.connect(target)) as copy:
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupError(f"SQLite could not copy {source}: {error}") from error
    if found != "ok":
        raise BackupError(f"the copy of {source} is damaged: {found}")


def _dump_postgres(url: URL, target: Path) -> None:
    program = shutil.which(PG_DUMP)
    if program is None:
        raise BackupError(
            f"{PG_DUMP} is not installed: install the client programs of PostgreSQL, in the "
            "version of the server or a later one"
        )
    with _password_file(url) as options:
        plain = url.set(drivername="postgresql", password=None).update_query_dict(options)
        address = f"--dbname={plain.render_as_string()}"
        done = subprocess.run(  # noqa: S603 - no shell, and the address is the operator's own
            [program, "--format=custom", "--no-owner", f"--file={target}", address],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BackupError(f"{PG_DUMP} failed: {'; '.join(done.stderr.splitlines())}")


@contextmanager
def _password_file(url: URL) -> Iterator[Mapping[str, str]]:
    """Hand the password over where no list of processes shows it: in a file of ours alone."""
    if not url.password:
        yield {}
        return
    escaped = str(url.password).replace("\\", "\\\\").replace(":", "\\:")
    with NamedTemporaryFile("w", suffix=".pgpass") as file:
        file.write(f"*:*:*:*:{escaped}\n")
        file.flush()
        yield {"passfile": file.name}


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
