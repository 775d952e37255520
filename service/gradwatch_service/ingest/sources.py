"""Where a group gets what it needs to know: from memory if that is current, or from the database.

The log of frames is the truth: the state of a stream that is not in memory is folded anew from
it, and one that another process has moved on is caught up.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import cast
from weakref import WeakValueDictionary

from sqlalchemy import Connection, RowMapping

from gradwatch_service.domain import Facts, Frame, LayerTable
from gradwatch_service.errors import UnknownLayers
from gradwatch_service.ingest.comparison import Comparison
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import Birth, Judge, Judged, Part, Task, UnfitError
from gradwatch_service.ingest.lru import Lru
from gradwatch_service.ingest.run_view import RunView
from gradwatch_service.ingest.sequence import Position
from gradwatch_service.ingest.stream import Stream, Unjudged
from gradwatch_service.store import (
    acts,
    alerts,
    detector_states,
    frames,
    handed,
    heads,
    launches,
    layers,
    parts,
    writers,
)
from gradwatch_service.store.frames import Logged
from gradwatch_service.store.heads import Head

StreamKey = tuple[uuid.UUID, str]

MOST_RUNS = 16_384
MOST_LAYERS = 500_000
REPORTS_AT_ONCE = 512


class Memory:
    """What the writer's thread remembers between groups: only what has been committed."""

    def __init__(self, stream_bytes: int) -> None:
        self.views: Lru[uuid.UUID, RunView] = Lru(MOST_RUNS)
        self.streams: Lru[StreamKey, Stream] = Lru(stream_bytes)
        self.tables: Lru[tuple[uuid.UUID, dt.datetime, str], LayerTable] = Lru(MOST_LAYERS)
        self.comparisons: Lru[uuid.UUID, Comparison] = Lru(MOST_RUNS)
        self._shared: WeakValueDictionary[str, LayerTable] = WeakValueDictionary()

    def share(self, table: LayerTable) -> LayerTable:
        """The one object that stands for all equal tables."""
        return self._shared.setdefault(table.hash, table)


