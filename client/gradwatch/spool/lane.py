"""One writer's queue for two threads: on disk, or a frame at a time where the disk fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gradwatch import clock
from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.layers import LayerTable
from gradwatch.notices import Notices
from gradwatch.spool import folder
from gradwatch.spool.entries import Frame
from gradwatch.spool.journal import Journal
from gradwatch.spool.storage import Memory, SpoolFile
from gradwatch.values import JsonValue

WASTE_BYTES = 32 << 20
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a queue, since when, in which run, and for which service ("": any)."""

    url: str
    writer: str
    run: Mapping[str, JsonValue]
    began: float = 0.0

    @classmethod
    def of(cls, intro: Mapping[str, JsonValue]) -> Origin:
        """What a file says of itself."""
        run, began = intro.get("run"), intro.get("began")
        return cls(
            str(intro.get("url") or ""),
            str(intro.get("writer") or ""),
            run if isinstance(run, dict) else {},
            float(began) if isinstance(began, int | float) else 0.0,
        )

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return str(self.run.get("id") or "")

    def under(self, writer: str) -> Origin:
        """The same launch under the name of another writer."""
        return replace(self, writer=writer)

    def as_json(self) -> dict[str, JsonValue]:
        """What is written into the file."""
        run = dict(self.run)
        return {"url": self.url, "writer": self.writer, "run": run, "began": self.began}


class Lane:
    """``journal`` is one that is there already; a new one begins on disk with its first frame."""

    def __init__(
        self,
        origin: Origin,
        config: Config,
        notices: Notices,
        *,
        journal: Journal | None = None,
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
        storage = self._journal.storage
        return storage.path if isinstance(storage, SpoolFile) else None

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
    def seq(self) -> int:
        """The number of the front."""
        return self._journal.position.seq

    @property
    def doubtful(self) -> bool:
        """Whether the service may have given this number to a frame that it refused."""
        return self._journal.position.doubtful

    @property
    def has_room(self) -> bool:
        """Whether another frame would be taken; at least one always is."""
        if not self.frames:
            return True
        path = self.path
        if path is None:
            return False
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
        storage = self._journal.storage
        if isinstance(storage, SpoolFile):
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile
                storage.synchronise()

    def touch(self) -> None:
        """Show that the writer lives."""
        storage = self._journal.storage
        if isinstance(storage, SpoolFile):
            with contextlib.suppress(OSError):
                storage.touch()

    def discard(self) -> bool:
        """Remove the file, as everything is delivered; False if that is not so."""
        with self._lock:
            if self.frames:
                return False
            self._closed = True
            storage = self._journal.storage
            if isinstance(storage, SpoolFile):
                storage.remove()
            return True

    def leave(self) -> None:
        """Close the file as it is. Without the lock, which another process may seem to hold."""
        self._closed = True
        storage = self._journal.storage
        if isinstance(storage, SpoolFile):
            storage.close()

    def _find_disk(self) -> None:
        """See that the queue is in its file, if there is a disk.

        Raises:
            OSError: there is none, or the file was taken and cannot be made again.
        """
        storage = self._journal.storage
        if isinstance(storage, SpoolFile):
            if not storage.is_in_place:
                self._journal = self._journal.copied_to(self._new_file())
                storage.close()
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
        storage = self._journal.storage
        if isinstance(storage, SpoolFile):
            self._journal = self._journal.copied_to(Memory())
            storage.remove()
            self._next_try = time.monotonic() + RETRY_SECONDS
        self._journal.add(frame, table.described)
        return True

    def _compact(self) -> None:
        """Write the file anew when most of it is settled."""
        old = self._journal.storage
        waste = old.size - self.bytes
        if waste <= max(WASTE_BYTES, self.bytes) or not isinstance(old, SpoolFile):
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
