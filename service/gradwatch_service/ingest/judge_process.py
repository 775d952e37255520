"""A judge in a process of its own, so that judging does not take turns with storing.

The states stay there; here they are numbers that count as held for as long as somebody knows them.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from fcntl import F_SETPIPE_SZ, fcntl
from itertools import count
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeAlias, cast

from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import Birth, Judged, Part, State, Task, born, judge

PIPE_BYTES = 2**20  # so much may be on its way without anybody waiting
ENDED = (EOFError, OSError)  # there is nobody at the other end
OBJECTS_BEFORE_COLLECTION = 50_000


class JudgeLostError(BrokenExecutor):
    """The judge's process has ended, and all states with it."""


@dataclass(eq=False)
class _Remote:
    """A state over there; ``layers_hash``: the table that it knows already."""

    number: int
    layers_hash: str


class _Order(NamedTuple):
    """A task as it travels: without the tables of the parts that are those of the part before."""

    base: int | Birth
    target: int
    parts: Sequence[tuple[Frame, LayerTable | None, tuple[int, ...]]]
    pack: bool


Orders: TypeAlias = tuple[Sequence[_Order], Sequence[int]]  # and the states that nobody knows


class _Batch(NamedTuple):
    """What was sent and is not answered yet: its tasks are named here to be kept."""

    answer: Future[list[Judged]]
    targets: Sequence[_Remote]
    tasks: Sequence[Task]


class ProcessJudge:
    """To be used by one thread. The process ends with this one, however this one ends."""

    def __init__(self) -> None:
        self._numbers = count()
        self._released: deque[int] = deque()
        self._link = _Link()

    def submit(self, tasks: Sequence[Task]) -> Future[list[Judged]]:
        """Have tasks judged."""
        targets = [self._target(task) for task in tasks]
        orders = [_order(task, target) for task, target in zip(tasks, targets, strict=True)]
        released = [self._released.popleft() for _ in range(len(self._released))]
        return self._link.send((orders, released), _Batch(Future(), targets, tasks))

    def renew(self) -> None:
        """Begin again without any state."""
        self._link.close()
        self._released.clear()
        self._link = _Link()

    def close(self) -> None:
        """Finish what is under way, end the process."""
        self._link.close()

    def _target(self, task: Task) -> _Remote:
        newest = task.parts[-1].layers.hash if task.parts else _known(task.base)
        remote = _Remote(next(self._numbers), newest)
        weakref.finalize(remote, self._released.append, remote.number).atexit = False
        return remote


class _Link:
    """A process that judges, and the thread that hears its answers."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        theirs, self._orders = context.Pipe(duplex=False)
        self._answers, answers = context.Pipe(duplex=False)
        for end in (self._orders, answers):
            fcntl(end.fileno(), F_SETPIPE_SZ, PIPE_BYTES)
        self._process = context.Process(
            target=_serve, args=(theirs, answers), name="gradwatch-judge", daemon=True
        )
        self._process.start()
        theirs.close()
        answers.close()
        self._waiting: deque[_Batch] = deque()
        self._thread = threading.Thread(target=self._hear, name="gradwatch-judge", daemon=True)
        self._thread.start()

    def send(self, orders: Orders, batch: _Batch) -> Future[list[Judged]]:
        """Send orders; the future holds ``JudgeLostError`` if nobody is there."""
        self._waiting.append(batch)
        try:
            self._orders.send(orders)
        except ENDED:
            self._thread.join()
            self._break()
        return batch.answer

    def close(self) -> None:
        """Send nothing more; return when all is answered and the process has ended."""
        self._orders.close()
        self._process.join()
        self._thread.join()

    def _hear(self) -> None:
        with suppress(*ENDED):
            while True:
                answer = self._answers.recv()
                batch = self._waiting.popleft()
                if isinstance(answer, Exception):
                    batch.answer.set_exception(answer)
                    continue
                found = zip(answer, batch.targets, strict=True)
                batch.answer.set_result([replace(one, state=target) for one, target in found])
        self._break()

    def _break(self) -> None:
        while self._waiting:
            self._waiting.popleft().answer.set_exception(JudgeLostError("its process has ended"))


def _order(task: Task, target: _Remote) -> _Order:
    base = task.base
    known = _known(base)
    parts: list[tuple[Frame, LayerTable | None, tuple[int, ...]]] = []
    for frame, layers, lengths in task.parts:
        parts.append((frame, None if layers.hash == known else layers, lengths))
        known = layers.hash
    begin = base if isinstance(base, Birth) else _remote(base).number
    return _Order(begin, target.number, parts, task.pack)


def _known(base: State | Birth) -> str:
    """The hash of the table that a state has already."""
    return base.layers.hash if isinstance(base, Birth) else _remote(base).layers_hash


def _remote(state: State) -> _Remote:
    return cast(_Remote, state)


# From here on: in the judge's process.


class _Held(NamedTuple):
    """A state, and the layer table that its reports had last."""

    state: WriterState
    layers: LayerTable


def _serve(orders: Connection, answers: Connection) -> None:
    """Judge until nobody is there to ask; an interrupt from the keyboard is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION, *gc.get_threshold()[1:])
    bench = _Bench()
    with suppress(*ENDED):
        while True:
            answers.send(bench.answer(*orders.recv()))


class _Bench:
    """The states, by number."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._held: dict[int, _Held] = {}
        self._tables: weakref.WeakValueDictionary[str, LayerTable] = weakref.WeakValueDictionary()

    def answer(self, orders: Sequence[_Order], released: Sequence[int]) -> list[Judged] | Exception:
        """Carry out a batch of orders."""
        for number in released:
            self._held.pop(number, None)
        try:
            return [self._carry_out(order) for order in orders]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            return error

    def _carry_out(self, order: _Order) -> Judged:
        if isinstance(order.base, Birth):
            birth = replace(order.base, layers=self._shared(order.base.layers))
            state, layers = born(self._fold, birth), birth.layers
        else:
            state, layers = self._held[order.base]
        parts: list[Part] = []
        for frame, table, lengths in order.parts:
            layers = layers if table is None else self._shared(table)
            parts.append(Part(frame, layers, lengths))
        found = judge(self._fold, state, parts, pack=order.pack)
        self._held[order.target] = _Held(cast(WriterState, found.state), layers)
        return replace(found, state=None)

    def _shared(self, layers: LayerTable) -> LayerTable:
        """The one object that stands for all equal tables."""
        return self._tables.setdefault(layers.hash, layers)
