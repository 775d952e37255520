"""What is judged beside the writer: blocks of reports that are full, and checkpoints of states.

To be used by the writer's thread. What comes of it is handed back as more work for the writer.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeAlias

from sqlalchemy import Connection

from gradwatch_service.ingest.judge import Judge, Judged, Task
from gradwatch_service.ingest.pushes import Verdict
from gradwatch_service.ingest.sources import Memory, StreamKey
from gradwatch_service.ingest.stream import Stream
from gradwatch_service.store import detector_states, heads
from gradwatch_service.store.detector_states import Checkpoint

# So much is under way at most: who cannot wait comes right after it.
BATCHES, STREAMS_A_BATCH, BYTES_A_BATCH = 2, 16, 2**19
# Who pushes to a stream of which so many reports wait for a verdict waits for it too.
PATIENCE = 64
# A state that is to be forgotten is kept as a checkpoint if the last is so many reports old.
WORTH_KEEPING = 64

Work: TypeAlias = tuple[uuid.UUID, Stream]
TakeBack: TypeAlias = Callable[[Verdict | Callable[[Connection], None]], None]


class Docket:
    """Hands out streams to be judged; ``take_back`` is called in whatever thread."""

    def __init__(self, judge: Judge, memory: Memory, take_back: TakeBack) -> None:
        self._judge = judge
        self._memory = memory
        self._take_back = take_back
        self._due: dict[StreamKey, None] = {}
        self._busy: set[StreamKey] = set()
        self._batches: list[Future[list[Judged]]] = []

    @property
    def under_way(self) -> bool:
        """Whether something is being judged."""
        return any(not batch.done() for batch in self._batches)

    def note(self, streams: Iterable[tuple[StreamKey, Stream]]) -> None:
        """Take up the streams with full blocks."""
        for key, stream in streams:
            if stream.due:
                self._due[key] = None

    def keep(self, forgotten: Sequence[tuple[StreamKey, Stream]]) -> None:
        """Make checkpoints of streams that memory had no more room for."""
        work = [
            (run_id, stream)
            for (run_id, _), stream in forgotten
            if stream.judged >= stream.saved + WORTH_KEEPING
        ]
        if work:
            self._submit([Task(stream.state, (), pack=True) for _, stream in work], work, _save)

    def returned(self, verdict: Verdict) -> None:
        """A stream's verdict is here: it may be handed out again."""
        self._busy.discard((verdict.run_id, verdict.writer))

    def is_full(self, key: StreamKey) -> bool:
        """Whether a stream should get no more before its verdict is here."""
        if key not in self._busy:
            return False
        stream = self._memory.streams.get(key)
        return stream is not None and stream.reports - stream.judged >= PATIENCE

    def hand_out(self) -> None:
        """Have judged what is due, as much as may be under way."""
        self._batches = [batch for batch in self._batches if not batch.done()]
        while len(self._batches) < BATCHES and (work := self._next()):
            self._busy |= {(run_id, stream.writer) for run_id, stream in work}
            self._submit([stream.task(stream.due) for _, stream in work], work, _verdicts)

    def _next(self) -> list[Work]:
        """The streams that have been due for longest."""
        work: list[Work] = []
        size = 0
        while self._due and len(work) < STREAMS_A_BATCH and size < BYTES_A_BATCH:
            key = next(iter(self._due))
            del self._due[key]
            stream = None if key in self._busy else self._memory.streams.get(key)
            if stream is not None and stream.due:
                work.append((key[0], stream))
                size += stream.bytes_waiting
        return work

    def renew(self) -> None:
        """All states are lost: begin again."""
        self._judge.renew()
        self._memory.streams.clear()
        self._due, self._batches = {}, []
        self._busy.clear()

    def _submit(self, tasks: Sequence[Task], work: Sequence[Work], outcome: Outcome) -> None:
        batch = self._judge.submit(tasks)
        self._batches.append(batch)
        batch.add_done_callback(partial(_pass_on, self._take_back, outcome, work))


Outcome: TypeAlias = Callable[
    [Sequence[Work], Sequence[Judged]], Iterable[Verdict | Callable[[Connection], None]]
]


def _pass_on(
    take_back: TakeBack, outcome: Outcome, work: Sequence[Work], batch: Future[list[Judged]]
) -> None:
    error = batch.exception()
    if error is not None:
        take_back(partial(_fail, error))  # the writer shall know
        return
    for one in outcome(work, batch.result()):
        take_back(one)


def _fail(error: BaseException, _: Connection) -> None:
    raise error


def _verdicts(work: Sequence[Work], found: Sequence[Judged]) -> Iterable[Verdict]:
    for (run_id, stream), judged in zip(work, found, strict=True):
        yield Verdict(run_id, stream.writer, stream.state, stream.due, judged)


def _save(work: Sequence[Work], found: Sequence[Judged]) -> Iterable[Callable[[Connection], None]]:
    rows = [
        (stream.epoch, stream.checkpoint(run_id, judged.packed))
        for (run_id, stream), judged in zip(work, found, strict=True)
        if judged.packed is not None
    ]
    yield partial(_write, rows)


def _write(rows: Sequence[tuple[dt.datetime, Checkpoint]], connection: Connection) -> None:
    """Unless a run was deleted meanwhile, and its namesake is another."""
    known = heads.of_runs(connection, [row.run_id for _, row in rows])
    detector_states.save(
        connection,
        [
            row
            for epoch, row in rows
            if row.run_id in known and known[row.run_id].started_at == epoch
        ],
    )
