"""What is judged beside the writer: blocks of reports that are full, and checkpoints of states.

To be used by the writer's thread. What comes of it is handed back as more work for the writer.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from sqlalchemy import Connection

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.ingest.judge import Birth, Judge, Judged, State, Task
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.pushes import Verdict
from gradwatch_service.ingest.sources import Memory, StreamKey
from gradwatch_service.ingest.stream import Stream
from gradwatch_service.store import detector_states, heads

# So much is under way at most: who cannot wait comes right after it.
MOST_TASKS, MOST_BYTES = 8, 3 * 2**18
# Who pushes to a stream of which so many reports wait for a verdict waits for it too.
PATIENCE = 128
# And everybody does while so many streams wait, or so many bytes.
MOST_DUE, MOST_BYTES_DUE = 256, 2**23
# Are there so many streams that most states are packed, blocks are judged two at a time:
# to unpack a state and pack it again costs two thirds of what judging a block does.
MANY_BYTES, BLOCKS_OF_MANY = 96 * 2**20, 2
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
        self._due: dict[StreamKey, int] = {}  # bytes of each
        self._bytes_due = 0
        self._ahead: dict[StreamKey, _Ahead] = {}
        self._sent: dict[Future[Judged], int] = {}  # bytes of each

    @property
    def backlog(self) -> int:
        """How many streams wait for the judge."""
        return len(self._due)

    @property
    def under_way(self) -> bool:
        """Whether something is being judged."""
        return not all(future.done() for future in self._sent)

    def note(self, streams: Iterable[tuple[StreamKey, Stream]]) -> None:
        """Take up the streams with full blocks."""
        are_many = self._memory.streams.weight > MANY_BYTES
        few = BLOCK * (BLOCKS_OF_MANY - 1) if are_many else 0
        for key, stream in streams:
            if stream.due() > few:
                self._bytes_due += stream.bytes_waiting - self._due.get(key, 0)
                self._due[key] = stream.bytes_waiting

    def keep(self, forgotten: Sequence[tuple[StreamKey, Stream]]) -> None:
        """Make checkpoints of streams that memory had no more room for."""
        for (run_id, _), stream in forgotten:
            if stream.judged >= stream.saved + WORTH_KEEPING:
                self._submit(Task(stream.state, (), pack=True), partial(_save, run_id, stream))

    def returned(self, verdict: Verdict) -> None:
        """A verdict is here, or an error in place of it."""
        key = (verdict.run_id, verdict.writer)
        ahead = self._ahead.get(key)
        if ahead is not None:
            ahead.tasks -= 1
            if not ahead.tasks:
                del self._ahead[key]

    def is_full(self, key: StreamKey) -> bool:
        """Whether a stream should get no more before more verdicts are here."""
        if len(self._due) > MOST_DUE or self._bytes_due > MOST_BYTES_DUE:
            return True
        if key not in self._ahead:
            return False
        stream = self._memory.streams.get(key)
        return stream is not None and stream.waiting >= PATIENCE

    def hand_out(self) -> None:
        """Have judged what has been due for longest, as much as may be under way."""
        self._sent = {future: size for future, size in self._sent.items() if not future.done()}
        while self._due and len(self._sent) < MOST_TASKS and sum(self._sent.values()) < MOST_BYTES:
            key = next(iter(self._due))
            self._bytes_due -= self._due.pop(key)
            stream = self._memory.streams.get(key)
            if stream is not None:
                self._send(key, stream)

    def renew(self) -> None:
        """All states are lost: begin again."""
        self._judge.renew()
        self._memory.streams.clear()
        self._due, self._ahead, self._sent = {}, {}, {}
        self._bytes_due = 0

    def _send(self, key: StreamKey, stream: Stream) -> None:
        """Have judged what is due in a stream, behind what is being judged."""
        ahead = self._ahead.get(key) or _Ahead(stream.state, stream.judged)
        under_way = ahead.judged - stream.judged
        reports = stream.due(under_way) if under_way >= 0 else 0  # else all that is sent is in vain
        if not reports:
            return
        task = stream.task(reports, under_way, ahead.state)
        verdict = partial(Verdict, key[0], stream.writer, ahead.state, reports)
        self._ahead[key] = ahead
        ahead.tasks += 1
        ahead.judged += reports
        ahead.state = self._submit(task, verdict)

    def _submit(self, task: Task, outcome: Callable[[Judged | Exception], Outcome]) -> State:
        state, answer = self._judge.submit(task)
        self._sent[answer] = sum(part.frame.layers_bytes for part in task.parts)
        answer.add_done_callback(lambda done: self._take_back(outcome(outcome_of(done.result))))
        return state


@dataclass
class _Ahead:
    """How far a stream will be judged when the ``tasks`` under way are done."""

    state: State | Birth
    judged: int
    tasks: int = 0


def _save(run_id: uuid.UUID, stream: Stream, judged: Judged | Exception) -> Outcome:
    return partial(_write, run_id, stream, judged)


def _write(
    run_id: uuid.UUID, stream: Stream, judged: Judged | Exception, connection: Connection
) -> None:
    """Unless the run was deleted meanwhile, and its namesake is another."""
    head = heads.of_runs(connection, [run_id]).get(run_id)
    if isinstance(judged, Exception) or judged.packed is None:
        return
    if head is not None and head.started_at == stream.epoch:
        detector_states.save(connection, [stream.checkpoint(run_id, judged.packed)])
