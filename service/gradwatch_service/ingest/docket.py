"""What is judged beside the writer: blocks of reports that are full, and checkpoints of states.

To be used by the writer's thread. What comes of it is handed back as more work for the writer.
"""

from __future__ import annotations

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

# So much is under way at most: who cannot wait comes right after it.
MOST_TASKS, MOST_BYTES = 8, 2**19
# Who pushes to a stream of which so many reports wait for a verdict waits for it too.
PATIENCE = 128
# A state that is to be forgotten is kept as a checkpoint if the last is so many reports old.
WORTH_KEEPING = 64

Outcome: TypeAlias = Verdict | Callable[[Connection], None]
TakeBack: TypeAlias = Callable[[Outcome], None]


class Docket:
    """Hands out streams to be judged; ``take_back`` is called in whatever thread."""

    def __init__(self, judge: Judge, memory: Memory, take_back: TakeBack) -> None:
        self._judge = judge
        self._memory = memory
        self._take_back = take_back
        self._due: dict[StreamKey, None] = {}
        self._busy: set[StreamKey] = set()
        self._sent: dict[Future[Judged], int] = {}  # bytes of each

    @property
    def under_way(self) -> bool:
        """Whether something is being judged."""
        return not all(future.done() for future in self._sent)

    def note(self, streams: Iterable[tuple[StreamKey, Stream]]) -> None:
        """Take up the streams with full blocks."""
        for key, stream in streams:
            if stream.due:
                self._due[key] = None

    def keep(self, forgotten: Sequence[tuple[StreamKey, Stream]]) -> None:
        """Make checkpoints of streams that memory had no more room for."""
        for (run_id, _), stream in forgotten:
            if stream.judged >= stream.saved + WORTH_KEEPING:
                self._submit(Task(stream.state, (), pack=True), partial(_save, run_id, stream))

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
        """Have judged what has been due for longest, as much as may be under way."""
        self._sent = {future: size for future, size in self._sent.items() if not future.done()}
        while self._due and len(self._sent) < MOST_TASKS and sum(self._sent.values()) < MOST_BYTES:
            key = next(iter(self._due))
            del self._due[key]
            stream = None if key in self._busy else self._memory.streams.get(key)
            if stream is not None and stream.due:
                self._busy.add(key)
                verdict = partial(Verdict, key[0], stream.writer, stream.state, stream.due)
                self._submit(stream.task(stream.due), verdict, stream.bytes_waiting)

    def renew(self) -> None:
        """All states are lost: begin again."""
        self._judge.renew()
        self._memory.streams.clear()
        self._due, self._sent = {}, {}
        self._busy.clear()

    def _submit(self, task: Task, outcome: Callable[[Judged], Outcome], size: int = 0) -> None:
        future = self._judge.submit(task)
        self._sent[future] = size
        future.add_done_callback(partial(_pass_on, self._take_back, outcome))


def _pass_on(
    take_back: TakeBack, outcome: Callable[[Judged], Outcome], future: Future[Judged]
) -> None:
    error = future.exception()
    # The writer shall know of an error: it fails on it, too.
    take_back(outcome(future.result()) if error is None else partial(_fail, error))


def _fail(error: BaseException, _: Connection) -> None:
    raise error


def _save(run_id: uuid.UUID, stream: Stream, judged: Judged) -> Outcome:
    return partial(_write, run_id, stream, judged.packed)


def _write(run_id: uuid.UUID, stream: Stream, packed: bytes | None, connection: Connection) -> None:
    """Unless the run was deleted meanwhile, and its namesake is another."""
    head = heads.of_runs(connection, [run_id]).get(run_id)
    if packed is not None and head is not None and head.started_at == stream.epoch:
        detector_states.save(connection, [stream.checkpoint(run_id, packed)])
