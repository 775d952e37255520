"""A spare file beside an SQLite database, given up when the disk is full so that runs can go.

Deleting needs room, too: the log is written before pages come free. The database does not shrink,
but what comes free in it is used again once the log fits into it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Engine


class Ballast:
    """``release`` it for a command that makes room; ``restore`` it whenever there is room."""

    def __init__(self, engine: Engine, size_bytes: int) -> None:
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        self._path = Path(f"{file}-ballast") if file and file != ":memory:" else None
        self._size = size_bytes

    @property
    def room(self) -> int | None:
        """Bytes free on the disk of the database; None if that is another machine's concern."""
        return None if self._path is None else shutil.disk_usage(self._path.parent).free

    def release(self) -> bool:
        """Give the file up; False if there is none."""
        if self._path is None or not self._path.exists():
            return False
        self._path.unlink()
        return True

    def restore(self) -> None:
        """Put the file back, if it is not there and the disk has room for twice as much."""
        if self._path is None or not self._size or self._is_whole(self._path):
            return
        if shutil.disk_usage(self._path.parent).free < 2 * self._size:
            return
        try:
            self._path.write_bytes(bytes(self._size))
        except OSError:  # others were faster
            self._path.unlink(missing_ok=True)

    def _is_whole(self, path: Path) -> bool:
        return path.exists() and path.stat().st_size == self._size
