"""The queue of one writer's frames as a log of what happened to it: replayed, it is the same queue.

Only the frame in front is held in memory. Once all are settled, the log is cut back to its head.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from gradwatch.spool import entries
from gradwatch.spool.entries import MAGIC, DamagedError, Entry, Frame, Kind, Position
from gradwatch.spool.storage import Storage
from gradwatch.values import JsonValue

Layers = Callable[[], list[JsonValue]]


class Journal:
    """First in, first out; ``storage`` may hold a queue already.

    Raises:
        DamagedError: it holds something else.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.intro: dict[str, JsonValue] = {}
        self.farewell: dict[str, JsonValue] | None = None
        self.met = False
        self.position = Position()
        self.frames = self.records = self.bytes = 0
        self.torn_bytes = 0
        self._tables: dict[str, int] = {}
        self._ahead: deque[Frame] = deque()
        self._cursor = len(MAGIC)
        self._head_end = 0
        self._head_is_whole = True
        if storage.size:
            self._replay()

    def add(self, frame: Frame, layers: Layers) -> None:
        """Append a frame; ``layers`` are those of its table, should it be a new one.

        Raises:
            OSError: it could not be written, and is not in the queue.
        """
        if not self.frames and self.farewell is None:
            self._prepare(frame.table, layers)
            self._append(Kind.NUMBER, entries.pack_position(self.position))
        elif frame.table and frame.table not in self._tables:
            self._append(Kind.TABLE, entries.pack_table(frame.table, layers()))
            self._head_is_whole = False
        self._append(Kind.FRAME, entries.pack_frame(frame))
        if self.frames == 1:
            self._ahead.append(frame)
            self._cursor = self.storage.size

    def front(self) -> Frame | None:
        """The frame whose turn it is; None if there is none.

        Raises:
            DamagedError: it can no longer be read.
        """
        if not self._ahead and self.frames:
            for entry in entries.scan(self.storage.read, self._cursor):
                if entry.kind is Kind.FRAME:
                    self._ahead.append(entries.read_frame(entry.payload))
                    self._cursor = entry.end
                    break
            else:
                raise DamagedError("a frame in the spool can no longer be read")
        return self._ahead[0] if self._ahead else None

    def settle(self, *, seq: int, doubtful: bool) -> None:
        """The front is done; ``seq`` is the number of the next, which may be taken if doubtful."""
        self._move(Position(seq, doubtful, self.position.settled + 1))
        if not self.frames and self.farewell is None:
            self._cut()

    def renumber(self, seq: int) -> None:
        """The front goes under another number."""
        self._move(replace(self.position, seq=seq))

    def split(self, frames: list[Frame]) -> None:
        """Replace the front by these frames.

        Raises:
            OSError: it could not be noted, and has not happened.
        """
        self._append(Kind.SPLIT, entries.pack_split(frames))

    def note_met(self) -> None:
        """The service has been introduced to this launch."""
        if self.storage.size and not self.met:
            self._head_is_whole = False
            self._try_append(Kind.MET)
        self.met = True

    def finish(self, farewell: dict[str, JsonValue]) -> None:
        """Nothing comes after this.

        Raises:
            OSError: it could not be written.
        """
        if not self.storage.size:
            self._prepare("", list)
        self._append(Kind.FINISH, entries.pack_object(farewell))

    def forget(self) -> int:
        """Give up all that waits; returns how many records that was."""
        lost, self.frames, self.records, self.bytes = self.records, 0, 0, 0
        self._ahead.clear()
        self._cut()
        return lost

    def layers_of(self, table: str) -> list[JsonValue]:
        """The layers of a table that a frame which waits refers to; none of any other."""
        entry = next(
            entries.scan(self.storage.read, self._tables.get(table, self.storage.size)), None
        )
        return [] if entry is None else entries.read_table(entry.payload)

    def copied_to(self, storage: Storage) -> Journal:
        """The same queue on another, empty storage.

        Raises:
            OSError: it could not be written.
        """
        copy = Journal(storage)
        copy.intro, copy.met = self.intro, self.met
        copy.position = replace(self.position, settled=0)
        for frame in self._waiting():
            copy.add(frame, partial(self.layers_of, frame.table))
        if self.farewell is not None:
            copy.finish(self.farewell)
        return copy

    def _waiting(self) -> Iterator[Frame]:
        yield from self._ahead
        for entry in entries.scan(self.storage.read, self._cursor):
            if entry.kind is Kind.FRAME:
                yield entries.read_frame(entry.payload)

    def _replay(self) -> None:
        if self.storage.read(0, len(MAGIC)) != MAGIC:
            raise DamagedError("this is no spool of Gradwatch")
        end = len(MAGIC)
        for entry in entries.scan(self.storage.read):
            self._apply(entry)
            end = entry.end
        self.torn_bytes = self.storage.size - end
        if self.torn_bytes:
            self.storage.truncate(end)
        self._head_is_whole = False

    def _prepare(self, table: str, layers: Layers) -> None:
        """Have a head with this table; the queue is empty."""
        if self.storage.size and (not table or table in self._tables):
            return
        self.storage.truncate(0)
        head = MAGIC + entries.pack(Kind.INTRO, entries.pack_object(self.intro))
        if self.met:
            head += entries.pack(Kind.MET)
        at = len(head)
        if table:
            head += entries.pack(Kind.TABLE, entries.pack_table(table, layers()))
        self.storage.append(head)
        self._tables = {table: at} if table else {}
        self._cursor = self._head_end = len(head)
        self._head_is_whole = True

    def _cut(self) -> None:
        """Forget what is settled, as everything is."""
        if not self._head_is_whole:
            self._tables.clear()
        with contextlib.suppress(OSError):  # what stays is passed over, by the next position
            self.storage.truncate(self._head_end if self._head_is_whole else 0)
        self._cursor = self.storage.size

    def _move(self, position: Position) -> None:
        """Change the position, even if that cannot be written: sent twice is stored once."""
        last = self.frames == 1 and position.settled > self.position.settled
        if last and self.farewell is None:
            self._take_position(position)  # what follows cuts the log
        else:
            self._try_append(Kind.NUMBER, entries.pack_position(position))
            self._take_position(position)

    def _take_position(self, position: Position) -> None:
        while self.position.settled < position.settled and (front := self.front()):
            self._ahead.popleft()
            self._count(front, -1)
            self.position = replace(self.position, settled=self.position.settled + 1)
        self.position = position

    def _count(self, frame: Frame, sign: int) -> None:
        self.frames += sign
        self.records += sign * frame.records
        self.bytes += sign * len(frame.body)

    def _append(self, kind: Kind, payload: bytes = b"") -> None:
        at = self.storage.size
        self.storage.append(entries.pack(kind, payload))
        self._apply(Entry(kind, payload, at, self.storage.size))

    def _try_append(self, kind: Kind, payload: bytes = b"") -> None:
        with contextlib.suppress(OSError):
            self.storage.append(entries.pack(kind, payload))

    def _apply(self, entry: Entry) -> None:
        match entry.kind:
            case Kind.INTRO:
                self.intro = entries.read_object(entry.payload)
            case Kind.TABLE:
                self._tables[entries.read_table_hash(entry.payload)] = entry.at
            case Kind.MET:
                self.met = True
            case Kind.FRAME:
                self._count(entries.read_frame(entry.payload), +1)
            case Kind.NUMBER:
                self._take_position(entries.read_position(entry.payload))
            case Kind.SPLIT:
                self._take_parts(entries.read_split(entry.payload))
            case Kind.FINISH:
                self.farewell = entries.read_object(entry.payload)

    def _take_parts(self, parts: list[Frame]) -> None:
        front = self.front()
        if front is None:
            return
        self._ahead.popleft()
        self._count(front, -1)
        self._ahead.extendleft(reversed(parts))
        for part in parts:
            self._count(part, +1)
