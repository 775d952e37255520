"""One writer's queue for two threads: on disk, or a frame at a time where the disk fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gradwatch import clock
from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.layers import LayerTable
from gradwatch.notices import Notices
from gradwatch.spool import folder
from gradwatch.spool.entries import Frame, Position
from gradwatch.spool.journal import Journal
from gradwatch.spool.origin import Origin
from gradwatch.spool.storage import Memory, SpoolFile
from gradwatch.values import JsonValue

WASTE_BYTES = 32 << 20
RETRY_SECONDS = 5.0


class Lane:
    """``journal`` is one that is there already; a new one begins on disk with its first frame."""

    def __init__(
        self, origin: Origin, config: Config, notices: Notices, journal: Journal | None = None
    ) -> None:
        self.origin = origin
        self.frame_bytes = config.frame_bytes
        self._config = config
        self._notices = notices
        self._journal = journal or Journal(Memory())
        self._journal.intro = origin.as_json()
        self._next_try = 0.0
        self._closed = False
        self._lock = threading.RLock()

    def describe(self, launch: Launch) -> None:
        """Take what is known of the launch by now; before the first frame."""
        with self._lock:
            self.origin = replace(self.origin, run=launch.body(LayerTable()))
            self._journal.intro = self.origin.as_json()

    @classmethod
    def begin(cls, launch: Launch, writer: str, config: Config, notices: Notices) -> Lane:
        """A new, empty one for a launch."""
        url = config.url if config.mode == "online" else ""
        origin = Origin(url, writer, launch.body(LayerTable()), clock.now())
        return cls(origin, config, notices)

    @property
    def path(self) -> Path | None:
        """Where the file is, if there is one."""
        return None if self._file is None else self._file.path

    @property
    def frames(self) -> int:
        """How many frames wait."""
        return self._journal.frames

    @property
    def records(self) -> int:
        """How many records they hold."""
        return self._journal.records

    @property
    def bytes(self) -> int:
        """How large they are."""
        return self._journal.bytes

    @property
    def farewell(self) -> Mapping[str, JsonValue] | None:
        """How the run ends, once it does."""
        return self._journal.farewell

    @property
    def met(self) -> bool:
        """Whether the service knew the launch when it was last heard of."""
        return self._journal.met

    @property
    def position(self) -> Position:
        """The number of the front, and whether the service may have used it for another."""
        return self._journal.position

    @property
    def has_room(self) -> bool:
        """Whether another frame would be taken; at least one always is."""
        path = self.path
        if path is None or not self.frames:
            return not self.frames
        return folder.total_bytes(path.parent) + self.frame_bytes <= self._config.spool_bytes

    def put(self, frame: Frame, table: LayerTable) -> bool:
        """Queue a frame; False if that is not possible now."""
        with self._lock:
            if self._closed:
                return False
            try:
                self._find_disk()
                if self.frames and self.path is None:
                    return False
                self._journal.add(frame, table.described)
            except OSError as error:
                return self._hold(frame, table, error)
            return True

    def front(self) -> Frame | None:
        """The frame to be sent next.

        Raises:
            DamagedError: it can no longer be read.
        """
        with self._lock:
            return self._journal.front()

    def settle(self, *, seq: int, doubtful: bool) -> None:
        """The front is done."""
        with self._lock:
            self._journal.settle(seq=seq, doubtful=doubtful)
            self._compact()

    def renumber(self, seq: int) -> None:
        """The front goes under another number."""
        with self._lock:
            self._journal.renumber(seq)

    def split(self, parts: list[Frame]) -> None:
        """Replace the front, which is too large, by these parts; the next ones are to be smaller.

        Raises:
            OSError: that could not be noted.
        """
        with self._lock:
            self._journal.split(parts)
            self.frame_bytes = max(len(part.body) for part in parts)

    def note_met(self) -> None:
        """The service has been introduced to the launch."""
        with self._lock:
            self._journal.note_met()

    def introduction(self, table: str) -> dict[str, JsonValue]:
        """The body of ``POST /runs``, with the layers of this table."""
        with self._lock:
            layers = self._journal.layers_of(table) if table else []
        return dict(self.origin.run) | ({"layers": layers} if layers else {})

    def finish(self, farewell: Mapping[str, JsonValue]) -> None:
        """Nothing comes after this but the end of the run."""
        with self._lock:
            try:
                self._find_disk()
                self._journal.finish(dict(farewell))
            except OSError:
                self._journal.farewell = dict(farewell)

    def give_up(self) -> int:
        """Forget what waits, as it cannot be read; returns how many records that was."""
        with self._lock:
            return self._journal.forget()

    def synchronise(self) -> None:
        """Have the disk itself hold what waits."""
        if (file := self._file) is not None:
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile
                file.synchronise()

    def touch(self) -> None:
        """Show that the writer lives."""
        if (file := self._file) is not None:
            with contextlib.suppress(OSError):
                file.touch()

    def discard(self) -> bool:
        """Remove the file, as everything is delivered; False if that is not so."""
        with self._lock:
            if self.frames:
                return False
            self._closed = True
            if self._file is not None:
                self._file.remove()
            return True

    def leave(self) -> None:
        """Close the file as it is. Without the lock, which another process may seem to hold."""
        self._closed = True
        if self._file is not None:
            self._file.close()

    @property
    def _file(self) -> SpoolFile | None:
        storage = self._journal.storage
        return storage if isinstance(storage, SpoolFile) else None

    def _find_disk(self) -> None:
        """See that the queue is in its file, if there is a disk.

        Raises:
            OSError: there is none, or the file was taken and cannot be made again.
        """
        if (file := self._file) is not None:
            if not file.is_in_place:
                self._journal = self._journal.copied_to(self._new_file())
                file.close()
        elif not self.frames and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + RETRY_SECONDS
            self._journal = self._journal.copied_to(self._new_file())

    def _new_file(self, suffix: str = "") -> SpoolFile:
        path = folder.path_of(self._config.spool, self.origin.run_id, self.origin.writer)
        return SpoolFile.create(path.with_name(path.name + suffix))

    def _hold(self, frame: Frame, table: LayerTable, error: OSError) -> bool:
        """Without the disk: take one frame at a time."""
        self._notices.warn(
            "spool",
            f"{self._config.spool} cannot be written ({error.strerror or error}): records wait "
            "in memory and are lost if the process ends; set GRADWATCH_SPOOL to a folder that can",
        )
        if self.frames:
            return False
        if (file := self._file) is not None:
            self._journal = self._journal.copied_to(Memory())
            file.remove()
            self._next_try = time.monotonic() + RETRY_SECONDS
        self._journal.add(frame, table.described)
        return True

    def _compact(self) -> None:
        """Write the file anew when most of it is settled."""
        old = self._file
        if old is None or old.size - self.bytes <= max(WASTE_BYTES, self.bytes):
            return
        with contextlib.suppress(OSError):
            new = self._new_file(folder.UNFINISHED)
            try:
                fresh = self._journal.copied_to(new)
                new.replace(old)
            except OSError:
                new.remove()
            else:
                self._journal = fresh
