"""Where the bytes of a spool lie: a file, a file that is only looked at, or the memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

_OPEN = os.O_RDWR | getattr(os, "O_BINARY", 0)
_synchronise = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have no fdatasync


class Storage(Protocol):
    """Bytes that only grow at their end, or are cut there."""

    @property
    def size(self) -> int:
        """How much there is."""
        ...

    def read(self, at: int, length: int) -> bytes:
        """What is there; less at the end."""
        ...

    def append(self, data: bytes) -> None:
        """Add all of it or, with an ``OSError``, nothing."""
        ...

    def truncate(self, size: int) -> None:
        """Forget everything from an offset on."""
        ...


class SpoolFile:
    """A file, by its descriptor; whoever uses it holds a lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path) -> SpoolFile:
        """A new, empty file in folders that only this user may enter."""
        _make_folders(path.parent)
        return cls(path, os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600))

    @classmethod
    def open(cls, path: Path) -> SpoolFile:
        """A file that is there."""
        return cls(path, os.open(path, _OPEN))

    @property
    def is_in_place(self) -> bool:
        """Whether the file still has its name: nobody has claimed or removed it."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def read(self, at: int, length: int) -> bytes:
        """What is there; less at the end."""
        os.lseek(self._descriptor, at, os.SEEK_SET)
        parts: list[bytes] = []
        while length and (part := os.read(self._descriptor, length)):
            parts.append(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def append(self, data: bytes) -> None:
        """Add all of it or, with an ``OSError``, nothing."""
        os.lseek(self._descriptor, self.size, os.SEEK_SET)
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Forget everything from an offset on."""
        os.ftruncate(self._descriptor, size)
        self.size = size

    def synchronise(self) -> None:
        """Have the disk itself hold everything."""
        _synchronise(self._descriptor)

    def touch(self) -> None:
        """Show that somebody still works on it."""
        os.utime(self.path)

    def replace(self, other: SpoolFile) -> None:
        """Take the place of another file."""
        self.synchronise()
        other.close()
        self.path = self.path.replace(other.path)

    def remove(self) -> None:
        """Remove it, and the folder of its run if that is empty then."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()

    def close(self) -> None:
        """Leave the file as it is."""
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)


class Snapshot:
    """A file as it is now, of a job that goes on: what is appended is remembered nowhere."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._end = self.size = os.fstat(self._file.fileno()).st_size

    def read(self, at: int, length: int) -> bytes:
        """What was there."""
        self._file.seek(at)
        return self._file.read(max(0, min(length, self._end - at))) or b""

    def append(self, data: bytes) -> None:
        """Do nothing."""

    def truncate(self, size: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close it."""
        self._file.close()


class Memory:
    """Where there is no disk."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def size(self) -> int:
        """How much there is."""
        return len(self._bytes)

    def read(self, at: int, length: int) -> bytes:
        """What is there; less at the end."""
        return bytes(self._bytes[at : at + length])

    def append(self, data: bytes) -> None:
        """Add it."""
        self._bytes += data

    def truncate(self, size: int) -> None:
        """Forget everything from an offset on."""
        del self._bytes[size:]


def _make_folders(folder: Path) -> None:
    """Make the folder of a run and the spool above it, for this user alone."""
    if not folder.parent.is_dir():
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