@dataclass(frozen=True, slots=True)
class Sources:
    """Of one transaction; ``verify`` if memory has just been found to be behind."""

    connection: Connection
    memory: Memory
    fold: Fold
    judge: Judge
    verify: bool = False

    def views(
        self, run_ids: Collection[uuid.UUID], trusted: Collection[uuid.UUID]
    ) -> dict[uuid.UUID, RunView]:
        """The views of those of the runs that exist; of the ``trusted`` memory's may be outdated.

        What is based on one that is outdated cannot be written.
        """
        found: dict[uuid.UUID, RunView] = {}
        unknown: list[uuid.UUID] = []
        for run_id in run_ids:
            view = self.memory.views.get(run_id)
            if view is not None and run_id in trusted:
                found[run_id] = view
            else:
                unknown.append(run_id)
        return found | self._read(unknown) if unknown else found

    def table(self, head: Head, table_hash: str) -> LayerTable:
        """The layer table of this hash.

        Raises:
            UnknownLayers: the run does not have it.
        """
        key = (head.run_id, head.started_at, table_hash)
        table = self.memory.tables.get(key)
        if table is None:
            table = layers.find(self.connection, head.run_id, table_hash)
            if table is None:
                raise UnknownLayers("send the layers with POST /runs, then this frame again")
            table = self.memory.share(table)
            self.memory.tables.put(key, table, len(table))
        return table

    def stream(self, head: Head, writer: str, table: LayerTable) -> Stream:
        """A working copy of a writer's stream; ``table`` is what a new one begins with."""
        key = (head.run_id, writer)
        cached = self.memory.streams.get(key)
        if cached is not None and cached.epoch == head.started_at:
            stream = cached.copy()
            return self._caught_up(head, stream) if self.verify else stream
        row = writers.find(self.connection, head.run_id, writer)
        if row is None:
            return self._begun(head, writer, head.attempt, table)
        begun = self._begun(head, writer, row["attempt"], self.table(head, row["layers_hash"]))
        return self._replayed(head, self._restored(head, begun, row["ordinal"]), row)

    def facts(self, head: Head, attempt: int) -> Facts:
        """What an attempt of the run was launched with."""
        return launches.facts_of(self.connection, head.run_id, attempt)

    def _read(self, run_ids: list[uuid.UUID]) -> dict[uuid.UUID, RunView]:
        found = heads.of_runs(self.connection, run_ids)
        known = {run_id: self._known(head) for run_id, head in found.items()}
        missing = [run_id for run_id, view in known.items() if view is None]
        loaded = self._loaded([found[run_id] for run_id in missing]) if missing else {}
        return {run_id: view or loaded[run_id] for run_id, view in known.items()}

    def _known(self, head: Head) -> RunView | None:
        view = self.memory.views.get(head.run_id)
        return replace(view, head=head) if view is not None and view.head == head else None

    def _loaded(self, heads_of_runs: list[Head]) -> dict[uuid.UUID, RunView]:
        run_ids = [head.run_id for head in heads_of_runs]
        shares = parts.of_runs(self.connection, run_ids)
        kept = alerts.of_runs(self.connection, run_ids)
        ranks = writers.ranks(self.connection, run_ids)
        acted = acts.newest(self.connection, run_ids)
        wishes = handed.open_wishes(self.connection, run_ids)
        return {
            head.run_id: RunView.of(
                head,
                shares.get(head.run_id, {}),
                kept.get(head.run_id, {}),
                ranks.get(head.run_id, {}).get(head.attempt, frozenset()),
                acted.get(head.run_id, {}),
                wishes.get(head.run_id, {}),
            )
            for head in heads_of_runs
        }

    def _begun(self, head: Head, writer: str, attempt: int, table: LayerTable) -> Stream:
        return Stream(
            writer=writer,
            epoch=head.started_at,
            attempt=attempt,
            first_hash=table.hash if len(table) else "",
            layers=table,
            state=Birth(table, self.facts(head, attempt)),
        )

    def _caught_up(self, head: Head, stream: Stream) -> Stream:
        row = writers.find(self.connection, head.run_id, stream.writer)
        if row is None or row["version"] == stream.version:
            return stream
        return self._replayed(head, stream, row)

    def _restored(self, head: Head, begun: Stream, judged: int) -> Stream:
        """The stream at its checkpoint; where it begins if there is none that can be used."""
        row = detector_states.find(self.connection, head.run_id, begun.writer) if judged else None
        if row is None or row.ordinal > judged:
            return begun
        birth = replace(cast(Birth, begun.state), checkpoint=row.body)
        try:
            found = self.judge.submit(Task(birth, ())).answer.result()
        except UnfitError:
            return begun
        stream = replace(begun, position=Position(row.seq), judged=row.ordinal, saved=row.ordinal)
        stream.move_to(found)
        return stream

    def _replayed(self, head: Head, stream: Stream, row: RowMapping) -> Stream:
        """The stream with all judged that the row says is judged, the rest waiting."""
        missed = range(stream.position.next_seq, row["next_seq"])
        log = frames.folded(self.connection, head.run_id, stream.writer, missed)
        waiting = chain(stream.unjudged, self._unjudged(head, stream.layers, log))
        judged, stream.judged, stream.reports = stream.judged, row["ordinal"], row["ordinal"]
        stream.unjudged, stream.bytes_waiting = (), 0
        self._judge(stream, _between(judged, row["ordinal"], waiting, stream))
        beyond = frames.waiting(self.connection, head.run_id, stream.writer, row["next_seq"])
        stream.position = Position(row["next_seq"], beyond, row["lost"])
        stream.version = row["version"]
        stream.transitions = row["transitions"]
        stream.first_step, stream.last_step = row["first_step"], row["last_step"]
        stream.newest = (-1, b"")
        return stream

    def _unjudged(
        self, head: Head, layers: LayerTable, log: Iterable[Logged]
    ) -> Iterator[Unjudged]:
        for seq, place, frame in log:
            layers = self.table(head, frame.layers_hash) if frame.layers_hash else layers
            yield Unjudged(seq, place, frame, layers)

    def _judge(self, stream: Stream, log: Iterable[Unjudged]) -> None:
        """Fold what was judged before, some reports at a time; nothing new can come of it."""
        waiting: list[tuple[Frame, LayerTable]] = []
        reports = 0
        for one in log:
            stream.layers = one.layers
            waiting.append((one.frame, one.layers))
            reports += len(one.frame)
            if reports >= REPORTS_AT_ONCE:
                stream.move_to(self._folded(stream, waiting))
                waiting, reports = [], 0
        if waiting:
            stream.move_to(self._folded(stream, waiting))

    def _folded(self, stream: Stream, log: Iterable[tuple[Frame, LayerTable]]) -> Judged:
        return self.judge.submit(Task(stream.state, Part.joined(log))).answer.result()


def _between(
    first: int, judged: int, log: Iterable[Unjudged], stream: Stream
) -> Iterator[Unjudged]:
    """What lies from this place in the fold to that; what follows waits in the stream."""
    for one in log:
        rest: Unjudged | None = one
        if one.place < first:
            _, rest = one.cut(first - one.place)
        if rest is not None and (rest.place < judged or not len(rest.frame)):
            part, rest = rest.cut(judged - rest.place)
            yield part
        if rest is not None:
            stream.append(rest.seq, rest.frame, rest.layers)
